package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/server"
	"github.com/pagewire/pagewire/internal/store"
	"github.com/pagewire/pagewire/internal/store/memory"
	"github.com/stretchr/testify/require"
)

func withToken(token string) func(*websocket.Dialer, http.Header) {
	return func(_ *websocket.Dialer, h http.Header) { h.Set("Authorization", "Bearer "+token) }
}

func withSubprotocols(p ...string) func(*websocket.Dialer, http.Header) {
	return func(d *websocket.Dialer, _ http.Header) { d.Subprotocols = p }
}

func withHeader(k, v string) func(*websocket.Dialer, http.Header) {
	return func(_ *websocket.Dialer, h http.Header) { h.Set(k, v) }
}

func TestAdmission(t *testing.T) {
	const token = "s3cret-0123"
	var logged lockedBuffer
	_, locked := serve(t, server.Config{Tokens: []string{"other", token}, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	_, open := serve(t, server.Config{})
	v1 := protocol.Subprotocol()
	type option = func(*websocket.Dialer, http.Header)
	for _, x := range []struct {
		name    string
		url     string
		options []option
		status  int
		code    protocol.Code
		message string
	}{
		{"bearer", locked, []option{withToken(token)}, 101, "", ""},
		{"subprotocol", locked, []option{withSubprotocols(v1, protocol.TokenSubprotocol(token))}, 101, "", ""},
		{"open server", open, nil, 101, "", ""},
		{"open server, page of its own", open, []option{withHeader("Origin", "http"+strings.TrimPrefix(strings.TrimSuffix(open, protocol.ChannelPath), "ws"))}, 101, "", ""},
		{"token server, page from elsewhere", locked, []option{withToken(token), withHeader("Origin", "https://elsewhere.example")}, 101, "", ""},
		{"open server, page from elsewhere", open, []option{withHeader("Origin", "https://elsewhere.example")}, 403, protocol.CodeUnauthorized, "origin"},
		{"no token", locked, nil, 401, protocol.CodeUnauthorized, "no token"},
		{"wrong token", locked, []option{withToken(token + "x")}, 401, protocol.CodeUnauthorized, "not one of"},
		{"wrong subprotocol token", locked, []option{withSubprotocols(v1, protocol.TokenSubprotocol("x"))}, 401, protocol.CodeUnauthorized, "not one of"},
		{"malformed subprotocol token", locked, []option{withSubprotocols(v1, protocol.TokenSubprotocolPrefix+"!")}, 401, protocol.CodeUnauthorized, "base64url"},
		{"basic", locked, []option{withHeader("Authorization", "Basic dTpw")}, 401, protocol.CodeUnauthorized, "Bearer"},
		{"token in the query", locked + "?token=" + token, []option{withToken(token)}, 400, protocol.CodeBadRequest, "URL carries a credential"},
		{"access token in the query", open + "?Access_Token=x", nil, 400, protocol.CodeBadRequest, "URL carries a credential"},
		{"token under another name", locked + "?k=" + token, nil, 400, protocol.CodeBadRequest, "URL carries a credential"},
		{"other version", locked, []option{withToken(token), withSubprotocols("pagewire.v99")}, 400, protocol.CodeVersionMismatch, v1},
		{"no version", open, []option{withSubprotocols()}, 400, protocol.CodeVersionMismatch, v1},
		{"namespace", open + "?namespace=a%2Fb", nil, 400, protocol.CodeBadRequest, "namespace"},
		{"empty namespace", open + "?namespace=", nil, 400, protocol.CodeBadRequest, "namespace"},
	} {
		t.Run(x.name, func(t *testing.T) {
			d := &websocket.Dialer{Subprotocols: []string{v1}}
			h := http.Header{}
			for _, o := range x.options {
				o(d, h)
			}
			ws, resp, err := d.Dial(x.url, h)
			require.NotNil(t, resp, err)
			require.Equal(t, x.status, resp.StatusCode)
			if x.status == http.StatusSwitchingProtocols {
				require.NoError(t, err)
				require.Equal(t, v1, ws.Subprotocol())
				require.NotContains(t, resp.Header.Get("Sec-WebSocket-Protocol"), protocol.TokenSubprotocolPrefix)
				require.NoError(t, ws.Close())
				return
			}
			requireBody(t, resp, x.code, x.message)
		})
	}
	require.NotContains(t, logged.String(), token, "no token reaches a log")
	require.Contains(t, logged.String(), "connection refused")

	for path, x := range map[string]struct {
		status  int
		content string
	}{
		"/healthz":           {200, `"ok"`},
		"/readyz":            {200, `"ready"`},
		"/elsewhere":         {404, `"bad_request"`},
		protocol.ChannelPath: {426, `"bad_request"`},
	} {
		resp, err := http.Get("http" + strings.TrimPrefix(strings.TrimSuffix(open, protocol.ChannelPath), "ws") + path)
		require.NoError(t, err)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, x.status, resp.StatusCode, path)
		require.Contains(t, string(b), x.content, path)
	}
}

func requireBody(t *testing.T, resp *http.Response, code protocol.Code, message string) {
	t.Helper()
	var body struct{ Code, Message string }
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&body))
	require.Equal(t, string(code), body.Code)
	require.Contains(t, body.Message, message)
}

