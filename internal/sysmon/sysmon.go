// Package sysmon keeps the monitor of Go's runtime from costing more than what it watches over.
//
// The monitor (sysmon in Go's runtime/proc.go) is a thread that looks for processors kept by system calls, every 20 us when it
// has just been woken or has found one, and ever more rarely, down to every 10 ms, as long as it finds none. While all
// processors are idle it sleeps, and the next system call wakes it. A server that answers a request each millisecond is
// idle after each, so its monitor is woken and looks around for every one of them, which takes a fifth of the server's
// processor time. A processor that is never idle lets the monitor keep to its slow pace.
package sysmon

import (
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/pagewire/pagewire/internal/tune"
)

// nap is how long a processor is kept from being idle at a time. The monitor takes back what one goroutine has kept for 10 ms.
const nap = 5 * time.Millisecond

// Calm keeps a processor from being idle while there is work, in naps that take no processor time.
type Calm struct {
	start time.Time
	last  atomic.Int64 // when there was work, in ns from start
	awake atomic.Bool  // a goroutine naps
}

// New gives Go a processor more, for the one that naps. It stops all goroutines for a moment. Where the system knows no such
// nap, or GOMAXPROCS says how many processors to use, it returns nil, which does nothing.
func New() *Calm {
	if !canNap || os.Getenv("GOMAXPROCS") != "" || tune.Off("calm-monitor") {
		return nil
	}
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	return &Calm{start: time.Now()}
}

// Work says that there is work. Naps begin when it comes more often than one in a nap, and end when it does no more: rare work is
// cheaper with a monitor that sleeps.
func (c *Calm) Work() {
	if c == nil {
		return
	}
	now := int64(time.Since(c.start))
	often := now-c.last.Swap(now) < int64(nap)
	if often && !c.awake.Load() && c.awake.CompareAndSwap(false, true) {
		go c.stayAwake()
	}
}

func (c *Calm) stayAwake() {
	defer c.awake.Store(false)
	for time.Since(c.start)-time.Duration(c.last.Load()) < nap {
		doze(nap)
		// Being scheduled again is what tells the monitor that this is not one long system call.
		runtime.Gosched()
	}
}
