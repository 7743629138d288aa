package server

import (
	"context"
	"sync"

	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/store"
)

// session is one open of one actor on one connection: a generation, and what the server remembers about it.
type session struct {
	queue      *queue
	generation uint64
	epoch      uint64 // of the generation, in the store: one server after the other has its own

	// running is held while a request runs on this session. Who moves the session to another connection takes it
	// for good, so that nothing of the old connection runs after the new one has read the actor's head (I4).
	running chan struct{}

	// fileEnd is a chunk of the main file from which on there is none: this session has made it so with a commit, and wrote
	// nothing but commits since. Only the queue's goroutine uses it.
	fileEnd uint64

	once sync.Once
	lost chan struct{} // closed when the session ended against its client's will
}

// unknownEnd is what session.fileEnd is while it is not known: no file has more chunks.
const unknownEnd = protocol.MaxPages

func newSession(q *queue, head store.Head) *session {
	return &session{
		queue: q, generation: head.Generation, epoch: head.Epoch, fileEnd: unknownEnd, running: make(chan struct{}, 1), lost: make(chan struct{}),
	}
}

// begin takes the right to run a request. It fails when s was moved to another connection, or ctx ended. A session that
// was lost without being moved may still run: it is the store that refuses its writes.
func (s *session) begin(ctx context.Context) error {
	select {
	case s.running <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.lost:
	}
	select {
	case s.running <- struct{}{}:
		return nil
	default:
		return s.errLost()
	}
}

// end returns the right to run.
func (s *session) end() { <-s.running }

// stop takes the right to run for good, unless end returns it, once the request that runs now is done.
func (s *session) stop(ctx context.Context) error {
	select {
	case s.running <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// isLost says whether s ended against its client's will.
func (s *session) isLost() bool {
	select {
	case <-s.lost:
		return true
	default:
		return false
	}
}

// lose ends s because its generation is stale, and tells its client once.
func (s *session) lose(reason string) {
	s.once.Do(func() {
		close(s.lost)
		s.leave()
		c := s.queue.conn
		c.server.metrics.lockLost.Add(1)
		c.push(&protocol.LockLost{Actor: s.queue.actor, Generation: s.generation, Reason: reason})
	})
}

// moved ends s because its client resumed it on another connection: nobody is left here to be told.
func (s *session) moved() {
	s.once.Do(func() {
		close(s.lost)
		s.leave()
	})
}

// release ends s because its client closed it or is gone.
func (s *session) release() { s.once.Do(s.leave) }

func (s *session) leave() {
	srv := s.queue.conn.server
	srv.holds.leave(s.queue.name, s)
	srv.metrics.openActors.Add(-1)
}

func (s *session) errLost() *protocol.Error {
	return protocol.Errorf(protocol.CodeLockLost,
		"generation %d is stale: another session has opened the actor; open it again", s.generation)
}
