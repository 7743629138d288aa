// Package crew runs functions on goroutines that are used again. A new goroutine begins with a small stack, which a deep
// function grows by copying it several times; one that has run before keeps the stack it has grown to.
package crew

import (
	"sync"
	"sync/atomic"
)

// Crew is some goroutines that wait for functions to run. Make one with New.
type Crew struct {
	work  chan func()
	ended chan struct{}
	end   sync.Once
	most  int64
	idle  atomic.Int64 // goroutines that wait
}

// New returns a crew of which at most most goroutines wait while they have nothing to do.
func New(most int) *Crew {
	return &Crew{work: make(chan func()), ended: make(chan struct{}), most: int64(most)}
}

// Go runs fn on a goroutine: one that waits, or else a new one. It does not wait. After End it may still be called.
func (c *Crew) Go(fn func()) {
	select {
	case c.work <- fn:
	default:
		go c.run(fn)
	}
}

func (c *Crew) run(fn func()) {
	for {
		fn()
		fn = nil // what it holds is free while this waits
		if c.idle.Add(1) > c.most {
			c.idle.Add(-1)
			return
		}
		select {
		case fn = <-c.work:
			c.idle.Add(-1)
		case <-c.ended:
			return
		}
	}
}

// End lets the goroutines go that wait now or would later; what they run goes on to its end.
func (c *Crew) End() { c.end.Do(func() { close(c.ended) }) }
