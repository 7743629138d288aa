package channel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pagewire/pagewire/internal/protocol"
)

// Actor is an open actor: a lock that this process holds until Close, or until it is lost. It is safe for concurrent
// use; its requests are sent and answered in the order of their calls, or of their turns.
type Actor struct {
	c       *Channel
	id      string
	onLost  func(error)
	opening uint64 // id of its open: rises from actor to actor

	// The channel's mutex guards the rest. See session.go.
	state      state
	generation uint64
	seq        uint64        // last commit known to be applied
	open       protocol.Open // what was asked for first
	reason     error         // why it was lost

	conn      *conn   // the connection it is attached to
	attach    *call   // the open or resume that will attach it
	retries   int     // of a resume that the server failed
	pending   []*call // unresolved calls, in order
	next      int     // of pending, the first one not sent on conn
	inflight  int     // answers that conn owes, those of abandoned calls included
	streaming bool    // a commit with stages is being written

	lastTurn chan struct{} // closed when the last turn is over
}

// Open locks an actor, fences its earlier holders and returns what the server preloads. onLost, if not nil, is called
// once, like an event handler, when another session takes the actor over. If the connection breaks before the answer
// comes, the open is sent again; since the server may still hold the lock of the broken connection then, it waits for
// that lock even in mode fail, at most for the time in which the server notices a dead connection.
//
// In ModeWait, WaitMillis of 0 means the time until ctx's deadline, or Config.Timeout.
func (c *Channel) Open(ctx context.Context, actor string, o protocol.Open, onLost func(error)) (*Actor, *protocol.OpenResult, error) {
	begin, limit := time.Now(), c.cfg.Timeout
	if o.Mode == protocol.ModeWait {
		if o.WaitMillis == 0 {
			wait := limit
			if deadline, ok := ctx.Deadline(); ok {
				wait = time.Until(deadline)
			}
			o.WaitMillis = uint64(max(1, wait.Milliseconds()))
		}
		limit += time.Duration(min(o.WaitMillis, uint64(maxGrace.Milliseconds()))) * time.Millisecond
	}
	res := &protocol.OpenResult{}
	a := &Actor{c: c, id: actor, onLost: onLost, open: o}
	a.opening = c.lastID.Add(1)
	a.attach = &call{id: a.opening, actor: a, op: protocol.OpOpen, result: res, done: make(chan struct{})}
	// The frame is made when it is sent, which cannot report an error: so once beforehand, for the error.
	if _, err := encode(0, actor, protocol.OpOpen, &o); err != nil {
		return nil, nil, fmt.Errorf("channel: open: %w", err)
	}
	cl := a.attach
	c.mu.Lock()
	if c.closing || c.denied != nil {
		err := cmp.Or(c.denied, ErrClosed)
		c.unlock()
		return nil, nil, err
	}
	c.metrics.begin()
	c.members[a] = struct{}{}
	a.moveHere()
	if err := c.wait(ctx, cl, begin, limit); err != nil {
		return nil, nil, err
	}
	return a, res, nil
}

// ID returns the actor's id.
func (a *Actor) ID() string { return a.id }

// Generation returns the generation that the lock was taken with. It never changes.
func (a *Actor) Generation() uint64 { return a.generation }

// Fetch returns pages of a file. What the answer lists neither as present nor as absent was not fetched (I9).
func (a *Actor) Fetch(ctx context.Context, m *protocol.Fetch) (*protocol.FetchResult, error) {
	return do(ctx, a, protocol.OpFetch, m, &protocol.FetchResult{}, nil)
}

// Commit writes pages of the main file in one atomic, durable step and blocks until that is resolved; see BeginCommit.
func (a *Actor) Commit(ctx context.Context, m *protocol.Commit, pages [][]byte) (res *protocol.CommitResult, err error) {
	over := make(chan struct{})
	a.BeginCommit(ctx, m, pages, func(r *protocol.CommitResult, e error) {
		res, err = r, e
		close(over)
	})
	<-over
	return res, err
}

// BeginCommit writes pages of the main file in one atomic, durable step and returns at once; see [protocol.Commit].
// pages[i] are the PageSize bytes of page m.Pages.Indexes[i], m.Pages.Data stays nil. The channel sets Generation and
// Staged. m and pages must not change until done is called. However large it is, a commit takes one round trip.
//
// done is called once, by any goroutine and perhaps before BeginCommit returns, when the commit is resolved or ctx ends.
// The answers to other requests wait for it, so it must not block. The error is ErrIndeterminate if the commit may or may
// not be applied.
func (a *Actor) BeginCommit(ctx context.Context, m *protocol.Commit, pages [][]byte, done func(*protocol.CommitResult, error)) {
	cl, err := a.newCommit(m, pages)
	if err != nil {
		done(nil, err)
		return
	}
	cl.then = func(err error) {
		if err != nil {
			done(nil, err)
			return
		}
		done(cl.result.(*protocol.CommitResult), nil)
	}
	if err := a.queue(ctx, cl); err != nil {
		done(nil, err)
	}
}

