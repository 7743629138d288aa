package channel

import (
	"net"
	"sync/atomic"
	"time"
)

// meteredConn is a net.Conn that counts its bytes and gives up on a peer that makes no progress for as long as patience.
type meteredConn struct {
	net.Conn
	sent, received *atomic.Uint64
	patience       time.Duration // 0 during the handshake, which has its own deadline
}

func (m *meteredConn) Read(p []byte) (int, error) {
	if m.patience > 0 {
		if err := m.Conn.SetReadDeadline(time.Now().Add(m.patience)); err != nil {
			return 0, err
		}
	}
	n, err := m.Conn.Read(p)
	m.received.Add(uint64(n))
	return n, err
}

func (m *meteredConn) Write(p []byte) (int, error) {
	if m.patience > 0 {
		if err := m.Conn.SetWriteDeadline(time.Now().Add(m.patience)); err != nil {
			return 0, err
		}
	}
	n, err := m.Conn.Write(p)
	m.sent.Add(uint64(n))
	return n, err
}
