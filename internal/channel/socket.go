package channel

import (
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// socket is a net.Conn that counts its bytes, gives up on a peer that makes no progress for as long as patience, and can
// be written to without waiting.
type socket struct {
	net.Conn
	sent, received *atomic.Uint64
	patience       time.Duration // 0 during the handshake, which has its own deadline
	greeting       int           // bytes received while patience is 0
	try            tryWriter     // nil if Conn cannot

	turn chan struct{} // holds one item during a write; no mutex, since internal/sim must see who waits for it
	only bool          // writes do not wait
	late []byte        // written while they did not, and still to be sent
}

// tryWriter is a connection that can write as much as it takes at once, which may be nothing. An error shows at the next
// Write.
type tryWriter interface{ TryWrite(p []byte) int }

// greetingBytes bounds what a server may send before its welcome is believed: TLS, the answer to the handshake, whose
// headers the WebSocket library reads without a limit, and the welcome.
const greetingBytes = 256 << 10

var errGreeting = errors.New("the server sends too much before its welcome")

func (s *socket) Read(p []byte) (int, error) {
	if s.patience > 0 {
		if err := s.Conn.SetReadDeadline(time.Now().Add(s.patience)); err != nil {
			return 0, err
		}
	}
	n, err := s.Conn.Read(p)
	s.received.Add(uint64(n))
	if s.patience == 0 {
		if s.greeting += n; s.greeting > greetingBytes {
			return 0, errGreeting
		}
	}
	return n, err
}

// Write implements net.Conn. Between tryOnly(true) and tryOnly(false) it always takes all, but may send some of it later.
func (s *socket) Write(p []byte) (int, error) {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if s.only {
		n := 0
		if len(s.late) == 0 {
			n = s.try.TryWrite(p)
			s.sent.Add(uint64(n))
		}
		s.late = append(s.late, p[n:]...)
		return len(p), nil
	}
	if err := s.sendLate(); err != nil {
		return 0, err
	}
	return s.send(p)
}

// canTry says whether tryOnly may be called.
func (s *socket) canTry() bool { return s.try != nil }

// tryOnly makes writes wait for nothing, or wait again. It says whether something is left for flush, or for the next
// write.
func (s *socket) tryOnly(only bool) (late bool) {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	s.only = only
	return len(s.late) > 0
}

// flush sends what is late.
func (s *socket) flush() error {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	return s.sendLate()
}

// sendLate is flush in its turn.
func (s *socket) sendLate() error {
	if len(s.late) == 0 {
		return nil
	}
	_, err := s.send(s.late)
	s.late = nil
	return err
}

func (s *socket) send(p []byte) (int, error) {
	if s.patience > 0 {
		if err := s.Conn.SetWriteDeadline(time.Now().Add(s.patience)); err != nil {
			return 0, err
		}
	}
	n, err := s.Conn.Write(p)
	s.sent.Add(uint64(n))
	return n, err
}