// newCommit makes the call of a commit.
func (a *Actor) newCommit(m *protocol.Commit, pages [][]byte) (*call, error) {
	if len(pages) != len(m.Pages.Indexes) || m.Pages.Data != nil || len(m.Pages.Absent) > 0 {
		return nil, protocol.Errorf(protocol.CodeBadRequest, "commit %d: %d pages for %d indexes, %d bytes of data, %d absent; want one page an index and nothing else",
			m.Seq, len(pages), len(m.Pages.Indexes), len(m.Pages.Data), len(m.Pages.Absent))
	}
	for i, page := range pages {
		if len(page) != protocol.PageSize {
			return nil, protocol.Errorf(protocol.CodeBadRequest, "commit %d: page %d has %d bytes, not %d",
				m.Seq, m.Pages.Indexes[i], len(page), protocol.PageSize)
		}
	}
	if m.Count == 0 || m.Seq < m.Count {
		return nil, protocol.Errorf(protocol.CodeBadRequest, "commit %d cannot stand for %d commits", m.Seq, m.Count)
	}
	head := *m
	head.Generation, head.Staged = a.generation, 0
	res := &protocol.CommitResult{}
	return &call{op: protocol.OpCommit, commit: &commit{m: &head, pages: pages}, result: res, check: func() error {
		if res.Seq != head.Seq {
			return fmt.Errorf("commit %d was sent, commit %d is acknowledged", head.Seq, res.Seq)
		}
		return nil
	}}, nil
}

// Reload opens the actor again under its own generation: it returns the state as stored, after every earlier call of
// this actor, with a new preload.
func (a *Actor) Reload(ctx context.Context, p *protocol.Preload) (*protocol.OpenResult, error) {
	a.c.mu.Lock()
	seq := a.seq
	a.c.mu.Unlock()
	m := &protocol.Open{Resume: &protocol.Resume{Generation: a.generation, Seq: seq}, Preload: p}
	return do(ctx, a, protocol.OpOpen, m, &protocol.OpenResult{}, nil)
}

// Get returns one value a key, nil where the key is absent.
func (a *Actor) Get(ctx context.Context, m *protocol.Get) (*protocol.GetResult, error) {
	res := &protocol.GetResult{}
	return do(ctx, a, protocol.OpGet, m, res, func() error {
		if len(res.Values) != len(m.Keys) {
			return fmt.Errorf("%d values for %d keys", len(res.Values), len(m.Keys))
		}
		return nil
	})
}

// Put writes entries atomically. The channel sets Generation.
func (a *Actor) Put(ctx context.Context, m *protocol.Put) error {
	body := *m
	body.Generation = a.generation
	_, err := do(ctx, a, protocol.OpPut, &body, &protocol.Empty{}, nil)
	return err
}

// Delete removes keys atomically. The channel sets Generation.
func (a *Actor) Delete(ctx context.Context, m *protocol.Delete) error {
	body := *m
	body.Generation = a.generation
	_, err := do(ctx, a, protocol.OpDelete, &body, &protocol.Empty{}, nil)
	return err
}

// DeleteRange removes the keys in [Start, End). The channel sets Generation.
func (a *Actor) DeleteRange(ctx context.Context, m *protocol.DeleteRange) error {
	body := *m
	body.Generation = a.generation
	_, err := do(ctx, a, protocol.OpDeleteRange, &body, &protocol.Empty{}, nil)
	return err
}

// List returns entries in key order.
func (a *Actor) List(ctx context.Context, m *protocol.List) (*protocol.ListResult, error) {
	return do(ctx, a, protocol.OpList, m, &protocol.ListResult{}, nil)
}

// Close releases the actor after the calls before it; hints are pages that the next open should preload first. Calls
// after it fail with ErrActorClosed. If ctx ends first, the close still reaches the server when it can. Closing an actor
// that is closed or lost, or whose channel is closed or refused, does nothing.
func (a *Actor) Close(ctx context.Context, hints []uint32) error {
	body := &protocol.Close{Generation: a.generation, Hints: hints}
	_, err := do(ctx, a, protocol.OpClose, body, &protocol.Empty{}, nil)
	for _, ended := range []error{ErrActorClosed, ErrLockLost, ErrClosed, ErrUnauthorized} {
		if errors.Is(err, ended) {
			return nil
		}
	}
	return err
}

// do makes one request and returns its result, decoded into res.
func do[B, R any](ctx context.Context, a *Actor, op protocol.Op, body B, res *R, check func() error) (*R, error) {
	id := a.c.lastID.Add(1)
	frame, err := encode(id, a.id, op, body)
	if err != nil {
		return nil, fmt.Errorf("channel: %s: %w", opNames[op], err)
	}
	if err := a.run(ctx, &call{id: id, op: op, frame: frame, result: res, check: check}); err != nil {
		return nil, err
	}
	return res, nil
}

// run queues a call and waits for its end.
func (a *Actor) run(ctx context.Context, cl *call) error {
	begin := time.Now()
	cl.done = make(chan struct{})
	if err := a.queue(ctx, cl); err != nil {
		return err
	}
	return a.c.wait(ctx, cl, begin, a.c.cfg.Timeout)
}

// queue queues a call, and sends it if nothing stands in the way. An error says that it was not queued.
func (a *Actor) queue(ctx context.Context, cl *call) error {
	c := a.c
	if cl.id == 0 {
		cl.id = c.lastID.Add(1)
	}
	cl.actor = a
	if t, ok := ctx.Value(turnKey{}).(*turn); ok {
		t.wait()
		defer t.end()
	}
	c.mu.Lock()
	err := a.ended()
	if cause := ctx.Err(); cause != nil && cl.op != protocol.OpClose {
		err = c.abandoned(cl, cause)
	}
	if err != nil {
		c.unlock()
		return err
	}
	c.metrics.begin()
	if cl.op == protocol.OpClose {
		a.state = closing
	}
	if cl.then != nil {
		c.giveUpAt(ctx, cl, c.cfg.Timeout)
	}
	a.pending = append(a.pending, cl)
	a.moveHere()
	return nil
}
