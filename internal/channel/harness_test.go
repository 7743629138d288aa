package channel_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/channel"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/server"
	"github.com/pagewire/pagewire/internal/store"
	"github.com/pagewire/pagewire/internal/store/memory"
)

// patience bounds every wait of a test; none takes as long when it passes.
const patience = 3 * time.Minute

// watched is a store that tells of the commits it applies and can be made to hold them up.
type watched struct {
	store.Store
	applied chan uint64 // sequence number of each commit applied
	mu      sync.Mutex
	hold    chan struct{} // applying waits until it is closed; nil when not held
	fenced  chan struct{} // has an element for each open
	entered chan struct{} // has an element for each commit that came to be held
}

func newStore(t *testing.T) *watched {
	w := &watched{Store: memory.New(), applied: make(chan uint64, 10_000), fenced: make(chan struct{}, 10_000), entered: make(chan struct{}, 10_000)}
	t.Cleanup(func() { require.NoError(t, w.Store.Close()) })
	return w
}

func (w *watched) Apply(ctx context.Context, actor string, b *store.Batch) (store.Head, error) {
	w.mu.Lock()
	hold := w.hold
	w.mu.Unlock()
	if hold != nil {
		w.entered <- struct{}{}
		<-hold
	}
	head, err := w.Store.Apply(ctx, actor, b)
	if err == nil && b.Seq > 0 {
		w.applied <- b.Seq
	}
	return head, err
}

func (w *watched) Fence(ctx context.Context, actor string) (store.Head, error) {
	head, err := w.Store.Fence(ctx, actor)
	w.fenced <- struct{}{}
	return head, err
}

// holdCommits makes commits wait until the function returned is called.
func (w *watched) holdCommits() (release func()) {
	hold := make(chan struct{})
	w.mu.Lock()
	w.hold = hold
	w.mu.Unlock()
	return sync.OnceFunc(func() {
		w.mu.Lock()
		w.hold = nil
		w.mu.Unlock()
		close(hold)
	})
}

// startServer runs the real server on loopback and returns its address.
func startServer(t *testing.T, cfg server.Config) (*server.Server, string) {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	s, err := server.New(cfg)
	require.NoError(t, err)
	h := httptest.NewServer(s)
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		h.Close()
	})
	return s, h.Listener.Addr().String()
}

// eventLog keeps the events of a channel.
type eventLog struct{ c chan channel.Event }

func (l *eventLog) next(t *testing.T, kind channel.EventKind) channel.Event {
	t.Helper()
	for {
		select {
		case e := <-l.c:
			if e.Kind == kind {
				return e
			}
		case <-time.After(patience):
			require.FailNow(t, "no event", "%v", kind)
		}
	}
}

// dial connects with short backoffs, and closes the channel with the test.
func dial(t *testing.T, addr string, change ...func(*channel.Config)) (*channel.Channel, *eventLog) {
	t.Helper()
	log := &eventLog{make(chan channel.Event, 10_000)}
	cfg := channel.Config{
		URL: "ws://" + addr, Timeout: patience, BackoffMin: 5 * time.Millisecond, BackoffMax: 100 * time.Millisecond,
		OnEvent: func(e channel.Event) { log.c <- e },
	}
	for _, f := range change {
		f(&cfg)
	}
	c, err := channel.Dial(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { closeSoon(c) })
	return c, log
}

// closeSoon closes a channel without waiting long for its actors.
func closeSoon(c *channel.Channel) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = c.Close(ctx)
}

func open(t *testing.T, c *channel.Channel, id string) *channel.Actor {
	t.Helper()
	a, _, err := c.Open(t.Context(), id, protocol.Open{}, nil)
	require.NoError(t, err)
	return a
}

// commitPages commits n pages filled with fill as commit seq.
func commitPages(ctx context.Context, a *channel.Actor, seq uint64, n int, fill byte) (*protocol.CommitResult, error) {
	m := &protocol.Commit{Seq: seq, Count: 1, Size: uint64(n) * protocol.PageSize}
	pages := make([][]byte, n)
	one := page(fill)
	for i := range pages {
		m.Pages.Indexes = append(m.Pages.Indexes, uint32(i))
		pages[i] = one
	}
	return a.Commit(ctx, m, pages)
}

// requirePages checks that the first and the last of n pages are filled with fill.
func requirePages(t *testing.T, a *channel.Actor, n int, fill byte) {
	t.Helper()
	res, err := a.Fetch(t.Context(), &protocol.Fetch{Pages: []uint32{0, uint32(n - 1), uint32(n)}})
	require.NoError(t, err)
	require.Equal(t, []uint32{uint32(n)}, res.Pages.Absent)
	for i := range res.Pages.Indexes {
		require.Equal(t, fill, res.Pages.Data[i*protocol.PageSize])
	}
}

