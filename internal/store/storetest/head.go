package storetest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/store"
)

func testFence(t *testing.T, s store.Store) {
	ctx := context.Background()
	head, err := s.Head(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, store.Head{}, head, "an actor that was never fenced")
	for want := uint64(1); want <= 3; want++ {
		head, err := s.Fence(ctx, "a")
		require.NoError(t, err)
		require.Equal(t, store.Head{Generation: want}, head)
		stored, err := s.Head(ctx, "a")
		require.NoError(t, err)
		require.Equal(t, head, stored)
	}
	head = apply(t, s, "a", store.Batch{Generation: 3, Seq: 1, Puts: []store.Entry{entry("k", "v")}})
	fenced, err := s.Fence(ctx, "a")
	require.NoError(t, err)
	head.Generation++
	require.Equal(t, head, fenced, "a fence changes the generation alone")
}

// I1: a write that does not carry the generation of the last open changes nothing.
func testGeneration(t *testing.T, s store.Store) {
	ctx := context.Background()
	put := store.Batch{Puts: []store.Entry{entry("k", "v")}}
	_, err := s.Apply(ctx, "never fenced", &put)
	require.ErrorIs(t, err, store.ErrFenced, "generation 0 is never handed out")
	put.Generation = 1
	_, err = s.Apply(ctx, "never fenced", &put)
	require.ErrorIs(t, err, store.ErrFenced)

	old := fence(t, s, "a")
	apply(t, s, "a", store.Batch{Generation: old, Puts: []store.Entry{entry("k", "old")}})
	current := fence(t, s, "a")
	for _, generation := range []uint64{0, old, current + 1} {
		_, err := s.Apply(ctx, "a", &store.Batch{
			Generation: generation, Seq: 1, Puts: []store.Entry{entry("k", "stale")},
			Deletes: keys("k"), DeleteRanges: []store.Range{{}}, Hints: []uint32{1},
		})
		require.ErrorIs(t, err, store.ErrFenced, "generation %d of %d", generation, current)
	}
	require.Equal(t, []string{"k=old"}, all(t, s, "a"))
	head, err := s.Head(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, store.Head{Generation: current, UsedBytes: 4}, head)
}

// I4: a commit sequence is applied once and in order.
func testSequence(t *testing.T, s store.Store) {
	ctx := context.Background()
	g := fence(t, s, "a")
	commit := func(seq, expect uint64, value string) (store.Head, error) {
		return s.Apply(ctx, "a", &store.Batch{
			Generation: g, Seq: seq, Expect: expect, Puts: []store.Entry{entry("k", value)},
		})
	}
	head, err := commit(1, 0, "one")
	require.NoError(t, err)
	require.Equal(t, store.Head{Generation: g, Seq: 1, UsedBytes: 4}, head)

	head, err = commit(1, 0, "again")
	require.ErrorIs(t, err, store.ErrApplied)
	require.Equal(t, store.Head{Generation: g, Seq: 1, UsedBytes: 4}, head, "the current head comes with ErrApplied")

	for _, wrong := range []struct{ seq, expect uint64 }{{3, 2}, {2, 0}, {5, 4}} {
		_, err = commit(wrong.seq, wrong.expect, "wrong")
		require.ErrorIs(t, err, store.ErrOutOfOrder, "%+v", wrong)
	}
	require.Equal(t, []string{"k=one"}, all(t, s, "a"))

	head, err = commit(4, 1, "three merged")
	require.NoError(t, err)
	require.EqualValues(t, 4, head.Seq)
	_, err = commit(3, 2, "late")
	require.ErrorIs(t, err, store.ErrOutOfOrder)

	head = apply(t, s, "a", store.Batch{Generation: g, Puts: []store.Entry{entry("generic", "")}})
	require.EqualValues(t, 4, head.Seq, "a batch without a sequence leaves it alone")

	g2 := fence(t, s, "a")
	_, err = commit(4, 1, "re-sent by the evicted holder")
	require.ErrorIs(t, err, store.ErrFenced, "the fence comes before the sequence")
	g = g2
	_, err = commit(5, 4, "five")
	require.NoError(t, err, "the sequence outlives a fence")
}

