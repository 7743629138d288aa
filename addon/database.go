package main

import (
	"context"
	"sync"

	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/sqlite"
)

// registry finds databases by handle, for all environments. The engine numbers them, and never uses a number twice.
type registry struct {
	mu   sync.Mutex
	open map[uint64]*sqlite.DB
}

var databases = registry{open: make(map[uint64]*sqlite.DB)}

func (r *registry) put(db *sqlite.DB) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	handle := db.ID()
	r.open[handle] = db
	return handle
}

func (r *registry) get(handle uint64) *sqlite.DB {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open[handle]
}

func (r *registry) take(handle uint64) *sqlite.DB {
	r.mu.Lock()
	defer r.mu.Unlock()
	db := r.open[handle]
	delete(r.open, handle)
	return db
}

func databaseOpen(ctx context.Context, e *env, request []byte, _ [][]byte) (any, [][]byte, error) {
	r, err := decode[struct {
		openRequest
		PreloadBytes *uint64 `json:"preloadBytes"`
		CacheBytes   uint64  `json:"cacheBytes"`
		TimeoutMs    float64 `json:"timeoutMs"`
	}](request)
	if err != nil {
		return nil, nil, err
	}
	open, err := r.message()
	if err != nil {
		return nil, nil, err
	}
	open.Preload = &protocol.Preload{Pages: true, Budget: r.PreloadBytes}
	ch, err := e.channel(r.Channel)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := withTimeout(ctx, r.TimeoutMs)
	defer cancel()
	var lost lostLock
	actor, opened, err := ch.Open(ctx, r.Actor, open, lost.set)
	if err != nil {
		return nil, nil, err
	}
	limits := ch.Limits()
	db, err := sqlite.Open(ctx, actor, opened, sqlite.Options{
		CacheBytes: r.CacheBytes, CommitBytes: limits.CommitBytes, Pages: tuned(limits),
	})
	if err != nil {
		_ = actor.Close(ctx, nil) // the first error is the one that matters
		return nil, nil, err
	}
	lost.tell(db)
	handle := databases.put(db)
	if !e.add(func(uint64) { e.handles[handle] = true }) {
		databases.take(handle)
		_ = db.Abandon(ctx)
		return nil, nil, sqlite.ErrClosed
	}
	size := uint64(0)
	for _, f := range opened.Files {
		if f.Tag == protocol.FileMain {
			size = f.Size
		}
	}
	return struct {
		Handle     uint64 `json:"handle"`
		Generation uint64 `json:"generation"`
		Seq        uint64 `json:"seq"`
		Size       uint64 `json:"size"`
		UsedBytes  uint64 `json:"usedBytes"`
	}{handle, opened.Generation, opened.Seq, size, opened.UsedBytes}, nil, nil
}

// lostLock passes a lost lock on to the database, whichever of the two comes first.
type lostLock struct {
	mu  sync.Mutex
	err error
	db  *sqlite.DB
}

func (l *lostLock) set(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
	if l.db != nil {
		l.db.Lost(err)
	}
}

func (l *lostLock) tell(db *sqlite.DB) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.db = db
	if l.err != nil {
		db.Lost(l.err)
	}
}

type handleRequest struct {
	Handle    uint64  `json:"handle"`
	TimeoutMs float64 `json:"timeoutMs"`
}

func databaseClose(ctx context.Context, e *env, request []byte, _ [][]byte) (any, [][]byte, error) {
	r, err := decode[handleRequest](request)
	if err != nil {
		return nil, nil, err
	}
	db := databases.take(r.Handle)
	if db == nil {
		return nil, nil, errUnknownHandle
	}
	e.mu.Lock()
	delete(e.handles, r.Handle)
	e.mu.Unlock()
	ctx, cancel := withTimeout(ctx, r.TimeoutMs)
	defer cancel()
	return struct{}{}, nil, db.Close(ctx)
}

// databaseMetrics is what the engine's own counters (pw_metrics) do not hold.
func databaseMetrics(_ context.Context, _ *env, request []byte, _ [][]byte) (any, [][]byte, error) {
	r, err := decode[handleRequest](request)
	if err != nil {
		return nil, nil, err
	}
	db := databases.get(r.Handle)
	if db == nil {
		return nil, nil, errUnknownHandle
	}
	return db.PagesMetrics(), nil, nil
}
