package main

import (
	"os"
	"runtime"
	"sync"

	"github.com/pagewire/pagewire/internal/tune"
)

// extraProcessors is how many processors Go gets beyond the machine's.
//
// A thread of C's that has called Go keeps one: it counts as being in a system call, which is expected to end soon, until
// Go's monitor takes the processor away. While all are kept or busy the monitor does so at once and goes on looking every 20
// us; while one is idle it lets them be for 10 ms and looks ever more rarely. These threads are JavaScript's, two workers of
// the engine that commit, and the one that waits for requests. They run no Go meanwhile, so the cores are not shared by more.
const extraProcessors = 4

// spreadOut gives Go its extra processors, once. It stops all goroutines for a moment.
var spreadOut = sync.OnceFunc(func() {
	if os.Getenv("GOMAXPROCS") == "" && !tune.Off("processors") {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + extraProcessors)
	}
})
