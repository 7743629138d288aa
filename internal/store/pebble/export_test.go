package pebble

import "time"

// Impatient makes writes that find no space try again soon.
func Impatient() {
	firstPause, lastPause = time.Millisecond, time.Millisecond
}
