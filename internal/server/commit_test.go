package server_test

import (
	"bytes"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/server"
	"github.com/pagewire/pagewire/internal/store"
	"github.com/pagewire/pagewire/internal/store/memory"
	"github.com/stretchr/testify/require"
)

// files of an actor as an open reports them; the open takes the actor over.
func filesOf(c *client, actor string) []protocol.File {
	return c.open(actor, protocol.ModeTakeover).Files
}

func TestCommitAndFetch(t *testing.T) {
	eachStore(t, func(t *testing.T, st store.Store) {
		srv, url := serve(t, server.Config{Store: st})
		c := dial(t, url)
		gen := c.open("x", protocol.ModeFail).Generation
		const p = protocol.PageSize
		r := call[protocol.CommitResult](c, "x", protocol.OpCommit, protocol.Commit{
			Generation: gen, Seq: 1, Count: 1, Size: 4 * p, Pages: pagesOf([]uint32{0, 3, 1}, 1, 0, 2),
		})
		require.Equal(t, protocol.CommitResult{Seq: 1, UsedBytes: 3*(p+8) + 14}, r)
		f := call[protocol.FetchResult](c, "x", protocol.OpFetch, protocol.Fetch{Pages: []uint32{3, 2, 1, 0, 9}})
		require.Equal(t, []uint32{3, 1, 0}, f.Pages.Indexes)
		require.Equal(t, []uint32{2, 9}, f.Pages.Absent, "absent pages are named (I9)")
		require.Equal(t, page(2), pageAt(f.Pages, 1))

		// Zeros are stored like anything else: other readers of the layout expect whole chunks.
		g := call[protocol.GetResult](c, "x", protocol.OpGet, protocol.Get{Keys: [][]byte{protocol.ChunkKey(0, 3), protocol.MetaKey(0)}})
		require.Equal(t, page(0), g.Values[0])
		require.Equal(t, protocol.EncodeMeta(4*p), g.Values[1])

		// A shrink removes what is past the end, in the same step.
		call[protocol.CommitResult](c, "x", protocol.OpCommit, protocol.Commit{Generation: gen, Seq: 2, Count: 1, Size: 2 * p})
		f = call[protocol.FetchResult](c, "x", protocol.OpFetch, protocol.Fetch{Pages: []uint32{0, 1, 2, 3}})
		require.Equal(t, []uint32{0, 1}, f.Pages.Indexes)
		// What a generic write left past the end is removed too.
		call[protocol.Empty](c, "x", protocol.OpPut, put(gen, string(protocol.ChunkKey(0, 7)), "stray"))
		call[protocol.CommitResult](c, "x", protocol.OpCommit, protocol.Commit{Generation: gen, Seq: 3, Count: 1, Size: 2 * p})
		f = call[protocol.FetchResult](c, "x", protocol.OpFetch, protocol.Fetch{Pages: []uint32{7}})
		require.Equal(t, []uint32{7}, f.Pages.Absent)

		// The last chunk ends where the file does; short chunks are padded on the way back.
		call[protocol.CommitResult](c, "x", protocol.OpCommit, protocol.Commit{
			Generation: gen, Seq: 4, Count: 1, Size: p + 10, Pages: pagesOf([]uint32{1}, 7)})
		g = call[protocol.GetResult](c, "x", protocol.OpGet, protocol.Get{Keys: [][]byte{protocol.ChunkKey(0, 1)}})
		require.Len(t, g.Values[0], 10)
		f = call[protocol.FetchResult](c, "x", protocol.OpFetch, protocol.Fetch{Pages: []uint32{1}})
		require.Equal(t, append(bytes.Repeat([]byte{7}, 10), make([]byte, p-10)...), pageAt(f.Pages, 1))

		// A hot journal that was rolled back goes with the commit.
		call[protocol.Empty](c, "x", protocol.OpPut, put(gen, string(protocol.MetaKey(1)), string(protocol.EncodeMeta(5)),
			string(protocol.ChunkKey(1, 0)), "hello"))
		f = call[protocol.FetchResult](c, "x", protocol.OpFetch, protocol.Fetch{File: 1, Pages: []uint32{0, 1}})
		require.Equal(t, "hello", string(f.Pages.Data[:5]))
		require.Equal(t, []uint32{1}, f.Pages.Absent)
		call[protocol.CommitResult](c, "x", protocol.OpCommit, protocol.Commit{
			Generation: gen, Seq: 5, Count: 1, Size: p, DropFiles: []uint8{1}})
		require.Equal(t, []protocol.File{{Tag: 0, Size: p}}, filesOf(c, "x"))

		// Merged commits count as one.
		call[protocol.CommitResult](c, "x", protocol.OpCommit, protocol.Commit{Generation: gen + 1, Seq: 8, Count: 3, Size: p})
		n := srv.Snapshot()
		require.EqualValues(t, 6, n.Commits)
		require.EqualValues(t, 4, n.PagesCommitted)
	})
}

