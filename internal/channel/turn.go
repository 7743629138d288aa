package channel

import (
	"context"
	"sync"
)

type turnKey struct{}

// turn is a place among the requests of an actor that is taken before the request is made.
type turn struct {
	before <-chan struct{} // closed when the turns before are over; nil if there was none
	over   chan struct{}
	end    func()
}

// Turn takes the next place among the actor's requests: the one that is made with the context it returns is queued behind
// those of the turns taken before, whichever goroutine comes first. Whoever has taken a turn must call end when the request
// is over, made or not: those behind it wait for that, or for the request to be queued.
func (a *Actor) Turn(ctx context.Context) (_ context.Context, end func()) {
	t := &turn{over: make(chan struct{})}
	t.end = sync.OnceFunc(func() {
		t.wait()
		close(t.over)
	})
	a.c.mu.Lock()
	t.before, a.lastTurn = a.lastTurn, t.over
	a.c.mu.Unlock()
	return context.WithValue(ctx, turnKey{}, t), t.end
}

func (t *turn) wait() {
	if t.before != nil {
		<-t.before
	}
}
