package server_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/server"
	"github.com/stretchr/testify/require"
)

// frames splits what a fuzzer made into frames, each behind its length (u16 LE), and gives each its checksum: a frame
// without one is refused before anything looks at it.
func frames(b []byte) (out [][]byte) {
	for len(b) >= 2 && len(out) < 64 {
		n := min(int(binary.LittleEndian.Uint16(b)), len(b)-2)
		out = append(out, protocol.Seal(bytes.Clone(b[2:2+n])))
		b = b[2+n:]
	}
	return out
}

// script is the input of which frames makes messages.
func script(t testing.TB, messages ...any) (out []byte) {
	for _, m := range messages {
		b, err := protocol.Encode(m)
		require.NoError(t, err)
		b = b[:len(b)-protocol.ChecksumBytes]
		out = append(binary.LittleEndian.AppendUint16(out, uint16(len(b))), b...)
	}
	return out
}

// FuzzSession is a client that sends whatever frames: every answer is well formed, whoever asks is answered or let go, and
// what another namespace holds stays as it is (I1, I9).
func FuzzSession(f *testing.F) {
	ask := func(id uint64, op protocol.Op, body any) any {
		return protocol.Request[any]{ID: id, Actor: "a", Op: op, Body: body}
	}
	opened := ask(1, protocol.OpOpen, protocol.Open{Mode: protocol.ModeTakeover, Preload: &protocol.Preload{Pages: true}})
	small := pagesOf([]uint32{0}, 13)
	for _, s := range [][]any{
		{opened, ask(2, protocol.OpPut, put(1, "k", "v")), ask(3, protocol.OpGet, protocol.Get{Keys: keys("k")}), ask(4, protocol.OpList, protocol.List{Prefix: []byte("k")})},
		{opened, ask(2, protocol.OpCommit, protocol.Commit{Generation: 1, Seq: 1, Count: 1, Size: 4096, Pages: small}), ask(3, protocol.OpFetch, protocol.Fetch{Pages: []uint32{0, 9}, Expand: &protocol.Expand{Depth: 3, Budget: 1 << 20}})},
		{opened, &protocol.Stage{Commit: 2, Actor: "a", Pages: small}, ask(2, protocol.OpCommit, protocol.Commit{Generation: 1, Seq: 1, Count: 1, Size: 8192, Staged: 1, DropFiles: []uint8{1}})},
		{opened, ask(2, protocol.OpDeleteRange, protocol.DeleteRange{Generation: 1, Start: []byte{}}), ask(3, protocol.OpDelete, protocol.Delete{Generation: 1, Keys: keys("k")}), ask(4, protocol.OpClose, protocol.Close{Generation: 1, Hints: []uint32{0, 7}}), opened},
		{ask(1, protocol.OpOpen, protocol.Open{Mode: protocol.ModeWait, WaitMillis: 1, Resume: &protocol.Resume{Generation: 1, Seq: 1}}), &protocol.Pong{Nonce: 1}},
	} {
		f.Add(script(f, s...))
	}
	srv, url := serve(f, server.Config{Limits: protocol.Limits{ActorBytes: 1 << 20, CommitBytes: 1 << 20}})
	limits := server.DefaultLimits()
	f.Fuzz(func(t *testing.T, b []byte) {
		victim := dial(t, url+"?namespace=victim")
		g := victim.open("a", protocol.ModeTakeover).Generation
		call[protocol.Empty](victim, "a", protocol.OpPut, put(g, "k", "v"))

		ws := dialRaw(t, url)
		for _, m := range frames(b) {
			if ws.WriteMessage(websocket.BinaryMessage, m) != nil {
				break
			}
		}
		last, err := protocol.Encode(protocol.Request[any]{ID: 1<<64 - 1, Actor: "the last", Op: protocol.OpGet, Body: protocol.Get{}})
		require.NoError(t, err)
		_ = ws.WriteMessage(websocket.BinaryMessage, last)
		require.NoError(t, ws.SetReadDeadline(time.Now().Add(patience)))
		for answered := false; !answered; {
			_, m, err := ws.ReadMessage()
			if err != nil {
				require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "neither answered nor let go")
				break
			}
			require.LessOrEqual(t, uint64(len(m)), limits.FrameBytes)
			frame, err := protocol.DecodeServerFrame(m)
			require.NoError(t, err)
			r, ok := frame.(*protocol.RawResponse)
			answered = ok && r.ID == 1<<64-1
		}
		require.NoError(t, ws.Close())

		got := call[protocol.ListResult](victim, "a", protocol.OpList, protocol.List{})
		require.Equal(t, protocol.Entries{Keys: keys("k"), Values: keys("v")}, got.Entries)
		require.NoError(t, victim.ws.Close())
		require.Zero(t, srv.Snapshot().Panics)
	})
}

// FuzzPreload holds that a preload of whatever keys, prefixes and budgets brings what is stored, within its budget, and
// says of nothing that it was scanned that is not (I9).
func FuzzPreload(f *testing.F) {
	f.Add([]byte("a\xffb"), []byte("a"), uint64(10), uint64(0), true)
	f.Add([]byte("\xff\xff"), []byte("\xff"), uint64(1<<20), uint64(3), false)
	f.Add([]byte("none"), []byte(""), uint64(1<<63), uint64(1<<63), true)
	stored := map[string]string{"a": "0", "a1": "11", "a\xff\xff": "22", "b": "3", "\xff\xff": "4", "\xff\xffz": "5", "\x00": "", "\x00\xff": "66"}
	_, url := serve(f, server.Config{})
	f.Fuzz(func(t *testing.T, key, prefix []byte, budgetBytes, maxBytes uint64, partial bool) {
		c := dial(t, url)
		g := c.open("x", protocol.ModeTakeover).Generation
		var pairs []string
		for k, v := range stored {
			pairs = append(pairs, k, v)
		}
		call[protocol.Empty](c, "x", protocol.OpPut, put(g, pairs...))
		ask := protocol.Preload{Keys: [][]byte{key}, Budget: &budgetBytes, Prefixes: []protocol.PreloadPrefix{
			{Prefix: prefix, MaxBytes: maxBytes, Partial: partial}, {Prefix: key, Partial: true},
		}}
		r := c.answer(c.start("x", protocol.OpOpen, protocol.Open{Mode: protocol.ModeTakeover, Preload: &ask}))
		if r.Error != nil {
			require.Equal(t, protocol.CodeBadRequest, r.Error.Code)
			require.True(t, len(key) == 0 || len(key) > 2048 || len(prefix) > 2048 || prefix == nil, r.Error.Message)
			return
		}
		var res protocol.OpenResult
		require.NoError(t, protocol.DecodeBody(r.Result, &res))
		have, bytesSent := map[string]bool{}, uint64(0)
		for i, k := range res.Entries.Keys {
			require.Equal(t, stored[string(k)], string(res.Entries.Values[i]))
			require.Contains(t, stored, string(k))
			require.False(t, have[string(k)], "%q comes twice", k)
			have[string(k)] = true
			bytesSent += uint64(len(k) + len(res.Entries.Values[i]))
		}
		require.LessOrEqual(t, bytesSent, budgetBytes)
		for _, k := range res.ScannedKeys {
			_, there := stored[string(k)]
			require.Equal(t, there, have[string(k)])
		}
		for _, p := range res.ScannedPrefixes {
			for k := range stored {
				if bytes.HasPrefix([]byte(k), p.Prefix) && (p.Complete || k <= string(p.Through)) {
					require.True(t, have[k], "%q is below the scanned prefix %q", k, p.Prefix)
				}
			}
		}
		require.NoError(t, c.ws.Close())
	})
}
