package pebble

import (
	"context"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/pagewire/pagewire/internal/store"
)

// Fence implements store.Store.
func (s *Store) Fence(ctx context.Context, actor string) (store.Head, error) {
	return s.write(ctx, actor, nil, func(head store.Head, _ *memory) (store.Head, *pebble.Batch, error) {
		head = head.Fenced()
		batch := s.db.NewBatch()
		return head, batch, batch.Set(headKey(actor), encodeHead(head), nil)
	})
}

// Resume implements store.Store.
func (s *Store) Resume(ctx context.Context, actor string, generation uint64) (store.Head, error) {
	return s.write(ctx, actor, nil, func(head store.Head, _ *memory) (store.Head, *pebble.Batch, error) {
		next, err := head.Resumed(generation)
		if err != nil {
			return head, nil, err
		}
		batch := s.db.NewBatch()
		return next, batch, batch.Set(headKey(actor), encodeHead(next), nil)
	})
}

// Apply implements store.Store.
func (s *Store) Apply(ctx context.Context, actor string, b *store.Batch) (store.Head, error) {
	return s.write(ctx, actor, b, func(head store.Head, m *memory) (store.Head, *pebble.Batch, error) {
		if err := b.Check(head); err != nil {
			return head, nil, err
		}
		return s.plan(actor, head, b, m)
	})
}

// maker turns an actor's head into the next one and a batch that stores it, or says why not.
type maker func(store.Head, *memory) (store.Head, *pebble.Batch, error)

// write makes one durable write to an actor: that of b, or one of the head alone if b is nil. If make says why not, the
// head returned is the current one.
func (s *Store) write(
	ctx context.Context, actor string, b *store.Batch, make maker,
) (store.Head, error) {
	if err := s.enter(ctx); err != nil {
		return store.Head{}, err
	}
	var head store.Head
	var err error
	stopped := s.await(func() error {
		defer s.running.Done()
		head, err = s.finish(ctx, actor, b, make)
		return nil
	})
	if stopped != nil {
		return store.Head{}, stopped
	}
	return head, err
}

// finish makes the write and waits until it is on stable storage.
func (s *Store) finish(
	ctx context.Context, actor string, b *store.Batch, make maker,
) (store.Head, error) {
	a := s.gates.acquire(actor)
	defer s.gates.release(a)

	head, batch, c, err := s.submit(a, b, make)
	if c == nil {
		// The refusal rests on what was read, which must be durable before anybody acts on it: an "applied before"
		// acknowledges the earlier commit (I2).
		if gateErr := s.durable(ctx, actor); gateErr != nil {
			return store.Head{}, gateErr
		}
		return head, err
	}
	if err == nil {
		err = batch.SyncWait()
	}
	if err != nil {
		s.disk.fail(err)
		err = s.disk.stopped()
	}
	c.resolve(err)
	if err != nil {
		return store.Head{}, err
	}
	s.spares.done(batch)
	return head, nil
}

// submit reads the head, makes the batch and hands it to Pebble, all under the actor's lock, so that the next write of
// the actor sees this one; it does not wait for the sync. A nil commit means that nothing was handed over.
func (s *Store) submit(
	a *gate, b *store.Batch, make maker,
) (store.Head, *pebble.Batch, *commit, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	head, err := s.head(a)
	if err != nil {
		return store.Head{}, nil, nil, err
	}
	next, batch, err := make(head, &a.memory)
	if err == nil && batch.Len() > 0 {
		err = s.checkSpace(head, next, uint64(batch.Len()))
	}
	if err != nil {
		if batch != nil {
			s.spares.done(batch) // never applied
		}
		return head, nil, nil, err
	}
	c := s.gates.announce(a)
	if err = s.db.ApplyNoSyncWait(batch, pebble.Sync); err == nil {
		a.memory.wrote(next, b)
	}
	return next, batch, c, err
}

// head returns the head of the gate's actor. The caller holds a.mu; the head is the caller's own.
func (s *Store) head(a *gate) (store.Head, error) {
	if !a.memory.known {
		return readHead(s.db, a.actor)
	}
	head := a.memory.head
	head.Hints = slices.Clone(head.Hints)
	return head, nil
}

// checkSpace refuses a batch of size bytes when the disk is full or nearly so. Once it is full, writes of the log wait
// and can be refused no more, so the last of the space is kept for what makes room: batches that shrink their actor always
// pass, those that keep its size (an UPDATE, or a DELETE that only fills SQLite's free list) have half the reserve.
func (s *Store) checkSpace(head, next store.Head, size uint64) error {
	reserve := s.reserve
	if s.disk.full() {
		return fmt.Errorf("%w: the disk of %s is full", store.ErrFull, s.dir)
	}
	switch {
	case next.UsedBytes < head.UsedBytes || next.Generation != head.Generation:
		return nil
	case next.UsedBytes == head.UsedBytes:
		reserve /= 2
	}
	usage, err := s.disk.GetDiskUsage(s.dir)
	if err != nil {
		return nil // not every file system can tell
	}
	// A batch is written twice before its log can go: to the log and to a table.
	if need := reserve + 2*size; usage.AvailBytes < need {
		return fmt.Errorf("%w: %d bytes are free on the disk of %s, this write needs %d, with the reserve",
			store.ErrFull, usage.AvailBytes, s.dir, need)
	}
	return nil
}
