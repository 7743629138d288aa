package sysmon

// Beating says whether a timer of the pulse is due.
func Beating() bool { return pulse.beating.Load() }
