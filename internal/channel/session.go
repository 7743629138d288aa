package channel

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pagewire/pagewire/internal/protocol"
)

// state is where an actor stands in its life. The channel's mutex is held by everything in this file.
type state uint8

const (
	opening state = iota // its open has not been answered
	opened
	closing // its close is queued or sent
	closed  // by its owner or with its channel
	lost    // to another session
)

// ended returns why the actor takes no more calls, nil if it does.
func (a *Actor) ended() error {
	switch {
	case a.state == lost:
		return a.reason
	case a.c.denied != nil:
		return a.c.denied
	case a.c.closing:
		return ErrClosed
	case a.state == opened:
		return nil
	}
	return ErrActorClosed
}

// move brings the actor to the channel's connection if nothing stands in the way, and sends what waits.
func (a *Actor) move() {
	c := a.c
	k := c.conn
	switch {
	case a.state == closed || a.state == lost:
		return
	case a.state == opening && c.givenUp[a.id] != nil:
		return // if the open given up succeeds yet, its close must come first
	case k == nil || a.conn == k:
		a.pump()
		return
	case a.attach != nil && a.attach.conn != nil:
		return // under way
	case a.conn != nil && a.inflight > 0:
		return // the connection it leaves owes answers
	case k.draining:
		a.pump() // opens nothing; the next one will come
		return
	}
	a.conn, a.next = nil, 0
	o := a.open
	if a.state == opening {
		if a.attach.sent && o.Mode == protocol.ModeFail {
			// The lock may be the one that this open took on the connection that broke.
			o.Mode, o.WaitMillis = protocol.ModeWait, uint64((5 * k.ping / 2).Milliseconds())
		}
	} else {
		// Nothing is to be preloaded: the caller has its pages.
		o = protocol.Open{
			Resume:  &protocol.Resume{Generation: a.generation, Seq: a.seq},
			Preload: &protocol.Preload{Budget: new(uint64)},
		}
		a.attach = &call{
			id: c.lastID.Add(1), actor: a, op: protocol.OpOpen, result: &protocol.OpenResult{}, done: make(chan struct{}),
		}
	}
	frame, err := encode(a.attach.id, a.id, protocol.OpOpen, &o)
	if err != nil {
		// Open has encoded the same before.
		a.abort(fmt.Errorf("channel: open: %w", err))
		return
	}
	a.attach.frame = frame
	if err := k.fits(a.attach); err != nil {
		a.abort(err)
		return
	}
	k.send(a.attach)
}

// pump sends calls that wait, as many as the server queues.
func (a *Actor) pump() {
	k := a.conn
	if k == nil || k != a.c.conn || a.attach != nil {
		return
	}
	// One less than the server queues: it counts a request for a moment after its answer.
	window := int(min(max(k.limits.ActorQueue, 2), 1<<16)) - 1
	for a.next < len(a.pending) && a.inflight < window && !a.streaming {
		cl := a.pending[a.next]
		if err := k.fits(cl); err != nil {
			a.c.finish(cl, cl.refused(err))
			continue
		}
		if k.draining && cl.op == protocol.OpOpen {
			return // a reload: this server answers none any more, the next one will
		}
		if !k.room(a, cl) {
			return
		}
		a.next++
		a.inflight++
		if cl.commit != nil {
			a.streaming = len(cl.commit.m.Pages.Indexes) > pagesPerFrame(k.frameBytes, a.c.cfg.StageBytes, a.id)
		}
		k.send(cl)
	}
}

// fits refuses a call that the server would close the connection for, over and over again.
func (k *conn) fits(cl *call) error {
	if n := len(cl.frame); n > k.frameBytes {
		return protocol.Errorf(protocol.CodePayloadTooLarge, "a %s of %d bytes is over the server's frame limit of %d; send less at once",
			opNames[cl.op], n, k.frameBytes)
	}
	if cl.commit == nil {
		return nil
	}
	if n, most := uint64(len(cl.commit.m.Pages.Indexes))*protocol.PageSize, k.limits.CommitBytes; most > 0 && n > most {
		return protocol.Errorf(protocol.CodePayloadTooLarge, "a commit of %d bytes of pages is over the server's limit of %d; use smaller transactions",
			n, most)
	}
	return nil
}

