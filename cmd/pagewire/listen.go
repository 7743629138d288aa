package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"
)

// listen listens on the address. Without tokens it takes loopback addresses only: everybody who reaches the port may
// read and write everything.
func listen(address string, haveTokens bool) (*net.TCPListener, error) {
	// What is listened on is what was checked: a name is looked up once.
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--listen %q is not an address such as 127.0.0.1:6420: %w", address, err)
	}
	if !haveTokens && !resolved.IP.IsLoopback() {
		return nil, fmt.Errorf("refusing to listen on %s without a token, as everybody who reaches it could read and write all "+
			"data: set %sTOKEN or --token-file, or listen on 127.0.0.1", address, envPrefix)
	}
	listener, err := net.ListenTCP("tcp", resolved)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("address %s is taken by another program: stop it, or choose another with --listen", address)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("not permitted to listen on %s: choose a port above 1023 with --listen", address)
	case err != nil:
		return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
	}
	return listener, nil
}
