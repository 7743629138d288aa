//go:build !unix

package channel

import "net"

// tryWriterOf returns how to write to conn without waiting, nil if there is no way.
func tryWriterOf(conn net.Conn) tryWriter {
	t, _ := conn.(tryWriter)
	return t
}
