package server_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/server"
	"github.com/pagewire/pagewire/internal/store"
	"github.com/pagewire/pagewire/internal/store/memory"
	"github.com/pagewire/pagewire/internal/store/pebble"
	"github.com/stretchr/testify/require"
)

// patience bounds every wait of a test for something that must come.
const patience = time.Minute

// eachStore runs a test on every embedded backend.
func eachStore(t *testing.T, f func(t *testing.T, st store.Store)) {
	t.Run("memory", func(t *testing.T) { f(t, memory.New()) })
	t.Run("pebble", func(t *testing.T) {
		st, err := pebble.Open(t.TempDir(), pebble.Options{ReserveBytes: 1, Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, st.Close()) })
		f(t, st)
	})
}

// serve starts a server on a loopback port.
func serve(t testing.TB, cfg server.Config) (*server.Server, string) {
	t.Helper()
	if cfg.Store == nil {
		cfg.Store = memory.New()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	srv, err := server.New(cfg)
	require.NoError(t, err)
	hs := httptest.NewServer(srv)
	t.Cleanup(func() {
		require.NoError(t, srv.Close())
		hs.Close()
	})
	return srv, "ws" + strings.TrimPrefix(hs.URL, "http") + protocol.ChannelPath
}

// client is one connection that keeps what comes.
type client struct {
	t       *testing.T
	ws      *websocket.Conn
	welcome protocol.Welcome

	write sync.Mutex
	mu    sync.Mutex
	ids   uint64
	wait  map[uint64]chan *protocol.RawResponse
	order []uint64 // ids in the order of their answers

	lost  chan *protocol.LockLost
	drain chan *protocol.Drain
	ended chan struct{} // closed when the connection is
	err   error         // of the last read, after ended
}

// dial connects; handshake changes are made by options.
func dial(t *testing.T, url string, options ...func(*websocket.Dialer, http.Header)) *client {
	t.Helper()
	ws := dialRaw(t, url, options...)
	c := &client{
		t: t, ws: ws, wait: make(map[uint64]chan *protocol.RawResponse),
		lost: make(chan *protocol.LockLost, 64), drain: make(chan *protocol.Drain, 1), ended: make(chan struct{}),
	}
	_, b, err := ws.ReadMessage()
	require.NoError(t, err)
	msg, err := protocol.DecodeServerFrame(b)
	require.NoError(t, err)
	require.IsType(t, &protocol.Welcome{}, msg, "the first frame")
	c.welcome = *msg.(*protocol.Welcome)
	go c.read()
	return c
}

func dialRaw(t *testing.T, url string, options ...func(*websocket.Dialer, http.Header)) *websocket.Conn {
	t.Helper()
	d := &websocket.Dialer{Subprotocols: []string{protocol.Subprotocol()}}
	h := http.Header{}
	for _, o := range options {
		o(d, h)
	}
	ws, _, err := d.Dial(url, h)
	require.NoError(t, err)
	t.Cleanup(func() { _ = ws.Close() })
	return ws
}

func (c *client) read() {
	defer close(c.ended)
	for {
		_, b, err := c.ws.ReadMessage()
		if err != nil {
			c.err = err
			return
		}
		msg, err := protocol.DecodeServerFrame(b)
		if err != nil {
			c.err = err
			return
		}
		switch m := msg.(type) {
		case *protocol.RawResponse:
			c.mu.Lock()
			c.order = append(c.order, m.ID)
			ch := c.wait[m.ID]
			c.mu.Unlock()
			if ch != nil {
				ch <- m
			}
		case *protocol.Ping:
			c.frame(&protocol.Pong{Nonce: m.Nonce})
		case *protocol.LockLost:
			c.lost <- m
		case *protocol.Drain:
			c.drain <- m
		}
	}
}

// frame sends a frame. That the connection is gone shows elsewhere.
func (c *client) frame(v any) {
	b, err := protocol.Encode(v)
	if err != nil {
		panic(err)
	}
	c.write.Lock()
	defer c.write.Unlock()
	_ = c.ws.WriteMessage(websocket.BinaryMessage, b)
}

// id reserves the id of a request.
func (c *client) id() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids++
	c.wait[c.ids] = make(chan *protocol.RawResponse, 1)
	return c.ids
}

// start sends a request and returns its id.
func (c *client) start(actor string, op protocol.Op, body any) uint64 {
	id := c.id()
	c.frame(protocol.Request[any]{ID: id, Actor: actor, Op: op, Body: body})
	return id
}

