package sysmon

import (
	"sync/atomic"
	"time"
)

const (
	// pace is how long a timer takes that Beat starts, and about how long a stop of the world can last for what Beat is there
	// for.
	pace = 10 * time.Millisecond
	// reserve is how long the timer takes that is due when none of them is: one has ended, and has not started the next.
	reserve = 10 * pace
)

// pulse is one for the process, as the monitor is.
var pulse struct {
	beating atomic.Bool // a timer is due within a pace
	again   atomic.Bool // Beat was called since one was
	reserve *time.Timer // does nothing; of who has set beating, until it starts that timer
}

// Beat keeps the monitor from sleeping through a stop of the world, which Go's collector needs twice a cycle. It is to be
// called before a thread goes back to C, or into a system call that may last.
//
// Such a thread looks whether the world is being stopped, and then leaves its processor to whoever wants it
// (reentersyscall in Go's runtime/proc.go). Who stops the world looks once for processors that were left so
// (stopTheWorldWithSema). If both look at the same time they miss each other; and the monitor, which would find the processor,
// sleeps while the world is being stopped: until the next timer is due, or for a minute. Nothing of Go runs meanwhile. Go 1.26 and 1.27
// have that gap; earlier ones look again after they have left it. With a timer that is due soon the monitor ends such a stop
// (docs/decisions.md, "A pulse while C calls Go"). No timer is left a while after the last call.
func Beat() {
	if !pulse.again.Load() {
		pulse.again.Store(true)
	}
	beat()
}

func beat() {
	if pulse.beating.Load() || !pulse.beating.CompareAndSwap(false, true) {
		return
	}
	if pulse.reserve == nil {
		pulse.reserve = time.AfterFunc(reserve, func() {})
	} else {
		pulse.reserve.Reset(reserve)
	}
	time.AfterFunc(pace, due)
}

func due() {
	again := pulse.again.Swap(false)
	pulse.beating.Store(false)
	if again || pulse.again.Load() {
		beat()
	}
}
