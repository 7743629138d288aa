// Package buffers keeps large byte buffers from one frame of pages to the next. Memory that is used for the first time costs
// a fault a page, as much as the copy that fills it. A sync.Pool would keep a buffer for each processor, where the others
// cannot get at it, and give up all of them when frames are rare.
package buffers

import (
	"math/bits"
	"slices"
	"sync"
	"time"
)

// Buffers of Least to Most bytes are kept: powers of two, at most keep bytes of them together, and none that nobody has needed
// for twice as long as idle.
const (
	Least = 128 << 10
	Most  = 4 << 20
	keep  = 16 << 20
	idle  = 5 * time.Second
)

var kept struct {
	sync.Mutex
	bytes   int
	classes [6]list // of Least bytes, of twice as many, and so on up to Most
	watched bool    // unneeded will run
}

// list is free buffers of one size. The last one was used last.
type list struct {
	free   [][]byte
	fewest int // how many there were at least since unneeded ran
}

// class returns which of kept.classes has buffers of at least size bytes, which is at most Most.
func class(size int) int { return bits.Len(uint((size - 1) / Least)) }

// New returns an empty buffer of capacity n or more, the next power of two if that is one that is kept.
func New(n int) []byte {
	if n <= Least/2 || n > Most {
		return make([]byte, 0, n)
	}
	c := class(n)
	kept.Lock()
	defer kept.Unlock()
	l := &kept.classes[c]
	last := len(l.free) - 1
	if last < 0 {
		return make([]byte, 0, Least<<c)
	}
	b := l.free[last]
	l.free = slices.Delete(l.free, last, last+1)
	l.fewest = min(l.fewest, last)
	kept.bytes -= cap(b)
	return b
}

// Keep takes a buffer back, which its user must not touch any more. One of another size than New's is left to the collector,
// and so is one too many.
func Keep(b []byte) {
	n := cap(b)
	if n < Least || n > Most || n != Least<<class(n) {
		return
	}
	kept.Lock()
	defer kept.Unlock()
	if kept.bytes+n > keep {
		return
	}
	l := &kept.classes[class(n)]
	l.free = append(l.free, b[:0])
	kept.bytes += n
	if !kept.watched {
		kept.watched = true
		time.AfterFunc(idle, unneeded)
	}
}

// unneeded leaves to the collector what nobody has needed since it ran last.
func unneeded() {
	kept.Lock()
	defer kept.Unlock()
	for c := range kept.classes {
		l := &kept.classes[c]
		kept.bytes -= l.fewest * (Least << c)
		l.free = slices.Delete(l.free, 0, l.fewest)
		l.fewest = len(l.free)
	}
	kept.watched = kept.bytes > 0
	if kept.watched {
		time.AfterFunc(idle, unneeded)
	}
}
