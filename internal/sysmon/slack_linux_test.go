package sysmon_test

import (
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

const prGetTimerSlack = 30 // of prctl()

// Threads have the slack of those that created them. So had all of Go's the one that was set before there was any, the monitor too.
func TestGoThreadsHaveTheSlack(t *testing.T) {
	slacks := make(chan uintptr)
	go func() {
		runtime.LockOSThread() // without an end: the thread ends with the goroutine, and another one is made for those that follow
		slack, _, _ := syscall.Syscall(syscall.SYS_PRCTL, prGetTimerSlack, 0, 0)
		slacks <- slack
	}()
	require.EqualValues(t, 500_000, <-slacks)
}
