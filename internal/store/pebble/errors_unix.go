//go:build !windows

package pebble

import "syscall"

var (
	noSpace  = []error{syscall.ENOSPC, syscall.EDQUOT}
	lockHeld = []error{syscall.EAGAIN}
)