// I8: a write that one server has queued is refused once its holder has gone on at another one.
func testEpoch(t *testing.T, s store.Store) {
	ctx := context.Background()
	_, err := s.Resume(ctx, "never fenced", 0)
	require.ErrorIs(t, err, store.ErrFenced)
	_, err = s.Resume(ctx, "never fenced", 1)
	require.ErrorIs(t, err, store.ErrFenced)

	g := fence(t, s, "a")
	commit := func(epoch, seq uint64) error {
		_, err := s.Apply(ctx, "a", &store.Batch{
			Generation: g, Epoch: epoch, Seq: seq, Expect: seq - 1, Puts: []store.Entry{entry("k", "v")},
		})
		return err
	}
	require.NoError(t, commit(0, 1))
	for want := uint64(1); want <= 2; want++ {
		head, err := s.Resume(ctx, "a", g)
		require.NoError(t, err)
		require.Equal(t, store.Head{Generation: g, Epoch: want, Seq: want, UsedBytes: 2}, head)
		stored, err := s.Head(ctx, "a")
		require.NoError(t, err)
		require.Equal(t, head, stored)
		require.ErrorIs(t, commit(want-1, want+1), store.ErrFenced, "queued before")
		require.ErrorIs(t, commit(want-1, want), store.ErrFenced, "the fence comes before the sequence")
		require.ErrorIs(t, commit(want+1, want+1), store.ErrFenced)
		require.NoError(t, commit(want, want+1))
	}
	head, err := s.Resume(ctx, "a", g+1)
	require.ErrorIs(t, err, store.ErrFenced)
	require.Equal(t, store.Head{Generation: g, Epoch: 2, Seq: 3, UsedBytes: 2}, head, "the current head comes with ErrFenced")

	old := g
	g = fence(t, s, "a")
	require.NoError(t, commit(0, 4), "an open begins at epoch 0")
	_, err = s.Resume(ctx, "a", old)
	require.ErrorIs(t, err, store.ErrFenced)
}

func testHints(t *testing.T, s store.Store) {
	ctx := context.Background()
	g := fence(t, s, "a")
	for _, c := range []struct {
		name        string
		hints, want []uint32
	}{
		{"none yet", nil, nil},
		{"set", []uint32{7, 1, 4294967295}, []uint32{7, 1, 4294967295}},
		{"kept by nil", nil, []uint32{7, 1, 4294967295}},
		{"replaced", []uint32{2}, []uint32{2}},
		{"cleared", []uint32{}, nil},
	} {
		head := apply(t, s, "a", store.Batch{Generation: g, Hints: c.hints})
		require.ElementsMatch(t, c.want, head.Hints, c.name)
		stored, err := s.Head(ctx, "a")
		require.NoError(t, err)
		require.Equal(t, len(c.want), len(stored.Hints), c.name)
		for i := range c.want {
			require.Equal(t, c.want[i], stored.Hints[i], c.name)
		}
		require.Zero(t, stored.UsedBytes, "heads do not count")
	}
}

// I6: a refused batch leaves everything as it was.
func testQuota(t *testing.T, s store.Store) {
	ctx := context.Background()
	g := fence(t, s, "a")
	const limit = 10
	try := func(b store.Batch) error {
		b.Generation, b.MaxBytes = g, limit
		_, err := s.Apply(ctx, "a", &b)
		requireExact(t, s, "a")
		return err
	}
	require.NoError(t, try(store.Batch{Puts: []store.Entry{entry("k", "123456789")}}), "the quota itself is allowed")
	require.ErrorIs(t, try(store.Batch{Seq: 1, Hints: []uint32{1}, Puts: []store.Entry{entry("x", "")}}), store.ErrQuota)
	require.NoError(t, try(store.Batch{Puts: []store.Entry{entry("k", "987654321")}}), "replacing grows nothing")
	require.Equal(t, []string{"k=987654321"}, all(t, s, "a"))
	head, err := s.Head(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, store.Head{Generation: g, UsedBytes: limit}, head)

	// The quota is lowered below what is stored: a batch that does not grow still passes, one that does not, does not.
	apply(t, s, "a", store.Batch{Generation: g, Puts: []store.Entry{entry("big", "0123456789012345678901234567890")}})
	require.NoError(t, try(store.Batch{Puts: []store.Entry{entry("big", "012345678901234567890")}}), "shrinks")
	require.NoError(t, try(store.Batch{Puts: []store.Entry{entry("big", "abcdefghijklmnopqrstu")}}), "keeps its size")
	require.ErrorIs(t, try(store.Batch{Puts: []store.Entry{entry("big", "abcdefghijklmnopqrstuv")}}), store.ErrQuota)
	require.ErrorIs(t, try(store.Batch{Deletes: keys("k"), Puts: []store.Entry{entry("l", "12345678901")}}), store.ErrQuota)
	require.NoError(t, try(store.Batch{Deletes: keys("big"), Puts: []store.Entry{entry("s", "v")}}))
	require.Equal(t, []string{"k=987654321", "s=v"}, all(t, s, "a"))
}
