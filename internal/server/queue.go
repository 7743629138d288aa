package server

import (
	"context"
	"errors"
	"runtime/debug"

	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/store"
)

// itemOverhead is what a queued frame takes in memory besides its bytes.
const itemOverhead = 256

// queue answers the requests of one actor on one connection, in order. It has a goroutine only while it has requests.
// The connection's mutex guards its fields but for those that never change; session is written by the queue's goroutine
// alone, which therefore may read it without.
type queue struct {
	conn  *conn
	actor string
	name  string // in the store

	items   []item
	active  bool                 // its goroutine runs
	pending uint64               // requests that have not been run
	opens   uint64               // of those: opens
	staged  map[uint64]*stageSet // by the id of the commit to come
	session *session             // nil until opened, or when closed
}

// item is a request with what was staged for it.
type item struct {
	*protocol.RawRequest
	in     incoming // what its body shares memory with
	staged *stageSet
	bytes  uint64 // counted in conn.held
}

// request queues a request, or answers why it cannot.
func (c *conn) request(r *protocol.RawRequest, in incoming) {
	c.server.metrics.requests[opIndex(r.Op)].Add(1)
	if err := c.enqueue(r, in); err != nil {
		in.done()
		c.fail(r.ID, err)
	}
}

func (c *conn) enqueue(r *protocol.RawRequest, in incoming) *protocol.Error {
	var invalid *protocol.Error
	if errors.As(protocol.ValidateActor(r.Actor), &invalid) {
		return invalid
	}
	if opIndex(r.Op) == 0 {
		return protocol.Errorf(protocol.CodeUnsupported, "operation %d is unknown to this server", r.Op)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.queues[r.Actor]
	if q == nil {
		if r.Op != protocol.OpOpen {
			return errNotOpen
		}
		if err := c.makeRoom(); err != nil {
			return err
		}
		q = &queue{conn: c, actor: r.Actor, name: c.namespace + "/" + r.Actor, staged: make(map[uint64]*stageSet)}
	}
	size := uint64(len(in.bytes) + itemOverhead)
	var staged *stageSet
	if r.Op == protocol.OpCommit {
		if staged = q.staged[r.ID]; staged != nil {
			delete(q.staged, r.ID)
			size += staged.held
			c.release(staged.held)
		}
	}
	limits := &c.server.cfg.Limits
	if q.pending >= limits.ActorQueue {
		return protocol.Errorf(protocol.CodeBackpressure, "%d requests of the actor are queued, the limit: wait for answers", q.pending)
	}
	if err := c.hold(size); err != nil {
		return err
	}
	c.queues[r.Actor] = q
	q.pending++
	if r.Op == protocol.OpOpen {
		q.opens++
	}
	q.items = append(q.items, item{r, in, staged, size})
	if !q.active {
		q.active = true
		c.running.Add(1)
		c.server.crew.Go(q.run)
	}
	return nil
}

var (
	errNotOpen   = protocol.Errorf(protocol.CodeActorNotOpen, "the actor is not open on this connection: open it first")
	errHeldBytes = protocol.Errorf(protocol.CodeBackpressure,
		"the connection's queued requests and staged pages fill its share of memory: wait for answers")
	errServerHeldBytes = protocol.Errorf(protocol.CodeBackpressure,
		"the queued requests and staged pages of all connections fill the server's memory: try again later")
)

// maxHeld is how many bytes of requests and stages a connection may keep here: one full commit and its last frame.
func (c *conn) maxHeld() uint64 {
	l := &c.server.cfg.Limits
	stages := l.CommitBytes/protocol.PageSize + 1 // if every page had its own
	return l.CommitBytes + stages*itemOverhead + 2*l.FrameBytes
}

// hold counts size bytes as kept here, or says why they cannot be. c.mu is held.
func (c *conn) hold(size uint64) *protocol.Error {
	if c.held+size > c.maxHeld() {
		return errHeldBytes
	}
	all := c.server.held.Add(size)
	if all > c.server.cfg.HeldBytes && c.held+size > 2*c.server.cfg.Limits.FrameBytes {
		c.server.held.Add(-size)
		return errServerHeldBytes
	}
	c.held += size
	return nil
}

// release takes size bytes back that hold has counted. c.mu is held.
func (c *conn) release(size uint64) {
	c.held -= size
	c.server.held.Add(-size)
}

// makeRoom checks that another actor may be opened, and forgets actors that nobody uses any more if need be. c.mu is held.
func (c *conn) makeRoom() *protocol.Error {
	limit := c.server.cfg.Limits.ConnectionActors
	if uint64(len(c.queues)) < limit {
		return nil
	}
	used := uint64(0)
	for actor, q := range c.queues {
		switch {
		case q.opens > 0 || q.session != nil && !q.session.isLost():
			used++
		case !q.active:
			c.forget(actor, q)
		}
	}
	if used < limit {
		return nil
	}
	return protocol.Errorf(protocol.CodeTooManyActors, "the connection has %d actors open, the limit: close some", limit)
}

// forget removes a queue. c.mu is held.
func (c *conn) forget(actor string, q *queue) {
	for _, set := range q.staged {
		c.release(set.held)
	}
	delete(c.queues, actor)
}

// run answers requests until there are none.
func (q *queue) run() {
	c := q.conn
	defer c.running.Done()
	for {
		c.mu.Lock()
		gone := c.ctx.Err() != nil
		if gone || len(q.items) == 0 {
			for _, it := range q.items {
				c.release(it.bytes)
			}
			q.items, q.active = nil, false
			s := q.session
			if s == nil && c.queues[q.actor] == q {
				c.forget(q.actor, q)
			}
			c.mu.Unlock()
			if gone && s != nil {
				s.release()
			}
			return
		}
		it := q.items[0]
		q.items[0] = item{}
		q.items = q.items[1:]
		c.mu.Unlock()

		q.serve(it)
		it.in.done()
		it.staged.done()
	}
}

// serve runs one request and answers it. One that is not run, since the connection has ended, holds its bytes until teardown.
func (q *queue) serve(it item) {
	c := q.conn
	if !c.takeSlot() {
		return
	}
	defer c.giveSlot()
	switch it.Op {
	case protocol.OpFetch, protocol.OpGet, protocol.OpList:
		select {
		case c.reads <- struct{}{}:
			defer func() { <-c.reads }()
		case <-c.ctx.Done():
			return
		}
	}
	result, err := q.execute(it)
	c.mu.Lock()
	c.release(it.bytes) // before the answer, upon which the next request may come
	q.pending--
	c.mu.Unlock()
	if c.ctx.Err() != nil {
		return
	}
	if errors.Is(err, store.ErrStopped) {
		// Nobody knows whether a write is stored: no answer would be true. Its sender asks again where it resumes (I4).
		c.server.cfg.Logger.Error("the store has stopped", "session", c.id, "actor", q.actor, "error", err)
		c.close(closeInternal, "the server's store has stopped; its log says why")
		return
	}
	if err != nil {
		c.fail(it.ID, q.explain(it.Op, err))
		return
	}
	c.answer(it.ID, result)
}

// takeSlot waits until another request may run. It reports false if the connection ended before.
func (c *conn) takeSlot() bool {
	select {
	case c.slots <- struct{}{}:
		return true
	case <-c.ctx.Done():
		return false
	}
}

func (c *conn) giveSlot() { <-c.slots }

// execute runs one request. A panic becomes an error.
func (q *queue) execute(it item) (result any, err error) {
	defer func() {
		if p := recover(); p != nil {
			q.conn.server.metrics.panics.Add(1)
			q.conn.server.cfg.Logger.Error("panic in a handler", "session", q.conn.id, "actor", q.actor,
				"op", opNames[opIndex(it.Op)], "panic", p, "stack", string(debug.Stack()))
			err = errInternal
		}
	}()
	ctx := q.conn.ctx
	if it.Op == protocol.OpOpen {
		defer q.opened()
		return q.open(ctx, it)
	}
	s := q.session
	if s == nil {
		return nil, errNotOpen
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.end()
	switch it.Op {
	case protocol.OpClose:
		return q.close(ctx, s, it)
	case protocol.OpGet:
		return q.get(ctx, s, it)
	case protocol.OpPut:
		return q.put(ctx, s, it)
	case protocol.OpDelete:
		return q.delete(ctx, s, it)
	case protocol.OpDeleteRange:
		return q.deleteRange(ctx, s, it)
	case protocol.OpList:
		return q.list(ctx, s, it)
	case protocol.OpFetch:
		return q.fetch(ctx, s, it)
	default:
		return q.commit(ctx, s, it)
	}
}

// opened says that an open is done, before its client hears of it.
func (q *queue) opened() {
	q.conn.mu.Lock()
	q.opens--
	q.conn.mu.Unlock()
}

// setSession replaces the queue's session.
func (q *queue) setSession(s *session) {
	q.conn.mu.Lock()
	q.session = s
	q.conn.mu.Unlock()
}

var errInternal = protocol.Errorf(protocol.CodeInternal, "the server failed; its log says why")

// internal logs what a client must not be told and returns what it is told.
func (c *conn) internal(what string, err error, args ...any) *protocol.Error {
	c.server.cfg.Logger.Error(what, append([]any{"session", c.id, "error", err}, args...)...)
	return errInternal
}

// explain makes an error that travels of any other.
func (q *queue) explain(op protocol.Op, err error) *protocol.Error {
	var e *protocol.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, store.ErrOutOfOrder):
		return protocol.Errorf(protocol.CodeOutOfOrder, "the actor's last commit is not the one before this: reload and try again")
	case errors.Is(err, store.ErrQuota):
		return protocol.Errorf(protocol.CodeStorageQuotaExceeded, "the actor may hold %d bytes: delete something first",
			q.conn.server.cfg.Limits.ActorBytes)
	case errors.Is(err, store.ErrFull):
		return protocol.Errorf(protocol.CodeStorageFull, "the server has no space left")
	}
	args := []any{"actor", q.actor, "op", opNames[opIndex(op)]}
	if errors.Is(err, store.ErrCorrupt) {
		q.conn.internal("the store found corrupt bytes", err, args...)
		return protocol.Errorf(protocol.CodeInternal, "the actor's stored bytes fail their checks; the server's log says more")
	}
	return q.conn.internal("the store failed", err, args...)
}

