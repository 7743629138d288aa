package pebble

import (
	"container/list"
	"context"
	"sync"
)

// gate serialises the writes of one actor and tells its readers when what they see is durable.
//
// Pebble shows a batch to readers before its log record is synced. A writer therefore announces its commit before it
// hands the batch over, and whoever has read the actor's state waits for the last commit announced before letting
// anybody know. Log records are synced in order, so that commit stands for all earlier ones.
//
// It also remembers what the next write of the actor is likely to ask for.
type gate struct {
	mu     sync.Mutex // held from the check of the head until the batch is in Pebble, not while it is synced
	memory memory     // guarded by mu

	// guarded by gates.mu
	actor string
	refs  int           // calls that use the gate
	last  *commit       // last commit announced; nil if none since the gate was made
	idle  *list.Element // in gates.idle, nil while refs is not 0
}

// commit is a write on its way to stable storage. err is set before done is closed.
type commit struct {
	done chan struct{}
	err  error
}

// gates are the gates of the actors that have calls under way, and of those that had some last.
type gates struct {
	failed <-chan struct{} // closed when no commit will be resolved any more

	mu   sync.Mutex
	m    map[string]*gate
	idle list.List // gates that no call uses, the last used in front
}

// maxIdle is how many gates are kept that no call uses, for what they remember: a few KiB each.
const maxIdle = 1000

// acquire returns the actor's gate; release gives it back.
func (g *gates) acquire(actor string) *gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.m[actor]
	if a == nil {
		a = &gate{actor: actor}
		g.m[actor] = a
	}
	if a.idle != nil {
		g.idle.Remove(a.idle)
		a.idle = nil
	}
	a.refs++
	return a
}

func (g *gates) release(a *gate) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if a.refs--; a.refs > 0 {
		return
	}
	a.last = nil
	a.idle = g.idle.PushFront(a)
	if g.idle.Len() > maxIdle {
		oldest := g.idle.Remove(g.idle.Back()).(*gate)
		delete(g.m, oldest.actor)
	}
}

// announce makes a commit that readers wait for. The caller holds a.mu and keeps a until the commit is resolved.
func (g *gates) announce(a *gate) *commit {
	c := &commit{done: make(chan struct{})}
	g.mu.Lock()
	defer g.mu.Unlock()
	a.last = c
	return c
}

func (c *commit) resolve(err error) {
	c.err = err
	close(c.done)
}

// durable returns once everything of the actor that was visible before the call is on stable storage, or the error
// that kept it from getting there, or the store has stopped, which the caller is to look at.
func (g *gates) durable(ctx context.Context, actor string) error {
	g.mu.Lock()
	var last *commit
	if a := g.m[actor]; a != nil {
		last = a.last
	}
	g.mu.Unlock()
	if last == nil {
		return nil
	}
	select {
	case <-last.done:
		return last.err
	case <-g.failed:
		return nil // the store says why
	case <-ctx.Done():
		return ctx.Err()
	}
}
