package server

import "net"

// corkBytes is how much a corked connection collects before it writes.
const corkBytes = 64 * kib

// corkedConn is a net.Conn that can collect small writes, so that the answers that wait at one moment leave in one system
// call. It is safe for concurrent use, as net.Conn is.
type corkedConn struct {
	net.Conn
	turn   chan struct{} // holds one item during a write; no mutex, since internal/sim must see who waits for it
	corked bool
	buf    []byte
}

func newCorkedConn(conn net.Conn) *corkedConn {
	return &corkedConn{Conn: conn, turn: make(chan struct{}, 1)}
}

// Write writes p, or keeps it until uncork.
func (c *corkedConn) Write(p []byte) (int, error) {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	if !c.corked {
		return c.Conn.Write(p)
	}
	if len(c.buf)+len(p) > corkBytes {
		if err := c.flush(); err != nil {
			return 0, err
		}
		if len(p) >= corkBytes {
			return c.Conn.Write(p)
		}
	}
	c.buf = append(c.buf, p...)
	return len(p), nil
}

// cork starts to collect.
func (c *corkedConn) cork() {
	c.turn <- struct{}{}
	c.corked = true
	<-c.turn
}

// uncork writes what was collected.
func (c *corkedConn) uncork() error {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	c.corked = false
	err := c.flush()
	// An idle connection keeps no buffer.
	c.buf = nil
	return err
}

func (c *corkedConn) flush() error {
	if len(c.buf) == 0 {
		return nil
	}
	_, err := c.Conn.Write(c.buf)
	c.buf = c.buf[:0]
	return err
}