// answer waits for the answer of a request, which is forgotten then.
func (c *client) answer(id uint64) *protocol.RawResponse {
	c.t.Helper()
	c.mu.Lock()
	ch := c.wait[id]
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.wait, id)
		c.mu.Unlock()
	}()
	select {
	case r := <-ch:
		c.mu.Lock()
		delete(c.wait, id) // a test that counts bytes may make very many calls
		c.mu.Unlock()
		return r
	case <-c.ended:
		select {
		case r := <-ch:
			return r
		default:
		}
		require.FailNow(c.t, "the connection ended before the answer", "%v", c.err)
	case <-time.After(patience):
		require.FailNow(c.t, "no answer")
	}
	return nil
}

// result waits for an answer that must be a result.
func result[R any](c *client, id uint64) R {
	c.t.Helper()
	var out R
	r := c.answer(id)
	require.Nil(c.t, r.Error, "the answer")
	require.NoError(c.t, protocol.DecodeBody(r.Result, &out))
	return out
}

// call sends a request and returns its result.
func call[R any](c *client, actor string, op protocol.Op, body any) R {
	c.t.Helper()
	return result[R](c, c.start(actor, op, body))
}

// refused sends a request that must be answered with code.
func (c *client) refused(code protocol.Code, actor string, op protocol.Op, body any) *protocol.Error {
	c.t.Helper()
	return c.refusedID(code, c.start(actor, op, body))
}

func (c *client) refusedID(code protocol.Code, id uint64) *protocol.Error {
	c.t.Helper()
	r := c.answer(id)
	require.NotNil(c.t, r.Error, "the answer should be %s", code)
	require.Equal(c.t, code, r.Error.Code, r.Error.Message)
	require.NotEmpty(c.t, r.Error.Message)
	return r.Error
}

// open opens an actor in a mode and returns its generation.
func (c *client) open(actor string, mode protocol.OpenMode) protocol.OpenResult {
	c.t.Helper()
	return call[protocol.OpenResult](c, actor, protocol.OpOpen, protocol.Open{Mode: mode})
}

// closes waits for the server to close the connection with a status.
func (c *client) closes(status int) {
	c.t.Helper()
	select {
	case <-c.ended:
		require.True(c.t, websocket.IsCloseError(c.err, status), "closed with %v, want %d", c.err, status)
	case <-time.After(patience):
		require.FailNow(c.t, "the connection stays open")
	}
}

// evicted waits for a lock_lost push.
func (c *client) evicted(actor string, generation uint64) {
	c.t.Helper()
	select {
	case l := <-c.lost:
		require.Equal(c.t, actor, l.Actor)
		require.Equal(c.t, generation, l.Generation)
		require.NotEmpty(c.t, l.Reason)
	case <-time.After(patience):
		require.FailNow(c.t, "no lock_lost")
	}
}

// eventually waits for something that has no event of its own.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	require.Eventually(t, f, patience, time.Millisecond, what)
}

// page returns a page filled with b.
func page(b byte) []byte {
	p := make([]byte, protocol.PageSize)
	for i := range p {
		p[i] = b
	}
	return p
}

// pagesOf makes a set of pages, each filled with its fill.
func pagesOf(indexes []uint32, fill ...byte) protocol.Pages {
	p := protocol.Pages{Indexes: indexes}
	for _, b := range fill {
		p.Data = append(p.Data, page(b)...)
	}
	return p
}

// pageAt returns the page with the index, nil if it is not there.
func pageAt(p protocol.Pages, index uint32) []byte {
	for i, x := range p.Indexes {
		if x == index {
			return p.Data[i*protocol.PageSize : (i+1)*protocol.PageSize]
		}
	}
	return nil
}

// keys makes a list of keys.
func keys(k ...string) (out [][]byte) {
	for _, s := range k {
		out = append(out, []byte(s))
	}
	return out
}

// hookedStore lets a test act at the moment of a call to a real store.
type hookedStore struct {
	store.Store
	get   func(actor string)
	apply func(actor string, b *store.Batch) error // an error is returned in place of the call
}

func (h *hookedStore) Get(ctx context.Context, actor string, keys [][]byte) ([][]byte, error) {
	if h.get != nil {
		h.get(actor)
	}
	return h.Store.Get(ctx, actor, keys)
}

func (h *hookedStore) Read(ctx context.Context, actor string, keys [][]byte, fn func(i int, value []byte)) error {
	if h.get != nil {
		h.get(actor)
	}
	return h.Store.Read(ctx, actor, keys, fn)
}

func (h *hookedStore) Apply(ctx context.Context, actor string, b *store.Batch) (store.Head, error) {
	if h.apply != nil {
		if err := h.apply(actor, b); err != nil {
			return store.Head{}, err
		}
	}
	return h.Store.Apply(ctx, actor, b)
}
