package sqlite

/*
#include <stdlib.h>
#include "internal.h"
*/
import "C"

import (
	"context"
	"errors"
	"runtime/cgo"
	"time"
	"unsafe"

	"github.com/pagewire/pagewire/internal/channel"
	"github.com/pagewire/pagewire/internal/pages"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/sysmon"
)

// leave is the end of every function that C calls. No thread of C's does where all is simulated, and a timer would move
// the clock.
func leave() {
	if C.pw_simulated == 0 {
		sysmon.Beat()
	}
}

func database(handle C.uintptr_t) *DB { return cgo.Handle(handle).Value().(*DB) }

// codeOf returns the stable code of an error of internal/pages or internal/channel.
func codeOf(err error) string {
	if errors.Is(err, pages.ErrClosed) {
		return "closed"
	}
	return channel.Code(err)
}

// setError hands an error to C, with its stable code.
func setError(to *C.pw_error, err error) {
	code, message := C.CString(codeOf(err)), C.CString(err.Error())
	C.pw_error_set(to, code, 0, message)
	C.free(unsafe.Pointer(code))
	C.free(unsafe.Pointer(message))
}

// goFetch blocks the thread that runs SQLite until the page is staged.
//
//export goFetch
func goFetch(handle C.uintptr_t, file C.int, index C.uint32_t, timeoutMillis C.int64_t, failure *C.pw_error) C.int {
	defer leave()
	db := database(handle)
	ctx, cancel := db.beginFetch(time.Duration(timeoutMillis) * time.Millisecond)
	defer cancel()
	if C.pw_db_cancelled(db.c) != 0 { // just before goInterrupt could know of this fetch
		cancel()
	}
	if err := db.file.Fetch(ctx, uint8(file), uint32(index)); err != nil {
		setError(failure, err)
		return 1
	}
	return 0
}

// goInterrupt ends the fetch that the running operation waits for.
//
//export goInterrupt
func goInterrupt(handle C.uintptr_t) {
	defer leave()
	database(handle).interrupt()
}

// goCommit takes over a transaction. Its pages stay valid until it is resolved. If more is set it may wait for the next
// one, or for goRelease.
//
//export goCommit
func goCommit(handle C.uintptr_t, token, size C.uint64_t, n C.uint32_t, indexes *C.uint32_t, nodes **C.pw_page,
	dropJournal, more C.int,
) {
	defer leave()
	b := pages.Batch{Token: uint64(token), Size: uint64(size), More: more != 0}
	b.Indexes = append(b.Indexes, unsafe.Slice((*uint32)(unsafe.Pointer(indexes)), int(n))...)
	b.Pages = make([][]byte, n)
	for i, node := range unsafe.Slice(nodes, int(n)) {
		b.Pages[i] = unsafe.Slice((*byte)(unsafe.Pointer(&node.data[0])), protocol.PageSize)
	}
	if dropJournal != 0 {
		b.DropFiles = []uint8{protocol.FileJournal}
	}
	database(handle).file.Commit(b)
}

// goRelease sends what goCommit was told to wait with.
//
//export goRelease
func goRelease(handle C.uintptr_t) {
	defer leave()
	database(handle).file.Release()
}

// goSettle waits until all that was handed over is resolved, and C has been told.
//
//export goSettle
func goSettle(handle C.uintptr_t) {
	defer leave()
	_ = database(handle).file.Settle(context.Background())
}

// goReload asks the server for the stored state after a failed commit.
//
//export goReload
func goReload(handle C.uintptr_t, size *C.uint64_t, lost *C.int, failure *C.pw_error) C.int {
	defer leave()
	db := database(handle)
	if err := db.file.Reload(context.Background()); err != nil {
		if channel.IsLockLost(err) {
			*lost = 1
		}
		setError(failure, err)
		return 1
	}
	*size = C.uint64_t(db.file.Size())
	return 0
}

// sink is the database as internal/pages sees it.
type sink struct{ db *DB }

// Stage implements pages.Sink.
func (s sink) Stage(file uint8, index uint32, page []byte, asked bool) {
	var data unsafe.Pointer
	if page != nil {
		data = unsafe.Pointer(&page[0])
	}
	var flag C.int
	if asked {
		flag = 1
	}
	C.pw_db_stage(s.db.c, C.int(file), C.uint32_t(index), data, flag)
}

// Committed implements pages.Sink.
func (s sink) Committed(token uint64) { C.pw_db_committed(s.db.c, C.uint64_t(token)) }

// Failed implements pages.Sink.
func (s sink) Failed(token uint64, err error) {
	code, message := C.CString(codeOf(err)), C.CString(err.Error())
	C.pw_db_failed(s.db.c, C.uint64_t(token), code, message)
	C.free(unsafe.Pointer(code))
	C.free(unsafe.Pointer(message))
}

// goDone is called when a submitted operation is done.
//
//export goDone
func goDone(_ *C.pw_op, submitted C.uintptr_t) {
	defer leave()
	handle := cgo.Handle(submitted)
	s := handle.Value().(*Submitted)
	handle.Delete()
	s.finish()
}
