package main

import (
	"sync"

	"github.com/pagewire/pagewire/internal/sysmon"
)

// extraProcessors is how many processors Go gets beyond the machine's.
//
// A thread of C's that has called Go keeps one: it counts as being in a system call, which is expected to end soon, until
// Go's monitor takes the processor away. These threads are JavaScript's, two workers of the engine that commit, and the one
// that waits for requests. They run no Go meanwhile, so the cores are not shared by more.
const extraProcessors = 4

// spreadOut gives Go its extra processors, once.
var spreadOut = sync.OnceFunc(func() { sysmon.SpareProcessors(extraProcessors) })
