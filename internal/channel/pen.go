package channel

import (
	"errors"
	"fmt"

	"github.com/gorilla/websocket"

	"github.com/pagewire/pagewire/internal/buffers"
	"github.com/pagewire/pagewire/internal/protocol"
)

// Frames are written by whoever has the connection's pen. That is the writer goroutine, or, if nothing else is to be
// written, the caller itself: to wake a goroutine on another processor takes longer than most writes. A caller never
// waits for the socket. What that does not take at once is left to the writer.

// rouse tells the writer that there is something to write, unless who has the pen will see it. c.mu is held.
func (k *conn) rouse() {
	if k.writing {
		return
	}
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// idle says whether there is nothing to write. c.mu is held.
func (k *conn) idle() bool { return !k.pongDue && !k.late && len(k.queue) == 0 }

// moveHere moves the actor, and writes the frame that is sent by that on this goroutine if nothing stands in the way. c.mu
// is held and released.
func (a *Actor) moveHere() {
	k := a.c.conn
	if k == nil || k.writing || !k.idle() || !k.socket.canTry() {
		a.move()
		a.c.unlock()
		return
	}
	k.writing = true
	a.move()
	if !k.dead && !k.idle() {
		k.writeHere()
		a.c.mu.Lock()
	}
	k.writing = false
	if !k.dead && !k.idle() {
		k.rouse()
	}
	a.c.unlock()
}

// writeHere writes one frame without waiting for the socket. c.mu is held and released.
func (k *conn) writeHere() {
	frame := k.frame()
	k.socket.tryOnly(true)
	err := k.writeFrame(frame)
	late := k.socket.tryOnly(false)
	if err != nil && !errors.Is(err, websocket.ErrCloseSent) { // as in write
		k.c.lost(k, fmt.Errorf("%w: write: %w", ErrUnreachable, err))
	}
	k.c.mu.Lock()
	k.late = late
	k.c.mu.Unlock()
}

// writeFrame writes a frame, and gives up the memory that a large one was built in.
func (k *conn) writeFrame(frame []byte) error {
	err := k.ws.WriteMessage(websocket.BinaryMessage, frame)
	if cap(k.buf) > keepBytes {
		buffers.Keep(k.buf)
		k.buf = nil
	}
	return err
}

// write is the writer.
func (k *conn) write() {
	defer k.c.running.Done()
	defer k.ws.Close()
	for k.awaitPen() {
		var err error
		if frame := k.frame(); frame == nil {
			err = k.socket.flush()
		} else {
			err = k.writeFrame(frame)
		}
		if err != nil {
			if errors.Is(err, websocket.ErrCloseSent) { // by the reader, which knows why and is about to say it
				<-k.stop
				return
			}
			k.c.lost(k, fmt.Errorf("%w: write: %w", ErrUnreachable, err))
			return
		}
		k.c.mu.Lock()
		k.writing = false
		k.c.mu.Unlock()
	}
	if k.polite {
		k.farewell()
	}
}

// awaitPen waits for something to write and takes the pen, with c.mu held then. It is false, and c.mu is not held, at the
// end of the connection.
func (k *conn) awaitPen() bool {
	c := k.c
	c.mu.Lock()
	for !k.dead && (k.writing || k.idle()) {
		if !k.writing {
			k.queue = nil
		}
		c.mu.Unlock()
		select {
		case <-k.wake:
		case <-k.stop:
		}
		c.mu.Lock()
	}
	if k.dead {
		c.mu.Unlock()
		return false
	}
	k.writing = true
	return true
}

// frame returns what is to be written next, nil for what the socket has not taken yet. c.mu is held and released.
func (k *conn) frame() []byte {
	c := k.c
	switch {
	case k.late:
		k.late = false
		c.mu.Unlock()
		return nil
	case k.pongDue:
		k.pongDue = false
		nonce := k.nonce
		c.mu.Unlock()
		frame := appendField(protocol.AppendHead(nil, cborMap, 2), 0, uint64(protocol.FramePong))
		return protocol.Seal(appendField(frame, 1, nonce))
	}
	cl := k.queue[0]
	k.queue[0] = nil
	k.queue = k.queue[1:]
	if cl.commit != nil {
		return k.commitFrame(cl)
	}
	cl.onWire, cl.written = true, true
	frame := cl.frame
	c.mu.Unlock()
	return frame
}

// commitFrame builds the next frame of a commit. Between its stages other actors' frames have their turn, so a
// large commit does not hold them up; its own actor's later requests wait for its last frame, which keeps their order.
// c.mu is held and released.
func (k *conn) commitFrame(cl *call) []byte {
	c, m, a := k.c, cl.commit, cl.actor
	m.mu.Lock()
	defer m.mu.Unlock()
	head := *m.m
	from, to := m.next, min(m.next+pagesPerFrame(k.frameBytes, c.cfg.StageBytes, a.id), len(m.m.Pages.Indexes))
	last := to == len(m.m.Pages.Indexes)
	if cl.over {
		// The caller took the pages back between stages. The server holds what it got until a commit consumes it: this
		// one does, and is refused, because it names a stage that never came.
		last, from = true, to
		m.took++
	}
	m.next = to
	indexes, pages := m.m.Pages.Indexes[from:to], m.pages
	if len(pages) > 0 {
		pages = pages[from:to]
	}
	if last {
		cl.onWire, cl.written = true, true
		a.streaming = false
		a.pump()
	} else {
		m.took++
		k.queue = append(k.queue, cl)
	}
	head.Staged = m.took
	c.mu.Unlock()

	n := len(pages)*pageCost + envelopeBytes + len(a.id)
	if cap(k.buf) < n {
		k.buf = buffers.New(n)
	}
	frame := k.buf[:0]
	if last {
		frame = protocol.Seal(appendCommit(frame, cl.id, a.id, &head, indexes, pages))
	} else {
		frame = protocol.Seal(appendStage(frame, cl.id, a.id, indexes, pages))
	}
	k.buf = frame
	return frame
}
