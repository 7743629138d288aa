package pebble_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/store"
	"github.com/pagewire/pagewire/internal/store/pebble"
)

// Large writes of several actors at once, whose batches are in memory that is used again, are each stored as they are (I2).
func TestLargeBatchesDoNotMix(t *testing.T) {
	const actors, writes = 4, 12
	ctx := context.Background()
	s, err := pebble.Open(t.TempDir(), pebble.Options{Logger: quiet})
	require.NoError(t, err)
	sizes := []int{300_000, 1_100_000, 2_300_000, 140_000}
	value := func(actor, write int) []byte {
		size := sizes[(actor+write)%len(sizes)]
		return bytes.Repeat(fmt.Appendf(nil, "%d/%d ", actor, write), size)[:size]
	}
	name := func(actor int) string { return fmt.Sprint("actor", actor) }
	write := func(actor int) error {
		head, err := s.Fence(ctx, name(actor))
		for n := 0; n < writes && err == nil; n++ {
			head, err = s.Apply(ctx, name(actor), &store.Batch{
				Generation: head.Generation, Seq: head.Seq + 1, Expect: head.Seq,
				Puts: []store.Entry{{Key: []byte{byte(n)}, Value: value(actor, n)}},
			})
		}
		return err
	}
	var all sync.WaitGroup
	for actor := range actors {
		all.Go(func() { assert.NoError(t, write(actor)) })
	}
	all.Wait()
	var keys [][]byte
	for n := range writes {
		keys = append(keys, []byte{byte(n)})
	}
	for actor := range actors {
		same := make([]bool, writes)
		require.NoError(t, s.Read(ctx, name(actor), keys, func(n int, v []byte) { same[n] = bytes.Equal(value(actor, n), v) }))
		require.NotContains(t, same, false, "actor %d", actor)
	}
	require.NoError(t, s.Close())
}