// lockedBuffer is a buffer for a logger.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestMalformedFrames(t *testing.T) {
	l := server.DefaultLimits()
	for _, x := range []struct {
		name   string
		kind   int
		frame  []byte
		status int
	}{
		{"garbage", websocket.BinaryMessage, []byte{0xff, 0x00, 0x13}, websocket.CloseInvalidFramePayloadData},
		{"empty", websocket.BinaryMessage, nil, websocket.CloseInvalidFramePayloadData},
		{"text", websocket.TextMessage, []byte("{}"), websocket.CloseInvalidFramePayloadData},
		{"damaged", websocket.BinaryMessage, protocol.Seal([]byte{0xa2, 0x00, 0x03, 0x01, 0x05})[1:], websocket.CloseInvalidFramePayloadData},
		{"unknown type", websocket.BinaryMessage, protocol.Seal([]byte{0xa1, 0x00, 0x18, 0x63}), websocket.CloseInvalidFramePayloadData},
		{"a server's frame", websocket.BinaryMessage, protocol.Seal([]byte{0xa2, 0x00, 0x06, 0x01, 0x01}), websocket.CloseInvalidFramePayloadData},
		{"over the limit", websocket.BinaryMessage, make([]byte, l.FrameBytes+1), websocket.CloseMessageTooBig},
	} {
		t.Run(x.name, func(t *testing.T) {
			srv, url := serve(t, server.Config{})
			c := dial(t, url)
			c.open("x", protocol.ModeFail)
			// A request with a readable id is answered, and the connection lives on: {0: 1, 1: 77, 2: 5}.
			c.mu.Lock()
			c.wait[77] = make(chan *protocol.RawResponse, 1)
			c.mu.Unlock()
			require.NoError(t, c.ws.WriteMessage(websocket.BinaryMessage, protocol.Seal([]byte{0xa3, 0x00, 0x01, 0x01, 0x18, 77, 0x02, 0x05})))
			c.refusedID(protocol.CodeBadRequest, 77)
			require.NoError(t, c.ws.WriteMessage(x.kind, x.frame))
			c.closes(x.status)
			eventually(t, "both are counted", func() bool { return srv.Snapshot().BadFrames == 2 })
			eventually(t, "its hold ends", func() bool { return srv.Snapshot().OpenActors == 0 })
		})
	}
}

func TestOrderAndParallelism(t *testing.T) {
	begun, proceed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	st := &hookedStore{Store: memory.New(), apply: func(actor string, _ *store.Batch) error {
		if actor == "default/slow" {
			once.Do(func() { close(begun); <-proceed })
		}
		return nil
	}}
	srv, url := serve(t, server.Config{Store: st})
	c := dial(t, url)
	gen := c.open("slow", protocol.ModeFail).Generation
	c.open("fast", protocol.ModeFail)
	var ids []uint64
	for range 10 {
		ids = append(ids, c.start("slow", protocol.OpPut, put(gen, "k", "v")), c.start("slow", protocol.OpGet, protocol.Get{Keys: keys("k")}))
	}
	<-begun
	other := c.start("fast", protocol.OpGet, protocol.Get{Keys: keys("k")})
	result[protocol.GetResult](c, other) // while the slow one stands still
	close(proceed)
	for _, id := range ids {
		c.answer(id)
	}
	c.mu.Lock()
	order := slices.Clone(c.order)
	c.mu.Unlock()
	require.Equal(t, append([]uint64{1, 2, other}, ids...), order, "one actor's answers are in order")
	require.EqualValues(t, 23, srv.Snapshot().FramesIn)
}

