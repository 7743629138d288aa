package sqlite

/*
#include "internal.h"
*/
import "C"

import "time"

// Simulate makes the databases of this process, from now on and for good, run their operations on goroutines instead of
// the engine's own threads, and take the time from package time. Goroutines that block in a page miss are then seen by
// testing/synctest, and its clock is SQLite's too. It must be called before the first database is opened; internal/sim
// does.
func Simulate() { C.pw_simulated = 1 }

// goWork is the worker of an operation that was queued.
//
//export goWork
func goWork(db *C.pw_db) {
	go func() {
		C.pw_queue_run(db)
		C.pw_db_unref(db)
	}()
}

// goNow is the clock.
//
//export goNow
func goNow() C.int64_t { return C.int64_t(time.Now().UnixNano()) }
