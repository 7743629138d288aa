package crew

// Idle returns how many goroutines wait.
func (c *Crew) Idle() int64 { return c.idle.Load() }
