package pebble_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/store"
	"github.com/pagewire/pagewire/internal/store/pebble"
)

// fault fails the operations of a file system from the at-th that matches on, times times; 0 means for ever.
type fault struct {
	match     func(errorfs.Op) bool
	at, times int
	err       error

	mu    sync.Mutex
	seen  int
	hits  int
	what  errorfs.Op    // the first operation that failed
	fired chan struct{} // closed when it does
}

func newFault(match func(errorfs.Op) bool, at, times int, err error) *fault {
	return &fault{match: match, at: at, times: times, err: err, fired: make(chan struct{})}
}

func (f *fault) MaybeError(op errorfs.Op) error {
	if !f.match(op) {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen++; f.seen < f.at || f.times > 0 && f.hits == f.times {
		return nil
	}
	if f.hits++; f.hits == 1 {
		f.what = op
		close(f.fired)
	}
	return f.err
}

func (f *fault) String() string { return "fault" }

func (f *fault) hasFired() bool {
	select {
	case <-f.fired:
		return true
	default:
		return false
	}
}

// clear lets operations succeed from now on.
func (f *fault) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.times = f.hits
	f.at = f.seen + 1<<30
}

func anyOp(errorfs.Op) bool { return true }

// takesSpace says whether op may find no space.
func takesSpace(op errorfs.Op) bool {
	switch op.Kind {
	case errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFileWriteAt, errorfs.OpLink, errorfs.OpRename, errorfs.OpReuseForWrite:
		return true
	}
	return false
}

// points returns which of n points of a sweep to visit: all if PAGEWIRE_SWEEPS is set, else about few of them.
func points(n, few int) []int {
	step := max(1, n/few)
	if os.Getenv("PAGEWIRE_SWEEPS") != "" {
		step = 1
	}
	var list []int
	for at := 1; at <= n; at += step {
		list = append(list, at)
	}
	return list
}

// faultCommits are the commits of the workload that faults are put into: enough for logs to be rotated and reused,
// memtables to be flushed and tables to be compacted.
const faultCommits = 48

// patience bounds what is tried again and again; nothing takes that long unless it hangs.
const patience = time.Minute

// workload opens a store on fs, and applies commits until all are applied and the fault has fired, or the store has
// stopped. It returns which commit was acknowledged last and which was sent last.
func workload(t *testing.T, fs vfs.FS, f *fault) (acknowledged, sent uint64, err error) {
	ctx := context.Background()
	s, err := pebble.Open("data", pebble.Options{FS: fs, Logger: quiet, MemTableBytes: smallMemTable, CacheBytes: 1 << 20})
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	try := func(call func() error) error {
		for begin := time.Now(); time.Since(begin) < patience; runtime.Gosched() {
			// A call that failed has changed nothing, unless the store has stopped.
			if err = call(); err == nil || errors.Is(err, store.ErrStopped) {
				return err
			}
			if f.times == 0 && f.hasFired() {
				f.clear()
			}
		}
		return err
	}
	if head, headErr := s.Head(ctx, "a"); headErr == nil && head.Generation == 0 {
		if err := try(func() error { _, err := s.Fence(ctx, "a"); return err }); err != nil {
			return 0, 0, err
		}
	}
	for seq := uint64(1); seq <= faultCommits || !f.hasFired() && seq < 10*faultCommits; seq++ {
		sent = seq
		if err := try(func() error { _, err := s.Apply(ctx, "a", commitOf(1, seq)); return err }); err != nil {
			return acknowledged, sent, err
		}
		acknowledged = seq
	}
	return acknowledged, sent, nil
}

// TestFailedOperations lets the Nth operation on the file system fail, for every N, once and from then on. The store
// goes on or stops with a clear error; whoever opens its files next, with or without a loss of what was not synced,
// finds every acknowledged commit (I2), and none in part (I3).
func TestFailedOperations(t *testing.T) {
	pebble.Impatient()
	count := newFault(anyOp, 1<<30, 0, nil)
	mustApply(t, errorfs.Wrap(vfs.NewCrashableMem(), count), count)
	total := count.seen
	stopped, visited := 0, 0
	broken := fmt.Errorf("injected: %w", syscall.EIO)
	for _, times := range []int{1, 0} {
		for _, at := range points(total, total) {
			visited++
			f := newFault(anyOp, at, times, broken)
			disk := vfs.NewCrashableMem()
			acknowledged, sent, err := workload(t, errorfs.Wrap(disk, f), f)
			require.True(t, f.hasFired(), "operation %d of %d was never reached", at, total)
			what := fmt.Sprintf("operation %d failed, kind %d on %s, times %d: %v", at, f.what.Kind, f.what.Path, times, err)
			if err != nil {
				stopped++
				require.ErrorIs(t, err, syscall.EIO, what)
			}
			f.clear()
			for how, fs := range map[string]vfs.FS{"crash": disk.CrashClone(vfs.CrashCloneCfg{}), "restart": disk} {
				s, err := pebble.Open("data", pebble.Options{FS: fs, Logger: quiet})
				require.NoError(t, err, "%s: %s", how, what)
				head, err := s.Head(context.Background(), "a")
				require.NoError(t, err)
				if head.Generation == 0 {
					require.Zero(t, sent, "%s: %s", how, what)
				} else {
					requireWhole(t, s, "a", acknowledged, sent, what)
				}
				require.NoError(t, s.Close())
			}
		}
	}
	t.Logf("%d operations; %d faults injected, all fired; %d stopped the store, the others it got over", total, visited, stopped)
}

