package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/pagewire/pagewire/internal/channel"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/server"
	"github.com/pagewire/pagewire/internal/store/pebble"
	"github.com/stretchr/testify/require"
)

// openActors connects to a server on Pebble and opens so many actors with one page each.
func openActors(b *testing.B, n int) []*channel.Actor {
	st, err := pebble.Open(b.TempDir(), pebble.Options{ReserveBytes: 1, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, st.Close()) })
	_, url := serve(b, server.Config{Store: st})
	c, err := channel.Dial(context.Background(), channel.Config{URL: url})
	require.NoError(b, err)
	b.Cleanup(func() { c.Close(context.Background()) })
	actors := make([]*channel.Actor, n)
	for i := range actors {
		actor, opened, err := c.Open(context.Background(), fmt.Sprint(i), protocol.Open{}, nil)
		require.NoError(b, err)
		require.NoError(b, commitOne(actor, opened.Generation, 1))
		actors[i] = actor
	}
	return actors
}

func commitOne(a *channel.Actor, generation, seq uint64) error {
	_, err := a.Commit(context.Background(), &protocol.Commit{
		Generation: generation, Seq: seq, Count: 1, Size: protocol.PageSize, Pages: protocol.Pages{Indexes: []uint32{0}},
	}, [][]byte{make([]byte, protocol.PageSize)})
	return err
}

// BenchmarkCommits is one page a commit, each durable and awaited, from several actors at once over one connection.
func BenchmarkCommits(b *testing.B) {
	for _, n := range []int{1, 16, 128} {
		b.Run(fmt.Sprintf("actors=%d", n), func(b *testing.B) {
			actors := openActors(b, n)
			b.ResetTimer()
			var wg sync.WaitGroup
			for i, a := range actors {
				wg.Go(func() {
					for at, seq := i, uint64(2); at < b.N; at, seq = at+n, seq+1 {
						if err := commitOne(a, 1, seq); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
		})
	}
}

// BenchmarkFetch is one page a request, awaited.
func BenchmarkFetch(b *testing.B) {
	actor := openActors(b, 1)[0]
	b.ReportAllocs()
	for b.Loop() {
		got, err := actor.Fetch(context.Background(), &protocol.Fetch{Pages: []uint32{0}})
		require.NoError(b, err)
		require.Len(b, got.Pages.Data, protocol.PageSize)
	}
}