// requireNoGoroutines checks that nothing of the channel runs any more.
func requireNoGoroutines(t *testing.T) {
	t.Helper()
	running := func() string {
		buf := make([]byte, 1<<20)
		var left []string
		for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(g, "internal/channel.(*") {
				left = append(left, g)
			}
		}
		return strings.Join(left, "\n\n")
	}
	require.Eventually(t, func() bool { return running() == "" }, patience, time.Millisecond, "goroutines are left")
}

// proxy is a TCP proxy that can cut, stall and half-close what goes through it.
type proxy struct {
	ln     net.Listener
	up     atomic.Uint64 // bytes forwarded to the server
	mu     sync.Mutex
	moved  *sync.Cond
	target string
	links  map[*link]struct{}
	cutAt  uint64 // cut when up reaches it, 0 for never
	refuse bool
	done   sync.WaitGroup
}

// link is one connection through the proxy.
type link struct {
	client, server     *net.TCPConn
	stallUp, stallDown bool
	closed             bool
	heldUp             chan struct{} // closed when bytes to the server are being held
	heldOnce           sync.Once
}

func newProxy(t *testing.T, target string) *proxy {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{ln: ln, target: target, links: make(map[*link]struct{})}
	p.moved = sync.NewCond(&p.mu)
	p.done.Add(1)
	go p.accept()
	t.Cleanup(func() {
		ln.Close()
		p.cut()
		p.done.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.ln.Addr().String() }

func (p *proxy) accept() {
	defer p.done.Done()
	for {
		raw, err := p.ln.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		target, refuse := p.target, p.refuse
		p.mu.Unlock()
		server, err := net.Dial("tcp", target)
		if err != nil || refuse {
			raw.Close()
			if err == nil {
				server.Close()
			}
			continue
		}
		l := &link{client: raw.(*net.TCPConn), server: server.(*net.TCPConn), heldUp: make(chan struct{})}
		p.mu.Lock()
		p.links[l] = struct{}{}
		p.mu.Unlock()
		p.done.Add(2)
		go p.forward(l, l.server, l.client, true)
		go p.forward(l, l.client, l.server, false)
	}
}

func (p *proxy) forward(l *link, dst, src *net.TCPConn, up bool) {
	defer p.done.Done()
	buf := make([]byte, 16<<10)
	for {
		n, err := src.Read(buf)
		p.mu.Lock()
		for (up && l.stallUp || !up && l.stallDown) && !l.closed {
			if up && n > 0 {
				l.heldOnce.Do(func() { close(l.heldUp) })
			}
			p.moved.Wait()
		}
		closed := l.closed
		cut := up && p.cutAt > 0 && p.up.Load()+uint64(n) >= p.cutAt
		if cut {
			p.cutAt = 0
		}
		p.mu.Unlock()
		if cut {
			p.cut()
		}
		if closed || cut {
			return
		}
		if up {
			p.up.Add(uint64(n))
		}
		if _, werr := dst.Write(buf[:n]); werr != nil || err != nil {
			if err == io.EOF {
				_ = dst.CloseWrite()
			} else {
				p.close(l)
			}
			return
		}
	}
}

func (p *proxy) close(l *link) {
	p.mu.Lock()
	l.closed = true
	delete(p.links, l)
	p.moved.Broadcast()
	p.mu.Unlock()
	l.client.Close()
	l.server.Close()
}

// each calls f for the links of now.
func (p *proxy) each(f func(*link)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		f(l)
	}
	p.moved.Broadcast()
}

// cut breaks the links of now.
func (p *proxy) cut() {
	var links []*link
	p.each(func(l *link) { links = append(links, l) })
	for _, l := range links {
		p.close(l)
	}
}

// cutAfter breaks the links when n more bytes have come from clients; those are not forwarded any more.
func (p *proxy) cutAfter(n uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutAt = p.up.Load() + n
}

// stall holds up the links of now. It returns a channel that is closed when bytes to the server are being held.
func (p *proxy) stall(up, down bool) (held <-chan struct{}) {
	p.each(func(l *link) { l.stallUp, l.stallDown, held = up, down, l.heldUp })
	return held
}

// aim makes new links go to another server.
func (p *proxy) aim(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// setRefuse makes the proxy close new links at once.
func (p *proxy) setRefuse(refuse bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = refuse
}

func receive[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		require.FailNow(t, "waited in vain", what)
		panic("unreachable")
	}
}
