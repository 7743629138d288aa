package pebble_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/store"
	"github.com/pagewire/pagewire/internal/store/pebble"
)

// isLogSync says whether op syncs a log of Pebble.
func isLogSync(op errorfs.Op) bool {
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
		return strings.HasSuffix(op.Path, ".log")
	}
	return false
}

// slowLog is a disk whose log syncs can be held, made to fail, and counted.
type slowLog struct {
	mu      sync.Mutex
	held    chan struct{} // syncs wait for it to close, when not nil
	reached chan struct{} // told when a sync is held
	err     error
	took    time.Duration // what a sync takes
	syncs   atomic.Int64
}

func (l *slowLog) MaybeError(op errorfs.Op) error {
	if !isLogSync(op) {
		return nil
	}
	l.syncs.Add(1)
	l.mu.Lock()
	held, err, took := l.held, l.err, l.took
	l.mu.Unlock()
	if held != nil {
		l.reached <- struct{}{}
		<-held
	}
	time.Sleep(took)
	return err
}

func (l *slowLog) String() string { return "slow log" }

// hold makes syncs wait until release is called.
func (l *slowLog) hold() (reached <-chan struct{}, release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	held, told := make(chan struct{}), make(chan struct{}, 100)
	l.held, l.reached = held, told
	return told, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.held = nil
		close(held)
	}
}

func (l *slowLog) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

func openOn(t *testing.T, fs vfs.FS) *pebble.Store {
	t.Helper()
	s, err := pebble.Open("data", pebble.Options{FS: fs, Logger: quiet})
	require.NoError(t, err)
	return s
}

// TestNothingVisibleBeforeDurable checks I2 and I5: while a commit is being synced, nobody gets to know of it, neither
// a reader nor the sender of the same commit, and another actor is not kept waiting for its reads.
func TestNothingVisibleBeforeDurable(t *testing.T) {
	ctx := context.Background()
	log := &slowLog{}
	s := openOn(t, errorfs.Wrap(vfs.NewMem(), log))
	for _, actor := range []string{"a", "b"} {
		_, err := s.Fence(ctx, actor)
		require.NoError(t, err)
	}
	batch := &store.Batch{Generation: 1, Seq: 1, Puts: []store.Entry{{Key: []byte("k"), Value: []byte("v")}}}

	reached, release := log.hold()
	applied := make(chan error, 1)
	go func() { _, err := s.Apply(ctx, "a", batch); applied <- err }()
	<-reached
	look := map[string]func(ctx context.Context, actor string) error{
		"Head": func(ctx context.Context, actor string) error { _, err := s.Head(ctx, actor); return err },
		"Get": func(ctx context.Context, actor string) error {
			_, err := s.Get(ctx, actor, [][]byte{[]byte("k")})
			return err
		},
		"Get of two": func(ctx context.Context, actor string) error {
			_, err := s.Get(ctx, actor, [][]byte{[]byte("k"), []byte("l")})
			return err
		},
		"Scan": func(ctx context.Context, actor string) error {
			return s.Scan(ctx, actor, store.Range{}, false, func(_, _ []byte) bool { return true })
		},
		"refused Apply": func(ctx context.Context, actor string) error {
			_, err := s.Apply(ctx, actor, &store.Batch{Generation: 99})
			return err
		},
	}
	for name, call := range look {
		patience, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		require.ErrorIs(t, call(patience, "a"), context.DeadlineExceeded, "%s answered from a commit that is not durable", name)
		cancel()
		if err := call(ctx, "b"); err != nil {
			require.ErrorIs(t, err, store.ErrFenced, "%s of an actor without a commit under way", name)
		}
	}
	patience, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	_, err := s.Apply(patience, "a", batch)
	cancel()
	require.ErrorIs(t, err, context.DeadlineExceeded, "a commit was called applied before it is durable")
	require.Empty(t, applied, "a commit was acknowledged before its sync")

	release()
	require.NoError(t, <-applied)
	_, err = s.Apply(ctx, "a", batch)
	require.ErrorIs(t, err, store.ErrApplied)
	require.NoError(t, s.Close())
}

