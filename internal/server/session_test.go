package server_test

import (
	"sync"
	"testing"
	"time"

	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/server"
	"github.com/pagewire/pagewire/internal/store"
	"github.com/pagewire/pagewire/internal/store/memory"
	"github.com/stretchr/testify/require"
)

func TestModeFail(t *testing.T) {
	_, url := serve(t, server.Config{})
	a, b := dial(t, url), dial(t, url)
	gen := a.open("x", protocol.ModeFail).Generation
	b.refused(protocol.CodeActorLocked, "x", protocol.OpOpen, protocol.Open{})
	a.refused(protocol.CodeActorLocked, "x", protocol.OpOpen, protocol.Open{})
	a.refused(protocol.CodeActorLocked, "x", protocol.OpOpen, protocol.Open{Mode: protocol.ModeWait})
	call[protocol.Empty](a, "x", protocol.OpClose, protocol.Close{Generation: gen})
	require.Equal(t, gen+1, b.open("x", protocol.ModeFail).Generation, "every open fences")
}

func TestModeWait(t *testing.T) {
	srv, url := serve(t, server.Config{})
	waiting := func(n int) {
		require.Eventually(t, func() bool { return srv.Waiting("x") == n }, time.Minute, time.Millisecond)
	}
	a, b, c := dial(t, url), dial(t, url), dial(t, url)
	a.open("x", protocol.ModeFail)
	b.refused(protocol.CodeActorLocked, "x", protocol.OpOpen, protocol.Open{Mode: protocol.ModeWait, WaitMillis: 20})

	first := b.start("x", protocol.OpOpen, protocol.Open{Mode: protocol.ModeWait})
	b.open("y", protocol.ModeFail) // a wait holds up nobody else
	waiting(1)                     // the two actors' requests run side by side, in no order
	second := c.start("x", protocol.OpOpen, protocol.Open{Mode: protocol.ModeWait})
	waiting(2)
	require.NoError(t, a.ws.Close(), "the connection breaks")
	gen := result[protocol.OpenResult](b, first).Generation
	call[protocol.Empty](b, "x", protocol.OpClose, protocol.Close{Generation: gen})
	require.Equal(t, gen+1, result[protocol.OpenResult](c, second).Generation)
}

// One writer: a taken over session cannot write, whatever it still sends (I1).
func TestTakeover(t *testing.T) {
	eachStore(t, func(t *testing.T, st store.Store) {
		srv, url := serve(t, server.Config{Store: st})
		a, b := dial(t, url), dial(t, url)
		gen := a.open("x", protocol.ModeFail).Generation
		require.Equal(t, gen+1, b.open("x", protocol.ModeTakeover).Generation)
		a.evicted("x", gen)
		stale := protocol.Commit{Generation: gen, Seq: 1, Count: 1, Size: protocol.PageSize, Pages: pagesOf([]uint32{0}, 1)}
		a.refused(protocol.CodeLockLost, "x", protocol.OpCommit, stale)
		stale.Generation++ // of the one that took over
		a.refused(protocol.CodeLockLost, "x", protocol.OpCommit, stale)
		a.refused(protocol.CodeLockLost, "x", protocol.OpGet, protocol.Get{})
		a.refused(protocol.CodeLockLost, "x", protocol.OpClose, protocol.Close{Generation: gen})
		a.refused(protocol.CodeActorNotOpen, "x", protocol.OpGet, protocol.Get{})
		require.Empty(t, call[protocol.ListResult](b, "x", protocol.OpList, protocol.List{}).Entries.Keys)
		require.EqualValues(t, 1, srv.Snapshot().OpenActors)

		again := b.open("x", protocol.ModeTakeover)
		require.Equal(t, gen+2, again.Generation, "of one's own actor")
		b.evicted("x", gen+1)
		call[protocol.Empty](b, "x", protocol.OpPut, put(gen+2, "k", "v"))
		require.EqualValues(t, 2, srv.Snapshot().LockLost)
	})
}

