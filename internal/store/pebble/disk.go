package pebble

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pagewire/pagewire/internal/store"
	"github.com/pagewire/pagewire/internal/tune"
)

// disk stands between Pebble and the file system. Pebble cannot go on after a failed write of its log or manifest: it
// panics, some of its locks held, some released twice. Therefore no such failure reaches it:
//
//   - A write that finds no space waits for some and is tried again, from where it stopped. Nothing is lost, the commits
//     under way just take longer; meanwhile full is true and new ones are refused.
//   - A write that fails otherwise, and every failed sync, stops the store: nobody knows what the disk holds until it is
//     read again. The goroutine that met the failure, and every one that would change a file after it, is parked for
//     good, so that the files stay as they are for whoever opens them next. The callers are told by failed.
//
// Tables are the exception: a flush or compaction that finds no space may itself have filled the disk. It is told, after
// a pause, so that Pebble removes what it wrote and begins again.
type disk struct {
	vfs.FS
	log    *slog.Logger
	failed chan struct{} // closed when the store has stopped
	lock   io.Closer     // the directory's lock

	mu      sync.Mutex
	idle    sync.Cond // signalled when running falls to 0
	err     error     // why the store has stopped
	waits   bool      // a write without space waits; while the store is opened or closed it stops it instead
	stalled int       // writes that wait for space
	running int       // changes of files under way, those that wait not counted
}

// Pauses between two attempts of a write that finds no space. Variables, so that tests need not wait.
var (
	firstPause = 10 * time.Millisecond
	lastPause  = time.Second
)

func newDisk(fs vfs.FS, log *slog.Logger) *disk {
	d := &disk{FS: fs, log: log, failed: make(chan struct{})}
	d.idle.L = &d.mu
	return d
}

// serve lets writes wait for space from now on, or not.
func (d *disk) serve(waits bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waits = waits
}

// full says whether a write waits for space.
func (d *disk) full() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stalled > 0
}

// stopped returns why the store has stopped, nil while it has not.
func (d *disk) stopped() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// fail stops the store.
func (d *disk) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return
	}
	d.err = fmt.Errorf("%w: %w", store.ErrStopped, translate(err))
	d.log.Error("store: stopped until it is opened again", "error", err)
	close(d.failed)
}

// quiet waits, after fail, until nothing changes a file any more.
func (d *disk) quiet() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.running > 0 {
		d.idle.Wait()
	}
}

// park ends what the calling goroutine does, without unwinding it into Pebble's handlers.
func park() { select {} }

// change runs a change of the file. again says that it may be tried once more after it has found no space.
func (d *disk) change(file string, again bool, op func() error) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		d.begin()
		err := op()
		d.end()
		switch {
		case err == nil:
			return nil
		case !again || !isNoSpace(err) || !d.stall(file, err):
			d.fail(fmt.Errorf("%s: %w", file, err))
			park()
		}
		if isTable(file) {
			pause = lastPause
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-d.failed:
			timer.Stop()
			park()
		}
		d.mu.Lock()
		d.stalled--
		d.mu.Unlock()
		if isTable(file) {
			return err
		}
	}
}

// begin counts a change of a file, or parks the goroutine if the store has stopped.
func (d *disk) begin() {
	d.mu.Lock()
	stopped := d.err != nil
	if !stopped {
		d.running++
	}
	d.mu.Unlock()
	if stopped {
		park()
	}
}

func (d *disk) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.running--; d.running == 0 {
		d.idle.Broadcast()
	}
}

// stall counts a write that found no space, if it may wait.
func (d *disk) stall(file string, err error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.waits {
		return false
	}
	if d.stalled++; d.stalled == 1 {
		d.log.Error("store: the disk is full; commits are refused until it has room", "file", file, "error", err)
	}
	return true
}

// Lock implements vfs.FS. A database that was left as it is never gives its lock back, so the lock is kept here too.
func (d *disk) Lock(name string) (lock io.Closer, err error) {
	d.lock, err = d.FS.Lock(name)
	return d.lock, err
}

// isTable says whether Pebble can do without the file: it holds what is in the log or in other tables too.
func isTable(file string) bool {
	return strings.HasSuffix(file, ".sst") || strings.HasSuffix(file, ".blob")
}

// Create implements vfs.FS.
func (d *disk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return d.file(name, func() (vfs.File, error) { return d.FS.Create(name, category) })
}

// OpenReadWrite implements vfs.FS.
func (d *disk) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return d.file(name, func() (vfs.File, error) { return d.FS.OpenReadWrite(name, category, opts...) })
}

// ReuseForWrite implements vfs.FS.
func (d *disk) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return d.file(newname, func() (vfs.File, error) { return d.FS.ReuseForWrite(oldname, newname, category) })
}

func (d *disk) file(name string, open func() (vfs.File, error)) (f vfs.File, err error) {
	err = d.change(name, true, func() (err error) { f, err = open(); return err })
	if err != nil {
		return nil, err
	}
	if isLog(name) && !tune.Off("log-fill") {
		return newLogFile(diskFile{f, d, name}), nil
	}
	return &diskFile{f, d, name}, nil
}

// OpenDir implements vfs.FS.
func (d *disk) OpenDir(name string) (vfs.File, error) {
	f, err := d.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &diskFile{f, d, name}, nil
}

// Link implements vfs.FS.
func (d *disk) Link(oldname, newname string) error {
	return d.change(newname, true, func() error { return d.FS.Link(oldname, newname) })
}

// Rename implements vfs.FS.
func (d *disk) Rename(oldname, newname string) error {
	return d.change(newname, true, func() error { return d.FS.Rename(oldname, newname) })
}

// Remove implements vfs.FS. Pebble gets over its errors: the file is removed another time.
func (d *disk) Remove(name string) error {
	d.begin()
	defer d.end()
	return d.FS.Remove(name)
}

// RemoveAll implements vfs.FS, as Remove.
func (d *disk) RemoveAll(name string) error {
	d.begin()
	defer d.end()
	return d.FS.RemoveAll(name)
}

// Unwrap implements vfs.FS.
func (d *disk) Unwrap() vfs.FS { return d.FS }

// diskFile is a file, or a directory, that may be changed.
type diskFile struct {
	vfs.File
	disk *disk
	name string
}

// Write implements vfs.File.
func (f *diskFile) Write(p []byte) (n int, err error) {
	err = f.disk.change(f.name, true, func() error {
		wrote, err := f.File.Write(p[n:])
		n += wrote
		return err
	})
	return n, err
}

// WriteAt implements vfs.File.
func (f *diskFile) WriteAt(p []byte, offset int64) (n int, err error) {
	err = f.disk.change(f.name, true, func() error {
		wrote, err := f.File.WriteAt(p[n:], offset+int64(n))
		n += wrote
		return err
	})
	return n, err
}

// Sync implements vfs.File. A failed sync is not tried again: the second one could succeed without what the first lost.
func (f *diskFile) Sync() error { return f.disk.change(f.name, false, f.File.Sync) }

// SyncData implements vfs.File, as Sync.
func (f *diskFile) SyncData() error { return f.disk.change(f.name, false, f.File.SyncData) }

// SyncTo implements vfs.File, as Sync.
func (f *diskFile) SyncTo(length int64) (whole bool, err error) {
	err = f.disk.change(f.name, false, func() (err error) { whole, err = f.File.SyncTo(length); return err })
	return whole, err
}
