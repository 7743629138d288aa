package pages_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/channel"
	"github.com/pagewire/pagewire/internal/pages"
	"github.com/pagewire/pagewire/internal/protocol"
)

// I6: a commit over the quota fails itself and those behind it with the reason, and after a reload the database goes on
// from the stored state.
func TestI6QuotaFailsTheBatchAndReloadGoesOn(t *testing.T) {
	c := dial(t, serve(t, protocol.Limits{ActorBytes: 20 * pageSize}))
	hold := make(chan struct{}, 16)
	g := &gate{onCommit: func(context.Context, *protocol.Commit, int) error { <-hold; return nil }}
	db := open(t, c, "a", protocol.Open{}, pages.Config{}, g)
	db.commit(2*pageSize, map[uint32][]byte{0: filled(1), 1: filled(1)})
	hold <- struct{}{}
	require.NoError(t, db.f.Flush(context.Background()))

	big := map[uint32][]byte{}
	for i := range uint32(30) {
		big[i] = filled(2)
	}
	db.commit(30*pageSize, big)
	db.commit(30*pageSize, map[uint32][]byte{0: filled(3)})
	hold <- struct{}{}
	db.await(func() bool { return db.failure != nil })
	require.Equal(t, "storage_quota_exceeded", channel.Code(db.failure))
	db.commit(30*pageSize, map[uint32][]byte{0: filled(4)})
	require.Equal(t, "storage_quota_exceeded", channel.Code(db.f.Flush(context.Background())))
	require.Equal(t, "storage_quota_exceeded", channel.Code(db.f.Fetch(context.Background(), 0, 1)))
	require.Equal(t, []uint64{2}, db.failed, "Failed is called once, with the oldest unresolved batch")
	require.EqualValues(t, 1, db.done)

	require.NoError(t, db.reload())
	require.EqualValues(t, 2*pageSize, db.f.Size())
	require.Equal(t, filled(1), db.read(0))
	require.Equal(t, filled(1), db.read(1))
	token := db.commit(3*pageSize, map[uint32][]byte{2: filled(5)})
	hold <- struct{}{}
	require.NoError(t, db.f.Flush(context.Background()))
	require.Equal(t, token, db.done)
	require.Equal(t, [][]byte{filled(1), filled(1), filled(5)}, stored(t, db))
	db.close()
}

// A batch that no commit can carry fails by itself; those before it are written.
func TestBatchOverTheCommitLimit(t *testing.T) {
	c := dial(t, serve(t, protocol.Limits{}))
	limits := c.Limits()
	limits.CommitBytes = 4 * pageSize
	db := open(t, c, "a", protocol.Open{}, pages.Config{Limits: limits}, nil)
	db.commit(8*pageSize, map[uint32][]byte{0: filled(1)})
	db.commit(8*pageSize, map[uint32][]byte{0: filled(2), 1: filled(2), 2: filled(2), 3: filled(2), 4: filled(2)})
	db.await(func() bool { return db.failure != nil })
	require.Equal(t, "payload_too_large", channel.Code(db.failure))
	require.ErrorContains(t, db.failure, "20480")
	require.Equal(t, []uint64{2}, db.failed)
	require.EqualValues(t, 1, db.done)
	require.NoError(t, db.reload())
	require.Equal(t, filled(1), db.read(0))
	db.close()
}

// I1, I6: once another session holds the actor, nothing is written any more and no reload helps.
func TestI1LostLockIsPermanent(t *testing.T) {
	url := serve(t, protocol.Limits{})
	db := open(t, dial(t, url), "a", protocol.Open{}, pages.Config{}, nil)
	db.commit(pageSize, map[uint32][]byte{0: filled(1)})
	require.NoError(t, db.f.Flush(context.Background()))

	other := open(t, dial(t, url), "a", protocol.Open{Mode: protocol.ModeTakeover}, pages.Config{}, nil)
	db.commit(pageSize, map[uint32][]byte{0: filled(2)})
	db.await(func() bool { return db.failure != nil })
	require.Equal(t, "lock_lost", channel.Code(db.failure))
	for range 2 {
		require.Equal(t, "lock_lost", channel.Code(db.reload()))
	}
	db.commit(pageSize, map[uint32][]byte{0: filled(3)})
	require.Equal(t, "lock_lost", channel.Code(db.f.Flush(context.Background())))
	require.Equal(t, []uint64{2}, db.failed)
	require.NoError(t, db.f.Close(context.Background(), nil))

	require.Equal(t, filled(1), other.read(0))
	other.commit(pageSize, map[uint32][]byte{0: filled(4)})
	require.NoError(t, other.f.Flush(context.Background()))
	other.close()
}

