package channel

import "time"

// EventKind says what an Event tells.
type EventKind uint8

// Kinds of events.
const (
	// Disconnect tells that the connection was lost and is being made anew. Err says why. With ErrUnauthorized it is not: the
	// server accepts the token no longer, and the channel has given up.
	Disconnect EventKind = iota + 1
	// Reconnect tells that a new connection stands and that open actors are resuming on it. Attempt counts from 1.
	Reconnect
	// LockLost tells that Actor was taken over by another session. Err says why.
	LockLost
	// Drain tells that the server wants its connections to go elsewhere within Grace.
	Drain
)

// String names the kind as JavaScript does.
func (k EventKind) String() string {
	switch k {
	case Disconnect:
		return "disconnect"
	case Reconnect:
		return "reconnect"
	case LockLost:
		return "lockLost"
	case Drain:
		return "drain"
	}
	return "unknown"
}

// Event is something that happened to a channel outside of any call.
type Event struct {
	Kind    EventKind
	Actor   string        // LockLost
	Err     error         // Disconnect, LockLost
	Attempt int           // Reconnect
	Grace   time.Duration // Drain
}

// eventQueue calls functions one after the other, in order, without holding any lock. Its goroutine lives while there is
// something to call. The zero value is ready; the channel's mutex guards it.
type eventQueue struct {
	todo []func()
	idle chan struct{} // closed when the goroutine has ended, nil if there was none
	busy bool
}

// notify queues an event for Config.OnEvent.
func (c *Channel) notify(e Event) {
	if c.cfg.OnEvent != nil {
		c.later(func() { c.cfg.OnEvent(e) })
	}
}

// later queues f to be called soon. c.mu is held.
func (c *Channel) later(f func()) {
	q := &c.events
	q.todo = append(q.todo, f)
	if q.busy {
		return
	}
	q.busy, q.idle = true, make(chan struct{})
	go c.dispatch()
}

func (c *Channel) dispatch() {
	q := &c.events
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(q.todo) > 0 {
		todo := q.todo
		q.todo = nil
		c.mu.Unlock()
		for _, f := range todo {
			f()
		}
		c.mu.Lock()
	}
	q.busy = false
	close(q.idle)
}
