package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/store"
)

// parallel runs fn in n goroutines and fails with their errors.
func parallel(t *testing.T, n int, fn func(i int) error) {
	t.Helper()
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() { errs[i] = fn(i) })
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
}

// testConcurrentOnOneActor lets goroutines take the actor from each other and write. I1: what a scan sees is always
// one write as a whole, and a write by a stale generation never lands.
func testConcurrentOnOneActor(t *testing.T, s store.Store) {
	const writers, rounds = 8, 15
	ctx := context.Background()
	fence(t, s, "a")
	parallel(t, writers, func(i int) error {
		for range rounds {
			head, err := s.Fence(ctx, "a")
			if err != nil {
				return err
			}
			stamp := fmt.Sprint(head.Generation)
			_, err = s.Apply(ctx, "a", &store.Batch{
				Generation: head.Generation, Seq: head.Seq + 1, Expect: head.Seq,
				DeleteRanges: []store.Range{{}},
				Puts: []store.Entry{
					entry("1", stamp), entry("2", stamp), entry("3", stamp), entry(strings.Repeat("x", i), stamp),
				},
			})
			if err != nil && !errors.Is(err, store.ErrFenced) {
				return err
			}
			var values []string
			if err := s.Scan(ctx, "a", store.Range{}, false, func(_, value []byte) bool {
				values = append(values, string(value))
				return true
			}); err != nil {
				return err
			}
			for _, value := range values {
				if value != values[0] {
					return fmt.Errorf("a scan saw parts of several writes: %q", values)
				}
			}
		}
		return nil
	})
	head, err := s.Head(ctx, "a")
	require.NoError(t, err)
	require.EqualValues(t, 1+writers*rounds, head.Generation)
	requireExact(t, s, "a")
}

// testConcurrentRetries sends every commit from several goroutines. I4: exactly one of them applies it.
func testConcurrentRetries(t *testing.T, s store.Store) {
	const senders, commits = 4, 20
	ctx := context.Background()
	g := fence(t, s, "a")
	var applied atomic.Int64
	parallel(t, senders, func(int) error {
		for seq := uint64(1); seq <= commits; seq++ {
			head, err := s.Apply(ctx, "a", &store.Batch{
				Generation: g, Seq: seq, Expect: seq - 1, Puts: []store.Entry{entry(fmt.Sprint(seq), "v")},
			})
			switch {
			case err == nil:
				applied.Add(1)
			case errors.Is(err, store.ErrApplied) && head.Seq == seq:
			case errors.Is(err, store.ErrOutOfOrder) && head.Seq > seq: // the others are ahead
			default:
				return fmt.Errorf("commit %d, head %+v: %w", seq, head, err)
			}
		}
		return nil
	})
	require.EqualValues(t, commits, applied.Load())
	require.Len(t, all(t, s, "a"), commits)
	requireExact(t, s, "a")
}

// testConcurrentLargeReads reads so many keys at once that a store may look them up in parts, every other one absent, while
// each write replaces them all. I1: what one read sees is of one write. I9: each key is seen once, or is absent.
func testConcurrentLargeReads(t *testing.T, s store.Store) {
	const present, writes, readers = 700, 20, 3
	ctx := context.Background()
	var ask [][]byte
	for i := range 2 * present {
		ask = append(ask, fmt.Appendf(nil, "%04d", (i*311)%(2*present))) // in no order
	}
	write := func(generation uint64, stamp string) error {
		b := store.Batch{Generation: generation}
		for i := range present {
			b.Puts = append(b.Puts, entry(fmt.Sprintf("%04d", 2*i), stamp))
		}
		_, err := s.Apply(ctx, "a", &b)
		return err
	}
	g := fence(t, s, "a")
	require.NoError(t, write(g, "first"))
	var written atomic.Bool
	parallel(t, 1+readers, func(i int) error {
		if i == 0 {
			defer written.Store(true)
			for n := range writes {
				if err := write(g, fmt.Sprint(n)); err != nil {
					return err
				}
			}
			return nil
		}
		for last := false; !last; {
			last = written.Load()
			found := make([]string, len(ask))
			if err := s.Read(ctx, "a", ask, func(i int, value []byte) { found[i] += string(value) }); err != nil {
				return err
			}
			stamp := found[0]
			for i, value := range found {
				want := stamp
				if i%2 == 1 { // an odd key
					want = ""
				}
				if stamp == "" || value != want {
					return fmt.Errorf("key %s has %q where %q was written", ask[i], value, want)
				}
			}
		}
		return nil
	})
}

