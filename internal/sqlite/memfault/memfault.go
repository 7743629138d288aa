// Package memfault makes allocations of SQLite and of the engine in C fail, for tests. The engine takes all its memory from
// sqlite3_malloc64, so one wrapper around SQLite's allocator sees every allocation; a program that imports this package has
// it installed. Only the memory of pages is kept by the engine, which is switched off here.
package memfault

/*
#include <sqlite3-binding.h>
#include <stdatomic.h>

static sqlite3_mem_methods system_methods;
static atomic_long live;         // pieces allocated and not freed
static atomic_long seen;         // allocations since pw_arm()
static atomic_long hits;         // of those, failed
static atomic_long first = -1;   // the first to fail, from 1; none if negative
static atomic_int once;

static int fails(void) {
  long n = atomic_fetch_add(&seen, 1) + 1, at = atomic_load(&first);
  if (at < 0 || n < at || (n > at && atomic_load(&once))) return 0;
  atomic_fetch_add(&hits, 1);
  return 1;
}

static void *fault_malloc(int n) {
  void *p = fails() ? 0 : system_methods.xMalloc(n);
  if (p) atomic_fetch_add(&live, 1);
  return p;
}

static void fault_free(void *p) {
  if (p) atomic_fetch_sub(&live, 1);
  system_methods.xFree(p);
}

static void *fault_realloc(void *p, int n) {
  return fails() ? 0 : system_methods.xRealloc(p, n);
}

static int pw_install(void) {
  sqlite3_mem_methods methods;
  int rc = sqlite3_config(SQLITE_CONFIG_GETMALLOC, &system_methods);
  methods = system_methods;
  methods.xMalloc = fault_malloc;
  methods.xFree = fault_free;
  methods.xRealloc = fault_realloc;
  return rc ? rc : sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
}

static void pw_arm(long at, int just_once) {
  atomic_store(&first, -1);
  atomic_store(&seen, 0);
  atomic_store(&hits, 0);
  atomic_store(&once, just_once);
  atomic_store(&first, at);
}

static long pw_disarm(void) {
  atomic_store(&first, -1);
  return atomic_load(&hits);
}

static long pw_seen(void) { return atomic_load(&seen); }
static long pw_live(void) { return atomic_load(&live); }
*/
import "C"

import (
	"fmt"
	"os"

	_ "github.com/mattn/go-sqlite3" // links SQLite
)

func init() {
	if err := os.Setenv("PAGEWIRE_TUNE", "no-page-pool"); err != nil {
		panic(err)
	}
	if rc := C.pw_install(); rc != 0 {
		panic(fmt.Sprintf("memfault: SQLite refuses the allocator with %d: it was used before", rc))
	}
}

// Arm makes the nth allocation from now on fail, counted from 1, and all later ones too unless once. A negative n only
// counts.
func Arm(nth int, once bool) {
	just := C.int(0)
	if once {
		just = 1
	}
	C.pw_arm(C.long(nth), just)
}

// Disarm lets allocations succeed again and returns how many failed.
func Disarm() int { return int(C.pw_disarm()) }

// Seen returns the number of allocations since Arm.
func Seen() int { return int(C.pw_seen()) }

// Live returns the number of pieces of memory that are allocated.
func Live() int { return int(C.pw_live()) }
