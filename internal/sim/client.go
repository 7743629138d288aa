package sim

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/pagewire/pagewire/internal/channel"
	"github.com/pagewire/pagewire/internal/pages"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/sqlite"
)

// Client is a process with a channel and databases.
type Client struct {
	w    *World
	Name string

	mu     sync.Mutex
	run    *running // nil while it is down
	lives  uint64
	dials  uint64
	frozen chan struct{}
}

// running is one life of a client.
type running struct {
	c      *Client
	life   uint64
	ctx    context.Context // ends with the life
	cancel context.CancelFunc
	dialed chan struct{} // closed when ch is set, or given up
	ch     *channel.Channel

	mu      sync.Mutex
	handles map[*Handle]struct{}
}

var errCrashed = errors.New("sim: the client has crashed")

func newClient(w *World, i int) *Client { return &Client{w: w, Name: "c" + string(rune('0'+i))} }

// ID implements Node.
func (c *Client) ID() string { return c.Name }

// Start makes the client run, unless it does, and dial until it has a connection.
func (c *Client) Start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.run != nil || c.w.isEnded() {
		return
	}
	c.lives++
	r := &running{c: c, life: c.lives, dialed: make(chan struct{}), handles: make(map[*Handle]struct{})}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	c.run = r
	c.w.Event("start", "%s life %d", c.Name, r.life)
	c.w.wg.Go(r.dial)
}

func (r *running) dial() {
	defer close(r.dialed)
	w := r.c.w
	for r.ctx.Err() == nil {
		ch, err := channel.Dial(r.ctx, channel.Config{
			URL: "ws://sim", Timeout: w.Timeout, ConnectTimeout: 10 * time.Second, BackoffMin: 200 * time.Millisecond,
			BackoffMax: 5 * time.Second, NetDial: r.connect, StageBytes: w.Stage,
			Jitter: func(limit time.Duration) time.Duration {
				return between(w.Rand("jitter"+r.c.Name, uint64(limit)), 1, limit)
			},
		})
		if err == nil {
			r.ch = ch
			w.step("client connected", r.c)
			return
		}
		w.pause("redial"+r.c.Name, r.life, time.Second)
	}
}

// connect is the channel's dialer: any server will do.
func (r *running) connect(ctx context.Context, _, _ string) (net.Conn, error) {
	w := r.c.w
	r.c.mu.Lock()
	r.c.dials++
	n := r.c.dials
	r.c.mu.Unlock()
	s := w.Servers[w.Rand("pick"+r.c.Name, n).IntN(len(w.Servers))]
	conn, err := w.Net.dial(ctx, r.c.Name, s)
	if err == nil && r.ctx.Err() != nil {
		_ = conn.Close()
		return nil, errCrashed
	}
	return conn, err
}

// Crash ends the client at once: nobody hears of it again, but for what is on the network already.
func (c *Client) Crash() {
	c.mu.Lock()
	r := c.run
	c.run = nil
	c.mu.Unlock()
	if r == nil {
		return
	}
	c.w.Event("crash", "%s", c.Name)
	r.cancel()
	c.Thaw()
	c.w.Net.killAll(c.Name, c.w.Rand("die"+c.Name, r.life).IntN(4) == 0)
	c.w.wg.Go(r.bury)
}

// bury ends the goroutines of a life that is over. What they find out no longer counts.
func (r *running) bury() {
	<-r.dialed
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if r.ch != nil {
		_ = r.ch.Close(over)
	}
	r.mu.Lock()
	handles := make([]*Handle, 0, len(r.handles))
	for h := range r.handles {
		handles = append(handles, h)
	}
	r.mu.Unlock()
	for _, h := range handles {
		h.mu.Lock()
		h.buried = true
		h.mu.Unlock()
		h.calls.Wait()
		_ = h.db.Close(over)
	}
}

// Freeze makes the client do nothing until Thaw.
func (c *Client) Freeze() { freeze(c.w, c.Name, &c.mu, &c.frozen) }

// Thaw ends Freeze.
func (c *Client) Thaw() { thaw(c.w, c.Name, &c.mu, &c.frozen) }

func (c *Client) isFrozen() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.frozen != nil
}

// Handle is an open database of a client.
type Handle struct {
	w      *World
	r      *running
	Actor  int
	db     *sqlite.DB
	actor  *channel.Actor
	calls  sync.WaitGroup
	opened int // transactions in the store's log when it was opened

	mu     sync.Mutex
	lost   bool // it was told so
	buried bool // no call begins any more
	calln  uint64
}

