package channel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pagewire/pagewire/internal/protocol"
)

// call is one request from its begin to its resolution, over as many connections as that takes. The channel's mutex
// guards it.
type call struct {
	id     uint64
	actor  *Actor
	op     protocol.Op
	frame  []byte       // the encoded request, but for commits
	commit *commit      // for commits
	result any          // decoded into by the reader; the caller's once done is closed
	check  func() error // what the codec cannot know about result; may be nil

	conn    *conn  // the one that owes the answer, nil if none
	held    uint64 // bytes counted in conn.held
	onWire  bool   // its last frame was handed to conn's socket
	sent    bool   // conn is not its first connection
	written bool   // its last frame was handed to a socket at some time: a write may have been applied
	before  bool   // that was the socket of an earlier connection

	done chan struct{}   // closed when it is over; nil if then is set
	then func(err error) // called instead, by whoever unlocks the channel
	stop func()          // ends the timers that would give it up; set with then
	over bool            // answers that come later are of no interest
	err  error
	from time.Time // when it began; set with then
}

// commit is the part of a call that is encoded while it is sent: its pages travel in frames of about stageBytes.
type commit struct {
	m    *protocol.Commit
	mu   sync.Mutex // guards pages against their owner, who takes them back when the call is over; taken after Channel.mu
	next int        // pages handed to the connection
	took uint64     // stages handed to the connection

	pages [][]byte // nil once the call is over
}

// writes tells whether an operation changes what is stored.
func writes(op protocol.Op) bool {
	switch op {
	case protocol.OpPut, protocol.OpDelete, protocol.OpDeleteRange, protocol.OpCommit:
		return true
	}
	return false
}

// encode makes the frame of a request.
func encode[B any](id uint64, actor string, op protocol.Op, body B) ([]byte, error) {
	return protocol.Encode(protocol.Request[B]{ID: id, Actor: actor, Op: op, Body: body})
}

// wait waits until cl is over or its context or the default time limit ends it, and returns its error. It counts the
// call; begin is when it began. limit applies if ctx has no deadline.
func (c *Channel) wait(ctx context.Context, cl *call, begin time.Time, limit time.Duration) error {
	var expired <-chan time.Time
	if _, ok := ctx.Deadline(); !ok {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		expired = timer.C
	}
	var cause error
	select {
	case <-cl.done:
	case <-ctx.Done():
		cause = ctx.Err()
	case <-expired:
		cause = context.DeadlineExceeded
	}
	c.mu.Lock()
	defer c.unlock()
	err := cl.err
	if cause != nil && !cl.over {
		err = c.abandon(cl, cause)
	}
	c.metrics.end(cl.op, time.Since(begin), err)
	return err
}

// abandon ends a call whose caller waits no longer. What can be taken back is; what was sent leaves a mark at its
// connection until the answer comes or the connection ends. c.mu is held.
func (c *Channel) abandon(cl *call, cause error) error {
	err := c.abandoned(cl, cause)
	a := cl.actor
	switch {
	case cl == a.attach:
		c.finish(cl, err)
		if cl.conn == nil || cl.conn.recall(cl) {
			a.leave()
		} else if a.state == opening {
			c.givenUp[a.id] = a
		}
	case cl.op == protocol.OpClose:
		// It stays: the server should know, or it would keep the actor locked for as long as the connection lasts.
	default:
		recalled := cl.conn != nil && cl.conn.recall(cl)
		if recalled {
			a.inflight--
		}
		c.finish(cl, err)
		a.move()
	}
	return err
}

// abandoned makes the error of an abandoned call. c.mu is held.
func (c *Channel) abandoned(cl *call, cause error) error {
	name := opNames[cl.op]
	switch {
	case writes(cl.op) && cl.written:
		return fmt.Errorf("%w: %s was sent and not answered in time: %w", ErrIndeterminate, name, cause)
	case errors.Is(cause, context.Canceled):
		return fmt.Errorf("channel: %s aborted: %w", name, cause)
	case c.conn == nil && c.lastErr != nil:
		return fmt.Errorf("%w: %s: there is no connection: %w", ErrTimeout, name, c.lastErr)
	}
	return fmt.Errorf("%w: %s was not answered in time", ErrTimeout, name)
}

// finish resolves a call, once. c.mu is held.
func (c *Channel) finish(cl *call, err error) {
	if cl.over {
		return
	}
	cl.over, cl.err = true, err
	a := cl.actor
	if i := slices.Index(a.pending, cl); i >= 0 {
		a.pending = slices.Delete(a.pending, i, i+1)
		if i < a.next {
			a.next--
		}
	}
	if cl.commit != nil {
		cl.commit.mu.Lock()
		cl.commit.pages = nil
		cl.commit.mu.Unlock()
	}
	if cl.then == nil {
		close(cl.done)
		return
	}
	cl.stop()
	c.metrics.end(cl.op, time.Since(cl.from), err)
	c.over = append(c.over, cl)
}

// unlock releases the channel's mutex and then tells those who do not wait in a goroutine what became of their calls: on
// this thread, because waking another one takes longer than most of them take (see docs/decisions.md).
func (c *Channel) unlock() {
	over := c.over
	c.over = nil
	c.mu.Unlock()
	for _, cl := range over {
		cl.then(cl.err)
	}
}

// giveUpAt has the call, which has a then and begins now, abandoned when ctx ends, or when limit is over if ctx has no
// deadline. c.mu is held.
func (c *Channel) giveUpAt(ctx context.Context, cl *call, limit time.Duration) {
	cl.from = time.Now()
	abandon := func(cause error) {
		c.mu.Lock()
		defer c.unlock()
		if !cl.over {
			_ = c.abandon(cl, cause)
		}
	}
	ended := context.AfterFunc(ctx, func() { abandon(ctx.Err()) })
	cl.stop = func() { ended() }
	if _, ok := ctx.Deadline(); !ok {
		timer := time.AfterFunc(limit, func() { abandon(context.DeadlineExceeded) })
		cl.stop = func() { ended(); timer.Stop() }
	}
}

// size is about what a call takes in the server's memory, in bytes.
func (cl *call) size() uint64 {
	const overhead = 256
	if cl.commit == nil {
		return uint64(len(cl.frame)) + overhead
	}
	return uint64(len(cl.commit.m.Pages.Indexes))*protocol.PageSize + overhead
}

// refused makes the error of a call that was answered with err, nil if it has succeeded.
func (cl *call) refused(err error) error {
	switch {
	case err == nil || !writes(cl.op):
		return err
	case serverCode(err) == protocol.CodeInternal:
		// The server does not know either what became of the write: its store may fail after it has applied it.
		return fmt.Errorf("%w: the server failed at %s: %w", ErrIndeterminate, opNames[cl.op], err)
	case cl.before && cl.commit == nil:
		// The earlier connection's server may have applied it. Of a commit the resume has told.
		return fmt.Errorf("%w: %s was sent on a connection that broke, and refused when it was sent again: %w", ErrIndeterminate, opNames[cl.op], err)
	}
	return err
}

// unresolved makes the error of a call that ends because its actor or channel does.
func (cl *call) unresolved(err error) error {
	if writes(cl.op) && cl.written {
		return fmt.Errorf("%w; %w: %s was sent and not answered", err, ErrIndeterminate, opNames[cl.op])
	}
	return err
}
