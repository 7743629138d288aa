package sysmon

// Awake says whether a goroutine naps.
func (c *Calm) Awake() bool { return c.awake.Load() }

// Beating says whether a timer of the pulse is due.
func Beating() bool { return pulse.beating.Load() }
