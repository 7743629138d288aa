//go:build !linux

package sysmon

import "time"

const canNap = false

func doze(time.Duration) {}
