package sim

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// window is how many bytes of one direction may be on their way before a write waits.
const window = 256 << 10

// conn is one end of a connection.
type conn struct {
	n        *Net
	id       uint64
	from, to string // this process and the other one
	peer     *conn
	in       *half // what comes from the peer
	twin     *conn // gets a copy of all that is written

	mu            sync.Mutex
	out           []byte // written at this moment
	end           error  // and then
	leaving       bool   // depart will come
	wrote         uint64 // segments
	writeDeadline time.Time
}

// half is one direction of a connection: what is on its way, then what waits to be read.
type half struct {
	c *conn // the end that reads

	mu       sync.Mutex
	cond     *sync.Cond // of everything here
	flight   []packet
	queued   int // bytes of flight
	buf      []byte
	err      error // after buf
	closed   error // the reader is gone
	lost     bool  // nothing arrives any more
	deadline time.Time
	alarm    *time.Timer
}

// packet is a segment on its way.
type packet struct {
	at  time.Time
	b   []byte
	end error // instead of bytes
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	h := c.in
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.closed != nil:
			return 0, h.closed
		case !h.deadline.IsZero() && !time.Now().Before(h.deadline) && !c.n.w.frozen(c.from):
			return 0, os.ErrDeadlineExceeded
		case len(h.buf) > 0:
			n := copy(p, h.buf)
			h.buf = h.buf[n:]
			return n, nil
		case h.err != nil:
			return 0, h.err
		}
		h.cond.Wait()
	}
}

// Write implements net.Conn. What is written at one moment leaves as one segment, a nanosecond later, in however many
// writes it came.
func (c *conn) Write(p []byte) (int, error) {
	if t := c.twin; t != nil {
		_, _ = t.Write(p)
	}
	for nap := time.Millisecond; ; nap = min(2*nap, time.Second) {
		if err := c.in.dead(); err != nil {
			return 0, err
		}
		c.mu.Lock()
		if c.room() {
			break
		}
		late := !c.writeDeadline.IsZero() && !time.Now().Before(c.writeDeadline)
		c.mu.Unlock()
		if late {
			return 0, os.ErrDeadlineExceeded
		}
		time.Sleep(nap)
	}
	defer c.mu.Unlock()
	c.out = append(c.out, p...)
	c.leave()
	return len(p), nil
}

// TryWrite writes p if the window has room, as a client's channel wants it: without waiting. A twin may have to.
func (c *conn) TryWrite(p []byte) int {
	if c.twin != nil || c.in.dead() != nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.room() {
		return 0
	}
	c.out = append(c.out, p...)
	c.leave()
	return len(p)
}

// room says whether the window has any. c.mu is held.
func (c *conn) room() bool {
	h := c.peer.in
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.queued <= window || h.closed != nil
}

// leave has what was written depart soon. c.mu is held.
func (c *conn) leave() {
	if !c.leaving {
		c.leaving = true
		time.AfterFunc(1, c.depart)
	}
}

// depart puts what was written on the network.
func (c *conn) depart() {
	c.mu.Lock()
	b, end := c.out, c.end
	c.out, c.end, c.leaving = nil, nil, false
	c.wrote++
	n := c.wrote
	c.mu.Unlock()
	w, to := c.n.w, c.peer.in
	if len(b) > 0 {
		f := w.netFault(&Segment{From: c.from, To: c.to, Conn: c.id, N: n, Bytes: len(b)})
		w.Event("send", "%s>%s #%d.%d %d bytes", c.from, c.to, c.id, n, len(b))
		if f.Lose {
			w.Event("lose", "%s>%s #%d.%d", c.from, c.to, c.id, n)
			to.mu.Lock()
			to.lost = true
			to.mu.Unlock()
		}
		if f.Reset {
			b, end = b[:min(f.Keep, len(b))], errReset
			w.Event("reset", "%s>%s #%d.%d after %d bytes", c.from, c.to, c.id, n, len(b))
			r := w.Rand("reset"+c.from, c.id, n)
			time.AfterFunc(c.n.delay(r.Float64(), between(r, 1, 1000)), func() { c.kill(errReset) })
		}
		to.send(packet{b: b}, n, f.Delay)
	}
	if end != nil {
		to.send(packet{end: end}, n, 0)
	}
}

// send puts a packet on its way, behind those before it.
func (h *half) send(p packet, n uint64, extra time.Duration) {
	net := h.c.n
	r := net.w.Rand("segment"+h.c.from, h.c.id, n)
	h.mu.Lock()
	defer h.mu.Unlock()
	p.at = time.Now().Add(net.delay(r.Float64(), between(r, 1, 1000)) + extra)
	if k := len(h.flight); k > 0 && !p.at.After(h.flight[k-1].at) {
		p.at = h.flight[k-1].at.Add(between(r, 1, 2000))
	}
	h.flight = append(h.flight, p)
	h.queued += len(p.b)
	time.AfterFunc(time.Until(p.at), h.arrive)
}

// arrive moves what is due from flight to buf, if the link carries.
func (h *half) arrive() {
	if h.c.n.blocked(h.c.to, h.c.from) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	for len(h.flight) > 0 && !h.flight[0].at.After(now) {
		p := h.flight[0]
		h.flight = h.flight[1:]
		h.queued -= len(p.b)
		switch {
		case h.lost || h.err != nil:
		case h.closed != nil:
			if p.end == nil { // bytes for a socket that is closed
				peer := h.c.peer
				r := h.c.n.w.Rand("rst"+h.c.from, h.c.id, uint64(len(p.b)))
				time.AfterFunc(h.c.n.delay(r.Float64(), between(r, 1, 1000)), func() { peer.kill(errReset) })
			}
		case p.end != nil:
			h.err = p.end
		default:
			h.buf = append(h.buf, p.b...)
		}
	}
	h.cond.Broadcast()
}

func (h *half) dead() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed != nil {
		return h.closed
	}
	if h.err != nil && h.err != io.EOF {
		return h.err
	}
	return nil
}

// kill ends this end with an error.
func (c *conn) kill(err error) {
	c.n.mu.Lock()
	delete(c.n.conns, c)
	c.n.mu.Unlock()
	c.in.mu.Lock()
	if c.in.closed == nil {
		c.in.closed = err
	}
	if c.in.alarm != nil {
		c.in.alarm.Stop()
	}
	c.in.cond.Broadcast()
	c.in.mu.Unlock()
}

// Close implements net.Conn: what was written still arrives, then the end of the stream.
func (c *conn) Close() error {
	if c.in.dead() == nil {
		c.mu.Lock()
		c.end = io.EOF
		c.leave()
		c.mu.Unlock()
	}
	c.kill(net.ErrClosed)
	if c.twin != nil {
		_ = c.twin.Close()
	}
	return nil
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	h := c.in
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deadline = t
	if h.alarm != nil {
		h.alarm.Stop()
		h.alarm = nil
	}
	if h.closed == nil && !t.IsZero() {
		h.alarm = time.AfterFunc(time.Until(t), func() {
			h.mu.Lock()
			h.cond.Broadcast()
			h.mu.Unlock()
		})
	}
	h.cond.Broadcast()
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	c.writeDeadline = t
	c.mu.Unlock()
	return nil
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	_ = c.SetWriteDeadline(t)
	return c.SetReadDeadline(t)
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return addr(c.from) }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return addr(c.to) }

type addr string

func (a addr) Network() string { return "sim" }
func (a addr) String() string  { return string(a) }
