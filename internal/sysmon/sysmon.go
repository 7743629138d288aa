// Package sysmon keeps the monitor of Go's runtime from costing more than what it watches over, and from sleeping when it must not.
//
// The monitor (sysmon in Go's runtime/proc.go) is a thread that looks for processors kept by system calls, every 20 us when it
// has just been woken or has found one, and ever more rarely, down to every 10 ms, as long as it finds none. It takes a kept one back
// at once if none is idle, and else leaves it for 10 ms. While all processors are idle it sleeps, and the next system call wakes
// it. On Linux it sleeps longer in any program that has this package (slack_linux.c).
package sysmon

import (
	"os"
	"runtime"

	"github.com/pagewire/pagewire/internal/tune"
)

// SpareProcessors gives Go n processors beyond the machine's, for threads that keep one without running Go, so that the monitor finds
// one idle. It stops all goroutines for a moment. Where GOMAXPROCS in the environment says how many to use, it does nothing.
func SpareProcessors(n int) {
	if os.Getenv("GOMAXPROCS") == "" && !tune.Off("processors") {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n)
	}
}
