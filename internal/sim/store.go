package sim

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/pagewire/pagewire/internal/store"
)

// StoreOp is an operation of a server on the store.
type StoreOp struct {
	Server *Server
	Kind   string // "head", "fence", "resume", "get", "scan", "apply"
	Actor  string
	Batch  *store.Batch // of an apply
}

// StoreFault is what happens to an operation.
type StoreFault struct {
	Before bool          // it fails and does nothing
	After  bool          // it is done, and fails all the same
	Delay  time.Duration // before it begins
	Late   time.Duration // before it is answered
}

var errStore = errors.New("sim: the store failed")

// nodeStore is the store as one life of a server sees it.
type nodeStore struct {
	w    *World
	s    *Server
	dead atomic.Bool
}

var _ store.Store = (*nodeStore)(nil)

func (n *nodeStore) kill() { n.dead.Store(true) }

// do runs one operation: it takes its time, may fail before or after, and nothing happens once the server has crashed.
func (n *nodeStore) do(op *StoreOp, step string, fn func() error) error {
	w := n.w
	op.Server = n.s
	w.mu.Lock()
	w.counts.store++
	count := w.counts.store
	w.mu.Unlock()
	identity := hashOf(n.s.Name + op.Kind + op.Actor)
	if op.Batch != nil {
		identity += op.Batch.Seq + op.Batch.Generation<<32
	}
	r := w.Rand("store", identity)
	var f StoreFault
	if w.Hooks.Store != nil {
		f = w.Hooks.Store(count, op)
	}
	f.Before = f.Before || w.chance("store error", r)
	f.After = f.After || w.chance("store error after", r)
	if w.chance("store stalls", r) {
		f.Delay += between(r, time.Second, time.Minute)
	}
	if w.chance("store dawdles", r) {
		f.Late += between(r, time.Millisecond, time.Minute)
	}
	w.step("server before "+step, n.s)
	time.Sleep(between(r, 1, 200*time.Microsecond) + f.Delay)
	w.awake(n.s.Name, identity, &n.s.mu, &n.s.frozen)
	if n.dead.Load() {
		return store.ErrClosed
	}
	if f.Before {
		w.Event("store", "%s %s %s fails before", n.s.Name, op.Kind, op.Actor)
		return errStore
	}
	err := fn()
	w.step("server after "+step, n.s)
	time.Sleep(between(r, 1, 100*time.Microsecond) + f.Late)
	w.awake(n.s.Name, identity, &n.s.mu, &n.s.frozen)
	if n.dead.Load() {
		return store.ErrClosed
	}
	if f.After && err == nil {
		w.Event("store", "%s %s %s fails after", n.s.Name, op.Kind, op.Actor)
		return errStore
	}
	return err
}

// Head implements store.Store.
func (n *nodeStore) Head(ctx context.Context, actor string) (h store.Head, err error) {
	err = n.do(&StoreOp{Kind: "head", Actor: actor}, "read", func() error {
		h, err = n.w.Store.Head(ctx, actor)
		return err
	})
	return h, err
}

// Fence implements store.Store.
func (n *nodeStore) Fence(ctx context.Context, actor string) (h store.Head, err error) {
	err = n.do(&StoreOp{Kind: "fence", Actor: actor}, "fence", func() error {
		h, err = n.w.Store.Fence(ctx, actor)
		n.w.Event("fence", "%s %s generation %d", n.s.Name, actor, h.Generation)
		if err == nil {
			n.w.Model.fenced(actor, h)
		}
		return err
	})
	return h, err
}

// Resume implements store.Store.
func (n *nodeStore) Resume(ctx context.Context, actor string, generation uint64) (h store.Head, err error) {
	err = n.do(&StoreOp{Kind: "resume", Actor: actor}, "fence", func() error {
		h, err = n.w.Store.Resume(ctx, actor, generation)
		n.w.Event("resume", "%s %s generation %d epoch %d: %v", n.s.Name, actor, generation, h.Epoch, err)
		return err
	})
	return h, err
}

// Get implements store.Store.
func (n *nodeStore) Get(ctx context.Context, actor string, keys [][]byte) (values [][]byte, err error) {
	err = n.do(&StoreOp{Kind: "get", Actor: actor}, "read", func() error {
		values, err = n.w.Store.Get(ctx, actor, keys)
		return err
	})
	return values, err
}

// Read implements store.Store.
func (n *nodeStore) Read(ctx context.Context, actor string, keys [][]byte, fn func(i int, value []byte)) error {
	return n.do(&StoreOp{Kind: "get", Actor: actor}, "read", func() error {
		return n.w.Store.Read(ctx, actor, keys, fn)
	})
}

// Scan implements store.Store.
func (n *nodeStore) Scan(ctx context.Context, actor string, r store.Range, reverse bool, fn func(key, value []byte) bool) error {
	return n.do(&StoreOp{Kind: "scan", Actor: actor}, "read", func() error {
		return n.w.Store.Scan(ctx, actor, r, reverse, fn)
	})
}

// Apply implements store.Store.
func (n *nodeStore) Apply(ctx context.Context, actor string, b *store.Batch) (h store.Head, err error) {
	err = n.do(&StoreOp{Kind: "apply", Actor: actor, Batch: b}, "apply", func() error {
		h, err = n.w.Store.Apply(ctx, actor, b)
		n.w.Event("apply", "%s %s generation %d seq %d-%d puts %d %x: %v", n.s.Name, actor, b.Generation, b.Expect, b.Seq,
			len(b.Puts), batchHash(b), err)
		if err == nil {
			n.w.Model.applied(actor, b, h)
		}
		return err
	})
	return h, err
}

// Close implements store.Store: the world's store outlives its servers.
func (n *nodeStore) Close() error { return nil }

func batchHash(b *store.Batch) uint64 {
	h := uint64(14695981039346656037)
	for _, p := range b.Puts {
		h = (h ^ hashOf(string(p.Key)) ^ hashOf(string(p.Value))*3) * 1099511628211
	}
	return h
}
