// Package pebble is the embedded store: one directory, one process, every write on stable storage before it is
// acknowledged. Writes of different actors share the log and its syncs.
package pebble

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/pagewire/pagewire/internal/crew"
	"github.com/pagewire/pagewire/internal/store"
)

// Store keeps actors in a Pebble database. Make one with Open.
type Store struct {
	db      *pebble.DB
	lock    *pebble.Lock
	disk    *disk
	dir     string
	reserve uint64
	gates   gates
	spares  spares
	crew    *crew.Crew    // runs what may meet a failure of the disk
	readers chan struct{} // holds an item for each goroutine that helps a read, see takeReaders

	mu      sync.Mutex // guards what follows; running may only be raised while closed is false
	closed  bool
	running sync.WaitGroup
}

// idleWriters is how many goroutines wait for the next write.
const idleWriters = 16

var _ store.Store = (*Store)(nil)

// Open opens the store in the directory dir, which it makes if it is missing. It returns store.ErrInUse if another
// process, or this one, has the directory open, store.ErrCorrupt, store.ErrFull, or what the file system says.
func Open(dir string, options Options) (*Store, error) {
	options = options.withDefaults()
	if err := options.FS.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("pebble: cannot make the store directory: %w", err)
	}
	disk := newDisk(options.FS, options.Logger)
	lock, err := pebble.LockDirectory(dir, disk)
	switch {
	case err == nil:
	case isLocked(err):
		return nil, fmt.Errorf("%w: directory %s: stop the other one or name another directory", store.ErrInUse, dir)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("pebble: directory %s is not writable: %w", dir, err)
	default:
		return nil, fmt.Errorf("pebble: cannot lock directory %s: %w", dir, translate(err))
	}
	s := &Store{
		lock: lock, disk: disk, dir: dir, reserve: options.ReserveBytes,
		gates:   gates{m: map[string]*gate{}, failed: disk.failed},
		crew:    crew.New(idleWriters),
		readers: make(chan struct{}, readersBeside()),
	}
	p := options.pebble(disk)
	p.Lock = lock
	if err := s.await(func() error { return s.open(p) }); err != nil {
		s.crew.End()
		return nil, errors.Join(err, s.unlock())
	}
	disk.serve(true)
	return s, nil
}

// open opens the database.
func (s *Store) open(p *pebble.Options) error {
	if err := checkLogs(s.disk, s.dir); err != nil {
		return err
	}
	db, err := pebble.Open(s.dir, p)
	if err != nil {
		return fmt.Errorf("cannot open the store in %s: %w", s.dir, translate(err))
	}
	if err := checkMarker(db, s.dir); err != nil {
		return errors.Join(err, db.Close())
	}
	s.db = db
	return nil
}

// await runs what may meet a failure of the disk, on a goroutine of its own, which is parked for good if it does. It
// returns when run does, or when the store has stopped and its files are left alone.
func (s *Store) await(run func() error) error {
	done := make(chan error, 1)
	s.crew.Go(func() { done <- run() })
	select {
	case err := <-done:
		return err
	case <-s.disk.failed:
		s.disk.quiet()
		return s.disk.stopped()
	}
}

// unlock gives the directory back.
func (s *Store) unlock() error {
	if s.disk.stopped() != nil {
		return s.disk.lock.Close()
	}
	return s.lock.Close()
}

// Failed returns a channel that is closed when the store has stopped because stable storage failed. Every call returns
// store.ErrStopped from then on; the store is to be closed and opened again, best by a new process.
func (s *Store) Failed() <-chan struct{} { return s.disk.failed }

// checkMarker checks the format marker and writes it into an empty database.
func checkMarker(db *pebble.DB, dir string) error {
	var found string
	if err := read(db, markerKey, func(b []byte) error { found = string(b); return nil }); err != nil {
		return fmt.Errorf("cannot read the format of the store in %s: %w", dir, err)
	}
	switch {
	case found == markerValue:
		return nil
	case strings.HasPrefix(found, markerName):
		return fmt.Errorf("pebble: the store in %s has format %q, this build reads %q: use the version that wrote it",
			dir, found, markerValue)
	case found != "":
		return fmt.Errorf("%w: the store in %s has an unknown format marker", store.ErrCorrupt, dir)
	}
	iter, err := db.NewIter(nil)
	if err != nil {
		return translate(err)
	}
	foreign := iter.First()
	if err := iter.Close(); err != nil {
		return translate(err)
	}
	if foreign {
		return fmt.Errorf("pebble: %s holds a database that is not a Pagewire store: name another directory", dir)
	}
	return translate(db.Set(markerKey, []byte(markerValue), pebble.Sync))
}

// Head implements store.Store.
func (s *Store) Head(ctx context.Context, actor string) (store.Head, error) {
	if err := s.enter(ctx); err != nil {
		return store.Head{}, err
	}
	defer s.running.Done()
	// A snapshot, so that the head and its hints are of one moment.
	snapshot := s.db.NewSnapshot()
	defer snapshot.Close()
	head, err := readHead(snapshot, actor)
	if err != nil {
		return store.Head{}, err
	}
	if err := s.durable(ctx, actor); err != nil {
		return store.Head{}, err
	}
	return head, nil
}

// Close implements store.Store. A store that has stopped is not closed but left as it is: what it keeps in memory is
// lost to the process.
func (s *Store) Close() error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	s.disk.serve(false)
	if s.disk.full() {
		s.disk.fail(fmt.Errorf("closed while the disk is full: %w", store.ErrFull))
	}
	err := s.await(func() error {
		s.running.Wait()
		if again {
			return nil
		}
		return translate(s.db.Close())
	})
	s.crew.End()
	if again {
		return nil
	}
	return errors.Join(err, s.unlock())
}

// enter begins a call, which s.running.Done ends.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	if err := s.disk.stopped(); err != nil {
		return err
	}
	s.running.Add(1)
	return nil
}

// durable returns once everything of the actor that was visible before the call is on stable storage.
func (s *Store) durable(ctx context.Context, actor string) error {
	if err := s.gates.durable(ctx, actor); err != nil {
		return err
	}
	// A commit that failed and is gone from its gate has stopped the store first.
	return s.disk.stopped()
}