// answered reacts to the answer on k to any other call than attach.
func (a *Actor) answered(k *conn, cl *call, err error) {
	c := a.c
	a.inflight--
	gone := serverCode(err) == protocol.CodeLockLost
	if cl.op == protocol.OpOpen && serverCode(err) == protocol.CodeDraining && !cl.over {
		// A reload that came too late: the next connection answers it, behind what is in flight here.
		i := slices.Index(a.pending, cl)
		a.pending = slices.Delete(a.pending, i, i+1)
		a.next--
		a.pending = slices.Insert(a.pending, a.next, cl)
		c.drain(k, defaultPing)
		a.move()
		return
	}
	switch res := cl.result.(type) {
	case *protocol.CommitResult:
		if err == nil {
			a.seq = max(a.seq, res.Seq)
		}
	case *protocol.OpenResult:
		if err == nil && res.Generation != a.generation {
			err = fmt.Errorf("%w: a reload of generation %d answered generation %d", errProtocol, a.generation, res.Generation)
			gone = true
		} else if err == nil {
			a.seq = max(a.seq, res.Seq)
		}
	}
	if cl.op == protocol.OpClose {
		// The lock is gone either way.
		if gone || serverCode(err) == protocol.CodeActorNotOpen {
			err = nil
		}
		c.finish(cl, err)
		a.abort(ErrActorClosed)
		return
	}
	reason := err
	if gone {
		err = fmt.Errorf("%w: %w", ErrLockLost, err)
	}
	c.finish(cl, cl.refused(err))
	if gone {
		// After the call, whose own fate is known.
		a.lose(reason)
	}
	a.move()
}

// lose ends an actor whose lock is gone. Calls in flight keep waiting for their own answers, since a commit may well have
// been applied before; the others fail at once.
func (a *Actor) lose(reason error) {
	c := a.c
	if a.state == lost || a.state == closed {
		return
	}
	a.reason = fmt.Errorf("%w: %w", ErrLockLost, reason)
	wasClosing := a.state == closing
	a.state = lost
	for _, cl := range append([]*call(nil), a.pending...) {
		if cl.conn == nil {
			c.finish(cl, cl.unresolved(a.reason))
		}
	}
	a.leave()
	// An owner who was closing it has no use for it, nor for the news.
	if wasClosing {
		return
	}
	err := a.reason
	c.notify(Event{Kind: LockLost, Actor: a.id, Err: err})
	if a.onLost != nil {
		c.later(func() { a.onLost(err) })
	}
}

// detach undoes what was sent on the broken connection k.
func (a *Actor) detach(k *conn) {
	if cl := a.attach; cl != nil && cl.conn == k {
		cl.conn = nil
		if a.state != opening {
			a.attach = nil
		} else if cl.over {
			a.leave()
		}
	}
	if a.conn != k {
		return
	}
	a.conn, a.next, a.inflight, a.streaming = nil, 0, 0, false
	for _, cl := range a.pending {
		cl.conn, cl.before = nil, cl.written
	}
}

// shut closes the actor because its channel closes: what is in flight gets its answers, the rest fails.
func (a *Actor) shut() {
	if a.conn == nil {
		a.abort(ErrClosed)
		return
	}
	if a.state == closing {
		return
	}
	for _, cl := range append([]*call(nil), a.pending[a.next:]...) {
		a.c.finish(cl, cl.unresolved(ErrClosed))
	}
	a.queueClose()
	if k := a.c.conn; k != a.conn {
		// It was about to move to another connection; the one it leaves still holds it. Closing that releases it.
		a.abort(ErrClosed)
		return
	}
	a.pump()
}

// abort ends the actor and its calls with err.
func (a *Actor) abort(err error) {
	if cl := a.attach; cl != nil {
		a.c.finish(cl, err)
	}
	for _, cl := range append([]*call(nil), a.pending...) {
		a.c.finish(cl, cl.unresolved(err))
	}
	a.leave()
}

// leave takes the actor out of the channel.
func (a *Actor) leave() {
	c := a.c
	if a.state != lost {
		a.state = closed
	}
	delete(c.members, a)
	if c.actors[a.id] == a {
		delete(c.actors, a.id)
	}
	if c.givenUp[a.id] == a {
		delete(c.givenUp, a.id)
		for next := range c.members {
			if next.id == a.id && !c.closing && c.denied == nil {
				next.move()
			}
		}
	}
	c.checkGone()
}

// serverCode returns the code of a server's error, "" if it is none.
func serverCode(err error) protocol.Code {
	var e *protocol.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