// Pages past the end of a file that this session has committed are not looked up, those of other files are. The store in memory
// refuses a key that is called new and is there.
func TestPagesPastTheEndAreNew(t *testing.T) {
	var fresh []uint32
	st := &hookedStore{Store: memory.New()}
	st.apply = func(_ string, b *store.Batch) error {
		fresh = nil
		for _, e := range b.Puts {
			if e.New {
				_, index, ok := protocol.ParseChunkKey(e.Key)
				require.True(t, ok)
				fresh = append(fresh, index)
			}
		}
		return nil
	}
	_, url := serve(t, server.Config{Store: st})
	c := dial(t, url)
	gen := c.open("x", protocol.ModeFail).Generation
	const p = protocol.PageSize
	seq := uint64(0)
	for _, step := range []struct {
		what  string
		put   uint32 // a chunk that is written by itself before, if not 0
		size  uint64
		pages []uint32
		want  []uint32
	}{
		{what: "the first commit", size: 3 * p, pages: []uint32{0, 1, 2}},
		{what: "growing", size: 5 * p, pages: []uint32{2, 3, 4}, want: []uint32{3, 4}},
		{what: "shrinking", size: 2 * p, pages: []uint32{1}},
		{what: "growing again", size: 4 * p, pages: []uint32{1, 2, 3}, want: []uint32{2, 3}},
		{what: "after a generic write", put: 6, size: 7 * p, pages: []uint32{4, 5, 6}},
		{what: "to a part of a page", size: 7*p + 10, pages: []uint32{7}, want: []uint32{7}},
		{what: "from a part of a page", size: 9 * p, pages: []uint32{7, 8}, want: []uint32{8}},
	} {
		if step.put != 0 {
			call[protocol.Empty](c, "x", protocol.OpPut, put(gen, string(protocol.ChunkKey(0, step.put)), "stray"))
		}
		seq++
		call[protocol.CommitResult](c, "x", protocol.OpCommit, protocol.Commit{
			Generation: gen, Seq: seq, Count: 1, Size: step.size, Pages: pagesOf(step.pages, bytes.Repeat([]byte{byte(seq)}, len(step.pages))...),
		})
		require.Equal(t, step.want, fresh, step.what)
	}
	head, err := st.Head(t.Context(), "default/x")
	require.NoError(t, err)
	require.EqualValues(t, 9*(p+8)+14, head.UsedBytes)
	gen = c.open("x", protocol.ModeTakeover).Generation
	call[protocol.CommitResult](c, "x", protocol.OpCommit, protocol.Commit{
		Generation: gen, Seq: seq + 1, Count: 1, Size: 10 * p, Pages: pagesOf([]uint32{9}, 1),
	})
	require.Nil(t, fresh, "another session's file")
}

func TestStagedCommit(t *testing.T) {
	_, url := serve(t, server.Config{})
	c := dial(t, url)
	gen := c.open("x", protocol.ModeFail).Generation
	const perStage, stages = 256, 5
	size := uint64(stages*perStage+1) * protocol.PageSize
	send := func(n int, b protocol.Commit) uint64 {
		id := c.id()
		for i := range n {
			var p protocol.Pages
			for j := range perStage {
				p.Indexes = append(p.Indexes, uint32(i*perStage+j))
				p.Data = append(p.Data, page(byte(i+1))...)
			}
			c.frame(protocol.Stage{Commit: id, Actor: "x", Pages: p})
		}
		c.frame(protocol.Request[any]{ID: id, Actor: "x", Op: protocol.OpCommit, Body: b})
		return id
	}
	b := protocol.Commit{Generation: gen, Seq: 1, Count: 1, Size: size, Staged: stages,
		Pages: pagesOf([]uint32{stages * perStage}, 99)}
	c.refusedID(protocol.CodeBadRequest, send(stages-1, b))
	require.Empty(t, call[protocol.ListResult](c, "x", protocol.OpList, protocol.List{Limit: 1}).Entries.Keys, "nothing (I3)")
	result[protocol.CommitResult](c, send(stages, b))
	f := call[protocol.FetchResult](c, "x", protocol.OpFetch, protocol.Fetch{Pages: []uint32{0, 300, 1279, 1280}})
	require.Equal(t, page(1), pageAt(f.Pages, 0))
	require.Equal(t, page(2), pageAt(f.Pages, 300))
	require.Equal(t, page(5), pageAt(f.Pages, 1279))
	require.Equal(t, page(99), pageAt(f.Pages, 1280))
	require.True(t, result[protocol.CommitResult](c, send(stages, b)).Already, "sent again (I4)")
	require.EqualValues(t, 1, call[protocol.CommitResult](c, "x", protocol.OpCommit, protocol.Commit{
		Generation: gen, Seq: 1, Count: 1}).Seq, "and its stages are not needed to say so")
}

