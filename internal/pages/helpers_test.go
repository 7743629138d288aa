package pages_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/channel"
	"github.com/pagewire/pagewire/internal/pages"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/server"
	"github.com/pagewire/pagewire/internal/store/memory"
)

const pageSize = protocol.PageSize

// patience bounds every wait of a test; none takes as long when it passes.
const patience = time.Minute

// serve runs a server on a memory store and returns its URL.
func serve(t testing.TB, limits protocol.Limits) string {
	t.Helper()
	db := memory.New()
	srv, err := server.New(server.Config{
		Store: db, Limits: limits, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	require.NoError(t, err)
	web := httptest.NewServer(srv)
	t.Cleanup(func() {
		srv.Close()
		web.Close()
		db.Close()
	})
	return web.URL
}

func dial(t testing.TB, url string) *channel.Channel {
	t.Helper()
	c, err := channel.Dial(context.Background(), channel.Config{URL: url})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		c.Close(ctx)
	})
	return c
}

// noPreload asks for nothing with an open.
func noPreload() *protocol.Preload { return &protocol.Preload{Budget: new(uint64)} }

// gate is an actor whose requests can be held up and looked at.
type gate struct {
	*channel.Actor
	onFetch  func(*protocol.Fetch)                                      // before a fetch is sent
	fetched  func(*protocol.Fetch, *protocol.FetchResult)               // after it was answered
	onCommit func(ctx context.Context, c *protocol.Commit, n int) error // before a commit of n pages is sent
}

func (g *gate) Fetch(ctx context.Context, f *protocol.Fetch) (*protocol.FetchResult, error) {
	if g.onFetch != nil {
		g.onFetch(f)
	}
	res, err := g.Actor.Fetch(ctx, f)
	if g.fetched != nil && err == nil {
		g.fetched(f, res)
	}
	return res, err
}

func (g *gate) BeginCommit(ctx context.Context, c *protocol.Commit, p [][]byte, done func(*protocol.CommitResult, error)) {
	if g.onCommit == nil {
		g.Actor.BeginCommit(ctx, c, p, done)
		return
	}
	go func() {
		if err := g.onCommit(ctx, c, len(p)); err != nil {
			done(nil, err)
			return
		}
		// The sinks of these tests fetch when they are told.
		g.Actor.BeginCommit(ctx, c, p, func(res *protocol.CommitResult, err error) { go done(res, err) })
	}()
}

// database is a sink that reads as SQLite's VFS does: first the pages of batches that are not durable, then the staged
// ones, then by a fetch.
type database struct {
	t         testing.TB
	f         *pages.File
	actor     *gate
	committed func(token uint64) // after every acknowledgement
	more      bool               // each batch says that others follow

	mu      sync.Mutex
	size    uint64
	pending []pages.Batch
	staged  map[uint32][]byte
	extra   map[uint32]bool // staged without having been asked for, not read yet
	aux     map[uint32][]byte
	token   uint64
	done    uint64
	failure error
	failed  []uint64 // tokens that Failed was called with
	events  chan struct{}
}

func open(t testing.TB, c *channel.Channel, actor string, o protocol.Open, cfg pages.Config, g *gate) *database {
	t.Helper()
	a, opened, err := c.Open(context.Background(), actor, o, nil)
	require.NoError(t, err)
	if g == nil {
		g = &gate{}
	}
	g.Actor = a
	if cfg.Limits == (protocol.Limits{}) {
		cfg.Limits = c.Limits()
	}
	db := &database{t: t, actor: g, events: make(chan struct{}, 1<<16)}
	db.clear()
	db.f = pages.New(g, db, opened, cfg)
	db.size = db.f.Size()
	return db
}

func (db *database) clear() {
	db.staged, db.extra, db.aux = map[uint32][]byte{}, map[uint32]bool{}, map[uint32][]byte{}
	db.pending, db.failure = nil, nil
}

func (db *database) Stage(file uint8, index uint32, page []byte, asked bool) {
	db.mu.Lock()
	defer db.mu.Unlock()
	whole := make([]byte, pageSize)
	if n := copy(whole, page); page != nil && n != pageSize {
		db.t.Errorf("page %d has %d bytes", index, n)
	}
	if file != protocol.FileMain {
		db.aux[index] = whole
		return
	}
	if uint64(index)*pageSize >= db.size && !asked && db.f != nil {
		db.t.Errorf("page %d was staged past the end", index)
	}
	db.staged[index] = whole
	if !asked {
		db.extra[index] = true
	}
}

func (db *database) Committed(token uint64) {
	if db.committed != nil {
		db.committed(token)
	}
	db.mu.Lock()
	for len(db.pending) > 0 && db.pending[0].Token <= token {
		for _, p := range db.pending[0].Pages {
			clear(p) // the memory is the sink's own again
		}
		db.pending = db.pending[1:]
	}
	db.done = token
	db.mu.Unlock()
	db.events <- struct{}{}
}

func (db *database) Failed(token uint64, err error) {
	db.mu.Lock()
	db.failed = append(db.failed, token)
	db.failure = err
	db.mu.Unlock()
	db.events <- struct{}{}
}

// await waits for events until cond holds.
func (db *database) await(cond func() bool) {
	db.t.Helper()
	deadline := time.After(patience)
	for {
		db.mu.Lock()
		ok := cond()
		db.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-db.events:
		case <-deadline:
			require.FailNow(db.t, "the event did not come")
		}
	}
}

// commit hands over a batch of copies of pages.
func (db *database) commit(size uint64, write map[uint32][]byte, drop ...uint8) uint64 {
	db.mu.Lock()
	db.token++
	b := pages.Batch{Token: db.token, Size: size, DropFiles: drop, More: db.more}
	for index, page := range write {
		b.Indexes = append(b.Indexes, index)
		b.Pages = append(b.Pages, bytes.Clone(page))
		delete(db.staged, index)
	}
	for index := range db.staged {
		if uint64(index)*pageSize >= size {
			delete(db.staged, index)
		}
	}
	db.size = size
	db.pending = append(db.pending, b)
	db.mu.Unlock()
	db.f.Commit(b)
	return b.Token
}

// cached returns a page that needs no fetch.
func (db *database) cached(index uint32) ([]byte, bool) {
	db.mu.Lock()
	defer db.mu.Unlock()
	for _, b := range slices.Backward(db.pending) {
		if uint64(index)*pageSize >= b.Size {
			return make([]byte, pageSize), true
		}
		if i := slices.Index(b.Indexes, index); i >= 0 {
			return bytes.Clone(b.Pages[i]), true
		}
	}
	page, ok := db.staged[index]
	delete(db.extra, index)
	return page, ok
}

// read returns a page of the main file.
func (db *database) read(index uint32) []byte {
	db.t.Helper()
	for {
		if page, ok := db.cached(index); ok {
			return page
		}
		require.NoError(db.t, db.f.Fetch(context.Background(), protocol.FileMain, index))
	}
}

// forget drops a staged page.
func (db *database) forget(index uint32) {
	db.mu.Lock()
	defer db.mu.Unlock()
	delete(db.staged, index)
}

func (db *database) reload() error {
	db.mu.Lock()
	db.clear()
	db.size = 1 << 40 // what is staged in between is for the File to bound
	db.mu.Unlock()
	if err := db.f.Reload(context.Background()); err != nil {
		return err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	db.size = db.f.Size()
	return nil
}

func (db *database) close() { require.NoError(db.t, db.f.Close(context.Background(), nil)) }

// filled returns a page full of one value.
func filled(v byte) []byte { return bytes.Repeat([]byte{v}, pageSize) }
