package pebble_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/store"
	"github.com/pagewire/pagewire/internal/store/pebble"
)

// smallMemTable makes the store rotate logs and flush tables many times in a short test.
const smallMemTable = 128 << 10

// commitOf is commit seq of the crash test: it overwrites, deletes and cuts keys of earlier ones, and every 16th is too
// large for a memtable.
func commitOf(generation, seq uint64) *store.Batch {
	key := func(n uint64) []byte { return []byte{'k', 0, byte(n % 32)} }
	b := &store.Batch{Generation: generation, Seq: seq, Expect: seq - 1, Hints: []uint32{uint32(seq)}}
	if seq%5 == 0 {
		b.DeleteRanges = []store.Range{{Start: key(16)}}
	}
	b.Deletes = [][]byte{key(5 * seq)}
	size := 400
	if seq%16 == 0 {
		size = smallMemTable / 4
	}
	for i := range uint64(8) {
		value := bytes.Repeat(binary.BigEndian.AppendUint64(nil, seq), size/8)
		b.Puts = append(b.Puts, store.Entry{Key: key(7*seq + i), Value: value})
	}
	return b
}

// stateAfter is what an actor holds after the commits 1 to seq.
func stateAfter(seq uint64) (entries []string, used uint64) {
	model := map[string]string{}
	for n := uint64(1); n <= seq; n++ {
		b := commitOf(1, n)
		for _, r := range b.DeleteRanges {
			maps.DeleteFunc(model, func(key, _ string) bool { return r.Contains([]byte(key)) })
		}
		for _, key := range b.Deletes {
			delete(model, string(key))
		}
		for _, e := range b.Puts {
			model[string(e.Key)] = string(e.Value)
		}
	}
	entries = []string{}
	for _, key := range slices.Sorted(maps.Keys(model)) {
		entries = append(entries, key+"="+model[key])
		used += uint64(len(key) + len(model[key]))
	}
	return entries, used
}

// requireWhole checks that an actor, of generation 1, holds exactly the commits up to one between least and most, and
// that the store goes on from it. I2: least was acknowledged. I3: no commit is there in part. I4: one applied is known.
func requireWhole(t *testing.T, s *pebble.Store, actor string, least, most uint64, when ...any) {
	t.Helper()
	ctx := context.Background()
	head, err := s.Head(ctx, actor)
	require.NoError(t, err)
	require.GreaterOrEqual(t, head.Seq, least, append([]any{"I2: an acknowledged commit is lost: %v"}, when...)...)
	require.LessOrEqual(t, head.Seq, most)
	want, used := stateAfter(head.Seq)
	got := []string{}
	require.NoError(t, s.Scan(ctx, actor, store.Range{}, false, func(key, value []byte) bool {
		got = append(got, string(key)+"="+string(value))
		return true
	}))
	require.True(t, slices.Equal(want, got), append([]any{"I3: the entries are not those of commit %d: %v", head.Seq}, when...)...)
	require.Equal(t, used, head.UsedBytes)
	if head.Seq > 0 {
		require.Equal(t, []uint32{uint32(head.Seq)}, head.Hints)
	}
	_, err = s.Apply(ctx, actor, commitOf(1, head.Seq+1))
	require.NoError(t, err)
	_, err = s.Apply(ctx, actor, commitOf(1, head.Seq+1))
	require.ErrorIs(t, err, store.ErrApplied)
}

// TestCrash clones the disk as a crash would leave it, at moments when writers are at work, and opens every clone. I2:
// what was acknowledged before the crash is there. I3: what was not is there as a whole or not at all.
func TestCrash(t *testing.T) {
	const actors, crashes, perCrash = 6, 40, 4
	ctx := context.Background()
	disk := vfs.NewCrashableMem()
	s, err := pebble.Open("data", pebble.Options{FS: disk, Logger: quiet, MemTableBytes: smallMemTable})
	require.NoError(t, err)

	var sent, acknowledged [actors]atomic.Uint64
	var total atomic.Int64
	var wg sync.WaitGroup
	allowed := make(chan struct{}, actors*perCrash)
	errs := make(chan error, actors)
	name := func(i int) string { return fmt.Sprintf("actor\x00%d", i) }
	for i := range actors {
		_, err := s.Fence(ctx, name(i))
		require.NoError(t, err)
		wg.Go(func() {
			seq := uint64(0)
			for range allowed {
				seq++
				sent[i].Store(seq)
				if _, err := s.Apply(ctx, name(i), commitOf(1, seq)); err != nil {
					errs <- err
					return
				}
				acknowledged[i].Store(seq)
				total.Add(1)
			}
		})
	}
	rng := rand.New(rand.NewPCG(7, 7))
	for crash := range crashes {
		// The writers get work, and the crash comes while they are somewhere in it.
		done := total.Load() + int64(rng.IntN(actors*perCrash/2))
		for range actors * perCrash {
			select {
			case allowed <- struct{}{}:
			default: // there is enough
			}
		}
		for total.Load() < done && len(errs) == 0 {
			runtime.Gosched()
		}
		var least, most [actors]uint64
		for i := range actors {
			least[i] = acknowledged[i].Load()
		}
		clone := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		for i := range actors {
			most[i] = sent[i].Load()
		}
		restarted, err := pebble.Open("data", pebble.Options{FS: clone, Logger: quiet})
		require.NoError(t, err, "crash %d", crash)
		for i := range actors {
			requireWhole(t, restarted, name(i), least[i], most[i], crash)
		}
		require.NoError(t, restarted.Close())
	}
	close(allowed)
	wg.Wait()
	require.NoError(t, s.Close())
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
}

// TestFenceSurvivesCrash checks I1 over a crash: a generation is on disk before it is handed out, and never again.
func TestFenceSurvivesCrash(t *testing.T) {
	ctx := context.Background()
	disk := vfs.NewCrashableMem()
	for want := uint64(1); want <= 5; want++ {
		s, err := pebble.Open("data", pebble.Options{FS: disk, Logger: quiet})
		require.NoError(t, err)
		head, err := s.Fence(ctx, "a")
		require.NoError(t, err)
		require.Equal(t, want, head.Generation)
		crashed := disk.CrashClone(vfs.CrashCloneCfg{})
		require.NoError(t, s.Close())
		disk = crashed
	}
}
