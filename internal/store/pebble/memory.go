package pebble

import (
	"slices"

	"github.com/pagewire/pagewire/internal/store"
)

// maxSizes is how many keys of an actor a gate remembers.
const maxSizes = 128

// memory is what a gate remembers of its actor: the head, and the sizes of the values written last, which the next write
// needs to count the bytes used. A database writes its first page, and the last pages of its tables, over and over; to
// look such a key up means to step over all its versions in the memtable.
//
// All writes of an actor go through its gate, under its lock, so what is remembered is what Pebble would answer.
type memory struct {
	known bool
	head  store.Head
	sizes map[string]int // of present values, by key
}

// size returns the size of a key's value, if it is remembered.
func (m *memory) size(key []byte) (n int, known bool) {
	n, known = m.sizes[string(key)]
	return n, known
}

// wrote notes a write that Pebble has taken; b is nil if it changed nothing but the head.
func (m *memory) wrote(next store.Head, b *store.Batch) {
	m.known, m.head = true, next
	m.head.Hints = slices.Clone(next.Hints)
	if b == nil {
		return
	}
	if len(b.DeleteRanges) > 0 || len(m.sizes)+len(b.Puts) > maxSizes {
		clear(m.sizes)
	}
	for _, key := range b.Deletes {
		delete(m.sizes, string(key))
	}
	if len(b.Puts) > maxSizes {
		return
	}
	if m.sizes == nil {
		m.sizes = make(map[string]int, len(b.Puts))
	}
	for _, e := range b.Puts {
		m.sizes[string(e.Key)] = len(e.Value)
	}
}
