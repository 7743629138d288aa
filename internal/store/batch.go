package store

import (
	"bytes"
	"fmt"
	"slices"
)

// The rules of a batch that every backend shares: what it requires of the head, what the head becomes, and its normal
// form, in which a backend can apply it in one ordered pass.

// Check returns nil if b may be applied to an actor whose head is h, or else ErrFenced, ErrApplied or ErrOutOfOrder.
// Generation 0 is never handed out, so a batch that carries it is fenced.
func (b *Batch) Check(h Head) error {
	switch {
	case b.Generation != h.Generation || b.Generation == 0:
		return fmt.Errorf("%w: the batch has generation %d, the actor %d", ErrFenced, b.Generation, h.Generation)
	case b.Epoch != h.Epoch:
		return fmt.Errorf("%w: the batch has epoch %d of generation %d, the actor %d", ErrFenced, b.Epoch, b.Generation, h.Epoch)
	case b.Seq == 0:
		return nil
	case b.Seq == h.Seq:
		return fmt.Errorf("%w: sequence %d", ErrApplied, b.Seq)
	case b.Expect != h.Seq:
		return fmt.Errorf("%w: commit %d expects %d to be the last one, it is %d", ErrOutOfOrder, b.Seq, b.Expect, h.Seq)
	}
	return nil
}

// Fenced returns the head that follows h when the actor is opened.
func (h Head) Fenced() Head {
	h.Generation++
	h.Epoch = 0
	return h
}

// Resumed returns the head that follows h when the holder of a generation goes on at another server, or ErrFenced.
func (h Head) Resumed(generation uint64) (Head, error) {
	if generation != h.Generation || generation == 0 {
		return h, fmt.Errorf("%w: generation %d is to be resumed, the actor has %d", ErrFenced, generation, h.Generation)
	}
	h.Epoch++
	return h, nil
}

// Next returns the head that follows h once b has made the actor's size used bytes, or ErrQuota.
func (b *Batch) Next(h Head, used uint64) (Head, error) {
	if b.MaxBytes != 0 && used > b.MaxBytes && used > h.UsedBytes {
		return h, fmt.Errorf("%w: the actor would use %d bytes of %d", ErrQuota, used, b.MaxBytes)
	}
	h.UsedBytes = used
	if b.Seq != 0 {
		h.Seq = b.Seq
	}
	if b.Hints != nil {
		h.Hints = slices.Clone(b.Hints)
	}
	return h, nil
}

// Write is what a batch does to one key after its range deletes.
type Write struct {
	Key, Value  []byte
	Delete, New bool
}

// Writes returns one write a key, in key order: a put wins over a delete, a later put over an earlier one. The slices
// are the batch's own.
func (b *Batch) Writes() []Write {
	writes := make([]Write, 0, len(b.Deletes)+len(b.Puts))
	for _, key := range b.Deletes {
		writes = append(writes, Write{Key: key, Delete: true})
	}
	for _, e := range b.Puts {
		writes = append(writes, Write{Key: e.Key, Value: e.Value, New: e.New})
	}
	byKey := func(x, y Write) int { return bytes.Compare(x.Key, y.Key) }
	if !slices.IsSortedFunc(writes, byKey) {
		slices.SortStableFunc(writes, byKey)
	}
	// Of equal keys the last one counts.
	kept := writes[:0]
	for i, w := range writes {
		if i+1 == len(writes) || !bytes.Equal(w.Key, writes[i+1].Key) {
			kept = append(kept, w)
		}
	}
	return kept
}

// Ranges returns the batch's range deletes as ordered, disjoint, non-empty ranges. The slices are the batch's own.
func (b *Batch) Ranges() []Range {
	ranges := make([]Range, 0, len(b.DeleteRanges))
	for _, r := range b.DeleteRanges {
		if !r.Empty() {
			ranges = append(ranges, r)
		}
	}
	slices.SortFunc(ranges, func(x, y Range) int { return bytes.Compare(x.Start, y.Start) })
	merged := ranges[:0]
	for _, r := range ranges {
		last := len(merged) - 1
		switch {
		case last < 0 || merged[last].End != nil && bytes.Compare(merged[last].End, r.Start) < 0:
			merged = append(merged, r)
		case merged[last].End != nil && (r.End == nil || bytes.Compare(r.End, merged[last].End) > 0):
			merged[last].End = r.End
		}
	}
	return merged
}

// Empty says whether no key can lie in r.
func (r Range) Empty() bool { return r.End != nil && bytes.Compare(r.Start, r.End) >= 0 }

// Contains says whether key lies in r.
func (r Range) Contains(key []byte) bool {
	return bytes.Compare(key, r.Start) >= 0 && (r.End == nil || bytes.Compare(key, r.End) < 0)
}
