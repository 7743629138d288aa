// Package channel is the client of the KV channel: one WebSocket connection that all actors of a [Channel] share, and
// that is made anew when it breaks without its callers noticing more than a delay.
//
// The idea in one paragraph. Every request is a call that stays in its actor's list, in order, until it is resolved.
// An actor is attached to one connection at a time; attaching it (an open, later a resume) comes first, then its calls are
// sent, at most as many at once as the server queues. When a connection breaks, its actors are detached and their
// calls stand as if they had never been sent; on the next connection all actors resume at once, with their generation and
// last acknowledged commit, and what the resume does not settle is sent again. That is how a commit is applied
// exactly once (I4). When a server drains, actors move one by one, each as soon as nothing of it is in flight.
//
// A channel has one reader and one writer goroutine a connection, one more while it reconnects, and one while an event
// handler runs. There is no goroutine an actor, no global state, and nothing is read from the environment.
package channel

import (
	"cmp"
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pagewire/pagewire/internal/protocol"
)

// Config is what Dial needs. URL is required.
type Config struct {
	URL       string // ws, wss, http or https; a path is kept as prefix of protocol.ChannelPath
	Token     string // bearer token, "" for none; sent in the Authorization header only
	Namespace string // "" for the server's default

	ConnectTimeout time.Duration // of one attempt to connect, welcome included; default 10 s
	Timeout        time.Duration // of a request whose context has no deadline; default 30 s
	// Attempts to reconnect wait a random time: the first one up to 50 ms (up to BackoffMin if that is shorter), the
	// nth one up to BackoffMin * 2^(n-2), never more than BackoffMax. They are counted until a connection has lasted for
	// BackoffMin. Defaults 1 s and 30 s.
	BackoffMin, BackoffMax time.Duration

	// OnEvent, if set, is called for each event, in order, one at a time. It must not call Close of the channel and wait.
	OnEvent func(Event)
	// TLS, if set, replaces the default settings for wss, such as the system's roots.
	TLS *tls.Config

	// What follows is for programs that bring their own network and time, such as internal/sim. NetDial connects instead
	// of a net.Dialer; Jitter returns a random duration from 0 to its limit, which a backoff waits; StageBytes is how many
	// bytes of pages one frame of a commit carries at most (default and limit 1 MiB).
	NetDial    func(ctx context.Context, network, addr string) (net.Conn, error)
	Jitter     func(limit time.Duration) time.Duration
	StageBytes int
}

// Channel is a connection to a server that outlives the sockets it is made of. It is safe for concurrent use.
type Channel struct {
	cfg    Config
	url    string
	ctx    context.Context // ends with the channel
	cancel context.CancelFunc

	sent, received atomic.Uint64 // bytes on the wire
	lastID         atomic.Uint64 // of a request: unique in the channel's life
	running        sync.WaitGroup

	mu       sync.Mutex
	conn     *conn              // the one that new actors attach to; nil while there is none
	conns    map[*conn]struct{} // the live ones: conn, and those that drained actors still leave
	limits   protocol.Limits    // of the last connection
	server   string             // likewise
	members  map[*Actor]struct{}
	actors   map[string]*Actor // the open ones of members, by id
	givenUp  map[string]*Actor // members that nobody waits for, but whose open the server still has to answer, by id
	over     []*call           // resolved ones to be told of by whoever unlocks
	metrics  counters
	events   eventQueue
	closing  bool
	gone     chan struct{} // closed when closing and no members are left
	finished chan struct{} // closed when Close is through

	connecting bool
	attempt    int   // attempts to reconnect since a connection lasted
	lastErr    error // why there is no connection
	denied     error // the server refuses the token: there will be no connection any more
}

// Dial connects to a server and returns when it has announced its version and limits. It makes one attempt.
func Dial(ctx context.Context, cfg Config) (*Channel, error) {
	for _, d := range []struct {
		have *time.Duration
		def  time.Duration
	}{
		{&cfg.ConnectTimeout, 10 * time.Second}, {&cfg.Timeout, 30 * time.Second},
		{&cfg.BackoffMin, time.Second}, {&cfg.BackoffMax, 30 * time.Second},
	} {
		if *d.have <= 0 {
			*d.have = d.def
		}
	}
	cfg.BackoffMax = max(cfg.BackoffMin, cfg.BackoffMax)
	if cfg.NetDial == nil {
		cfg.NetDial = new(net.Dialer).DialContext
	}
	if cfg.Jitter == nil {
		cfg.Jitter = func(limit time.Duration) time.Duration { return rand.N(limit + 1) }
	}
	if cfg.StageBytes <= 0 || cfg.StageBytes > stageBytes {
		cfg.StageBytes = stageBytes
	}
	url, err := target(&cfg)
	if err != nil {
		return nil, err
	}
	c := &Channel{
		cfg: cfg, url: url,
		conns: make(map[*conn]struct{}), members: make(map[*Actor]struct{}), actors: make(map[string]*Actor), givenUp: make(map[string]*Actor),
		gone: make(chan struct{}), finished: make(chan struct{}),
	}
	k, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.mu.Lock()
	c.adopt(k)
	c.unlock()
	return c, nil
}

// Server returns the name and version that the server announced last, for people.
func (c *Channel) Server() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.server
}

// Limits returns the limits that the server announced last.
func (c *Channel) Limits() protocol.Limits {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.limits
}

// Close closes the open actors, then the connection. Calls that are in flight get their answers, others fail with
// ErrClosed at once; so do those in flight if the answers do not come before ctx ends, or within Config.Timeout. Close
// waits until no goroutine of the channel is left, and for running event handlers unless ctx ends. It returns ctx's
// error, or ErrTimeout, if not every actor was confirmed closed. Further calls wait for the first one.
func (c *Channel) Close(ctx context.Context) error {
	c.mu.Lock()
	if c.closing {
		c.unlock()
		select {
		case <-c.finished:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	c.closing = true
	for _, a := range c.inOrder() {
		a.shut()
	}
	c.checkGone()
	c.unlock()

	var err error
	timer := time.NewTimer(c.cfg.Timeout)
	defer timer.Stop()
	select {
	case <-c.gone:
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = ErrTimeout
	}

	c.cancel()
	c.mu.Lock()
	live := make([]*conn, 0, len(c.conns))
	for k := range c.conns {
		live = append(live, k)
	}
	c.unlock()
	for _, k := range live {
		if err == nil {
			k.farewell()
		}
		c.lost(k, ErrClosed)
	}
	c.mu.Lock()
	for _, a := range c.inOrder() {
		a.abort(ErrClosed)
	}
	c.unlock()
	c.running.Wait()
	c.mu.Lock()
	idle := c.events.idle
	c.unlock()
	if idle != nil {
		select {
		case <-idle:
		case <-ctx.Done():
		}
	}
	close(c.finished)
	return err
}

// checkGone wakes Close when the last actor has left. c.mu is held.
func (c *Channel) checkGone() {
	if !c.closing || len(c.members) > 0 {
		return
	}
	select {
	case <-c.gone:
	default:
		close(c.gone)
	}
}

// inOrder returns the members in the order of their opens, so that what is done to all of them is the same each time.
// c.mu is held.
func (c *Channel) inOrder() []*Actor {
	members := make([]*Actor, 0, len(c.members))
	for a := range c.members {
		members = append(members, a)
	}
	slices.SortFunc(members, func(a, b *Actor) int { return cmp.Compare(a.opening, b.opening) })
	return members
}
