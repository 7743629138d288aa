package server_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/server"
	"github.com/stretchr/testify/require"
)

// A hostile client has a valid token and means harm. Whatever it does, another connection goes on being answered, and the
// server's memory stays within its limits.

// bystander uses one actor all the time. The function returned waits until it has been answered twice more, which holds
// that the attack does not stop it, and that what it has written is there.
func bystander(t *testing.T, url string) (answered func()) {
	c := dial(t, url)
	g := c.open("victim", protocol.ModeFail).Generation
	var n atomic.Uint64
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := uint64(1); ctx.Err() == nil; i++ {
			value := binary.BigEndian.AppendUint64(nil, i)
			put := c.answer(c.start("victim", protocol.OpPut, protocol.Put{Generation: g, Keys: keys("k"), Values: [][]byte{value}}))
			get := c.answer(c.start("victim", protocol.OpGet, protocol.Get{Keys: keys("k")}))
			var res protocol.GetResult
			if put.Error != nil || get.Error != nil || protocol.DecodeBody(get.Result, &res) != nil || !bytes.Equal(res.Values[0], value) {
				t.Errorf("the bystander is harmed: %v, %v, %v", put.Error, get.Error, res.Values)
				return
			}
			n.Add(1)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return func() {
		t.Helper()
		from := n.Load()
		eventually(t, "the bystander is answered", func() bool { return n.Load() >= from+2 })
	}
}

// heap returns the bytes of live objects.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// requireHeap fails if more than most bytes stay added since before: what a connection held goes a moment after it.
func requireHeap(t *testing.T, before, most uint64) {
	t.Helper()
	now := heap()
	for until := time.Now().Add(patience); now > before+most && time.Now().Before(until); now = heap() {
		runtime.Gosched()
	}
	t.Logf("heap: %d KiB more", (int64(now)-int64(before))/1024)
	require.LessOrEqual(t, now, before+most, "the heap has grown from %d by more than %d bytes", before, most)
}

// attacker is a connection that sends bytes as it likes and reads nothing until told to.
func attacker(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	ws := dialRaw(t, url)
	_, _, err := ws.ReadMessage() // the welcome
	require.NoError(t, err)
	return ws
}

func sendFrame(t *testing.T, ws *websocket.Conn, v any) {
	t.Helper()
	b, err := protocol.Encode(v)
	require.NoError(t, err)
	require.NoError(t, ws.WriteMessage(websocket.BinaryMessage, b))
}

// requireClosed reads until the connection ends, which must be with the status.
func requireClosed(t *testing.T, ws *websocket.Conn, status int) {
	t.Helper()
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	for {
		if _, _, err := ws.ReadMessage(); err != nil {
			require.True(t, websocket.IsCloseError(err, status), "closed with %v, want %d", err, status)
			return
		}
	}
}

func TestHostileFrames(t *testing.T) {
	_, url := serve(t, server.Config{})
	answered := bystander(t, url)
	raw := func(head string, body ...byte) []byte { return append([]byte(head), body...) }
	mask := "\x00\x00\x00\x00"
	for _, c := range []struct {
		name   string
		bytes  []byte
		status int
	}{
		{"declares 2^62 bytes", raw("\x82\xff\x3f\xff\xff\xff\xff\xff\xff\xff" + mask), websocket.CloseMessageTooBig},
		{"declares one byte too many", raw("\x82\xff\x00\x00\x00\x00\x00\x40\x00\x01" + mask), websocket.CloseMessageTooBig},
		{"compressed", raw("\xc2\x85"+mask, 1, 2, 3, 4, 5), websocket.CloseProtocolError},
		{"reserved opcode", raw("\x83\x80" + mask), websocket.CloseProtocolError},
		{"not masked", raw("\x82\x02", 0xa0, 0), websocket.CloseProtocolError},
		{"fragmented ping", raw("\x09\x80" + mask), websocket.CloseProtocolError},
		{"continues nothing", raw("\x80\x80" + mask), websocket.CloseProtocolError},
		{"text", raw("\x81\x81"+mask, 'a'), websocket.CloseInvalidFramePayloadData},
		{"empty", raw("\x82\x80" + mask), websocket.CloseInvalidFramePayloadData},
	} {
		t.Run(c.name, func(t *testing.T) {
			ws := attacker(t, url)
			_, err := ws.NetConn().Write(c.bytes)
			require.NoError(t, err)
			requireClosed(t, ws, c.status)
			answered()
		})
	}
	// CBOR that is sealed, and nonsense.
	for name, frame := range map[string][]byte{
		"deep nesting":     append([]byte{0xa5, 0, 1, 1, 5, 2, 0x61, 'a', 3, 3, 4}, bytes.Repeat([]byte{0x81}, 60_000)...),
		"a huge array":     {0xa5, 0, 1, 1, 5, 2, 0x61, 'a', 3, 3, 4, 0xa1, 1, 0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"a huge string":    {0xa5, 0, 1, 1, 5, 2, 0x7b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"a huge map":       {0xa5, 0, 1, 1, 5, 2, 0x61, 'a', 3, 3, 4, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0},
		"duplicate fields": {0xa5, 0, 1, 1, 5, 1, 5, 3, 3, 4, 0xa0},
	} {
		t.Run(name, func(t *testing.T) {
			before := heap()
			c := dial(t, url)
			require.NoError(t, c.ws.WriteMessage(websocket.BinaryMessage, protocol.Seal(frame)))
			g := c.open("own", protocol.ModeTakeover).Generation // the frame had a readable id: the connection lives
			call[protocol.Empty](c, "own", protocol.OpClose, protocol.Close{Generation: g})
			requireHeap(t, before, 4<<20)
			answered()
		})
	}
}

func TestHostileFloodOfBadFrames(t *testing.T) {
	srv, url := serve(t, server.Config{PingInterval: 2 * time.Second, PingTimeout: 2 * time.Second})
	answered := bystander(t, url)
	before := heap()
	ws := attacker(t, url)
	bad := protocol.Seal([]byte{0xa5, 0, 1, 1, 5, 2, 0x41, 0x61, 3, 3, 4, 0xa0}) // answered bad_request, and the answers pile up
	var err error
	for i := 0; i < 5_000_000 && err == nil; i++ {
		_ = ws.SetWriteDeadline(time.Now().Add(patience))
		err = ws.WriteMessage(websocket.BinaryMessage, bad)
		if i%2000 == 0 {
			requireHeapQuietly(t, before, 64<<20)
		}
	}
	require.Error(t, err, "one that reads nothing is let go")
	answered()
	require.NotZero(t, srv.Snapshot().BadFrames)
	requireHeap(t, before, 8<<20)
}

// requireHeapQuietly is requireHeap without collecting garbage first, for use amid an attack: garbage counts double.
func requireHeapQuietly(t *testing.T, before, most uint64) {
	t.Helper()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	require.LessOrEqual(t, m.HeapAlloc, 2*(before+most))
}

// A million opens: PAGEWIRE_HOSTILE_OPENS=1000000.
func TestHostileOpens(t *testing.T) {
	const most, atOnce = 200, 4000
	total := 25 * atOnce
	if text := os.Getenv("PAGEWIRE_HOSTILE_OPENS"); text != "" {
		n, err := strconv.Atoi(text)
		require.NoError(t, err)
		total = n
	}
	_, url := serve(t, server.Config{Limits: protocol.Limits{ConnectionActors: most}})
	answered := bystander(t, url)
	before := heap()
	c := dial(t, url)
	ids := make([]uint64, 0, atOnce)
	opened := 0
	for sent := 0; sent < total; sent += len(ids) {
		ids = ids[:0]
		for i := range min(atOnce, total-sent) {
			ids = append(ids, c.start(fmt.Sprintf("mine%d", sent+i), protocol.OpOpen, protocol.Open{}))
		}
		for _, id := range ids {
			if r := c.answer(id); r.Error == nil {
				opened++
			} else {
				require.Equal(t, protocol.CodeTooManyActors, r.Error.Code)
			}
		}
		requireHeapQuietly(t, before, 32<<20)
	}
	require.Equal(t, most, opened)
	answered()
	// Opens that wait for an actor that is not to be had: no more than are allowed, and they hold up nobody.
	w := dial(t, url)
	for i := range 2 * most {
		w.start("victim", protocol.OpOpen, protocol.Open{Mode: protocol.ModeWait})
		w.start(fmt.Sprintf("mine%d", i), protocol.OpOpen, protocol.Open{Mode: protocol.ModeWait})
	}
	answered()
	requireHeap(t, before, 32<<20)
}

// One that asks for much and reads nothing: what waits for it is bounded, and it is let go.
func TestHostileClientNeverReads(t *testing.T) {
	srv, url := serve(t, server.Config{PingInterval: 3 * time.Second, PingTimeout: 3 * time.Second})
	answered := bystander(t, url)
	const actors = 30
	pages, fill := make([]uint32, 512), make([]byte, 512)
	for i := range pages {
		pages[i], fill[i] = uint32(i), byte(i)
	}
	fetch := protocol.Fetch{Pages: pages, Expand: &protocol.Expand{Depth: 9, Budget: 1 << 40}}
	w := dial(t, url)
	for i := range actors {
		actor := fmt.Sprint("big", i)
		g := w.open(actor, protocol.ModeFail).Generation
		call[protocol.CommitResult](w, actor, protocol.OpCommit, protocol.Commit{
			Generation: g, Seq: 1, Count: 1, Size: 512 * protocol.PageSize, Pages: pagesOf(pages, fill...),
		})
	}
	before := heap()
	ws := attacker(t, url)
	send := func(id int, actor int, op protocol.Op, body any) {
		b, err := protocol.Encode(protocol.Request[any]{ID: uint64(id), Actor: fmt.Sprint("big", actor), Op: op, Body: body})
		require.NoError(t, err)
		_ = ws.WriteMessage(websocket.BinaryMessage, b) // on a slow machine it is let go before it has said all
	}
	for i := range actors {
		send(i, i, protocol.OpOpen, protocol.Open{Mode: protocol.ModeTakeover})
		for j := range 32 {
			send(1000*i+j, i, protocol.OpFetch, fetch)
		}
	}
	// More than the outbox of 8 MiB holds waits or is in the sockets, whose size is the system's.
	eventually(t, "the answers pile up", func() bool { return srv.Snapshot().PagesFetched*protocol.PageSize > 8<<20 })
	answered()
	requireHeap(t, before, 80<<20) // 16 reads of 2 MiB, encoded and not, and the outbox of 8 MiB
	eventually(t, "it is let go", func() bool { return srv.Snapshot().SlowReaders > 0 })
	answered()
	requireHeap(t, before, 8<<20)
}

// Stages that no commit follows.
func TestHostileUnfinishedStages(t *testing.T) {
	srv, url := serve(t, server.Config{
		HeldBytes: 32 << 20, PingInterval: 2 * time.Second, PingTimeout: 2 * time.Second,
		Limits: protocol.Limits{FrameBytes: 4 << 20},
	})
	answered := bystander(t, url)
	before := heap()
	indexes, fill := make([]uint32, 256), make([]byte, 256)
	for i := range indexes {
		indexes[i] = uint32(i)
	}
	part := pagesOf(indexes, fill...)
	var all []*client
	for range 4 {
		c := dial(t, url)
		all = append(all, c)
		c.open(fmt.Sprint("mine", len(all)), protocol.ModeFail)
		for i := range 20 { // 20 MiB, in up to 20 commits
			c.frame(&protocol.Stage{Commit: uint64(1000 + i/4), Actor: fmt.Sprint("mine", len(all)), Pages: part})
		}
		answered()
	}
	requireHeap(t, before, (32+4*8+8)<<20) // what all may hold, each one's two frames, and slack
	// They are given up in time, and the commit that does come says so.
	eventually(t, "the stages are given up", func() bool { return srv.Snapshot().HeldBytes < 1<<16 })
	requireHeap(t, before, 8<<20)
	for i, c := range all {
		c.mu.Lock()
		c.wait[1000] = make(chan *protocol.RawResponse, 1)
		c.mu.Unlock()
		actor := fmt.Sprint("mine", i+1)
		c.frame(protocol.Request[any]{ID: 1000, Actor: actor, Op: protocol.OpCommit, Body: protocol.Commit{Generation: 1, Seq: 1, Count: 1, Size: 1 << 20, Staged: 4}})
		c.refusedID(protocol.CodeBackpressure, 1000)
		// The same commit with all of its stages is taken.
		c.frame(&protocol.Stage{Commit: 2000, Actor: actor, Pages: part})
		c.mu.Lock()
		c.wait[2000] = make(chan *protocol.RawResponse, 1)
		c.mu.Unlock()
		c.frame(protocol.Request[any]{ID: 2000, Actor: actor, Op: protocol.OpCommit, Body: protocol.Commit{Generation: 1, Seq: 1, Count: 1, Size: 1 << 20, Staged: 1}})
		result[protocol.CommitResult](c, 2000)
	}
	answered()
}

// I1: what belongs to another connection cannot be touched without taking it over, whatever generation is claimed.
func TestI1HostileRequestsForOthersActors(t *testing.T) {
	_, url := serve(t, server.Config{})
	answered := bystander(t, url)
	c := dial(t, url)
	for _, actor := range []string{"victim", "victim ", "./victim", "default/victim", "../default/victim"} {
		for g := range uint64(3) {
			for _, r := range []struct {
				op   protocol.Op
				body any
			}{
				{protocol.OpPut, protocol.Put{Generation: g, Keys: keys("k"), Values: keys("stolen")}},
				{protocol.OpDelete, protocol.Delete{Generation: g, Keys: keys("k")}},
				{protocol.OpDeleteRange, protocol.DeleteRange{Generation: g, Start: []byte{}}},
				{protocol.OpGet, protocol.Get{Keys: keys("k")}},
				{protocol.OpCommit, protocol.Commit{Generation: g, Seq: 1, Count: 1}},
				{protocol.OpClose, protocol.Close{Generation: g}},
			} {
				require.NotNil(t, c.answer(c.start(actor, r.op, r.body)).Error)
			}
		}
	}
	answered()
	// Names around the victim's: everything deleted there, nothing here.
	for _, actor := range []string{"v", "victi", "victim0", "victim!", "victim/x", "VICTIM", "victim\u00a0", "ictim"} {
		g := c.open(actor, protocol.ModeFail).Generation
		call[protocol.Empty](c, actor, protocol.OpPut, protocol.Put{Generation: g, Keys: keys("k"), Values: keys("v")})
		for _, end := range [][]byte{nil, {}, {0xff, 0xff, 0xff, 0xff, 0xff}} {
			call[protocol.Empty](c, actor, protocol.OpDeleteRange, protocol.DeleteRange{Generation: g, Start: []byte{}, End: end})
		}
		require.Empty(t, call[protocol.ListResult](c, actor, protocol.OpList, protocol.List{}).Entries.Keys)
		answered()
	}
}

func TestHostileIDsReused(t *testing.T) {
	_, url := serve(t, server.Config{})
	answered := bystander(t, url)
	ws := attacker(t, url)
	sendFrame(t, ws, protocol.Request[any]{ID: 7, Actor: "own", Op: protocol.OpOpen, Body: protocol.Open{}})
	const n = 50
	for range n {
		sendFrame(t, ws, protocol.Request[any]{ID: 7, Actor: "own", Op: protocol.OpGet, Body: protocol.Get{Keys: keys("k")}})
	}
	for range n + 1 { // every one is answered, though its sender cannot tell them apart
		_, b, err := ws.ReadMessage()
		require.NoError(t, err)
		msg, err := protocol.DecodeServerFrame(b)
		require.NoError(t, err)
		require.Equal(t, uint64(7), msg.(*protocol.RawResponse).ID)
	}
	answered()
}

func TestHostileConnectionFlood(t *testing.T) {
	const most = 20
	srv, url := serve(t, server.Config{MaxConnections: most})
	answered := bystander(t, url)
	before := heap()
	var all []*websocket.Conn
	for range most - 1 {
		all = append(all, attacker(t, url))
	}
	for range 3 * most {
		d := &websocket.Dialer{Subprotocols: []string{protocol.Subprotocol()}}
		_, resp, err := d.Dial(url, nil)
		require.ErrorIs(t, err, websocket.ErrBadHandshake)
		require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	}
	answered()
	requireHeap(t, before, 8<<20)
	require.NoError(t, all[0].Close())
	eventually(t, "there is room again", func() bool { return srv.Snapshot().Connections < most })
	attacker(t, url)
}

// Frames that come a byte at a time, and never end.
func TestHostileDrip(t *testing.T) {
	_, url := serve(t, server.Config{PingInterval: 2 * time.Second, PingTimeout: 2 * time.Second})
	answered := bystander(t, url)
	before := heap()
	for _, head := range []string{
		"\x82\xff\x00\x00\x00\x00\x00\x3f\x00\x00\x00\x00\x00\x00", // one frame of nearly 4 MiB
		"\x02\x81\x00\x00\x00\x00",                                 // a message in frames of one byte
	} {
		ws := attacker(t, url)
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			for {
				if _, _, err := ws.ReadMessage(); err != nil {
					return
				}
			}
		}()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		limit := time.After(patience)
		_, err := ws.NetConn().Write([]byte(head))
		for dripping := err == nil; dripping; {
			select {
			case <-tick.C:
				if head[0] == 0x02 {
					_, _ = ws.NetConn().Write([]byte("\x00\x81\x00\x00\x00\x00"))
				}
				_, _ = ws.NetConn().Write([]byte{0})
			case <-closed:
				dripping = false
			case <-limit:
				require.FailNow(t, "the connection lives on its drip")
			}
		}
		answered()
	}
	// Many that have declared a frame of 4 MiB, and sent hardly anything of it.
	var all []net.Conn
	for range 200 {
		ws := attacker(t, url)
		_, err := ws.NetConn().Write([]byte("\x82\xff\x00\x00\x00\x00\x00\x3f\x00\x00\x00\x00\x00\x00abc"))
		require.NoError(t, err)
		all = append(all, ws.NetConn())
	}
	answered()
	requireHeap(t, before, 200*(160<<10)) // buffers of both sides
	require.Len(t, all, 200)
}
