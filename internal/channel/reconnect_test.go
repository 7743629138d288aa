package channel_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/channel"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/server"
)

// All actors resume with their generations, and requests of every kind that were under way succeed.
func TestReconnectResumesEveryActor(t *testing.T) {
	_, addr := startServer(t, server.Config{Store: newStore(t)})
	p := newProxy(t, addr)
	c, events := dial(t, p.addr())
	const actors = 50
	var all []*channel.Actor
	generations := make(map[string]uint64)
	for i := range actors {
		a := open(t, c, fmt.Sprint("actor-", i))
		require.NoError(t, a.Put(t.Context(), &protocol.Put{Keys: keys("b"), Values: keys("2")}))
		all = append(all, a)
		generations[a.ID()] = a.Generation()
	}
	for range 3 {
		held := p.stall(true, false)
		errs := make(chan error, 6*actors)
		for _, a := range all {
			go func() { errs <- a.Put(context.Background(), &protocol.Put{Keys: keys("a"), Values: keys("1")}) }()
			go func() {
				got, err := a.Get(context.Background(), &protocol.Get{Keys: keys("b")})
				if err == nil && string(got.Values[0]) != "2" {
					err = fmt.Errorf("read %q", got.Values[0])
				}
				errs <- err
			}()
			go func() { errs <- a.Delete(context.Background(), &protocol.Delete{Keys: keys("c")}) }()
			go func() {
				errs <- a.DeleteRange(context.Background(), &protocol.DeleteRange{Start: keys("x")[0], End: keys("y")[0]})
			}()
			go func() {
				_, err := a.List(context.Background(), &protocol.List{Limit: 1})
				errs <- err
			}()
			go func() {
				_, err := a.Reload(context.Background(), nil)
				errs <- err
			}()
		}
		receive(t, held, "requests to be held")
		p.cut()
		events.next(t, channel.Disconnect)
		events.next(t, channel.Reconnect)
		for range cap(errs) {
			require.NoError(t, receive(t, errs, "an answer"))
		}
	}
	for _, a := range all {
		require.Equal(t, generations[a.ID()], a.Generation())
		require.NoError(t, a.Close(t.Context(), nil))
	}
	m := c.Metrics()
	require.Equal(t, uint64(3), m.Reconnects)
	require.Zero(t, m.Pending)
}

// An open that was sent before the connection broke is sent again, and gets past the lock that the first one took.
func TestReconnectDuringAnOpen(t *testing.T) {
	w := newStore(t)
	_, addr := startServer(t, server.Config{Store: w})
	p := newProxy(t, addr)
	c, _ := dial(t, p.addr())
	p.stall(false, true)
	done := make(chan error, 1)
	go func() {
		_, _, err := c.Open(context.Background(), "actor", protocol.Open{}, nil)
		done <- err
	}()
	receive(t, w.fenced, "the server to take the lock")
	p.cut()
	require.NoError(t, receive(t, done, "the open"))
}

// I1, I8: an actor taken over while its holder was away is lost when it comes back; the others resume.
func TestResumeOfAnActorTakenOver(t *testing.T) {
	_, addr := startServer(t, server.Config{Store: newStore(t)})
	p := newProxy(t, addr)
	c, events := dial(t, p.addr())
	other, _ := dial(t, addr)
	gone := make(chan error, 2)
	a, _, err := c.Open(t.Context(), "actor", protocol.Open{}, func(err error) { gone <- err })
	require.NoError(t, err)
	kept := open(t, c, "kept")
	p.setRefuse(true)
	p.cut()
	events.next(t, channel.Disconnect)
	_, _, err = other.Open(t.Context(), "actor", protocol.Open{Mode: protocol.ModeTakeover}, nil)
	require.NoError(t, err)
	done := make(chan outcome, 1)
	go func() {
		res, err := commitPages(context.Background(), a, 1, 1, 1)
		done <- outcome{res, err}
	}()
	p.setRefuse(false)
	got := receive(t, done, "the commit")
	require.ErrorIs(t, got.err, channel.ErrLockLost)
	require.Equal(t, "lock_lost", channel.Code(got.err))
	require.ErrorIs(t, receive(t, gone, "onLost"), channel.ErrLockLost)
	require.Equal(t, "actor", events.next(t, channel.LockLost).Actor)
	_, err = commitPages(t.Context(), kept, 1, 1, 1)
	require.NoError(t, err)
	require.Empty(t, gone)
}

