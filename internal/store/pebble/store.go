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
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pagewire/pagewire/internal/store"
)

// Store keeps actors in a Pebble database. Make one with Open.
type Store struct {
	db      *pebble.DB
	lock    *pebble.Lock
	fs      vfs.FS
	dir     string
	reserve uint64
	gates   gates

	mu      sync.Mutex // guards what follows; running may only be raised while closed is false
	closed  bool
	failed  error // of stable storage; nothing more is written or read
	running sync.WaitGroup
}

var _ store.Store = (*Store)(nil)

// Open opens the store in the directory dir, which it makes if it is missing. It returns store.ErrInUse if another
// process, or this one, has the directory open, store.ErrCorrupt, store.ErrFull, or what the file system says.
func Open(dir string, options Options) (*Store, error) {
	options = options.withDefaults()
	if err := options.FS.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("pebble: cannot make the store directory: %w", err)
	}
	lock, err := pebble.LockDirectory(dir, options.FS)
	switch {
	case err == nil:
	case isLocked(err):
		return nil, fmt.Errorf("%w: directory %s: stop the other one or name another directory", store.ErrInUse, dir)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("pebble: directory %s is not writable: %w", dir, err)
	default:
		return nil, fmt.Errorf("pebble: cannot lock directory %s: %w", dir, translate(err))
	}
	p := options.pebble()
	p.Lock = lock
	db, err := pebble.Open(dir, p)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open the store in %s: %w", dir, translate(err)), lock.Close())
	}
	if err := checkMarker(db, dir); err != nil {
		return nil, errors.Join(err, db.Close(), lock.Close())
	}
	return &Store{
		db: db, lock: lock, fs: options.FS, dir: dir, reserve: options.ReserveBytes, gates: gates{m: map[string]*gate{}},
	}, nil
}

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

// Close implements store.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		s.running.Wait()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.running.Wait()
	return errors.Join(translate(s.db.Close()), s.lock.Close())
}

// enter begins a call, which s.running.Done ends.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return store.ErrClosed
	case s.failed != nil:
		return s.failed
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
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// fail stops the store: after a failed sync nobody knows what the log holds, so neither reads nor writes may go on
// until the store has been opened again.
func (s *Store) fail(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = fmt.Errorf("store stopped until it is opened again, after a failed write: %w", translate(err))
	}
	return s.failed
}
