package main

/*
#include <stdlib.h>
#include "requests.h"

static void call_reply(pw_reply_fn fn, void *ctx, int ok, const char *json, size_t n_json,
                       const uint8_t *bin, size_t n_bin) {
  fn(ctx, ok, json, n_json, bin, n_bin);
}
*/
import "C"

import (
	"encoding/json"
	"errors"
	"runtime"
	"unsafe"

	"github.com/pagewire/pagewire/internal/channel"
	"github.com/pagewire/pagewire/internal/sqlite"
	"github.com/pagewire/pagewire/internal/sysmon"
)

func init() { go serve() }

// serve fetches what JavaScript's threads ask for, in their order, as long as the process lives. Nothing here may wait:
// a call runs in a goroutine of its own.
func serve() {
	for {
		sysmon.Beat()
		r := C.pw_request_next()
		id := uint64(r.env)
		switch r.what {
		case C.PW_ENV_OPEN:
			envs[id] = newEnv(r.reply, r.release, r.ctx)
		case C.PW_ENV_CLOSE:
			if e := envs[id]; e != nil {
				delete(envs, id)
				go e.close()
			}
		case C.PW_CALL:
			serveCall(envs[id], r)
		}
		C.free(unsafe.Pointer(r))
	}
}

func serveCall(e *env, r *C.pw_request) {
	fn, ctx := r.reply, r.ctx
	name := C.GoStringN(r.method, C.int(r.n_method))
	request := C.GoBytes(unsafe.Pointer(r.json), C.int(r.n_json))
	attached := C.GoBytes(unsafe.Pointer(r.bin), C.int(r.n_bin))
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
	// Else the call waits for a thread to be woken for it: this one is about to wait in C.
	runtime.Gosched()
}

func reply(fn C.pw_reply_fn, ctx unsafe.Pointer, ok C.int, json, bin []byte) {
	var first *C.uint8_t
	if len(bin) > 0 {
		first = (*C.uint8_t)(unsafe.Pointer(&bin[0]))
	}
	C.call_reply(fn, ctx, ok, (*C.char)(unsafe.Pointer(&json[0])), C.size_t(len(json)), first, C.size_t(len(bin)))
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