// Two servers on one store are as safe as one: nothing in one's memory says what the other has done (I1, I8).
func TestTwoServersOnOneStore(t *testing.T) {
	st := memory.New()
	_, urlA := serve(t, server.Config{Store: st})
	_, urlB := serve(t, server.Config{Store: st})
	for _, op := range []struct {
		op   protocol.Op
		body func(gen uint64) any
	}{
		{protocol.OpCommit, func(gen uint64) any { return protocol.Commit{Generation: gen, Seq: 1, Count: 1} }},
		{protocol.OpPut, func(gen uint64) any { return put(gen, "k", "v") }},
		{protocol.OpDelete, func(gen uint64) any { return protocol.Delete{Generation: gen, Keys: keys("k")} }},
		{protocol.OpDeleteRange, func(gen uint64) any { return protocol.DeleteRange{Generation: gen} }},
		{protocol.OpClose, func(gen uint64) any { return protocol.Close{Generation: gen, Hints: []uint32{1}} }},
		{protocol.OpGet, func(uint64) any { return protocol.Get{} }},
		{protocol.OpList, func(uint64) any { return protocol.List{} }},
		{protocol.OpFetch, func(uint64) any { return protocol.Fetch{} }},
	} {
		a, b := dial(t, urlA), dial(t, urlB)
		gen := a.open("x", protocol.ModeTakeover).Generation
		b.open("x", protocol.ModeTakeover)
		a.refused(protocol.CodeLockLost, "x", op.op, op.body(gen))
		a.evicted("x", gen)
	}
}

func TestResume(t *testing.T) {
	eachStore(t, func(t *testing.T, st store.Store) {
		_, url := serve(t, server.Config{Store: st})
		a, b, c := dial(t, url), dial(t, url), dial(t, url)
		resume := func(gen, seq uint64) protocol.Open {
			return protocol.Open{Resume: &protocol.Resume{Generation: gen, Seq: seq}}
		}
		gen := a.open("x", protocol.ModeFail).Generation
		commit := protocol.Commit{Generation: gen, Seq: 1, Count: 1, Size: protocol.PageSize, Pages: pagesOf([]uint32{0}, 1)}
		call[protocol.CommitResult](a, "x", protocol.OpCommit, commit)

		// The old connection is half dead: the hold moves, and nothing that comes late on the old one is written.
		r := call[protocol.OpenResult](b, "x", protocol.OpOpen, resume(gen, 0))
		require.True(t, r.Resumed)
		require.Equal(t, gen, r.Generation)
		require.EqualValues(t, 1, r.Seq, "the client sees that its commit was applied")
		late := commit
		late.Seq = 2
		a.refused(protocol.CodeLockLost, "x", protocol.OpCommit, late)

		// An idempotent re-send is answered as such (I4).
		again := call[protocol.CommitResult](b, "x", protocol.OpCommit, commit)
		require.True(t, again.Already)
		require.EqualValues(t, 1, again.Seq)

		// The connection is gone altogether.
		require.NoError(t, b.ws.Close())
		r = call[protocol.OpenResult](c, "x", protocol.OpOpen, resume(gen, 1))
		require.True(t, r.Resumed)
		c.refused(protocol.CodeLockLost, "x", protocol.OpOpen, resume(gen, 9))
		c.refused(protocol.CodeLockLost, "never opened", protocol.OpOpen, resume(0, 0))

		d := dial(t, url)
		d.open("x", protocol.ModeTakeover)
		c.evicted("x", gen)
		c.refused(protocol.CodeLockLost, "x", protocol.OpOpen, resume(gen, 1))
		d.refused(protocol.CodeActorLocked, "x", protocol.OpOpen, protocol.Open{})
	})
}

