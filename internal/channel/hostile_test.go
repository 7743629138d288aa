package channel_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/channel"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/server"
)

// A hostile server greets as it should, answers the first open, and then says what a test tells it to.

// impostor serves WebSockets with respond, which gets each request of a connection and returns what to send, message by
// message. It returns the server's address.
func impostor(t testing.TB, welcome func(*protocol.Welcome), respond func(r *protocol.RawRequest) [][]byte) string {
	t.Helper()
	upgrader := websocket.Upgrader{Subprotocols: []string{protocol.Subprotocol()}}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		hello := &protocol.Welcome{Version: protocol.Version, Server: "impostor", Session: "s", Namespace: "default", Limits: server.DefaultLimits()}
		hello.Limits.PingMillis = 1000
		if welcome != nil {
			welcome(hello)
		}
		if ws.WriteMessage(websocket.BinaryMessage, message(hello)) != nil {
			return
		}
		for req := nextRequest(ws); req != nil; req = nextRequest(ws) {
			for _, m := range respond(req) {
				if ws.WriteMessage(websocket.BinaryMessage, m) != nil {
					return
				}
			}
		}
	}))
	t.Cleanup(h.Close)
	return h.Listener.Addr().String()
}

func message(v any) []byte {
	b, err := protocol.Encode(v)
	if err != nil {
		panic(err)
	}
	return b
}

func answer(id uint64, result any) []byte {
	return message(protocol.Response[any]{ID: id, Result: result})
}

// openAnswer is a correct answer to the open r, and to a resume.
func openAnswer(r *protocol.RawRequest) []byte {
	var o protocol.Open
	if err := protocol.DecodeBody(r.Body, &o); err != nil {
		panic(err)
	}
	res := protocol.OpenResult{Generation: 5, Seq: 7}
	if o.Resume != nil {
		res.Resumed = true
	}
	return answer(r.ID, res)
}

