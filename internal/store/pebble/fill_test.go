package pebble_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pagewire/pagewire/internal/store"
	"github.com/pagewire/pagewire/internal/store/pebble"
)

// sizeFS counts the syncs of logs, and those before which the log had become larger.
type sizeFS struct {
	vfs.FS
	syncs, grown *atomic.Int64
}

func (fs sizeFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, c)
	if err != nil || !strings.HasSuffix(name, ".log") {
		return f, err
	}
	return &sizeFile{File: f, fs: fs}, nil
}

type sizeFile struct {
	vfs.File
	fs   sizeFS
	size int64
}

func (f *sizeFile) SyncData() error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	f.fs.syncs.Add(1)
	if info.Size() != f.size {
		f.fs.grown.Add(1)
	}
	f.size = info.Size()
	return f.File.SyncData()
}

// Most commits find their bytes in the log written already, so that a sync of it has no size to sync.
func TestLogsAreFilledAhead(t *testing.T) {
	ctx := t.Context()
	fs := sizeFS{vfs.NewMem(), new(atomic.Int64), new(atomic.Int64)}
	s, err := pebble.Open("store", pebble.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	head, err := s.Fence(ctx, "actor")
	if err != nil {
		t.Fatal(err)
	}
	fs.syncs.Store(0)
	fs.grown.Store(0)
	const commits = 100
	for i := range commits {
		b := &store.Batch{Generation: head.Generation, Seq: uint64(i + 1), Expect: uint64(i)}
		for k := range 5 {
			b.Puts = append(b.Puts, store.Entry{Key: fmt.Appendf(nil, "page %d", k), Value: make([]byte, 4096)})
		}
		if _, err := s.Apply(ctx, "actor", b); err != nil {
			t.Fatal(err)
		}
	}
	if syncs, grown := fs.syncs.Load(), fs.grown.Load(); syncs < commits || grown > commits/5 {
		t.Fatalf("%d commits: %d syncs of logs, %d of which had become larger", commits, syncs, grown)
	}
}
