// Package buffers keeps large byte buffers from one frame of pages to the next. Memory that is used for the first time costs
// a fault a page, as much as the copy that fills it. A sync.Pool would keep a buffer for each processor, where the others
// cannot get at it, and give up all of them when frames are rare.
package buffers

import (
	"math/bits"
	"sync"
)

// Buffers of Least to Most bytes are kept: powers of two, at most keep bytes of them together.
const (
	Least = 128 << 10
	Most  = 4 << 20
	keep  = 16 << 20
)

var kept struct {
	sync.Mutex
	bytes int
	free  [6][][]byte // of Least bytes, of twice as many, and so on up to Most; the last one was used last
}

// class returns which of kept.free has buffers of at least size bytes, which is at most Most.
func class(size int) int { return bits.Len(uint((size - 1) / Least)) }

// New returns an empty buffer of capacity n or more, the next power of two if that is one that is kept.
func New(n int) []byte {
	if n <= Least/2 || n > Most {
		return make([]byte, 0, n)
	}
	c := class(n)
	kept.Lock()
	defer kept.Unlock()
	free := kept.free[c]
	if len(free) == 0 {
		return make([]byte, 0, Least<<c)
	}
	b := free[len(free)-1]
	free[len(free)-1] = nil
	kept.free[c] = free[:len(free)-1]
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
	c := class(n)
	kept.free[c] = append(kept.free[c], b[:0])
	kept.bytes += n
}