func TestStagesOverTheCommitLimit(t *testing.T) {
	l := server.DefaultLimits()
	l.CommitBytes, l.ActorQueue = 4*protocol.PageSize, 2
	_, url := serve(t, server.Config{Limits: l})
	c := dial(t, url)
	gen := c.open("x", protocol.ModeFail).Generation
	stage := func(id uint64) { c.frame(protocol.Stage{Commit: id, Actor: "x", Pages: pagesOf([]uint32{1, 2}, 1, 2)}) }
	id := c.id()
	for range 3 {
		stage(id)
	}
	c.frame(protocol.Request[any]{ID: id, Actor: "x", Op: protocol.OpCommit, Body: protocol.Commit{
		Generation: gen, Seq: 1, Count: 1, Size: 9 * protocol.PageSize, Staged: 3}})
	c.refusedID(protocol.CodePayloadTooLarge, id)

	for id := uint64(1000); id < 1004; id++ { // commits that never come
		stage(id)
	}
	c.closes(1008)
}

// A commit that is refused leaves nothing behind (I3, I6).
func TestRefusedCommits(t *testing.T) {
	_, url := serve(t, server.Config{})
	c := dial(t, url)
	gen := c.open("x", protocol.ModeFail).Generation
	const p = protocol.PageSize
	call[protocol.CommitResult](c, "x", protocol.OpCommit, protocol.Commit{Generation: gen, Seq: 1, Count: 1, Size: p, Pages: pagesOf([]uint32{0}, 1)})
	before := call[protocol.ListResult](c, "x", protocol.OpList, protocol.List{})
	for name, x := range map[string]struct {
		code   protocol.Code
		commit protocol.Commit
	}{
		"gap":              {protocol.CodeOutOfOrder, protocol.Commit{Seq: 3, Count: 1, Size: p}},
		"merged gap":       {protocol.CodeOutOfOrder, protocol.Commit{Seq: 4, Count: 2, Size: p}},
		"no count":         {protocol.CodeBadRequest, protocol.Commit{Seq: 2, Size: p}},
		"past the size":    {protocol.CodeBadRequest, protocol.Commit{Seq: 2, Count: 1, Size: p, Pages: pagesOf([]uint32{0, 1}, 8, 9)}},
		"twice":            {protocol.CodeBadRequest, protocol.Commit{Seq: 2, Count: 1, Size: p, Pages: pagesOf([]uint32{0, 0}, 8, 9)}},
		"size":             {protocol.CodeBadRequest, protocol.Commit{Seq: 2, Count: 1, Size: protocol.MaxFileBytes + 1}},
		"missing bytes":    {protocol.CodeBadRequest, protocol.Commit{Seq: 2, Count: 1, Size: p, Pages: protocol.Pages{Indexes: []uint32{0}}}},
		"drops main":       {protocol.CodeBadRequest, protocol.Commit{Seq: 2, Count: 1, Size: p, DropFiles: []uint8{0}}},
		"stages not there": {protocol.CodeBadRequest, protocol.Commit{Seq: 2, Count: 1, Size: p, Staged: 1}},
		"generation":       {protocol.CodeLockLost, protocol.Commit{Generation: gen + 1, Seq: 2, Count: 1, Size: p}},
	} {
		t.Run(name, func(t *testing.T) {
			c.t = t
			if x.commit.Generation == 0 {
				x.commit.Generation = gen
			}
			c.refused(x.code, "x", protocol.OpCommit, x.commit)
			require.Equal(t, before, call[protocol.ListResult](c, "x", protocol.OpList, protocol.List{}))
		})
	}
}

func TestStoreErrorsAreMapped(t *testing.T) {
	var fail atomic.Pointer[error]
	st := &hookedStore{Store: memory.New(), apply: func(string, *store.Batch) error {
		if err := fail.Load(); err != nil {
			return *err
		}
		return nil
	}}
	srv, url := serve(t, server.Config{Store: st})
	c := dial(t, url)
	gen := c.open("x", protocol.ModeFail).Generation
	for _, x := range []struct {
		err  error
		code protocol.Code
	}{
		{store.ErrFull, protocol.CodeStorageFull},
		{store.ErrQuota, protocol.CodeStorageQuotaExceeded},
		{store.ErrOutOfOrder, protocol.CodeOutOfOrder},
		{store.ErrCorrupt, protocol.CodeInternal},
		{store.ErrClosed, protocol.CodeInternal},
		{errors.New("secret path /var/x"), protocol.CodeInternal},
	} {
		fail.Store(&x.err)
		e := c.refused(x.code, "x", protocol.OpPut, put(gen, "k", "v"))
		require.NotContains(t, e.Message, "secret")
	}
	fail.Store(nil)
	call[protocol.Empty](c, "x", protocol.OpPut, put(gen, "k", "v"))
	require.EqualValues(t, 3, srv.Snapshot().Errors[protocol.CodeInternal])
}
