package pages_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/pages"
	"github.com/pagewire/pagewire/internal/protocol"
)

// interiorPage is a table's interior page with children; the sequence of its fetches is what a scan of them makes.
func interiorPage(children ...uint32) []byte {
	page := make([]byte, pageSize)
	page[0] = 5
	cells := len(children) - 1
	page[3], page[4] = byte(cells>>8), byte(cells)
	at := pageSize
	put := func(b []byte, index uint32) {
		n := index + 1
		b[0], b[1], b[2], b[3] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	}
	put(page[8:], children[cells])
	for i, c := range children[:cells] {
		at -= 5
		put(page[at:], c)
		page[at+4] = byte(i + 1)
		page[12+2*i], page[13+2*i] = byte(at>>8), byte(at)
	}
	page[5], page[6] = byte(at>>8), byte(at)
	return page
}

// leafPage is an empty table leaf that bears a mark.
func leafPage(mark byte) []byte {
	page := make([]byte, pageSize)
	page[0], page[5], page[6], page[pageSize-1] = 13, byte(pageSize>>8), 0, mark
	return page
}

// scanned makes an actor whose page 0 is a root with leaves 1 to n, all marked 1, closes it and opens it with a cold
// cache, with the misses of a scan behind it that make the next fetch bring pages 5 to 8.
func scanned(t *testing.T, g *gate) *database {
	c := dial(t, serve(t, protocol.Limits{}))
	db := open(t, c, "a", protocol.Open{}, pages.Config{}, nil)
	// Page 0 carries a database header: the tree's root is page 1.
	write := map[uint32][]byte{0: filled(0), 1: interiorPage(2, 3, 4, 5, 6, 7, 8, 9)}
	for i := uint32(2); i < 10; i++ {
		write[i] = leafPage(1)
	}
	db.commit(10*pageSize, write)
	require.NoError(t, db.f.Flush(context.Background()))
	db.close()
	db = open(t, c, "a", protocol.Open{Preload: noPreload()}, pages.Config{DisableExpand: true}, g)
	db.read(1) // the root
	db.read(4) // a window of 1; 5 is the next miss
	return db
}

// A page that a batch wrote is never staged from a fetch sent before the batch was durable, whether the batch was handed
// over before or after the fetch was sent, and whether it is durable when the answer comes or not.
func TestI4FetchNeverBringsBackWhatABatchReplaced(t *testing.T) {
	fresh := leafPage(2)
	for _, test := range []struct {
		name                    string
		beforeFetch, afterReply bool // when the batch is handed over; between the two otherwise
		durable                 bool // it is acknowledged before the answer is accepted
	}{
		{name: "pending when sent, pending when answered", beforeFetch: true},
		{name: "pending when sent, durable when answered", beforeFetch: true, durable: true},
		{name: "handed over and durable before the request arrives", durable: true},
		{name: "handed over after the answer was read", afterReply: true},
		{name: "handed over and durable after the answer was read", afterReply: true, durable: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := &gate{}
			db := scanned(t, g)
			hold := make(chan struct{})
			g.onCommit = func(context.Context, *protocol.Commit, int) error { <-hold; return nil }
			batch := func() { db.commit(10*pageSize, map[uint32][]byte{6: fresh}) }
			settle := func() {
				if test.durable {
					hold <- struct{}{}
					require.NoError(t, db.f.Flush(context.Background()))
				}
			}
			fetches := 0
			g.onFetch = func(f *protocol.Fetch) {
				fetches++
				if fetches == 1 && !test.beforeFetch && !test.afterReply {
					batch()
					settle()
				}
			}
			g.fetched = func(f *protocol.Fetch, _ *protocol.FetchResult) {
				if fetches > 1 {
					return
				}
				if test.afterReply {
					require.Contains(t, f.Pages, uint32(6), "the readahead does not reach the page")
					batch()
				}
				if test.afterReply || test.beforeFetch {
					settle()
				}
			}
			if test.beforeFetch {
				batch()
			}
			require.Equal(t, leafPage(1), db.read(5))
			require.Equal(t, 1, fetches)
			if !test.durable {
				hold <- struct{}{}
				require.NoError(t, db.f.Flush(context.Background()))
			}
			_, staged := db.staged[6]
			require.False(t, staged, "the old page outlived the batch")
			require.Equal(t, fresh, db.read(6))
			require.Equal(t, leafPage(1), db.read(7))
			db.close()
		})
	}
}

// A page that two batches wrote stays theirs until the second is durable.
func TestI4FetchMindsTheLastOfTwoBatches(t *testing.T) {
	g := &gate{}
	db := scanned(t, g)
	hold := make(chan struct{})
	g.onCommit = func(context.Context, *protocol.Commit, int) error { hold <- struct{}{}; <-hold; return nil }
	db.commit(10*pageSize, map[uint32][]byte{6: leafPage(2)})
	<-hold // the first is on its way
	db.commit(10*pageSize, map[uint32][]byte{6: leafPage(3)})
	hold <- struct{}{}
	<-hold // it is durable, and the second on its way
	require.EqualValues(t, 1, db.f.Metrics().Batches)
	require.Equal(t, leafPage(1), db.read(5))
	hold <- struct{}{}
	require.NoError(t, db.f.Flush(context.Background()))
	require.Equal(t, leafPage(3), db.read(6))
	db.close()
}