// apply writes b with s's generation. A stale one ends the session.
func (q *queue) apply(ctx context.Context, s *session, b *store.Batch) (store.Head, error) {
	b.Generation, b.Epoch = s.generation, s.epoch
	// A write that has begun is finished even if its connection breaks: whoever resumes finds it done or not done.
	head, err := q.conn.server.cfg.Store.Apply(context.WithoutCancel(ctx), q.name, b)
	if errors.Is(err, store.ErrFenced) {
		s.lose("another session has opened the actor")
		return head, s.errLost()
	}
	return head, err
}

// current checks, after a read, that s's generation and epoch are still the actor's: then everything read was of this session. It
// is what keeps a session from mixing its cached pages with those of its successor.
func (q *queue) current(ctx context.Context, s *session) error {
	head, err := q.conn.server.cfg.Store.Head(ctx, q.name)
	if err != nil {
		return err
	}
	if head.Generation != s.generation || head.Epoch != s.epoch {
		s.lose("another session has opened the actor")
		return s.errLost()
	}
	return nil
}

// claims checks the generation that a request bears against the session's. That one is checked by the store.
func (s *session) claims(generation uint64) error {
	if generation != s.generation {
		return protocol.Errorf(protocol.CodeLockLost, "generation %d is not this connection's, %d: open the actor again",
			generation, s.generation)
	}
	return nil
}
