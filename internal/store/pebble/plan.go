package pebble

import (
	"bytes"

	"github.com/cockroachdb/pebble/v2"

	"github.com/pagewire/pagewire/internal/store"
)

// maxPointDeletes is how many keys of a range delete are deleted one by one. Range tombstones slow down every read
// beside them until they are compacted, and most commits delete a range that holds little or nothing.
const maxPointDeletes = 64

// batchOverhead is what a batch takes besides keys and values: a kind and two lengths an entry, at most 11 bytes, and
// its header.
const (
	entryOverhead = 11
	batchHeader   = 64
)

// plan turns b into a Pebble batch that includes the next head. It is called under the actor's lock. The error is of
// package store; a batch returned with one is done with.
func (s *Store) plan(actor string, head store.Head, b *store.Batch, m *memory) (store.Head, *pebble.Batch, error) {
	prefix := dataPrefix(actor)
	ranges, writes := b.Ranges(), b.Writes()
	batch := s.spares.take(s.db, batchSize(prefix, writes, len(b.Hints)))
	used := head.UsedBytes
	for _, r := range ranges {
		freed, err := s.deleteRange(batch, prefix, r)
		if err != nil {
			return head, batch, err
		}
		used -= freed
	}
	used, err := s.put(batch, prefix, ranges, writes, used, m)
	if err != nil {
		return head, batch, err
	}
	next, err := b.Next(head, used)
	if err != nil {
		return head, batch, err
	}
	if err := batch.Set(headKey(actor), encodeHead(next), nil); err != nil {
		return head, batch, translate(err)
	}
	switch {
	case len(b.Hints) > 0:
		err = batch.Set(hintsKey(actor), encodeHints(b.Hints), nil)
	case b.Hints != nil && len(head.Hints) > 0:
		err = batch.Delete(hintsKey(actor), nil)
	}
	if err != nil {
		return head, batch, translate(err)
	}
	return next, batch, nil
}

// deleteRange adds the delete of a range to the batch and returns the bytes that it frees.
func (s *Store) deleteRange(batch *pebble.Batch, prefix []byte, r store.Range) (freed uint64, err error) {
	lower, upper := dataBounds(prefix, r)
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return 0, translate(err)
	}
	defer func() {
		if closeErr := iter.Close(); err == nil {
			err = translate(closeErr)
		}
	}()
	var key []byte
	var few [maxPointDeletes][]byte
	count := 0
	for valid := iter.First(); valid; valid = iter.Next() {
		if key, err = decodeKey(key[:0], prefix, iter.Key()); err != nil {
			return 0, err
		}
		value := iter.LazyValue()
		freed += uint64(len(key) + value.Len())
		if count < maxPointDeletes {
			few[count] = bytes.Clone(iter.Key())
		}
		count++
	}
	if err := iter.Error(); err != nil {
		return 0, translate(err)
	}
	if count > maxPointDeletes {
		return freed, translate(batch.DeleteRange(lower, upper, nil))
	}
	for _, key := range few[:count] {
		if err := batch.Delete(key, nil); err != nil {
			return 0, translate(err)
		}
	}
	return freed, nil
}

// put adds the writes to the batch and returns the bytes used after them. The sizes of what they replace are remembered,
// or found in one pass in key order; keys in the ranges have been counted already, and new ones replace nothing.
func (s *Store) put(
	batch *pebble.Batch, prefix []byte, ranges []store.Range, writes []store.Write, used uint64, m *memory,
) (_ uint64, err error) {
	var w *walker // made when it is needed
	defer func() {
		if w == nil {
			return
		}
		if closeErr := w.close(); err == nil {
			err = closeErr
		}
	}()
	for _, write := range writes {
		for len(ranges) > 0 && ranges[0].End != nil && bytes.Compare(ranges[0].End, write.Key) <= 0 {
			ranges = ranges[1:]
		}
		deleted := len(ranges) > 0 && ranges[0].Contains(write.Key)
		size, present := m.size(write.Key)
		if !deleted && !present && !write.New {
			if w == nil {
				if w, err = newWalker(s.db, prefix); err != nil {
					return 0, err
				}
			}
			if present = w.find(write.Key); present {
				value := w.iter.LazyValue()
				size = value.Len()
			}
		}
		present = present && !deleted
		if present {
			used -= uint64(len(write.Key) + size)
		}
		if write.Delete {
			if present {
				if err := batch.Delete(appendEscaped(bytes.Clone(prefix), write.Key), nil); err != nil {
					return 0, translate(err)
				}
			}
			continue
		}
		op := batch.SetDeferred(escapedSize(prefix, write.Key), len(write.Value))
		appendEscaped(append(op.Key[:0], prefix...), write.Key)
		copy(op.Value, write.Value)
		if err := op.Finish(); err != nil {
			return 0, translate(err)
		}
		used += uint64(len(write.Key) + len(write.Value))
	}
	return used, nil
}

// escapedSize is the size of the Pebble key for key below the prefix.
func escapedSize(prefix, key []byte) int {
	return len(prefix) + len(key) + bytes.Count(key, []byte{escape}) + 2
}

// batchSize is about what the batch will take, so that it need not grow and copy.
func batchSize(prefix []byte, writes []store.Write, hints int) int {
	size := batchHeader + 2*len(prefix) + headSize + 4*hints
	for _, w := range writes {
		size += escapedSize(prefix, w.Key) + len(w.Value) + entryOverhead
	}
	return size
}
