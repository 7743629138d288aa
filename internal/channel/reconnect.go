package channel

import (
	"errors"
	"fmt"
	"time"
)

// firstRetry bounds the wait before the first attempt to reconnect: long enough that the clients of a restarted server
// do not come all at once, too short to be noticed.
const firstRetry = 50 * time.Millisecond

// refusals is how many attempts in a row to reconnect must be refused as unauthorized until the channel gives up. One is
// no proof: a handshake has no checksum, and a server may start before its tokens are in place.
const refusals = 3

// maxGrace bounds the grace period of a drain that is believed.
const maxGrace = time.Hour

// adopt makes k the connection and starts it: every actor comes over as soon as it can. c.mu is held.
func (c *Channel) adopt(k *conn) {
	c.conn = k
	c.conns[k] = struct{}{}
	c.limits, c.server = k.limits, k.server
	c.lastErr = nil
	c.running.Add(2)
	go k.read()
	go k.write()
	for _, a := range c.inOrder() {
		a.move()
	}
	c.retire()
}

// retire closes drained connections that owe nothing and that every actor has left for good: until the resume elsewhere
// is answered, the old connection keeps the actor's lock. c.mu is held.
func (c *Channel) retire() {
	if len(c.conns) < 2 {
		return
	}
	moving := false
	at := make(map[*conn]bool)
	for a := range c.members {
		at[a.conn] = true
		moving = moving || a.attach != nil && a.state != opening
	}
	for k := range c.conns {
		if k != c.conn && !moving && !at[k] && len(k.inflight) == 0 {
			k.polite = true
			c.bury(k)
		}
	}
}

// bury takes a connection out of use. Its goroutines end by themselves. c.mu is held.
func (c *Channel) bury(k *conn) {
	k.dead = true
	close(k.stop)
	if k.grace != nil {
		k.grace.Stop()
	}
	delete(c.conns, k)
	if c.conn == k {
		c.conn = nil
	}
	k.queue, k.blocked = nil, nil
	if !k.polite {
		// Without a word: the writer may be in the middle of a frame.
		k.ws.Close()
	}
}

// lost takes a broken connection out of use: its actors are detached, to resume on the next one. c.mu is not held.
func (c *Channel) lost(k *conn, err error) {
	c.mu.Lock()
	defer c.unlock()
	if k.dead {
		return
	}
	wasCurrent := c.conn == k
	c.bury(k)
	owed := k.inflight
	k.inflight = nil
	for _, a := range c.inOrder() {
		a.detach(k)
	}
	// What is left in flight belongs to actors that are lost or closed already: nobody will ask for them again.
	for _, cl := range owed {
		if cl.conn == k {
			c.finish(cl, cl.unresolved(cl.actor.ended()))
		}
	}
	if c.closing {
		return
	}
	if wasCurrent {
		c.lastErr = err
		c.notify(Event{Kind: Disconnect, Err: err})
		c.reconnect(k)
	}
	for _, a := range c.inOrder() {
		a.move()
	}
}

// drain reacts to a server that wants k to go elsewhere: a new connection is made beside it, and actors move there one
// by one as their answers arrive. Open actors go on using k until the new one stands. c.mu is held.
func (c *Channel) drain(k *conn, grace time.Duration) {
	if k.draining || k.dead {
		return
	}
	k.draining = true
	grace = min(max(grace, 0), maxGrace)
	c.notify(Event{Kind: Drain, Grace: grace})
	// The server closes the connection then; this is for one that does not.
	k.grace = time.AfterFunc(grace+k.ping, func() {
		c.lost(k, fmt.Errorf("%w: the grace period of %v is over", ErrUnreachable, grace))
	})
	if k == c.conn && !c.closing {
		c.reconnect(k)
	}
}

// reconnect starts to make a new connection in place of k. c.mu is held.
func (c *Channel) reconnect(k *conn) {
	if time.Since(k.born) >= c.cfg.BackoffMin {
		c.attempt = 0
	}
	if c.connecting {
		return
	}
	c.connecting = true
	c.running.Add(1)
	go c.connector()
}

func (c *Channel) connector() {
	defer c.running.Done()
	refused := 0
	for tries := 1; ; tries++ {
		c.mu.Lock()
		c.attempt++
		wait := c.backoff(c.attempt)
		c.unlock()
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-c.ctx.Done():
			timer.Stop()
			return
		}
		k, err := c.connect(c.ctx)
		c.mu.Lock()
		if c.closing || c.ctx.Err() != nil {
			c.unlock()
			if k != nil {
				k.ws.Close()
			}
			return
		}
		if err != nil {
			c.lastErr = err
			if refused++; !errors.Is(err, ErrUnauthorized) {
				refused = 0
			}
			// While a draining connection lasts, its actors can finish.
			if refused >= refusals && c.conn == nil {
				c.deny(err)
				c.unlock()
				return
			}
			c.unlock()
			continue
		}
		c.connecting = false
		c.metrics.reconnects++
		c.notify(Event{Kind: Reconnect, Attempt: tries})
		c.adopt(k)
		c.unlock()
		return
	}
}

// deny ends all actors, because the server accepts the token no longer. c.mu is held.
func (c *Channel) deny(err error) {
	c.denied = fmt.Errorf("%w; the channel does not try again: connect anew with a valid token", err)
	c.connecting = false
	c.notify(Event{Kind: Disconnect, Err: c.denied})
	for a := range c.members {
		wasOpen := a.state == opened
		a.abort(c.denied)
		if wasOpen && a.onLost != nil {
			c.later(func() { a.onLost(c.denied) })
		}
	}
}

// backoff returns the wait before the nth attempt, exponential with full jitter.
func (c *Channel) backoff(n int) time.Duration {
	if n <= 1 {
		return c.cfg.Jitter(min(firstRetry, c.cfg.BackoffMin))
	}
	limit := c.cfg.BackoffMax
	if n-2 < 32 {
		// A shift that overflows shows as a smaller number.
		if d := c.cfg.BackoffMin << (n - 2); d>>(n-2) == c.cfg.BackoffMin {
			limit = min(limit, d)
		}
	}
	return c.cfg.Jitter(limit)
}
