package pebble

import (
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// Batches of largeBatch to mostBatch bytes are kept for other large ones, at most keepBatches bytes of them: memory that is new
// costs a fault a page, and Pebble keeps only smaller ones, one a processor.
const (
	largeBatch  = 128 << 10
	mostBatch   = 16 << 20
	keepBatches = 32 << 20
)

// spares are batches to be used again.
type spares struct {
	mu      sync.Mutex
	batches []*pebble.Batch
	bytes   int
}

// take returns an empty batch with room for size bytes.
func (s *spares) take(db *pebble.DB, size int) *pebble.Batch {
	if size < largeBatch {
		return db.NewBatchWithSize(size)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, b := range s.batches {
		if room := cap(b.Repr()); room >= size {
			s.batches = slices.Delete(s.batches, i, i+1)
			s.bytes -= room
			return b
		}
	}
	room := largeBatch
	for room < size {
		room *= 2
	}
	return db.NewBatchWithSize(room, pebble.WithMaxRetainedSizeBytes(mostBatch))
}

// done takes back a batch that nobody uses any more.
func (s *spares) done(b *pebble.Batch) {
	if room := cap(b.Repr()); room >= largeBatch && room <= mostBatch {
		b.Reset()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.bytes+room <= keepBatches {
			s.batches = append(s.batches, b)
			s.bytes += room
			return
		}
	}
	_ = b.Close() // it was applied, or never will be: closing only gives memory back
}