// mustApply runs the workload without a fault.
func mustApply(t *testing.T, fs vfs.FS, f *fault) {
	t.Helper()
	f.at = 1 << 30
	close(f.fired)
	_, _, err := workload(t, fs, f)
	require.NoError(t, err)
}

// TestDiskFull lets the Nth operation that takes space find none, for every N, and the three after it. Only while the
// store is opened or closed may that end it; otherwise every commit is made in the end, without opening it again.
func TestDiskFull(t *testing.T) {
	pebble.Impatient()
	count := newFault(takesSpace, 1<<30, 0, nil)
	mustApply(t, errorfs.Wrap(vfs.NewCrashableMem(), count), count)
	total := count.seen
	visited, refused := 0, 0
	for _, at := range points(total, 60) {
		visited++
		f := newFault(takesSpace, at, 4, fmt.Errorf("injected: %w", syscall.ENOSPC))
		disk := vfs.NewCrashableMem()
		acknowledged, sent, err := workload(t, errorfs.Wrap(disk, f), f)
		require.True(t, f.hasFired(), "operation %d of %d was never reached", at, total)
		what := fmt.Sprintf("operation %d, kind %d on %s", at, f.what.Kind, f.what.Path)
		if err != nil {
			refused++
			require.ErrorIs(t, err, store.ErrFull, what)
			require.True(t, sent == 0 || acknowledged >= faultCommits, "%s: stopped amid its work after %d commits: %v", what, acknowledged, err)
		}
		for _, fs := range []vfs.FS{disk.CrashClone(vfs.CrashCloneCfg{}), disk} {
			f.clear()
			s, err := pebble.Open("data", pebble.Options{FS: fs, Logger: quiet})
			require.NoError(t, err, what)
			if sent > 0 {
				requireWhole(t, s, "a", acknowledged, sent, what)
			}
			require.NoError(t, s.Close())
		}
	}
	t.Logf("%d operations; %d faults injected, all fired; %d while the store was opened or closed", total, visited, refused)
}

// TestFullAndBack fills the disk under a commit. It waits, others are refused with ErrFull, reads go on; when there is
// room again, the commit that waited is acknowledged, and so are new ones.
func TestFullAndBack(t *testing.T) {
	pebble.Impatient()
	ctx := context.Background()
	inLog := func(op errorfs.Op) bool { return takesSpace(op) && strings.HasSuffix(op.Path, ".log") }
	f := newFault(inLog, 1<<30, 0, fmt.Errorf("injected: %w", syscall.ENOSPC))
	disk := vfs.NewCrashableMem()
	s := openOn(t, errorfs.Wrap(disk, f))
	for _, actor := range []string{"a", "b"} {
		_, err := s.Fence(ctx, actor)
		require.NoError(t, err)
		_, err = s.Apply(ctx, actor, commitOf(1, 1))
		require.NoError(t, err)
	}
	f.mu.Lock()
	f.at = 0
	f.mu.Unlock()
	waiting := make(chan error, 1)
	go func() { _, err := s.Apply(ctx, "a", commitOf(1, 2)); waiting <- err }()
	<-f.fired
	var err error
	for err == nil { // the failure takes a moment to become known, and a commit made then waits too
		reply := make(chan error, 1)
		go func() { _, err := s.Apply(ctx, "b", &store.Batch{Generation: 1}); reply <- err }()
		err = <-reply
	}
	require.ErrorIs(t, err, store.ErrFull)
	require.NotErrorIs(t, err, store.ErrStopped)
	_, err = s.Fence(ctx, "c")
	require.ErrorIs(t, err, store.ErrFull)
	head, err := s.Head(ctx, "b")
	require.NoError(t, err)
	require.EqualValues(t, 1, head.Seq, "reads go on")
	require.Empty(t, waiting, "I2: acknowledged without having been written")
	f.clear()
	require.NoError(t, <-waiting)
	crashed := openOn(t, disk.CrashClone(vfs.CrashCloneCfg{}))
	requireWhole(t, crashed, "a", 2, 2, "room again")
	require.NoError(t, crashed.Close())
	for err = store.ErrFull; errors.Is(err, store.ErrFull); {
		_, err = s.Apply(ctx, "b", commitOf(1, 2))
	}
	require.NoError(t, err)
	select {
	case <-s.Failed():
		t.Fatal("a full disk has stopped the store")
	default:
	}
	require.NoError(t, s.Close())
}