// TestPipelinedCommits checks that a later commit of an actor is taken while the earlier one is synced, and that both
// are acknowledged only afterwards.
func TestPipelinedCommits(t *testing.T) {
	ctx := context.Background()
	log := &slowLog{}
	disk := vfs.NewCrashableMem()
	s := openOn(t, errorfs.Wrap(disk, log))
	_, err := s.Fence(ctx, "a")
	require.NoError(t, err)
	before := disk.CrashClone(vfs.CrashCloneCfg{})

	reached, release := log.hold()
	type ack struct {
		seq  uint64
		disk *vfs.MemFS
		err  error
	}
	acks := make(chan ack, 2)
	send := func(seq uint64) {
		_, err := s.Apply(ctx, "a", &store.Batch{Generation: 1, Seq: seq, Expect: seq - 1})
		acks <- ack{seq, disk.CrashClone(vfs.CrashCloneCfg{}), err}
	}
	go send(1)
	<-reached
	go send(2)
	require.Empty(t, acks)
	crashed := openOn(t, before)
	head, err := crashed.Head(ctx, "a")
	require.NoError(t, err)
	require.Zero(t, head.Seq)
	require.NoError(t, crashed.Close())

	release()
	for range 2 {
		a := <-acks
		require.NoError(t, a.err)
		crashed := openOn(t, a.disk)
		head, err := crashed.Head(ctx, "a")
		require.NoError(t, err)
		require.GreaterOrEqual(t, head.Seq, a.seq, "I2: commit %d was acknowledged but is not on disk", a.seq)
		require.NoError(t, crashed.Close())
	}
	require.NoError(t, s.Close())
}

// TestActorsShareSyncs checks that commits of different actors are synced in groups.
func TestActorsShareSyncs(t *testing.T) {
	const actors, commits = 16, 20
	ctx := context.Background()
	log := &slowLog{took: 2 * time.Millisecond} // as a disk takes
	s := openOn(t, errorfs.Wrap(vfs.NewMem(), log))
	before := log.syncs.Load()
	var wg sync.WaitGroup
	var failed atomic.Int64
	for i := range actors {
		wg.Go(func() {
			actor := string(rune('a' + i))
			if _, err := s.Fence(ctx, actor); err != nil {
				failed.Add(1)
			}
			for seq := uint64(1); seq <= commits; seq++ {
				if _, err := s.Apply(ctx, actor, &store.Batch{Generation: 1, Seq: seq, Expect: seq - 1}); err != nil {
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	require.Zero(t, failed.Load())
	syncs := log.syncs.Load() - before
	t.Logf("%d commits of %d actors took %d syncs", actors*(commits+1), actors, syncs)
	require.Less(t, syncs, int64(actors*(commits+1)/3))
	require.NoError(t, s.Close())
}

// TestFailedSync checks that a store whose log cannot be written stops, with the reason, and that what it had
// acknowledged is there when it is opened again.
func TestFailedSync(t *testing.T) {
	ctx := context.Background()
	log := &slowLog{}
	disk := vfs.NewCrashableMem()
	s := openOn(t, errorfs.Wrap(disk, log))
	_, err := s.Fence(ctx, "a")
	require.NoError(t, err)
	_, err = s.Apply(ctx, "a", &store.Batch{Generation: 1, Seq: 1})
	require.NoError(t, err)

	log.fail(syscall.ENOSPC)
	_, err = s.Apply(ctx, "a", &store.Batch{Generation: 1, Seq: 2, Expect: 1})
	require.ErrorIs(t, err, store.ErrFull)
	for range 2 {
		_, err = s.Head(ctx, "a")
		require.ErrorIs(t, err, store.ErrFull, "what a failed commit left in memory must not be read")
		_, err = s.Apply(ctx, "b", &store.Batch{Generation: 1})
		require.ErrorIs(t, err, store.ErrFull)
		_, err = s.Fence(ctx, "b")
		require.ErrorIs(t, err, store.ErrFull)
	}
	crashed := disk.CrashClone(vfs.CrashCloneCfg{})
	require.ErrorIs(t, s.Close(), store.ErrFull)

	s = openOn(t, crashed)
	head, err := s.Head(ctx, "a")
	require.NoError(t, err)
	require.EqualValues(t, 1, head.Seq)
	require.NoError(t, s.Close())
}