func testConcurrentOnManyActors(t *testing.T, s store.Store) {
	const actors, commits = 16, 20
	ctx := context.Background()
	name := func(i int) string { return strings.Repeat("n", i) }
	parallel(t, actors, func(i int) error {
		head, err := s.Fence(ctx, name(i))
		for seq := uint64(1); err == nil && seq <= commits; seq++ {
			head, err = s.Apply(ctx, name(i), &store.Batch{
				Generation: head.Generation, Seq: seq, Expect: seq - 1,
				Puts: []store.Entry{entry("last", fmt.Sprint(i, seq)), entry(fmt.Sprint(seq), "")},
			})
		}
		return err
	})
	for i := range actors {
		head, err := s.Head(ctx, name(i))
		require.NoError(t, err)
		require.EqualValues(t, commits, head.Seq)
		require.Len(t, all(t, s, name(i)), commits+1)
		values, err := s.Get(ctx, name(i), keys("last"))
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(i, commits), string(values[0]))
		requireExact(t, s, name(i))
	}
}

func testCancelled(t *testing.T, s store.Store) {
	g := fence(t, s, "a")
	apply(t, s, "a", store.Batch{Generation: g, Puts: []store.Entry{entry("a", ""), entry("b", "")}})
	ctx, cancel := context.WithCancel(context.Background())
	seen := 0
	err := s.Scan(ctx, "a", store.Range{}, false, func(_, _ []byte) bool {
		seen++
		cancel()
		return true
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 1, seen)
	for name, call := range calls(s, g) {
		require.ErrorIs(t, call(ctx), context.Canceled, name)
	}
	require.Equal(t, []string{"a=", "b="}, all(t, s, "a"))
}

// testClose closes the store while calls run: each of them succeeds as a whole or answers ErrClosed.
func testClose(t *testing.T, s store.Store) {
	g := fence(t, s, "a")
	apply(t, s, "a", store.Batch{Generation: g, Puts: []store.Entry{entry("k", "v")}})
	var wg sync.WaitGroup
	started := make(chan struct{}, 16)
	errs := make(chan error, 16)
	for name, call := range calls(s, g) {
		wg.Go(func() {
			for first := true; ; first = false {
				err := call(context.Background())
				if first {
					started <- struct{}{}
				}
				if err != nil {
					if !errors.Is(err, store.ErrClosed) {
						errs <- fmt.Errorf("%s: %w", name, err)
					}
					return
				}
			}
		})
	}
	for range calls(s, g) {
		<-started
	}
	require.NoError(t, s.Close())
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	for name, call := range calls(s, g) {
		require.ErrorIs(t, call(context.Background()), store.ErrClosed, name)
	}
	require.NoError(t, s.Close(), "closing twice is no error")
}

// calls are one call of each method but Close, on actor a.
func calls(s store.Store, generation uint64) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"Head":  func(ctx context.Context) error { _, err := s.Head(ctx, "a"); return err },
		"Fence": func(ctx context.Context) error { _, err := s.Fence(ctx, "other"); return err },
		"Get":   func(ctx context.Context) error { _, err := s.Get(ctx, "a", keys("k", "l")); return err },
		"Scan": func(ctx context.Context) error {
			return s.Scan(ctx, "a", store.Range{}, false, func(_, _ []byte) bool { return true })
		},
		"Apply": func(ctx context.Context) error {
			_, err := s.Apply(ctx, "a", &store.Batch{Generation: generation, Puts: []store.Entry{entry("k", "v")}})
			return err
		},
	}
}
