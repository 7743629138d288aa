// Package sqlite runs SQLite on pages that live behind a channel. The engine is C, in this folder: the VFS, operations
// and their queue, workers, packed rows (internal.h lists the files); its interface is pagewire.h. Go opens and closes
// databases, and is called when the engine misses a page or has a transaction to commit, both of which internal/pages
// answers.
//
// SQLite itself is the amalgamation that github.com/mattn/go-sqlite3 carries, called directly: its database/sql driver
// is not used.
package sqlite

/*
#cgo LDFLAGS: -lpthread
#include <stdlib.h>
#include "internal.h"
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"runtime/cgo"
	"sync"
	"time"
	"unsafe"

	_ "github.com/mattn/go-sqlite3" // links SQLite

	"github.com/pagewire/pagewire/internal/pages"
	"github.com/pagewire/pagewire/internal/protocol"
)

// DefaultCacheBytes bounds SQLite's page cache of one database.
const DefaultCacheBytes = 16 << 20

// ErrClosed is returned for a database that has been closed.
var ErrClosed = errors.New("sqlite: the database is closed")

// Options of a database.
type Options struct {
	CacheBytes  uint64 // of SQLite's page cache; 0 means DefaultCacheBytes
	CommitBytes uint64 // of pages in one transaction; 0 means the server's default limit of 256 MiB
	Pages       pages.Config
}

// DB is an open database.
type DB struct {
	c      *C.pw_db
	handle cgo.Handle
	file   *pages.File

	mu     sync.Mutex
	cancel context.CancelFunc // of the fetch under way
	closed bool
	kept   map[string]*C.pw_stmt // statements with parameters, by their text
	points map[string]*point     // those of Point, likewise
}

// Open opens the database of an actor. opened is the server's answer to the actor's open; a hot journal that another
// client left behind is rolled back. The remote is closed with the database, but not if Open fails.
func Open(ctx context.Context, remote pages.Remote, opened *protocol.OpenResult, o Options) (*DB, error) {
	if o.CacheBytes == 0 {
		o.CacheBytes = DefaultCacheBytes
	}
	if o.CommitBytes == 0 {
		o.CommitBytes = 256 << 20
	}
	var size, journal uint64
	for _, f := range opened.Files {
		switch f.Tag {
		case protocol.FileMain:
			size = f.Size
		case protocol.FileJournal:
			journal = f.Size
		}
	}
	db := &DB{}
	db.handle = cgo.NewHandle(db)
	db.c = C.pw_db_open(C.uintptr_t(db.handle), C.uint64_t(size), C.uint64_t(journal), C.uint64_t(o.CommitBytes))
	if db.c == nil {
		db.handle.Delete()
		return nil, errors.New("sqlite: out of memory")
	}
	db.file = pages.New(remote, sink{db}, opened, o.Pages)
	var failure C.pw_error
	if C.pw_db_start(db.c, C.uint64_t(o.CacheBytes), &failure) != 0 {
		err := newError(&failure)
		C.pw_error_clear(&failure)
		db.release()
		return nil, err
	}
	if journal > 0 {
		if err := db.file.Flush(ctx); err != nil {
			C.pw_db_stop(db.c)
			db.release()
			return nil, fmt.Errorf("rolling back the journal that another client left: %w", err)
		}
	}
	return db, nil
}

// ID is the number by which db_get of pagewire.h finds the database.
func (db *DB) ID() uint64 { return uint64(C.pw_db_id(db.c)) }

// Close lets the queued operations run to their end, waits until every commit is acknowledged and closes the actor. An
// error says that the last commits were not acknowledged, or that the server could not be told. Operations that ctx ends
// before are cancelled.
func (db *DB) Close(ctx context.Context) error { return db.close(ctx, false) }

// Abandon closes the database as Close does, but cancels the operations that are queued or running.
func (db *DB) Abandon(ctx context.Context) error { return db.close(ctx, true) }

func (db *DB) close(ctx context.Context, abandon bool) error {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return ErrClosed
	}
	db.closed = true
	db.mu.Unlock()
	if abandon {
		C.pw_queue_cancel(db.c)
	}
	cancelled := make(chan struct{})
	inTime := context.AfterFunc(ctx, func() {
		defer close(cancelled)
		C.pw_queue_cancel(db.c)
	})
	C.pw_db_stop(db.c)
	if !inTime() {
		<-cancelled // it uses db.c
	}
	var hints [C.PW_MAX_HINTS]uint32
	n := C.pw_db_hints(db.c, (*C.uint32_t)(unsafe.Pointer(&hints[0])))
	err := db.file.Close(ctx, hints[:n])
	db.release()
	return err
}

// release drops what C and the handle table hold. Nothing calls back any more.
func (db *DB) release() {
	for _, stmt := range db.kept {
		C.pw_stmt_free(stmt)
	}
	for _, p := range db.points {
		C.pw_stmt_free(p.stmt)
	}
	C.pw_db_unref(db.c)
	db.handle.Delete()
}

// PagesMetrics returns what internal/pages counted.
func (db *DB) PagesMetrics() pages.Metrics { return db.file.Metrics() }

func (db *DB) beginFetch(timeout time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	if timeout > 0 {
		ctx, cancel = context.WithTimeout(context.Background(), timeout)
	}
	db.mu.Lock()
	db.cancel = cancel
	db.mu.Unlock()
	return ctx, cancel
}

func (db *DB) interrupt() {
	db.mu.Lock()
	cancel := db.cancel
	db.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

// Lost tells the database that another session took its actor over: every operation fails with the error from now on,
// also those that could be answered from memory, which may be stale.
func (db *DB) Lost(err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return
	}
	var failure C.pw_error
	setError(&failure, err)
	C.pw_db_lost(db.c, &failure)
	C.pw_error_clear(&failure)
}