// What a batch cuts off is not staged either, and a fetch for it answers zeros.
func TestFetchStopsAtTheEndOfTheFile(t *testing.T) {
	g := &gate{}
	db := scanned(t, g)
	g.fetched = func(f *protocol.Fetch, _ *protocol.FetchResult) {
		require.Contains(t, f.Pages, uint32(7))
		db.commit(7*pageSize, nil)
		db.commit(9*pageSize, map[uint32][]byte{8: leafPage(3)})
		require.NoError(t, db.f.Flush(context.Background()))
		g.fetched = nil
	}
	require.Equal(t, leafPage(1), db.read(5))
	require.NotContains(t, db.staged, uint32(7))
	require.Equal(t, filled(0), db.read(7))
	require.Equal(t, leafPage(3), db.read(8))
	require.Equal(t, filled(0), db.read(9), "past the end")
	require.Contains(t, db.staged, uint32(6))
	db.close()
}

// The page asked for itself may be replaced while it is fetched: the fetch is sent again.
func TestFetchRepeatsWhenItsOwnPageWasReplaced(t *testing.T) {
	g := &gate{}
	db := scanned(t, g)
	g.fetched = func(*protocol.Fetch, *protocol.FetchResult) {
		g.fetched = nil
		db.commit(10*pageSize, map[uint32][]byte{5: leafPage(9)})
		require.NoError(t, db.f.Flush(context.Background()))
	}
	before := db.f.Metrics().Fetches
	require.NoError(t, db.f.Fetch(context.Background(), protocol.FileMain, 5))
	require.Equal(t, leafPage(9), db.staged[5])
	require.EqualValues(t, 2, db.f.Metrics().Fetches-before)
	db.close()
}

// A fetch for a page of a batch that is not durable needs no round trip.
func TestFetchAnswersFromPendingBatches(t *testing.T) {
	g := &gate{}
	db := scanned(t, g)
	hold := make(chan struct{})
	g.onCommit = func(context.Context, *protocol.Commit, int) error { <-hold; return nil }
	db.commit(10*pageSize, map[uint32][]byte{5: leafPage(6), 7: leafPage(6)})
	db.commit(6*pageSize, map[uint32][]byte{5: leafPage(7)})
	db.commit(10*pageSize, map[uint32][]byte{9: leafPage(8)})
	before := db.f.Metrics().Fetches
	for index, want := range map[uint32][]byte{5: leafPage(7), 6: filled(0), 7: filled(0), 9: leafPage(8), 10: filled(0)} {
		require.NoError(t, db.f.Fetch(context.Background(), protocol.FileMain, index))
		require.Equal(t, want, db.staged[index])
	}
	require.Equal(t, before, db.f.Metrics().Fetches)
	close(hold)
	db.close()
}

func TestFetchEndsWithItsContext(t *testing.T) {
	g := &gate{}
	db := scanned(t, g)
	ctx, cancel := context.WithCancel(context.Background())
	g.onFetch = func(*protocol.Fetch) { cancel() }
	require.ErrorIs(t, db.f.Fetch(ctx, protocol.FileMain, 9), context.Canceled)
	g.onFetch = nil
	require.Equal(t, leafPage(1), db.read(9))
	db.close()
}

// A hot journal that another implementation left behind is read, and dropped with the batch that replaces it.
func TestAuxiliaryFilesAreReadAndDropped(t *testing.T) {
	c := dial(t, serve(t, protocol.Limits{}))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	a, _, err := c.Open(ctx, "a", protocol.Open{}, nil)
	require.NoError(t, err)
	put := &protocol.Put{Keys: [][]byte{protocol.MetaKey(protocol.FileJournal)}, Values: [][]byte{protocol.EncodeMeta(10 * pageSize)}}
	for i := range uint32(10) {
		put.Keys = append(put.Keys, protocol.ChunkKey(protocol.FileJournal, i))
		put.Values = append(put.Values, bytes.Repeat([]byte{byte(i + 1)}, 100))
	}
	require.NoError(t, a.Put(ctx, put))
	require.NoError(t, a.Close(ctx, nil))

	db := open(t, c, "a", protocol.Open{}, pages.Config{}, nil)
	size, exists := db.f.FileSize(protocol.FileJournal)
	require.True(t, exists)
	require.EqualValues(t, 10*pageSize, size)
	_, exists = db.f.FileSize(protocol.FileWAL)
	require.False(t, exists)
	for i := range uint32(11) {
		if _, ok := db.aux[i]; !ok {
			require.NoError(t, db.f.Fetch(ctx, protocol.FileJournal, i))
		}
		want := make([]byte, pageSize)
		if i < 10 {
			copy(want, put.Values[i+1])
		}
		require.Equal(t, want, db.aux[i])
	}
	require.Less(t, db.f.Metrics().Fetches, uint64(6), "an auxiliary file is read ahead")
	db.commit(pageSize, map[uint32][]byte{0: filled(1)}, protocol.FileJournal)
	_, exists = db.f.FileSize(protocol.FileJournal)
	require.False(t, exists)
	require.NoError(t, db.f.Flush(ctx))
	db.close()
	db = open(t, c, "a", protocol.Open{}, pages.Config{}, nil)
	_, exists = db.f.FileSize(protocol.FileJournal)
	require.False(t, exists)
	require.EqualValues(t, pageSize, db.f.Size())
	db.close()
}
