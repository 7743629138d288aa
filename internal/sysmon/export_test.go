package sysmon

// Awake says whether a goroutine naps.
func (c *Calm) Awake() bool { return c.awake.Load() }