// I4: whether a commit that was sent is stored is an open question if its actor was taken over before the answer came,
// and its caller is told that, not only that the lock is lost: doing it again elsewhere might do it twice.
func TestI4CommitLeftOpenByATakeover(t *testing.T) {
	w := newStore(t)
	_, addr := startServer(t, server.Config{Store: w})
	p := newProxy(t, addr)
	c, _ := dial(t, p.addr())
	other, _ := dial(t, addr)
	a := open(t, c, "actor")
	p.stall(false, true)
	done := make(chan outcome, 1)
	go func() {
		res, err := commitPages(context.Background(), a, 1, 1, 1)
		done <- outcome{res, err}
	}()
	require.Equal(t, uint64(1), receive(t, w.applied, "the commit to be applied"))
	p.setRefuse(true)
	p.cut()
	_, _, err := other.Open(t.Context(), "actor", protocol.Open{Mode: protocol.ModeTakeover}, nil)
	require.NoError(t, err)
	p.setRefuse(false)
	got := receive(t, done, "the commit to be resolved")
	require.Equal(t, "commit_indeterminate", channel.Code(got.err))
	require.True(t, channel.IsLockLost(got.err))
	_, err = commitPages(t.Context(), a, 2, 1, 1)
	require.Equal(t, "lock_lost", channel.Code(err), "what comes later was not sent")
}