// Open opens a database. It waits for a connection first.
func (c *Client) Open(actor int, mode protocol.OpenMode) (*Handle, error) {
	c.mu.Lock()
	r := c.run
	c.mu.Unlock()
	if r == nil {
		return nil, errCrashed
	}
	<-r.dialed
	if r.ch == nil {
		return nil, errCrashed
	}
	w := c.w
	h := &Handle{w: w, r: r, Actor: actor}
	o := protocol.Open{Mode: mode, Preload: &protocol.Preload{
		Pages: w.Preload > 1, Prefixes: []protocol.PreloadPrefix{{Prefix: []byte(kvPrefix), MaxBytes: 20, Partial: true}},
	}}
	if mode == protocol.ModeWait {
		o.WaitMillis = 2000
	}
	var lost error
	before, from := w.Model.logLength(actor), w.Now()
	a, opened, err := r.ch.Open(r.ctx, actorID(actor), o, func(err error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		w.Event("lost", "%s %s", c.Name, actorID(actor))
		if lost = err; h.db != nil {
			h.db.Lost(err)
		}
		h.lost = true
	})
	if err != nil {
		return nil, err
	}
	limits := r.ch.Limits()
	db, err := sqlite.Open(r.ctx, a, opened, sqlite.Options{
		CommitBytes: limits.CommitBytes, CacheBytes: w.Cache,
		Pages: pages.Config{Limits: limits, Pace: func() {
			w.pause("pace"+c.Name, uint64(actor), 50*time.Microsecond)
			w.step("client commits", c)
		}},
	})
	if err != nil {
		_ = a.Close(r.ctx, nil)
		return nil, err
	}
	h.actor, h.opened = a, before
	for i, key := range opened.Entries.Keys {
		w.Model.kvSeen(h, from, string(key), opened.Entries.Values[i])
	}
	h.mu.Lock()
	h.db = db
	if lost != nil {
		db.Lost(lost)
	}
	h.mu.Unlock()
	r.mu.Lock()
	r.handles[h] = struct{}{}
	r.mu.Unlock()
	w.Event("open", "%s %s generation %d seq %d", c.Name, actorID(actor), opened.Generation, opened.Seq)
	w.step("client opened", c)
	return h, nil
}

// Lost says whether the handle was told that its lock is gone.
func (h *Handle) Lost() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lost
}

// Reply is what a call came to.
type Reply struct {
	*sqlite.Result
	Err   error
	Stale bool // it was submitted when the handle had been told that its lock is gone
}

// Submit submits a call; the reply arrives a little after it is done, as in another thread's mailbox. A client that
// crashed gets no replies.
//
// judge, if not nil, is told at the very moment at which the caller's promise would resolve.
func (h *Handle) Submit(call sqlite.Call, judge func(Reply)) (<-chan Reply, *sqlite.Submitted) {
	w := h.w
	h.mu.Lock()
	h.calln++
	n, stale := h.calln, h.lost
	h.mu.Unlock()
	reply := make(chan Reply, 1)
	w.step("client submits", h.r.c)
	if h.r.ctx.Err() != nil || !h.enter() {
		reply <- Reply{Err: errCrashed}
		return reply, nil
	}
	s, err := h.db.Submit(call, func(res *sqlite.Result, err error) {
		defer h.calls.Done()
		dead := h.r.ctx.Err() != nil
		if dead {
			reply <- Reply{Err: errCrashed}
			return
		}
		w.Event("done", "%s %s call %d: %v", h.r.c.Name, actorID(h.Actor), n, err)
		if judge != nil {
			judge(Reply{res, err, stale})
		}
		delay := between(w.Rand("told"+h.r.c.Name, uint64(h.Actor), n), 1, 50*time.Microsecond)
		time.AfterFunc(delay, func() {
			w.awake(h.r.c.Name, uint64(h.Actor)<<32|n, &h.r.c.mu, &h.r.c.frozen)
			w.step("client told", h.r.c)
			if h.r.ctx.Err() != nil {
				err, res = errCrashed, nil
			}
			reply <- Reply{res, err, stale}
		})
	})
	if err != nil {
		h.calls.Done()
		reply <- Reply{Err: err}
	}
	return reply, s
}

// enter counts a call, which the end of its life waits for; false if that is past.
func (h *Handle) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.buried {
		h.calls.Add(1)
	}
	return !h.buried
}

// Close closes the database as a program does.
func (h *Handle) Close() error {
	h.w.step("client closes", h.r.c)
	h.calls.Wait()
	h.r.mu.Lock()
	_, open := h.r.handles[h]
	if h.r.ctx.Err() != nil {
		open = false
	}
	if open {
		delete(h.r.handles, h)
	}
	h.r.mu.Unlock()
	if !open {
		return errCrashed
	}
	err := h.db.Close(h.r.ctx)
	h.w.Event("close", "%s %s", h.r.c.Name, actorID(h.Actor))
	return err
}
