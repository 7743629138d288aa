package server

import (
	"context"
	"sync"
)

// holds knows which session of this server uses which actor. It serves politeness (the open modes fail and wait) and
// tells the evicted; who may write is decided by the generation in the store alone (I1, I8).
type holds struct {
	mu    sync.Mutex
	locks map[string]*lock // by store name; only those in use
}

// lock is the state of one actor. At most one opener has the turn: from being granted it until done, so that generations
// are taken in the order in which holders change.
type lock struct {
	holder *session
	turn   bool      // an opener has the turn
	queue  []*opener // in order of arrival
}

// opener waits for its turn.
type opener struct {
	evict   bool          // it need not wait for the holder to go
	granted chan struct{} // closed when it has the turn
}

// enter waits for the turn to open an actor. If evict is not set, the turn comes only when nobody holds the actor; and
// if wait is not set either, anything to wait for, another opener included, is errLocked. Otherwise the wait ends with ctx, whose cause is returned.
// Who has the turn must call done.
func (h *holds) enter(ctx context.Context, name string, evict, wait bool) error {
	h.mu.Lock()
	l := h.locks[name]
	if l == nil {
		l = &lock{}
		h.locks[name] = l
	}
	if !evict && !wait && (l.turn || l.holder != nil || len(l.queue) > 0) {
		h.mu.Unlock()
		return errLocked
	}
	o := &opener{evict: evict, granted: make(chan struct{})}
	l.queue = append(l.queue, o)
	h.next(name, l)
	h.mu.Unlock()

	select {
	case <-o.granted:
		return nil
	case <-ctx.Done():
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-o.granted: // at the same moment
		l.turn = false
	default:
		for i := range l.queue {
			if l.queue[i] == o {
				l.queue = append(l.queue[:i], l.queue[i+1:]...)
				break
			}
		}
	}
	h.next(name, l)
	return context.Cause(ctx)
}

// holder returns the session that holds an actor, nil if none does.
func (h *holds) holder(name string) *session {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l := h.locks[name]; l != nil {
		return l.holder
	}
	return nil
}

// done ends the turn. If s is not nil it is the holder from now on, and the holder so far is returned.
func (h *holds) done(name string, s *session) (evicted *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.locks[name]
	if s != nil {
		evicted, l.holder = l.holder, s
	}
	l.turn = false
	h.next(name, l)
	return evicted
}

// leave ends s's hold, if it still has it.
func (h *holds) leave(name string, s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l := h.locks[name]; l != nil && l.holder == s {
		l.holder = nil
		h.next(name, l)
	}
}

// next gives the turn to the first opener that may have it, those that evict before those that wait, and forgets a lock
// that nobody uses.
func (h *holds) next(name string, l *lock) {
	if l.turn {
		return
	}
	for _, evict := range []bool{true, false} {
		if !evict && l.holder != nil {
			break
		}
		for i, o := range l.queue {
			if o.evict == evict {
				l.queue = append(l.queue[:i], l.queue[i+1:]...)
				l.turn = true
				close(o.granted)
				return
			}
		}
	}
	if l.holder == nil && len(l.queue) == 0 {
		delete(h.locks, name)
	}
}
