package channel

import (
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// meteredConn is a net.Conn that counts its bytes and gives up on a peer that makes no progress for as long as patience.
type meteredConn struct {
	net.Conn
	sent, received *atomic.Uint64
	patience       time.Duration // 0 during the handshake, which has its own deadline
	greeting       int           // bytes received while patience is 0
}

// greetingBytes bounds what a server may send before its welcome is believed: TLS, the answer to the handshake, whose
// headers the WebSocket library reads without a limit, and the welcome.
const greetingBytes = 256 << 10

var errGreeting = errors.New("the server sends too much before its welcome")

func (m *meteredConn) Read(p []byte) (int, error) {
	if m.patience > 0 {
		if err := m.Conn.SetReadDeadline(time.Now().Add(m.patience)); err != nil {
			return 0, err
		}
	}
	n, err := m.Conn.Read(p)
	m.received.Add(uint64(n))
	if m.patience == 0 {
		if m.greeting += n; m.greeting > greetingBytes {
			return 0, errGreeting
		}
	}
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
