package pebble

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/pagewire/pagewire/internal/store"
	"github.com/pagewire/pagewire/internal/tune"
)

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, actor string, keys [][]byte) ([][]byte, error) {
	values := make([][]byte, len(keys))
	err := s.Read(ctx, actor, keys, func(i int, value []byte) { values[i] = append([]byte{}, value...) })
	if err != nil {
		return nil, err
	}
	return values, nil
}

// Read implements store.Store.
func (s *Store) Read(ctx context.Context, actor string, keys [][]byte, fn func(i int, value []byte)) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.running.Done()
	prefix := dataPrefix(actor)
	var err error
	if len(keys) == 1 {
		// One look-up asks the Bloom filters and needs no iterator.
		err = read(s.db, appendEscaped(prefix, keys[0]), func(value []byte) error {
			fn(0, value)
			return nil
		})
	} else {
		err = s.readMany(prefix, keys, fn)
	}
	if err != nil {
		return err
	}
	return s.durable(ctx, actor)
}

// partKeys is how many keys a goroutine looks up at least: about half a millisecond of reading blocks.
const partKeys = 64

// readMany looks up the keys as of one moment, many of them on several processors.
func (s *Store) readMany(prefix []byte, keys [][]byte, fn func(i int, value []byte)) (err error) {
	order := make([]int, len(keys))
	for i := range order {
		order[i] = i
	}
	byKey := func(i, j int) int { return bytes.Compare(keys[i], keys[j]) }
	if !slices.IsSortedFunc(order, byKey) {
		slices.SortFunc(order, byKey)
	}
	w, err := newWalker(s.db, prefix)
	if err != nil {
		return err
	}
	helpers := s.takeReaders(len(keys)/partKeys - 1)
	defer s.giveReaders(helpers)
	size := len(order) / (helpers + 1)
	errs := make([]error, helpers)
	var reading sync.WaitGroup
	for i := range errs {
		var part []int
		part, order = order[:size], order[size:]
		helper, err := w.clone()
		if err != nil {
			errs[i] = err
			break
		}
		reading.Go(func() { errs[i] = helper.read(part, keys, fn) })
	}
	err = w.read(order, keys, fn)
	reading.Wait()
	return errors.Join(append(errs, err)...)
}

// readersBeside is how many goroutines a store may have that help to read.
func readersBeside() int {
	if tune.Off("parallel-reads") {
		return 0
	}
	return runtime.GOMAXPROCS(0) - 1
}

// takeReaders counts up to n goroutines in that help to read, as many as the store may still have. It returns their number,
// for giveReaders.
func (s *Store) takeReaders(n int) (taken int) {
	for taken < n {
		select {
		case s.readers <- struct{}{}:
			taken++
		default:
			return taken
		}
	}
	return max(taken, 0)
}

func (s *Store) giveReaders(n int) {
	for range n {
		<-s.readers
	}
}

// Scan implements store.Store.
func (s *Store) Scan(ctx context.Context, actor string, r store.Range, reverse bool, fn func(key, value []byte) bool) (err error) {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.running.Done()
	if r.Empty() {
		return nil
	}
	prefix := dataPrefix(actor)
	lower, upper := dataBounds(prefix, r)
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return translate(err)
	}
	defer func() {
		if closeErr := iter.Close(); err == nil {
			err = translate(closeErr)
		}
	}()
	if err := s.durable(ctx, actor); err != nil {
		return err
	}
	first, next := iter.First, iter.Next
	if reverse {
		first, next = iter.Last, iter.Prev
	}
	var key []byte
	for valid := first(); valid; valid = next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if key, err = decodeKey(key[:0], prefix, iter.Key()); err != nil {
			return err
		}
		value, err := iter.ValueAndErr()
		if err != nil {
			return translate(err)
		}
		if !fn(key, value) {
			return nil
		}
	}
	return translate(iter.Error())
}

// dataBounds are Pebble's bounds for the range of keys below the prefix.
func dataBounds(prefix []byte, r store.Range) (lower, upper []byte) {
	lower = appendEscaped(bytes.Clone(prefix), r.Start)
	if r.End == nil {
		return lower, dataEnd(prefix)
	}
	return lower, appendEscaped(bytes.Clone(prefix), r.End)
}
