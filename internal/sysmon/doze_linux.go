package sysmon

import (
	"syscall"
	"time"
)

const canNap = true

// doze sleeps in a system call, with a processor of Go's, which time.Sleep would leave idle. A signal ends it early.
func doze(d time.Duration) {
	t := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&t, nil)
}