func TestBackpressure(t *testing.T) {
	begun, proceed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	st := &hookedStore{Store: memory.New(), apply: func(string, *store.Batch) error {
		once.Do(func() { close(begun); <-proceed })
		return nil
	}}
	l := server.DefaultLimits()
	l.ActorQueue = 4
	_, url := serve(t, server.Config{Store: st, Limits: l})
	c := dial(t, url)
	gen := c.open("x", protocol.ModeFail).Generation
	ids := []uint64{c.start("x", protocol.OpPut, put(gen, "k", "v"))}
	<-begun
	for range 3 {
		ids = append(ids, c.start("x", protocol.OpPut, put(gen, "k", "v")))
	}
	c.refused(protocol.CodeBackpressure, "x", protocol.OpPut, put(gen, "k", "v"))
	close(proceed)
	for _, id := range ids {
		result[protocol.Empty](c, id)
	}
}

// Pages staged for commits that do not come fill the connection's share of memory; then a commit is told to wait.
func TestStagesFillTheConnection(t *testing.T) {
	l := server.DefaultLimits()
	l.CommitBytes = 1 << 20
	_, url := serve(t, server.Config{Limits: l})
	c := dial(t, url)
	gen := c.open("x", protocol.ModeFail).Generation
	pages := protocol.Pages{Data: make([]byte, 1<<20)}
	for i := range 256 {
		pages.Indexes = append(pages.Indexes, uint32(i))
	}
	for id := range uint64(20) {
		c.frame(protocol.Stage{Commit: 1000 + id, Actor: "x", Pages: pages})
	}
	id := c.id()
	c.frame(protocol.Stage{Commit: id, Actor: "x", Pages: pages})
	commit := protocol.Commit{Generation: gen, Seq: 1, Count: 1, Size: 1 << 20, Staged: 1}
	c.frame(protocol.Request[any]{ID: id, Actor: "x", Op: protocol.OpCommit, Body: commit})
	c.refusedID(protocol.CodeBackpressure, id)

	// Those that went in are used, and make room.
	c.mu.Lock()
	c.wait[1000] = make(chan *protocol.RawResponse, 1)
	c.mu.Unlock()
	c.frame(protocol.Request[any]{ID: 1000, Actor: "x", Op: protocol.OpCommit, Body: commit})
	result[protocol.CommitResult](c, 1000)
	commit.Seq = 2
	id = c.id()
	c.frame(protocol.Stage{Commit: id, Actor: "x", Pages: pages})
	c.frame(protocol.Request[any]{ID: id, Actor: "x", Op: protocol.OpCommit, Body: commit})
	result[protocol.CommitResult](c, id)
}

// Who has an answer may send the next request: what the answered one took of the limits is free by then.
func TestAnAnsweredRequestTakesNothing(t *testing.T) {
	l := server.DefaultLimits()
	l.ActorQueue = 1
	_, url := serve(t, server.Config{Limits: l})
	c := dial(t, url)
	c.open("x", protocol.ModeFail)
	for range 5000 {
		call[protocol.GetResult](c, "x", protocol.OpGet, protocol.Get{Keys: keys("k")})
	}
}

func TestPanicsAreCaught(t *testing.T) {
	st := &hookedStore{Store: memory.New()}
	srv, url := serve(t, server.Config{Store: st})
	c := dial(t, url)
	gen := c.open("x", protocol.ModeFail).Generation
	st.apply = func(string, *store.Batch) error { panic("boom") }
	e := c.refused(protocol.CodeInternal, "x", protocol.OpPut, put(gen, "k", "v"))
	require.NotContains(t, e.Message, "boom")
	require.EqualValues(t, 1, srv.Snapshot().Panics)
	call[protocol.GetResult](c, "x", protocol.OpGet, protocol.Get{Keys: keys("k")})
}