// A channel whose token is revoked gives up with a clear error, once the server has said so a few times in a row.
func TestRevokedTokenEndsTheChannel(t *testing.T) {
	real, err := server.New(server.Config{Store: newStore(t)})
	require.NoError(t, err)
	var revoked atomic.Bool
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if revoked.Load() {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"code": "unauthorized", "message": "the token is not known here"}`)
			return
		}
		real.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		require.NoError(t, real.Close())
		h.Close()
	})
	p := newProxy(t, h.Listener.Addr().String())
	c, events := dial(t, p.addr())
	gone := make(chan error, 1)
	a, _, err := c.Open(t.Context(), "actor", protocol.Open{}, func(err error) { gone <- err })
	require.NoError(t, err)
	revoked.Store(true)
	p.stall(true, false)
	done := make(chan outcome, 1)
	go func() {
		res, err := commitPages(context.Background(), a, 1, 1, 1)
		done <- outcome{res, err}
	}()
	p.cut()
	require.NotErrorIs(t, events.next(t, channel.Disconnect).Err, channel.ErrUnauthorized)
	require.ErrorIs(t, events.next(t, channel.Disconnect).Err, channel.ErrUnauthorized)
	require.ErrorIs(t, receive(t, gone, "the actor to be told"), channel.ErrUnauthorized)
	require.ErrorIs(t, receive(t, done, "the commit to be resolved").err, channel.ErrUnauthorized)
	_, _, err = c.Open(t.Context(), "other", protocol.Open{}, nil)
	require.Equal(t, "unauthorized", channel.Code(err))
	_, err = a.Get(t.Context(), &protocol.Get{Keys: keys("a")})
	require.Equal(t, "unauthorized", channel.Code(err))
	require.NoError(t, a.Close(t.Context(), nil))
	require.NoError(t, c.Close(t.Context()))
	requireNoGoroutines(t)
}

// A peer that is silent for two and a half pings is dead, whether it reads or not.
func TestDeadPeerIsNoticed(t *testing.T) {
	_, addr := startServer(t, server.Config{Store: newStore(t), PingInterval: 200 * time.Millisecond})
	p := newProxy(t, addr)
	c, events := dial(t, p.addr())
	a := open(t, c, "actor")
	p.stall(true, true)
	_, err := commitPages(t.Context(), a, 1, 4000, 1)
	require.NoError(t, err)
	require.ErrorContains(t, events.next(t, channel.Disconnect).Err, "timeout")
	requirePages(t, a, 4000, 1)
}

// Pings are answered, so an idle connection stays.
func TestIdleConnectionStays(t *testing.T) {
	_, addr := startServer(t, server.Config{Store: newStore(t), PingInterval: time.Second, PingTimeout: patience})
	c, _ := dial(t, addr)
	before := c.Metrics()
	require.Eventually(t, func() bool { return c.Metrics().BytesReceived > before.BytesReceived+20 }, patience, 5*time.Millisecond)
	require.Zero(t, c.Metrics().Reconnects)
}

func TestHalfClosedConnection(t *testing.T) {
	_, addr := startServer(t, server.Config{Store: newStore(t)})
	p := newProxy(t, addr)
	c, events := dial(t, p.addr())
	a := open(t, c, "actor")
	p.each(func(l *link) { require.NoError(t, l.client.CloseWrite()) })
	events.next(t, channel.Disconnect)
	_, err := commitPages(t.Context(), a, 1, 1, 1)
	require.NoError(t, err)
}

// A draining server's actors go to another one on the same store, while their callers keep working.
func TestDrainToAnotherServer(t *testing.T) {
	w := newStore(t)
	first, addr1 := startServer(t, server.Config{Store: w, DrainGrace: patience})
	_, addr2 := startServer(t, server.Config{Store: w})
	p := newProxy(t, addr1)
	c, events := dial(t, p.addr())
	const actors, commits = 20, 40
	var started, wg sync.WaitGroup
	started.Add(actors)
	errs := make(chan error, actors)
	var generations [actors]uint64
	var all [actors]*channel.Actor
	for i := range actors {
		a := open(t, c, fmt.Sprint("actor-", i))
		all[i], generations[i] = a, a.Generation()
		wg.Go(func() {
			var err error
			for seq := uint64(1); seq <= commits && err == nil; seq++ {
				_, err = commitPages(context.Background(), a, seq, 2, byte(seq))
				if seq == 3 {
					started.Done()
				}
				if err == nil && seq%5 == 0 {
					_, err = a.Reload(context.Background(), nil)
				}
			}
			errs <- err
		})
	}
	started.Wait()
	p.aim(addr2)
	drained := make(chan error, 1)
	go func() { drained <- first.Drain(context.Background()) }()
	// A reload may be refused for it before the news comes, which has the client assume a grace of its own.
	require.Contains(t, []time.Duration{patience, 30 * time.Second}, events.next(t, channel.Drain).Grace)
	// An open that comes now goes to the new server.
	late := open(t, c, "late")
	wg.Wait()
	for range actors {
		require.NoError(t, <-errs)
	}
	require.NoError(t, receive(t, drained, "the drained server to be left"))
	events.next(t, channel.Reconnect)
	for i, a := range all {
		require.Equal(t, generations[i], a.Generation())
		requirePages(t, a, 2, commits)
	}
	_, err := commitPages(t.Context(), late, 1, 1, 1)
	require.NoError(t, err)
	m := c.Metrics()
	require.Equal(t, uint64(1), m.Reconnects)
	close(events.c)
	for e := range events.c {
		require.NotEqual(t, channel.LockLost, e.Kind)
		require.NotEqual(t, channel.Disconnect, e.Kind, "the new connection stands before the old one is left")
	}
	events.c = make(chan channel.Event, 100)
}

// misbehave serves the real server, but for the first connections, which it welcomes and hands to each of f.
func misbehave(t *testing.T, f ...func(ws *websocket.Conn)) string {
	real, err := server.New(server.Config{Store: newStore(t), Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	var seen atomic.Int64
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(seen.Add(1))
		if n > len(f) {
			real.ServeHTTP(w, r)
			return
		}
		u := websocket.Upgrader{Subprotocols: []string{protocol.Subprotocol()}}
		ws, err := u.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		send(ws, protocol.Welcome{Namespace: protocol.DefaultNamespace, Version: protocol.Version, Limits: protocol.Limits{FrameBytes: 1 << 62, PingMillis: 1 << 62, ActorQueue: 1 << 63, CommitBytes: 1 << 63}})
		f[n-1](ws)
		_, _, _ = ws.ReadMessage()
	}))
	t.Cleanup(func() {
		require.NoError(t, real.Close())
		h.Close()
	})
	return h.Listener.Addr().String()
}

func send(ws *websocket.Conn, frame any) {
	if b, err := protocol.Encode(frame); err == nil {
		_ = ws.WriteMessage(websocket.BinaryMessage, b)
	}
}

// nextRequest returns the next request, nil if none comes any more.
func nextRequest(ws *websocket.Conn) *protocol.RawRequest {
	for {
		_, b, err := ws.ReadMessage()
		if err != nil {
			return nil
		}
		frame, err := protocol.DecodeClientFrame(b)
		if err != nil {
			return nil
		}
		if r, ok := frame.(*protocol.RawRequest); ok {
			return r
		}
	}
}

// respond answers the next request with whatever result.
func respond[B any](ws *websocket.Conn, result B) {
	if r := nextRequest(ws); r != nil {
		send(ws, protocol.Response[B]{ID: r.ID, Result: result})
	}
}

// Whatever a broken server sends, the connection is made anew and the request succeeds there.
func TestBrokenServers(t *testing.T) {
	opened := protocol.OpenResult{Generation: 1}
	for _, test := range []struct {
		name string
		says string
		do   func(ws *websocket.Conn)
	}{
		{"garbage", "malformed frame", func(ws *websocket.Conn) { _ = ws.WriteMessage(websocket.BinaryMessage, []byte{0xff, 1, 2}) }},
		{"empty frame", "malformed frame", func(ws *websocket.Conn) { _ = ws.WriteMessage(websocket.BinaryMessage, nil) }},
		{"text", "text frame", func(ws *websocket.Conn) { _ = ws.WriteMessage(websocket.TextMessage, []byte("hello")) }},
		{"damaged frame", "checksum", func(ws *websocket.Conn) {
			b := protocol.Seal([]byte{0xa2, 0, byte(protocol.FramePing), 1, 7})
			b[4] ^= 1
			_ = ws.WriteMessage(websocket.BinaryMessage, b)
		}},
		{"unknown frame type", "malformed frame", func(ws *websocket.Conn) {
			_ = ws.WriteMessage(websocket.BinaryMessage, protocol.Seal([]byte{0xa1, 0, 99}))
		}},
		{"second welcome", "unexpected", func(ws *websocket.Conn) {
			send(ws, protocol.Welcome{Namespace: protocol.DefaultNamespace, Version: protocol.Version})
		}},
		{"answer to nothing", "not asked", func(ws *websocket.Conn) { send(ws, protocol.Response[protocol.Empty]{ID: 99}) }},
		{"answer of another type", "answer to a open", func(ws *websocket.Conn) { respond(ws, []int{1, 2, 3}) }},
		{"answer twice", "not asked", func(ws *websocket.Conn) {
			respond(ws, opened)
			send(ws, protocol.Response[protocol.OpenResult]{ID: 1, Result: opened})
		}},
		{"pages without bytes", "pages", func(ws *websocket.Conn) {
			respond(ws, protocol.OpenResult{Generation: 1, Pages: protocol.Pages{Indexes: []uint32{1, 2, 3}}})
		}},
		{"huge frame", "read limit", func(ws *websocket.Conn) {
			// Only its head is sent: 2^40 bytes are to come.
			_, _ = ws.NetConn().Write([]byte{0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0})
		}},
		{"close frame", "1011", func(ws *websocket.Conn) {
			_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1011, "broken"), time.Now().Add(time.Second))
		}},
		{"not a WebSocket frame", "read", func(ws *websocket.Conn) { _, _ = ws.NetConn().Write([]byte(strings.Repeat("\xff", 100))) }},
		{"lock_lost of nobody, then the end", "read", func(ws *websocket.Conn) {
			send(ws, protocol.LockLost{Actor: "actor", Generation: 1, Reason: "?"})
			ws.Close()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, events := dial(t, misbehave(t, test.do))
			a, _, err := c.Open(t.Context(), "actor", protocol.Open{}, nil)
			if test.name != "answer twice" {
				require.NoError(t, err)
				_, err = commitPages(t.Context(), a, 1, 1, 1)
				require.NoError(t, err)
			}
			e := events.next(t, channel.Disconnect)
			require.ErrorIs(t, e.Err, channel.ErrUnreachable)
			require.ErrorContains(t, e.Err, test.says)
			require.NoError(t, c.Close(t.Context()))
			requireNoGoroutines(t)
		})
	}
}

// A server that accepts connections and breaks them at once is not hammered.
func TestBackoffGrowsWhenConnectionsDoNotLast(t *testing.T) {
	var dials atomic.Int64
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u := websocket.Upgrader{Subprotocols: []string{protocol.Subprotocol()}}
		ws, err := u.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		dials.Add(1)
		send(ws, protocol.Welcome{Namespace: protocol.DefaultNamespace, Version: protocol.Version, Limits: protocol.Limits{FrameBytes: 1 << 20}})
		ws.Close()
	}))
	defer h.Close()
	c, _ := dial(t, h.Listener.Addr().String(), func(cfg *channel.Config) {
		cfg.BackoffMin, cfg.BackoffMax = time.Hour, time.Hour
	})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, _, err := c.Open(ctx, "actor", protocol.Open{}, nil)
	require.Equal(t, "timeout", channel.Code(err))
	require.LessOrEqual(t, dials.Load(), int64(2), "the first retry is quick, the second is not")
}
