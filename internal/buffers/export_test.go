package buffers

// Unneeded leaves to the collector what nobody has needed since it ran last.
func Unneeded() { unneeded() }

// KeptBytes returns how many bytes are kept.
func KeptBytes() int {
	kept.Lock()
	defer kept.Unlock()
	return kept.bytes
}