// The lock may also be found lost by a reload only.
func TestI1ReloadFindsTheLockLost(t *testing.T) {
	url := serve(t, protocol.Limits{})
	refuse := fmt.Errorf("%w: for the test", channel.ErrIndeterminate)
	g := &gate{onCommit: func(context.Context, *protocol.Commit, int) error { return refuse }}
	db := open(t, dial(t, url), "a", protocol.Open{}, pages.Config{}, g)
	db.commit(pageSize, map[uint32][]byte{0: filled(1)})
	db.await(func() bool { return db.failure != nil })
	other := open(t, dial(t, url), "a", protocol.Open{Mode: protocol.ModeTakeover}, pages.Config{}, nil)
	for range 2 {
		require.Equal(t, "lock_lost", channel.Code(db.reload()))
	}
	require.Equal(t, "lock_lost", channel.Code(db.f.Fetch(context.Background(), 0, 0)))
	db.close()
	other.close()
}

// I4: a commit whose outcome is not known fails as such; the reload tells whether it was applied, and the sequence goes
// on from there either way.
func TestI4IndeterminateCommitReloads(t *testing.T) {
	for _, applied := range []bool{false, true} {
		t.Run(fmt.Sprint("applied ", applied), func(t *testing.T) {
			g := &gate{}
			db := open(t, dial(t, serve(t, protocol.Limits{})), "a", protocol.Open{}, pages.Config{}, g)
			db.commit(pageSize, map[uint32][]byte{0: filled(1)})
			require.NoError(t, db.f.Flush(context.Background()))
			g.onCommit = func(ctx context.Context, c *protocol.Commit, _ int) error {
				if applied {
					if _, err := g.Actor.Commit(ctx, c, [][]byte{filled(2)}); err != nil {
						return err
					}
				}
				return fmt.Errorf("%w: for the test", channel.ErrIndeterminate)
			}
			db.commit(pageSize, map[uint32][]byte{0: filled(2)})
			db.await(func() bool { return db.failure != nil })
			require.ErrorIs(t, db.failure, channel.ErrIndeterminate)
			g.onCommit = nil
			require.NoError(t, db.reload())
			want := filled(1)
			if applied {
				want = filled(2)
			}
			require.Equal(t, want, db.read(0))
			token := db.commit(2*pageSize, map[uint32][]byte{1: filled(3)})
			require.NoError(t, db.f.Flush(context.Background()))
			require.Equal(t, token, db.done)
			require.Equal(t, [][]byte{want, filled(3)}, stored(t, db))
			db.close()
		})
	}
}

// An idle database has no goroutine, and a closed one leaves none behind, even if its last commit never ends.
func TestNoGoroutineStays(t *testing.T) {
	commits := func() int {
		buf := make([]byte, 1<<20)
		return strings.Count(string(buf[:runtime.Stack(buf, true)]), "pages_test.(*gate).BeginCommit.func")
	}
	entered := make(chan struct{}, 1)
	g := &gate{}
	db := open(t, dial(t, serve(t, protocol.Limits{})), "a", protocol.Open{}, pages.Config{}, g)
	db.commit(pageSize, map[uint32][]byte{0: filled(1)})
	require.NoError(t, db.f.Flush(context.Background()))
	require.Eventually(t, func() bool { return commits() == 0 }, patience, time.Millisecond)

	g.onCommit = func(ctx context.Context, _ *protocol.Commit, _ int) error {
		entered <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	db.commit(pageSize, map[uint32][]byte{0: filled(2)})
	<-entered
	require.Equal(t, 1, commits())
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, db.f.Close(ctx, nil), context.DeadlineExceeded)
	require.Equal(t, []uint64{2}, db.failed)
	require.Eventually(t, func() bool { return commits() == 0 }, patience, time.Millisecond)
	require.NoError(t, db.f.Close(context.Background(), nil), "closing twice")
	require.ErrorIs(t, db.f.Fetch(context.Background(), 0, 0), pages.ErrClosed)
	require.ErrorIs(t, db.f.Reload(context.Background()), pages.ErrClosed)
}

// Close writes what is pending first, and its hints come first in the next open.
func TestCloseFlushesAndLeavesHints(t *testing.T) {
	c := dial(t, serve(t, protocol.Limits{PreloadBytes: 4 * pageSize}))
	db := open(t, c, "a", protocol.Open{}, pages.Config{}, nil)
	write := map[uint32][]byte{}
	for i := range uint32(20) {
		write[i] = leafPage(byte(i))
	}
	db.commit(20*pageSize, write)
	require.NoError(t, db.f.Close(context.Background(), []uint32{11, 7}))
	require.EqualValues(t, 1, db.done)
	db = open(t, c, "a", protocol.Open{Preload: &protocol.Preload{Pages: true}}, pages.Config{}, nil)
	require.Contains(t, db.staged, uint32(11))
	require.Contains(t, db.staged, uint32(7))
	require.EqualValues(t, len(db.staged), db.f.Metrics().PagesPrefetched)
	db.close()
}
