package pebble

import (
	"sync"
	"time"
)

// Impatient makes writes that find no space try again soon. It acts once: stores that have stopped still read the pauses.
var Impatient = sync.OnceFunc(func() {
	firstPause, lastPause = time.Millisecond, time.Millisecond
})