func liveHeap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Whatever a server answers, a call ends in an error that says what was wrong, within its deadline, and the channel can
// still be closed; its memory is bounded.
func TestHostileAnswers(t *testing.T) {
	many := make([][]byte, 100_000)
	for i := range many {
		many[i] = []byte{}
	}
	page := make([]byte, protocol.PageSize)
	fetch := func(a *channel.Actor, ctx context.Context) error {
		_, err := a.Fetch(ctx, &protocol.Fetch{Pages: []uint32{1}})
		return err
	}
	get := func(a *channel.Actor, ctx context.Context) error {
		_, err := a.Get(ctx, &protocol.Get{Keys: [][]byte{{1}}})
		return err
	}
	commit := func(a *channel.Actor, ctx context.Context) error {
		_, err := a.Commit(ctx, &protocol.Commit{Seq: 8, Count: 1, Size: 4096, Pages: protocol.Pages{Indexes: []uint32{0}}}, [][]byte{page})
		return err
	}
	reload := func(a *channel.Actor, ctx context.Context) error {
		_, err := a.Reload(ctx, nil)
		return err
	}
	type do = func(*channel.Actor, context.Context) error
	cases := []struct {
		name string
		do   do
		say  func(id uint64) [][]byte
	}{
		{"an id that was not asked", fetch, func(id uint64) [][]byte { return [][]byte{answer(id+1000, protocol.FetchResult{})} }},
		{"id 0", fetch, func(uint64) [][]byte { return [][]byte{answer(0, protocol.FetchResult{})} }},
		{"pages of the wrong length", fetch, func(id uint64) [][]byte {
			return [][]byte{answer(id, protocol.FetchResult{Pages: protocol.Pages{Indexes: []uint32{1}, Data: page[1:]}})}
		}},
		{"indexes without pages", fetch, func(id uint64) [][]byte {
			return [][]byte{answer(id, protocol.FetchResult{Pages: protocol.Pages{Indexes: make([]uint32, 100_000)}})}
		}},
		{"a result of another kind", fetch, func(id uint64) [][]byte { return [][]byte{answer(id, map[int]any{1: "text"})} }},
		{"neither result nor error", fetch, func(id uint64) [][]byte {
			return [][]byte{protocol.Seal(append([]byte{0xa2, 0, 5, 1}, cborUint(id)...))}
		}},
		{"100,000 values for one key", get, func(id uint64) [][]byte { return [][]byte{answer(id, protocol.GetResult{Values: many})} }},
		{"no value for a key", get, func(id uint64) [][]byte { return [][]byte{answer(id, protocol.GetResult{})} }},
		{"another commit acknowledged", commit, func(id uint64) [][]byte { return [][]byte{answer(id, protocol.CommitResult{Seq: 1<<64 - 1})} }},
		{"an earlier commit acknowledged", commit, func(id uint64) [][]byte { return [][]byte{answer(id, protocol.CommitResult{Seq: 7})} }},
		{"a reload of an earlier generation", reload, func(id uint64) [][]byte { return [][]byte{answer(id, protocol.OpenResult{Generation: 4, Seq: 7})} }},
		{"a reload of generation 0", reload, func(id uint64) [][]byte { return [][]byte{answer(id, protocol.OpenResult{})} }},
		{"a reload of too large a file", reload, func(id uint64) [][]byte {
			return [][]byte{answer(id, protocol.OpenResult{Generation: 5, Seq: 7, Files: []protocol.File{{Size: 1<<64 - 1}}})}
		}},
		{"a reload of a file twice", reload, func(id uint64) [][]byte {
			return [][]byte{answer(id, protocol.OpenResult{Generation: 5, Seq: 7, Files: []protocol.File{{Size: 1}, {Size: 2}}})}
		}},
		{"a reload of an unknown file", reload, func(id uint64) [][]byte {
			return [][]byte{answer(id, protocol.OpenResult{Generation: 5, Seq: 7, Files: []protocol.File{{Tag: 9, Size: 2}}})}
		}},
		{"one welcome after another", fetch, func(uint64) [][]byte {
			return [][]byte{message(&protocol.Welcome{Version: protocol.Version}), message(&protocol.Welcome{Version: protocol.Version})}
		}},
		{"a request", fetch, func(id uint64) [][]byte { return [][]byte{message(protocol.Request[any]{ID: id, Actor: "x", Op: 8})} }},
		{"an unknown frame", fetch, func(uint64) [][]byte { return [][]byte{protocol.Seal([]byte{0xa1, 0, 0x18, 99})} }},
		{"a damaged frame", fetch, func(id uint64) [][]byte {
			m := answer(id, protocol.FetchResult{})
			m[len(m)-1] ^= 1
			return [][]byte{m}
		}},
		{"a frame over the limit", fetch, func(uint64) [][]byte { return [][]byte{make([]byte, 5<<20)} }},
		{"pings, and no answer", fetch, func(uint64) [][]byte {
			pings := make([][]byte, 20_000)
			for i := range pings {
				pings[i] = message(&protocol.Ping{Nonce: uint64(i)})
			}
			return pings
		}},
		{"drains, and no answer", fetch, func(uint64) [][]byte {
			return [][]byte{message(&protocol.Drain{GraceMillis: 1<<64 - 1}), message(&protocol.Drain{})}
		}},
		{"a lock lost of another generation, and no answer", fetch, func(uint64) [][]byte {
			return [][]byte{message(&protocol.LockLost{Actor: "a", Generation: 4}), message(&protocol.LockLost{Actor: "nobody", Generation: 5})}
		}},
		{"nothing", fetch, func(uint64) [][]byte { return nil }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			first := true
			addr := impostor(t, nil, func(r *protocol.RawRequest) [][]byte {
				if r.Op == protocol.OpOpen && first {
					first = false
					return [][]byte{openAnswer(r)}
				}
				return c.say(r.ID)
			})
			ch, _ := dial(t, addr)
			a := open(t, ch, "a")
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := c.do(a, ctx)
			require.Error(t, err)
			require.NotEmpty(t, channel.Code(err), "%v", err)
		})
	}
}

// cborUint is a CBOR unsigned integer of 8 bytes.
func cborUint(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{0x1b}, n) }

// An answer that comes twice breaks the connection, and the next call is answered on another.
func TestHostileAnswersTwice(t *testing.T) {
	var twice atomic.Bool
	twice.Store(true)
	addr := impostor(t, nil, func(r *protocol.RawRequest) [][]byte {
		switch {
		case r.Op == protocol.OpOpen:
			return [][]byte{openAnswer(r)}
		case twice.Swap(false):
			m := answer(r.ID, protocol.FetchResult{})
			return [][]byte{m, m}
		}
		return [][]byte{answer(r.ID, protocol.FetchResult{})}
	})
	ch, log := dial(t, addr)
	a := open(t, ch, "a")
	_, err := a.Fetch(t.Context(), &protocol.Fetch{Pages: []uint32{1}})
	require.NoError(t, err)
	e := log.next(t, channel.Disconnect)
	require.ErrorContains(t, e.Err, "which was not asked")
	_, err = a.Fetch(t.Context(), &protocol.Fetch{Pages: []uint32{1}})
	require.NoError(t, err)
}

