// Package memory is a store that keeps actors in memory, for tests and for servers whose data may vanish with them. Each
// actor is an ordered map that is cloned, copy on write, to give readers their one moment.
package memory

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/RaduBerinde/btreemap"

	"github.com/pagewire/pagewire/internal/store"
)

// degree of the ordered maps: nodes of 32 to 63 entries.
const degree = 32

type entries = btreemap.BTreeMap[[]byte, []byte]

// Store keeps actors in memory. Make one with New.
type Store struct {
	mu      sync.Mutex // guards what follows; running may only be raised while closed is false
	actors  map[string]*actor
	closed  bool
	running sync.WaitGroup
}

// actor is one actor's head and entries. Stored keys and values are never changed in place.
type actor struct {
	mu      sync.Mutex
	head    store.Head
	entries *entries
}

var _ store.Store = (*Store)(nil)

// New returns an empty store.
func New() *Store { return &Store{actors: map[string]*actor{}} }

// Head implements store.Store.
func (s *Store) Head(ctx context.Context, name string) (store.Head, error) {
	a, done, err := s.enter(ctx, name, false)
	if err != nil || a == nil {
		return store.Head{}, err
	}
	defer done()
	a.mu.Lock()
	defer a.mu.Unlock()
	return copyHead(a.head), nil
}

// Fence implements store.Store.
func (s *Store) Fence(ctx context.Context, name string) (store.Head, error) {
	a, done, err := s.enter(ctx, name, true)
	if err != nil {
		return store.Head{}, err
	}
	defer done()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.head = a.head.Fenced()
	return copyHead(a.head), nil
}

// Resume implements store.Store.
func (s *Store) Resume(ctx context.Context, name string, generation uint64) (store.Head, error) {
	a, done, err := s.enter(ctx, name, false)
	if err != nil {
		return store.Head{}, err
	}
	if a == nil {
		return store.Head{}.Resumed(generation)
	}
	defer done()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.head, err = a.head.Resumed(generation)
	return copyHead(a.head), err
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, name string, keys [][]byte) ([][]byte, error) {
	values := make([][]byte, len(keys))
	err := s.Read(ctx, name, keys, func(i int, value []byte) { values[i] = clone(value) })
	if err != nil {
		return nil, err
	}
	return values, nil
}

// Read implements store.Store.
func (s *Store) Read(ctx context.Context, name string, keys [][]byte, fn func(i int, value []byte)) error {
	a, done, err := s.enter(ctx, name, false)
	if err != nil || a == nil {
		return err
	}
	defer done()
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, key := range keys {
		if _, value, ok := a.entries.Get(key); ok {
			fn(i, value)
		}
	}
	return nil
}

// Scan implements store.Store.
func (s *Store) Scan(ctx context.Context, name string, r store.Range, reverse bool, fn func(key, value []byte) bool) error {
	a, done, err := s.enter(ctx, name, false)
	if err != nil || a == nil {
		return err
	}
	defer done()
	if r.Empty() {
		return nil
	}
	a.mu.Lock()
	snapshot := a.entries.Clone()
	a.mu.Unlock()
	lower, upper := bounds(r)
	seq := snapshot.Ascend(lower, upper)
	if reverse {
		seq = snapshot.Descend(upper, lower)
	}
	for key, value := range seq {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !fn(key, value) {
			return nil
		}
	}
	return nil
}

// Apply implements store.Store.
func (s *Store) Apply(ctx context.Context, name string, b *store.Batch) (store.Head, error) {
	a, done, err := s.enter(ctx, name, false)
	if err != nil {
		return store.Head{}, err
	}
	if a == nil {
		return store.Head{}, b.Check(store.Head{})
	}
	defer done()
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := b.Check(a.head); err != nil {
		return copyHead(a.head), err
	}
	next := a.entries.Clone()
	used := a.head.UsedBytes
	remove := func(key []byte) {
		if _, value, ok := next.Delete(key); ok {
			used -= uint64(len(key) + len(value))
		}
	}
	for _, r := range b.Ranges() {
		var doomed [][]byte
		for key := range next.Ascend(bounds(r)) {
			doomed = append(doomed, key)
		}
		for _, key := range doomed {
			remove(key)
		}
	}
	for _, w := range b.Writes() {
		if w.New {
			if _, _, ok := a.entries.Get(w.Key); ok {
				return copyHead(a.head), fmt.Errorf("key %x, said to be new, is there", w.Key)
			}
		}
		remove(w.Key)
		if !w.Delete {
			next.ReplaceOrInsert(clone(w.Key), clone(w.Value))
			used += uint64(len(w.Key) + len(w.Value))
		}
	}
	head, err := b.Next(a.head, used)
	if err != nil {
		return copyHead(a.head), err
	}
	a.head, a.entries = head, next
	return copyHead(head), nil
}

// Close implements store.Store. What was stored is gone.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.running.Wait()
	s.mu.Lock()
	s.actors = nil
	s.mu.Unlock()
	return nil
}

// enter begins a call on an actor, which is nil if it does not exist and is not to be made; otherwise the caller ends
// the call with done.
func (s *Store) enter(ctx context.Context, name string, make bool) (a *actor, done func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, store.ErrClosed
	}
	a = s.actors[name]
	if a == nil {
		if !make {
			return nil, nil, nil
		}
		a = &actor{entries: btreemap.New[[]byte, []byte](degree, bytes.Compare)}
		s.actors[name] = a
	}
	s.running.Add(1)
	return a, s.running.Done, nil
}

func bounds(r store.Range) (btreemap.LowerBound[[]byte], btreemap.UpperBound[[]byte]) {
	upper := btreemap.Max[[]byte]()
	if r.End != nil {
		upper = btreemap.LT(r.End)
	}
	return btreemap.GE(r.Start), upper
}

// clone copies b and is never nil: nil means absent.
func clone(b []byte) []byte { return append([]byte{}, b...) }

func copyHead(h store.Head) store.Head {
	h.Hints = slices.Clone(h.Hints)
	return h
}
