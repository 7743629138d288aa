package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/store"
)

// maxWait bounds how long an open waits for the actor; it is also what 0 means.
const maxWait = time.Minute

var (
	errLocked = protocol.Errorf(protocol.CodeActorLocked,
		"another session holds the actor: wait for it, or take the actor over")
	errOwnLock = protocol.Errorf(protocol.CodeActorLocked,
		"this connection holds the actor itself: close it first, or take it over")
)

// open takes the actor: its hold on this server, and a new generation from the store. A resume keeps its generation.
func (q *queue) open(ctx context.Context, it item) (*protocol.OpenResult, error) {
	var o protocol.Open
	if err := protocol.DecodeBody(it.Body, &o); err != nil {
		return nil, err
	}
	plan, err := q.conn.server.planPreload(o.Preload)
	if err != nil {
		return nil, err
	}
	if err := q.enter(ctx, &o); err != nil {
		return nil, err
	}
	s, head, err := q.fence(ctx, &o)
	if err != nil {
		return nil, err
	}
	answered := false
	defer func() {
		if !answered { // the client does not know that it holds the actor
			s.release()
			q.setSession(nil)
		}
	}()
	res := &protocol.OpenResult{
		Generation: head.Generation, Seq: head.Seq, UsedBytes: head.UsedBytes, Resumed: o.Resume != nil,
	}
	if res.Files, err = q.files(ctx); err != nil {
		return nil, err
	}
	if err := q.preload(ctx, plan, head.Hints, res); err != nil {
		return nil, err
	}
	if err := q.current(ctx, s); err != nil {
		return nil, err
	}
	answered = true
	return res, nil
}

// enter waits for the turn to open the actor, as the open mode says.
func (q *queue) enter(ctx context.Context, o *protocol.Open) error {
	srv := q.conn.server
	evict := o.Resume != nil || o.Mode == protocol.ModeTakeover
	if srv.isDraining() {
		return errDraining
	}
	if !evict && q.session != nil && !q.session.isLost() {
		return errOwnLock // its close would queue behind this request
	}
	wait := maxWait
	if d := time.Duration(o.WaitMillis) * time.Millisecond; o.Mode == protocol.ModeWait && 0 < d && d < maxWait {
		wait = d
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer context.AfterFunc(srv.draining, func() { stop(errDraining) })()
	ctx, cancel := context.WithTimeoutCause(ctx, wait, errLocked)
	defer cancel()

	// One that waits runs nothing: others may.
	q.conn.giveSlot()
	defer func() { q.conn.slots <- struct{}{} }()
	return srv.holds.enter(ctx, q.name, evict, o.Mode == protocol.ModeWait)
}

// fence makes the session while it is this queue's turn, and ends the turn.
func (q *queue) fence(ctx context.Context, o *protocol.Open) (s *session, head store.Head, err error) {
	srv := q.conn.server
	old := srv.holds.holder(q.name)
	moving := o.Resume != nil && old != nil && old.generation == o.Resume.Generation
	if moving {
		// What the old connection has begun is finished, what it has queued will not run: from here on the head
		// says for sure which commits were applied (I4).
		if err := old.stop(ctx); err != nil {
			srv.holds.done(q.name, nil)
			return nil, head, err
		}
	}
	defer func() {
		if s != nil {
			return
		}
		if moving {
			old.end()
		}
		srv.holds.done(q.name, nil)
	}()
	if o.Resume != nil {
		if !moving {
			old = nil
		}
		head, err = q.resume(ctx, o.Resume, old)
	} else {
		head, err = srv.cfg.Store.Fence(context.WithoutCancel(ctx), q.name)
	}
	if err != nil {
		return nil, head, err
	}
	s = newSession(q, head)
	srv.metrics.openActors.Add(1)
	evicted := srv.holds.done(q.name, s)
	switch {
	case evicted == nil:
	case moving:
		evicted.moved()
	default:
		evicted.lose("another session has taken the actor over")
	}
	q.setSession(s)
	return s, head, nil
}

// resume checks that nobody has opened the actor since, and fences what other servers still have queued for the same
// holder: it reads the head now, and would take a commit of old that is applied later for one of its own (I4, I8). If old, a
// session of this server that is stopped, has the store's epoch, then no other server has anything: it is fenced already.
func (q *queue) resume(ctx context.Context, r *protocol.Resume, old *session) (store.Head, error) {
	st := q.conn.server.cfg.Store
	head, err := st.Head(ctx, q.name)
	if err == nil && head.Generation == r.Generation && (old == nil || head.Epoch != old.epoch) {
		head, err = st.Resume(context.WithoutCancel(ctx), q.name, r.Generation)
	}
	switch {
	case errors.Is(err, store.ErrFenced), err == nil && (head.Generation == 0 || head.Generation != r.Generation):
		return head, protocol.Errorf(protocol.CodeLockLost,
			"generation %d is stale: another session has opened the actor; open it again", r.Generation)
	case err != nil:
		return head, err
	case head.Seq < r.Seq:
		return head, protocol.Errorf(protocol.CodeLockLost,
			"the store's last commit is %d, before the acknowledged %d: was a backup restored? Open the actor again", head.Seq, r.Seq)
	}
	return head, nil
}

// files returns the actor's files from their metadata.
func (q *queue) files(ctx context.Context) ([]protocol.File, error) {
	var keys [][]byte
	for tag := protocol.FileMain; tag <= protocol.FileSHM; tag++ {
		keys = append(keys, protocol.MetaKey(tag))
	}
	values, err := q.conn.server.cfg.Store.Get(ctx, q.name, keys)
	if err != nil {
		return nil, err
	}
	var files []protocol.File
	for i, v := range values {
		if v == nil {
			continue
		}
		size, err := protocol.DecodeMeta(v)
		if err != nil {
			// Not to be taken for an empty actor, whose first commit would bury what is there.
			return nil, fmt.Errorf("%w: file tag %d: %w", store.ErrCorrupt, i, err)
		}
		files = append(files, protocol.File{Tag: uint8(i), Size: size})
	}
	return files, nil
}
