//go:build unix

package channel

import (
	"net"
	"syscall"
)

// rawWriter writes to a socket of the system, which Go keeps in non-blocking mode.
type rawWriter struct{ raw syscall.RawConn }

// tryWriterOf returns how to write to conn without waiting, nil if there is no way.
func tryWriterOf(conn net.Conn) tryWriter {
	if t, ok := conn.(tryWriter); ok {
		return t
	}
	if sys, ok := conn.(syscall.Conn); ok {
		if raw, err := sys.SyscallConn(); err == nil {
			return rawWriter{raw}
		}
	}
	return nil
}

// TryWrite implements tryWriter. It looks at no deadline: one that has passed belongs to an earlier write.
func (w rawWriter) TryWrite(p []byte) (n int) {
	err := w.raw.Control(func(fd uintptr) { n, _ = syscall.Write(int(fd), p) })
	if err != nil || n < 0 {
		return 0
	}
	return n
}