// I1: a resume that is answered with another generation, or an earlier commit, ends the actor.
func TestI1HostileResume(t *testing.T) {
	for name, res := range map[string]protocol.OpenResult{
		"an earlier generation": {Generation: 4, Seq: 7, Resumed: true},
		"a later generation":    {Generation: 6, Seq: 7, Resumed: true},
		"an earlier commit":     {Generation: 5, Seq: 6, Resumed: true},
	} {
		t.Run(name, func(t *testing.T) {
			opens := 0
			addr := impostor(t, nil, func(r *protocol.RawRequest) [][]byte {
				if r.Op != protocol.OpOpen {
					return [][]byte{{}} // breaks the connection
				}
				if opens++; opens == 1 {
					return [][]byte{openAnswer(r)}
				}
				return [][]byte{answer(r.ID, res)}
			})
			ch, log := dial(t, addr)
			a := open(t, ch, "a")
			_, err := a.Fetch(t.Context(), &protocol.Fetch{Pages: []uint32{1}})
			require.ErrorIs(t, err, channel.ErrLockLost)
			log.next(t, channel.LockLost)
		})
	}
}

// What a server sends before its welcome, and the limits in it, are bounded or refused.
func TestHostileGreetings(t *testing.T) {
	raw := func(say func(net.Conn)) string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { ln.Close() })
		go func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				go func() {
					defer conn.Close()
					_, _ = conn.Read(make([]byte, 4096))
					say(conn)
				}()
			}
		}()
		return ln.Addr().String()
	}
	endless := func(start, again string) func(net.Conn) {
		return func(conn net.Conn) {
			_, err := conn.Write([]byte(start))
			for b := []byte(strings.Repeat(again, 1<<12)); err == nil; {
				_, err = conn.Write(b)
			}
		}
	}
	for name, addr := range map[string]string{
		"endless status":   raw(endless("HTTP/1.1 101 ", "x")),
		"endless header":   raw(endless("HTTP/1.1 101 Switching Protocols\r\nX: ", "x")),
		"endless headers":  raw(endless("HTTP/1.1 101 Switching Protocols\r\n", "X: y\r\n")),
		"endless body":     raw(endless("HTTP/1.1 200 OK\r\n\r\n", "x")),
		"no HTTP":          raw(endless("\x00", "\x00")),
		"endless welcome":  impostor(t, func(w *protocol.Welcome) { w.Server = strings.Repeat("x", 1<<20) }, nil),
		"frames too short": impostor(t, func(w *protocol.Welcome) { w.Limits.FrameBytes = 100 }, nil),
		"another version":  impostor(t, func(w *protocol.Welcome) { w.Version = 99 }, nil),
	} {
		t.Run(name, func(t *testing.T) {
			before := liveHeap()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			allocated := m.TotalAlloc
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, err := channel.Dial(ctx, channel.Config{URL: "ws://" + addr, ConnectTimeout: patience})
			require.Error(t, err)
			require.NoError(t, ctx.Err(), "it is refused, not waited out: %v", err)
			require.True(t, errors.Is(err, channel.ErrUnreachable) || errors.Is(err, channel.ErrVersion), "%v", err)
			runtime.ReadMemStats(&m)
			require.Less(t, m.TotalAlloc-allocated, uint64(16<<20), "allocated before the welcome")
			require.Less(t, liveHeap(), before+4<<20)
		})
	}
	// Absurd limits are believed within bounds, and nothing overflows.
	huge := uint64(1<<64 - 1)
	addr := impostor(t, func(w *protocol.Welcome) {
		w.Limits = protocol.Limits{
			KeyBytes: huge, ValueBytes: huge, BatchKeys: huge, PutBytes: huge, ActorBytes: huge, ConnectionActors: huge, ActorQueue: huge,
			CommitBytes: huge, FrameBytes: huge, PreloadBytes: huge, FetchPages: huge, PingMillis: huge,
		}
	}, func(r *protocol.RawRequest) [][]byte {
		switch r.Op {
		case protocol.OpOpen:
			return [][]byte{openAnswer(r)}
		case protocol.OpCommit:
			return [][]byte{answer(r.ID, protocol.CommitResult{Seq: 8})}
		}
		return [][]byte{answer(r.ID, protocol.Empty{})}
	})
	ch, _ := dial(t, addr)
	_, err := commitPages(t.Context(), open(t, ch, "a"), 8, 1000, 1)
	require.NoError(t, err)
}
