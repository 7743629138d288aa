// Package store is the interface between the server and what keeps an actor's bytes: an ordered key space per actor, a
// head per actor, and one conditional atomic apply. Backends live in packages below it and share the conformance suite
// of package storetest.
//
// An actor name is the opaque bytes that the server makes of namespace and actor id. Bytes used are exact: the sum of
// key and value lengths of the actor's present keys; heads do not count.
package store

import (
	"context"
	"errors"
)

// Errors that every backend returns, wrapped with what was found.
var (
	// ErrFenced is returned when the generation or the epoch is not the head's.
	ErrFenced = errors.New("store: stale generation")
	// ErrApplied is returned when the head's commit sequence is the batch's already.
	ErrApplied = errors.New("store: commit applied before")
	// ErrOutOfOrder is returned when the head's commit sequence is neither the one expected nor the batch's own.
	ErrOutOfOrder = errors.New("store: commit out of order")
	// ErrQuota is returned when the actor would exceed Batch.MaxBytes and the batch grows it.
	ErrQuota = errors.New("store: quota exceeded")
	// ErrFull is returned when the backend has no space left.
	ErrFull = errors.New("store: no space left")
	// ErrCorrupt is returned when stored bytes fail their checks.
	ErrCorrupt = errors.New("store: corrupt")
	// ErrInUse is returned when another process has the store open.
	ErrInUse = errors.New("store: in use by another process")
	// ErrStopped is returned when stable storage has failed, to the calls under way, whose writes may or may not be
	// stored, and to all that follow: nobody knows what is stored until the store has been opened again.
	ErrStopped = errors.New("store: stopped, because stable storage failed")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("store: closed")
)

// Head is the server's own record of an actor, outside the actor's key space.
type Head struct {
	Generation uint64 // fence: rises with every open
	Epoch      uint64 // fence within a generation: rises when its holder goes on at another server; 0 after Fence
	Seq        uint64 // last commit sequence applied
	UsedBytes  uint64
	Hints      []uint32 // pages to preload first
}

// Entry is a key and its value. Of a batch's, New says that the key is known to be absent, and so need not be looked up.
type Entry struct {
	Key, Value []byte
	New        bool
}

// Range is the keys in [Start, End). A nil End is the end of the actor's keys.
type Range struct{ Start, End []byte }

// Batch is one conditional atomic write. DeleteRanges are applied first, then Deletes, then Puts.
type Batch struct {
	Generation uint64 // must equal the head's
	Epoch      uint64 // likewise
	// Seq, when not 0, becomes the head's commit sequence, which must be Expect.
	Seq, Expect  uint64
	DeleteRanges []Range
	Deletes      [][]byte
	Puts         []Entry
	MaxBytes     uint64   // quota; 0 means none
	Hints        []uint32 // replace the head's when not nil
}

// Store keeps actors. All methods may be called at the same time. Slices handed in are not kept; slices handed out
// belong to the caller.
type Store interface {
	// Head returns the actor's head, the zero Head if it was never fenced.
	Head(ctx context.Context, actor string) (Head, error)
	// Fence raises the actor's generation by one, durably, and returns the new head.
	Fence(ctx context.Context, actor string) (Head, error)
	// Resume raises the actor's epoch by one, durably, if its generation is the one given, and returns the new head.
	// Otherwise it returns ErrFenced with the current head.
	Resume(ctx context.Context, actor string, generation uint64) (Head, error)
	// Get returns one value a key as of one moment, nil where the key is absent (an empty value is not nil).
	Get(ctx context.Context, actor string, keys [][]byte) ([][]byte, error)
	// Read is Get without copies: it calls fn with the position of each key that is present and its value, in any order
	// and perhaps for several keys at the same time, but once for each. The value is valid during the call only, and not
	// to be changed; it counts only if Read returns no error.
	Read(ctx context.Context, actor string, keys [][]byte, fn func(i int, value []byte)) error
	// Scan calls fn for the entries in r in key order (descending if reverse), as of one moment, until fn returns
	// false. Key and value are valid during the call only, and are not to be changed.
	Scan(ctx context.Context, actor string, r Range, reverse bool, fn func(key, value []byte) bool) error
	// Apply applies b and returns the new head once the write is on stable storage. On ErrApplied the head returned is
	// the current one. Any other error means that nothing was applied, except ErrStopped.
	Apply(ctx context.Context, actor string, b *Batch) (Head, error)
	// Close waits for running calls and releases the store.
	Close() error
}

// PrefixEnd returns the smallest key greater than every key with the prefix, nil if there is none (an empty prefix, or
// one of 0xFF bytes only).
func PrefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xFF {
			end := append([]byte(nil), prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}
