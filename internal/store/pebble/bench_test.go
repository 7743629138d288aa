package pebble_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/store"
	"github.com/pagewire/pagewire/internal/store/pebble"
)

// pagesOf are pages of the main file, of bytes that do not compress.
func pagesOf(indexes ...int) []store.Entry {
	rng := rand.NewChaCha8([32]byte{1})
	puts := make([]store.Entry, len(indexes))
	for i, index := range indexes {
		puts[i] = store.Entry{
			Key: binary.BigEndian.AppendUint32([]byte{8, 1, 1, 0}, uint32(index)), Value: make([]byte, 4096),
		}
		_, _ = rng.Read(puts[i].Value)
	}
	return puts
}

func sequence(n int) []int {
	indexes := make([]int, n)
	for i := range indexes {
		indexes[i] = i
	}
	return indexes
}

func openBench(b *testing.B) *pebble.Store {
	s, err := pebble.Open(b.TempDir(), pebble.Options{Logger: quiet})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	return s
}

// BenchmarkApply overwrites pages of one actor, and cuts the file behind them as a commit does.
func BenchmarkApply(b *testing.B) {
	ctx := context.Background()
	for _, pages := range []int{1, 100, 16384} {
		b.Run(fmt.Sprintf("pages=%d", pages), func(b *testing.B) {
			s := openBench(b)
			_, err := s.Fence(ctx, "a")
			require.NoError(b, err)
			batch := &store.Batch{
				Generation: 1, Puts: pagesOf(sequence(pages)...),
				DeleteRanges: []store.Range{{Start: []byte{8, 1, 1, 0, 0xF0, 0, 0, 0}, End: []byte{8, 1, 1, 1}}},
			}
			b.SetBytes(int64(pages) * 4096)
			for b.Loop() {
				_, err := s.Apply(ctx, "a", batch)
				require.NoError(b, err)
			}
		})
	}
}

// BenchmarkApplyActors is one page a commit from 16 actors at once: what group commit gains.
func BenchmarkApplyActors(b *testing.B) {
	const actors = 16
	ctx := context.Background()
	s := openBench(b)
	for i := range actors {
		_, err := s.Fence(ctx, fmt.Sprint(i))
		require.NoError(b, err)
	}
	puts := pagesOf(0)
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range actors {
		wg.Go(func() {
			for n := i; n < b.N; n += actors {
				if _, err := s.Apply(ctx, fmt.Sprint(i), &store.Batch{Generation: 1, Puts: puts}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkGet reads pages of a file of 64 MiB that is in tables, half of it in the block cache.
func BenchmarkGet(b *testing.B) {
	ctx := context.Background()
	const filePages = 16384
	s := openBench(b)
	_, err := s.Fence(ctx, "a")
	require.NoError(b, err)
	_, err = s.Apply(ctx, "a", &store.Batch{Generation: 1, Puts: pagesOf(sequence(filePages)...)})
	require.NoError(b, err)
	rng := rand.New(rand.NewPCG(1, 1))
	for _, c := range []struct {
		name string
		pick func() []int
	}{
		{"one", func() []int { return []int{rng.IntN(filePages)} }},
		{"128 neighbours", func() []int {
			first, list := rng.IntN(filePages-128), sequence(128)
			for i := range list {
				list[i] += first
			}
			return list
		}},
		{"128 scattered", func() []int { return rng.Perm(filePages)[:128] }},
	} {
		var asks [][][]byte
		for range 64 {
			var ask [][]byte
			for _, index := range c.pick() {
				ask = append(ask, binary.BigEndian.AppendUint32([]byte{8, 1, 1, 0}, uint32(index)))
			}
			asks = append(asks, ask)
		}
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(asks[0])) * 4096)
			for i := 0; b.Loop(); i++ {
				_, err := s.Get(ctx, "a", asks[i%len(asks)])
				require.NoError(b, err)
			}
		})
	}
}
