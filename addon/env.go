package main

/*
#cgo CFLAGS: -I${SRCDIR}/../internal/sqlite
#include "internal.h"

static void call_reply(pw_reply_fn fn, void *ctx, int ok, const char *json, size_t n_json,
                       const uint8_t *bin, size_t n_bin) {
  fn(ctx, ok, json, n_json, bin, n_bin);
}
static void call_release(pw_release_fn fn, void *ctx) { fn(ctx); }
*/
import "C"

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"
	"unsafe"

	"github.com/pagewire/pagewire/internal/channel"
	"github.com/pagewire/pagewire/internal/sqlite"
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

var envs = struct {
	sync.Mutex
	last uint64
	open map[uint64]*env
}{open: make(map[uint64]*env)}

//export goEnvOpen
func goEnvOpen(onEvent C.pw_reply_fn, release C.pw_release_fn, ctx unsafe.Pointer) C.uint64_t {
	e := &env{
		onEvent:  func(json []byte) { reply(onEvent, ctx, 1, json, nil) },
		release:  func() { C.call_release(release, ctx) },
		channels: make(map[uint64]*channel.Channel), kvs: make(map[uint64]*channel.Actor),
		handles: make(map[uint64]bool), calls: make(map[uint64]*call),
	}
	envs.Lock()
	defer envs.Unlock()
	envs.last++
	envs.open[envs.last] = e
	return C.uint64_t(envs.last)
}

//export goEnvClose
func goEnvClose(id C.uint64_t) {
	envs.Lock()
	e := envs.open[uint64(id)]
	delete(envs.open, uint64(id))
	envs.Unlock()
	if e != nil {
		go e.close()
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

func reply(fn C.pw_reply_fn, ctx unsafe.Pointer, ok C.int, json, bin []byte) {
	var first *C.uint8_t
	if len(bin) > 0 {
		first = (*C.uint8_t)(unsafe.Pointer(&bin[0]))
	}
	C.call_reply(fn, ctx, ok, (*C.char)(unsafe.Pointer(&json[0])), C.size_t(len(json)), first, C.size_t(len(bin)))
}

//export goCall
func goCall(id C.uint64_t, method, text *C.char, nText C.size_t, bin *C.uint8_t, nBin C.size_t, fn C.pw_reply_fn,
	ctx unsafe.Pointer,
) {
	envs.Lock()
	e := envs.open[uint64(id)]
	envs.Unlock()
	name := C.GoString(method)
	request := C.GoBytes(unsafe.Pointer(text), C.int(nText))
	attached := C.GoBytes(unsafe.Pointer(bin), C.int(nBin))
	run, err := e.start(name, request, attached)
	go func() {
		var result any
		var out []byte
		if err == nil {
			result, out, err = run()
		}
		if err == nil {
			text, marshalErr := json.Marshal(result)
			if err = marshalErr; err == nil {
				reply(fn, ctx, 1, text, out)
				return
			}
		}
		reply(fn, ctx, 0, failure(err), nil)
	}()
}

// failure is an error as JavaScript reads it: stable code, message, and SQLite's code where there is one.
func failure(err error) []byte {
	f := struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		SQLite  int    `json:"sqlite,omitempty"`
	}{Code: channel.Code(err), Message: err.Error()}
	var engine *sqlite.Error
	if errors.As(err, &engine) {
		f.Code, f.Message, f.SQLite = engine.Code, engine.Message, engine.SQLite
	}
	if errors.Is(err, sqlite.ErrClosed) {
		f.Code = "closed"
	}
	b, _ := json.Marshal(f) // strings and a number always marshal
	return b
}

//export goDatabase
func goDatabase(handle C.uint64_t) *C.pw_db {
	db := databases.get(uint64(handle))
	if db == nil {
		return nil
	}
	p := (*C.pw_db)(db.Pointer())
	C.pw_db_ref(p)
	return p
}
