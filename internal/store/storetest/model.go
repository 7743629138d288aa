package storetest

import (
	"context"
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/store"
)

// testRandomBatches applies random batches to a store and to a map and compares the two.
func testRandomBatches(t *testing.T, s store.Store) {
	const seed, rounds = 20260101, 300
	rng := rand.New(rand.NewPCG(seed, 0))
	actors := []string{"a", "a\x00", "ab"}
	models := map[string]map[string]string{}
	for _, actor := range actors {
		fence(t, s, actor)
		models[actor] = map[string]string{}
	}
	randomKey := func() []byte {
		// A small alphabet with the bytes that matter to an encoding, so that batches meet the same keys.
		key := make([]byte, rng.IntN(4))
		for i := range key {
			key[i] = []byte{0x00, 0x01, 'a', 0xFE, 0xFF}[rng.IntN(5)]
		}
		return key
	}
	for round := range rounds {
		actor := actors[rng.IntN(len(actors))]
		model := models[actor]
		b := store.Batch{Generation: 1}
		for range rng.IntN(3) {
			r := store.Range{Start: randomKey(), End: randomKey()}
			if rng.IntN(4) == 0 {
				r.End = nil
			}
			b.DeleteRanges = append(b.DeleteRanges, r)
			maps.DeleteFunc(model, func(key, _ string) bool { return r.Contains([]byte(key)) })
		}
		for range rng.IntN(10) {
			key := randomKey()
			b.Deletes = append(b.Deletes, key)
			delete(model, string(key))
		}
		for range rng.IntN(60) {
			key, value := randomKey(), make([]byte, rng.IntN(100))
			b.Puts = append(b.Puts, store.Entry{Key: key, Value: value})
			model[string(key)] = string(value)
		}
		head := apply(t, s, actor, b)
		want, used := []string{}, 0
		for _, key := range slices.Sorted(maps.Keys(model)) {
			want = append(want, key+"="+model[key])
			used += len(key) + len(model[key])
		}
		require.EqualValues(t, used, head.UsedBytes, "seed %d, round %d", seed, round)
		require.Equal(t, want, all(t, s, actor), "seed %d, round %d", seed, round)
	}
	for _, actor := range actors {
		requireExact(t, s, actor)
	}
}

// testLargeBatch applies 20,000 pages at once, then overwrites, grows and cuts them.
func testLargeBatch(t *testing.T, s store.Store) {
	const pages, page = 20_000, 4096
	key := func(i int) []byte { return binary.BigEndian.AppendUint32([]byte{8, 1, 1, 0}, uint32(i)) }
	g := fence(t, s, "a")
	var b store.Batch
	for i := range pages {
		b.Puts = append(b.Puts, store.Entry{Key: key(i), Value: make([]byte, page)})
		binary.BigEndian.PutUint32(b.Puts[i].Value, uint32(i))
	}
	b.Generation, b.Seq, b.Expect = g, 1, 0
	head := apply(t, s, "a", b)
	require.EqualValues(t, pages*(8+page), head.UsedBytes)
	b.Seq, b.Expect = 2, 1
	head = apply(t, s, "a", b)
	require.EqualValues(t, pages*(8+page), head.UsedBytes, "the same pages again")

	values, err := s.Get(context.Background(), "a", [][]byte{key(pages), key(pages - 1), key(0), key(777)})
	require.NoError(t, err)
	require.Nil(t, values[0])
	for i, n := range []uint32{pages - 1, 0, 777} {
		require.Equal(t, n, binary.BigEndian.Uint32(values[i+1]))
	}
	head = apply(t, s, "a", store.Batch{
		Generation: g, Seq: 3, Expect: 2, DeleteRanges: []store.Range{{Start: key(10)}}, Puts: b.Puts[12:13],
	})
	require.EqualValues(t, 11*(8+page), head.UsedBytes)
	requireExact(t, s, "a")
}