// A write under way on the old connection ends before the resuming one learns the head: what it is told is final (I4).
func TestResumeWaitsForTheWriteUnderWay(t *testing.T) {
	begun, proceed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	st := &hookedStore{Store: memory.New(), apply: func(string, *store.Batch) error {
		once.Do(func() { close(begun); <-proceed })
		return nil
	}}
	_, url := serve(t, server.Config{Store: st})
	a, b := dial(t, url), dial(t, url)
	gen := a.open("x", protocol.ModeFail).Generation
	a.start("x", protocol.OpCommit, protocol.Commit{Generation: gen, Seq: 1, Count: 1})
	second := a.start("x", protocol.OpCommit, protocol.Commit{Generation: gen, Seq: 2, Count: 1})
	<-begun
	resumed := b.start("x", protocol.OpOpen, protocol.Open{Resume: &protocol.Resume{Generation: gen}})
	b.open("y", protocol.ModeFail)
	close(proceed)
	r := result[protocol.OpenResult](b, resumed)
	seq := r.Seq
	// Whether the second commit ran before the move or was refused, the head told is the head that is.
	if a.answer(second).Error == nil {
		require.EqualValues(t, 2, seq)
	} else {
		require.EqualValues(t, 1, seq)
	}
	again := call[protocol.CommitResult](b, "x", protocol.OpCommit, protocol.Commit{Generation: gen, Seq: seq, Count: 1})
	require.True(t, again.Already)
}

// Openers that race for one actor get generations one after the other; exactly one of them holds it in the end (I1).
func TestRacingTakeovers(t *testing.T) {
	_, url := serve(t, server.Config{})
	const n = 8
	var wg sync.WaitGroup
	clients := make([]*client, n)
	for i := range clients {
		clients[i] = dial(t, url)
	}
	gens := make([]uint64, n)
	for i, c := range clients {
		wg.Add(1)
		go func() {
			defer wg.Done()
			r := c.answer(c.start("x", protocol.OpOpen, protocol.Open{Mode: protocol.ModeTakeover}))
			var o protocol.OpenResult
			if r.Error == nil && protocol.DecodeBody(r.Result, &o) == nil {
				gens[i] = o.Generation
			}
		}()
	}
	wg.Wait()
	wrote := 0
	for i, c := range clients {
		if gens[i] == 0 {
			continue // taken over before it was answered
		}
		if r := c.answer(c.start("x", protocol.OpPut, put(gens[i], "k", "v"))); r.Error == nil {
			wrote++
			require.EqualValues(t, n, gens[i], "the last generation writes")
		} else {
			require.Equal(t, protocol.CodeLockLost, r.Error.Code)
		}
	}
	require.Equal(t, 1, wrote)
}

func TestOpenOfBrokenMetadata(t *testing.T) {
	srv, url := serve(t, server.Config{})
	c := dial(t, url)
	gen := c.open("x", protocol.ModeFail).Generation
	call[protocol.Empty](c, "x", protocol.OpPut, put(gen, string(protocol.MetaKey(0)), "short"))
	c.refused(protocol.CodeInternal, "x", protocol.OpOpen, protocol.Open{Mode: protocol.ModeTakeover})
	require.EqualValues(t, 0, srv.Snapshot().OpenActors, "a failed open holds nothing")
	c.refused(protocol.CodeInternal, "x", protocol.OpOpen, protocol.Open{Mode: protocol.ModeFail})
}

func TestWaitBoundOfZeroIsTheServers(t *testing.T) {
	_, url := serve(t, server.Config{})
	a, b := dial(t, url), dial(t, url)
	gen := a.open("x", protocol.ModeFail).Generation
	id := b.start("x", protocol.OpOpen, protocol.Open{Mode: protocol.ModeWait, WaitMillis: uint64(time.Hour.Milliseconds())})
	b.open("y", protocol.ModeFail)
	call[protocol.Empty](a, "x", protocol.OpClose, protocol.Close{Generation: gen})
	require.Equal(t, gen+1, result[protocol.OpenResult](b, id).Generation)
}