func TestPingTimeout(t *testing.T) {
	srv, url := serve(t, server.Config{PingInterval: 100 * time.Millisecond, PingTimeout: 3 * time.Second})
	alive := dial(t, url) // answers its pings
	silent := dialRaw(t, url)
	for {
		_, _, err := silent.ReadMessage()
		if err != nil {
			require.True(t, websocket.IsCloseError(err, websocket.ClosePolicyViolation), err)
			break
		}
	}
	require.EqualValues(t, 1, srv.Snapshot().PingTimeouts)
	alive.open("x", protocol.ModeFail)
}

// Answers that nobody reads fill the buffers, then the connection is closed and its holds end.
func TestSlowReader(t *testing.T) {
	srv, url := serve(t, server.Config{PingInterval: time.Minute, PingTimeout: time.Second})
	w := dial(t, url)
	gen := w.open("x", protocol.ModeFail).Generation
	var all []uint32
	p := protocol.Pages{}
	for i := range 512 {
		all = append(all, uint32(i))
		p.Data = append(p.Data, page(1)...)
	}
	p.Indexes = all
	call[protocol.CommitResult](w, "x", protocol.OpCommit, protocol.Commit{Generation: gen, Seq: 1, Count: 1, Size: 512 * protocol.PageSize, Pages: p})
	call[protocol.Empty](w, "x", protocol.OpClose, protocol.Close{Generation: gen})

	slow := dialRaw(t, url)
	send := func(id uint64, op protocol.Op, body any) {
		b, err := protocol.Encode(protocol.Request[any]{ID: id, Actor: "x", Op: op, Body: body})
		require.NoError(t, err)
		_ = slow.WriteMessage(websocket.BinaryMessage, b)
	}
	send(1, protocol.OpOpen, protocol.Open{})
	for id := range uint64(60) {
		send(id+2, protocol.OpFetch, protocol.Fetch{Pages: all})
	}
	eventually(t, "it is closed", func() bool { return srv.Snapshot().SlowReaders == 1 })
	eventually(t, "its hold ends", func() bool { return srv.Snapshot().OpenActors == 0 })
	w.open("x", protocol.ModeFail)
}

func TestDrain(t *testing.T) {
	srv, url := serve(t, server.Config{DrainGrace: time.Minute})
	a, b, c := dial(t, url), dial(t, url), dial(t, url)
	gen := a.open("x", protocol.ModeFail).Generation
	waiting := b.start("x", protocol.OpOpen, protocol.Open{Mode: protocol.ModeWait})
	b.open("y", protocol.ModeFail)
	done := make(chan error, 1)
	go func() { done <- srv.Drain(context.Background()) }()
	for _, x := range []*client{a, b, c} {
		require.EqualValues(t, time.Minute.Milliseconds(), (<-x.drain).GraceMillis)
	}
	b.refusedID(protocol.CodeDraining, waiting)
	c.refused(protocol.CodeDraining, "z", protocol.OpOpen, protocol.Open{})
	call[protocol.Empty](a, "x", protocol.OpPut, put(gen, "k", "v")) // what is open may finish
	_, resp, err := (&websocket.Dialer{Subprotocols: []string{protocol.Subprotocol()}}).Dial(url, nil)
	require.Error(t, err)
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	requireBody(t, resp, protocol.CodeDraining, "shutting down")
	for _, x := range []*client{a, b, c} {
		require.NoError(t, x.ws.Close())
	}
	require.NoError(t, <-done)
}

func TestDrainClosesWhoStays(t *testing.T) {
	srv, url := serve(t, server.Config{DrainGrace: 20 * time.Millisecond})
	a := dial(t, url)
	require.NoError(t, srv.Drain(context.Background()))
	a.closes(websocket.CloseGoingAway)

	srv, url = serve(t, server.Config{})
	a = dial(t, url)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, srv.Drain(ctx), context.Canceled)
	a.closes(websocket.CloseGoingAway)
}
