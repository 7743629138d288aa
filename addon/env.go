package main

/*
#cgo CFLAGS: -I${SRCDIR}/../internal/sqlite
#include "requests.h"

static void call_release(pw_release_fn fn, void *ctx) { fn(ctx); }
*/
import "C"

import (
	"context"
	"encoding/json"
	"sync"
	"time"
	"unsafe"

	"github.com/pagewire/pagewire/internal/channel"
)

// closeGrace bounds how long an environment that has ended waits for its channels to close.
const closeGrace = 5 * time.Second

// env is the scope of one JavaScript environment: what it has open, so that its end closes all of it.
type env struct {
	onEvent func(json []byte)
	release func()

	mu       sync.Mutex
	closed   bool
	lastID   uint64
	channels map[uint64]*channel.Channel
	kvs      map[uint64]*channel.Actor
	handles  map[uint64]bool // databases, by the handle of package databases
	calls    map[uint64]*call

	events sync.RWMutex // held for reading while an event is delivered
}

// call is a method under way that can be cancelled.
type call struct {
	cancel context.CancelFunc
	code   string // what it was cancelled with
}

// envs are the open environments. Only serve, which is one goroutine, touches them.
var envs = make(map[uint64]*env)

func newEnv(onEvent C.pw_reply_fn, release C.pw_release_fn, ctx unsafe.Pointer) *env {
	return &env{
		onEvent:  func(json []byte) { reply(onEvent, ctx, 1, json, nil) },
		release:  func() { C.call_release(release, ctx) },
		channels: make(map[uint64]*channel.Channel), kvs: make(map[uint64]*channel.Actor),
		handles: make(map[uint64]bool), calls: make(map[uint64]*call),
	}
}

// close abandons what is open. Operations under way end with "closed"; the server learns of the end by the close of each
// actor, or by that of the connection.
func (e *env) close() {
	e.mu.Lock()
	e.closed = true
	for _, c := range e.calls {
		c.code = "closed"
		c.cancel()
	}
	channels, handles := e.channels, e.handles
	e.channels, e.handles = nil, nil
	e.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	var all sync.WaitGroup
	for handle := range handles {
		if db := databases.take(handle); db != nil {
			all.Go(func() { _ = db.Abandon(ctx) }) // nobody is left to hear of an error
		}
	}
	all.Wait()
	for _, ch := range channels {
		all.Go(func() { _ = ch.Close(ctx) })
	}
	all.Wait()
	e.events.Lock()
	e.onEvent = func([]byte) {}
	e.events.Unlock()
	e.release()
}

// id registers something under a new number; false if the environment has ended.
func (e *env) add(register func(id uint64)) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.lastID++
	register(e.lastID)
	return true
}

func (e *env) deliver(event any) {
	b, err := json.Marshal(event)
	if err != nil {
		panic(err) // our own types always marshal
	}
	e.events.RLock()
	defer e.events.RUnlock()
	e.onEvent(b)
}
