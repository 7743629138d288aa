package channel_test

import (
	"bytes"
	"context"
	"math"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/server"
)

// Large answers are received into memory that is used again, and stay what they are until they are released.
func TestLargeAnswersReuseMemory(t *testing.T) {
	const pages, rounds = 200, 40
	ctx := context.Background()
	_, addr := startServer(t, server.Config{Store: newStore(t)})
	c, _ := dial(t, addr)
	defer closeSoon(c)
	a := open(t, c, "a")
	_, err := commitPages(ctx, a, 1, pages, 7)
	require.NoError(t, err)
	f := &protocol.Fetch{}
	for i := range uint32(pages) {
		f.Pages = append(f.Pages, i)
	}
	fetch := func() *protocol.FetchResult {
		res, err := a.Fetch(ctx, f)
		require.NoError(t, err)
		require.Len(t, res.Pages.Indexes, pages)
		require.NotNil(t, res.Release)
		return res
	}
	want := bytes.Repeat([]byte{7}, pages*protocol.PageSize)

	first := fetch()
	fetch().Release()
	second := fetch()
	require.True(t, bytes.Equal(want, first.Pages.Data), "not released, not overwritten")
	require.True(t, bytes.Equal(want, second.Pages.Data))
	first.Release()
	second.Release()

	// Client and server are in this process: each copy of the pages beyond the one buffer of either side would count. The
	// garbage collector may empty a pool, and the race detector makes pools forget, so the best round is looked at.
	least := uint64(math.MaxUint64)
	for range rounds {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		fetch().Release()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	require.Less(t, least, uint64(pages*protocol.PageSize/2))
}
