package channel

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/gorilla/websocket"

	"github.com/pagewire/pagewire/internal/buffers"
	"github.com/pagewire/pagewire/internal/protocol"
)

// conn is one WebSocket connection: a reader, a writer and what is under way on it.
type conn struct {
	c          *Channel
	ws         *websocket.Conn
	socket     *socket // under ws
	limits     protocol.Limits
	server     string        // name and version of its server, for people
	frameBytes int           // limit of one frame, either direction
	ping       time.Duration // interval of the server's pings
	born       time.Time

	wake chan struct{} // there is something to write
	stop chan struct{} // closed when dead

	// The channel's mutex guards the rest.
	dead     bool
	draining bool
	grace    *time.Timer      // closes it when draining takes too long
	queue    []*call          // to be written, in order but for commits with stages left
	inflight map[uint64]*call // that will be answered; abandoned ones too
	held     uint64           // bytes of the calls in flight
	blocked  []*Actor         // whose next call waits for held to go down
	polite   bool             // the writer says goodbye before it closes the socket
	pongDue  bool
	nonce    uint64 // of the last ping; a peer that pings faster than it reads gets fewer pongs
	writing  bool   // somebody has the pen: see pen.go
	late     bool   // the socket has not taken all that was written

	buf []byte // frames of commits are built here, by who has the pen
}

// send hands a call to the connection. c.mu is held.
func (k *conn) send(cl *call) {
	if cl.sent {
		k.c.metrics.resends++
	}
	cl.conn, cl.onWire, cl.sent = k, false, true
	if cl.commit != nil {
		cl.commit.next, cl.commit.took = 0, 0
	}
	cl.held = cl.size()
	k.held += cl.held
	k.inflight[cl.id] = cl
	k.queue = append(k.queue, cl)
	k.rouse()
}

// recall takes a call back that no byte of was handed to the socket. c.mu is held.
func (k *conn) recall(cl *call) bool {
	if cl.onWire || cl.commit != nil && cl.commit.took > 0 {
		return false
	}
	i := slices.Index(k.queue, cl)
	if i < 0 {
		return false
	}
	k.queue = slices.Delete(k.queue, i, i+1)
	k.settle(cl)
	if cl.commit != nil {
		cl.actor.streaming = false
	}
	return true
}

// settle forgets a call in flight, which makes room for others. c.mu is held.
func (k *conn) settle(cl *call) {
	delete(k.inflight, cl.id)
	k.held -= cl.held
	cl.conn = nil
}

// room tells whether a call may be sent now: a server keeps no more bytes of one connection than one full commit. a is
// pumped again when there is some. c.mu is held.
func (k *conn) room(a *Actor, cl *call) bool {
	if k.held == 0 || k.held+cl.size() <= k.limits.CommitBytes {
		return true
	}
	if !slices.Contains(k.blocked, a) {
		k.blocked = append(k.blocked, a)
	}
	return false
}

// unblock pumps the actors that waited for room. c.mu is held.
func (k *conn) unblock() {
	blocked := k.blocked
	k.blocked = nil
	for _, a := range blocked {
		a.pump()
	}
}

// read is the reader.
func (k *conn) read() {
	defer k.c.running.Done()
	var buf []byte
	for {
		kind, r, err := k.ws.NextReader()
		if err == nil {
			buf, err = readMessage(r, buf)
		}
		if err != nil {
			k.c.lost(k, fmt.Errorf("%w: read: %w", ErrUnreachable, err))
			return
		}
		if kind != websocket.BinaryMessage {
			err = fmt.Errorf("%w: a text frame", errProtocol)
		} else {
			var taken bool
			if taken, err = k.handle(buf); taken {
				buf = nil
			}
		}
		if err != nil {
			k.c.lost(k, fmt.Errorf("%w: %w", ErrUnreachable, err))
			return
		}
		if cap(buf) > keepBytes {
			buffers.Keep(buf)
			buf = nil
		}
	}
}

// handle reacts to a frame. taken says that what it lies in belongs to the result of a call now. An error ends the
// connection.
func (k *conn) handle(b []byte) (taken bool, err error) {
	decoded, err := protocol.DecodeServerFrame(b)
	if err != nil {
		return false, fmt.Errorf("%w: %w", errProtocol, err)
	}
	c := k.c
	switch f := decoded.(type) {
	case *protocol.RawResponse:
		return k.answer(f, b)
	case *protocol.Ping:
		c.mu.Lock()
		k.pongDue, k.nonce = true, f.Nonce
		k.rouse()
		c.mu.Unlock()
	case *protocol.LockLost:
		c.mu.Lock()
		// An actor that has moved on to another connection hears about its lock there.
		if a := c.actors[f.Actor]; a != nil && a.generation == f.Generation && a.conn == k {
			a.lose(protocol.Errorf(protocol.CodeLockLost, "%s", f.Reason))
		}
		c.unlock()
	case *protocol.Drain:
		c.mu.Lock()
		c.drain(k, time.Duration(min(f.GraceMillis, uint64(maxGrace.Milliseconds())))*time.Millisecond)
		c.unlock()
	default:
		return false, fmt.Errorf("%w: an unexpected %T", errProtocol, decoded)
	}
	return false, nil
}

// answer resolves the call that r answers, which lies in b.
func (k *conn) answer(r *protocol.RawResponse, b []byte) (taken bool, err error) {
	c := k.c
	c.mu.Lock()
	cl := k.inflight[r.ID]
	if k.dead {
		c.mu.Unlock()
		return false, nil
	}
	if cl == nil || !cl.onWire {
		c.mu.Unlock()
		return false, fmt.Errorf("%w: an answer to request %d, which was not asked", errProtocol, r.ID)
	}
	c.mu.Unlock()

	// Decoding takes time: not under the lock. Nobody but the caller looks at the result, and only after the
	// call is over.
	if r.Error == nil {
		// An earlier connection may have broken in the middle of an answer: nothing of that may shine through.
		reflect.ValueOf(cl.result).Elem().SetZero()
		err = protocol.DecodeBody(r.Result, cl.result)
		if err == nil && cl.check != nil {
			err = cl.check()
		}
		if err != nil {
			return false, fmt.Errorf("%w: the answer to a %s: %w", errProtocol, opNames[cl.op], err)
		}
		switch res := cl.result.(type) {
		case *protocol.FetchResult:
			if taken = cap(b) > keepBytes; taken {
				res.Release = func() { buffers.Keep(b) }
			} else {
				res.Pages.Data = bytes.Clone(res.Pages.Data)
			}
		case *protocol.OpenResult:
			res.Pages.Data = bytes.Clone(res.Pages.Data)
		}
	}

	c.mu.Lock()
	defer c.unlock()
	if k.dead || k.inflight[r.ID] != cl {
		return taken, nil
	}
	k.settle(cl)
	c.metrics.roundTrips++
	// A nil *protocol.Error must not become an error that is not nil.
	err = nil
	if r.Error != nil {
		err = r.Error
	}
	if a := cl.actor; cl == a.attach {
		a.attached(k, cl, err)
	} else {
		a.answered(k, cl, err)
	}
	k.unblock()
	c.retire()
	return taken, nil
}

// farewell tells the peer that the connection ends, unless the socket is stuck.
func (k *conn) farewell() {
	stuck := time.AfterFunc(200*time.Millisecond, func() { k.ws.NetConn().Close() })
	defer stuck.Stop()
	_ = k.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""),
		time.Now().Add(100*time.Millisecond))
}
