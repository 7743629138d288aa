package pages

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pagewire/pagewire/internal/channel"
	"github.com/pagewire/pagewire/internal/protocol"
)

// Commit hands over a batch and returns at once. Batches are written in the order of the calls. While one commit is under
// way the following batches wait and are merged into the next, as one does that others follow. A batch handed over after
// Failed and before Reload, or after Close, is dropped without a word: Failed has covered it.
func (f *File) Commit(b Batch) {
	f.mu.Lock()
	if f.usable() != nil {
		f.mu.Unlock()
		return
	}
	f.pending.add(b, f.current)
	f.current = b.Size
	for i, index := range b.Indexes {
		f.tree.learn(index, b.Pages[i])
		f.lookups.forget(index)
	}
	for _, tag := range b.DropFiles {
		delete(f.aux, tag)
	}
	if b.More && !f.cfg.DisableHold {
		f.mu.Unlock()
		return
	}
	f.start()
}

// Release writes batches that wait only for others that were to follow. Fetch, Flush, Reload and Close do so too.
func (f *File) Release() {
	f.mu.Lock()
	f.start()
}

// start begins to write what is pending, unless that is under way. f.mu is held and released.
func (f *File) start() {
	first := f.flushing == nil && len(f.pending.batches) > 0
	if first {
		f.flushing = make(chan struct{})
	}
	f.mu.Unlock()
	if first {
		f.flush()
	}
}

// flush writes what is pending, one commit at a time, until nothing is left. It does not wait: the first commit is sent
// here, and each other one by whoever learns what became of the one before.
func (f *File) flush() {
	if f.cfg.Pace == nil {
		f.next()
		return
	}
	go func() {
		f.cfg.Pace()
		f.next()
	}()
}

// next sends a commit of what is pending, or ends the flush.
func (f *File) next() {
	f.mu.Lock()
	if len(f.pending.batches) == 0 {
		close(f.flushing)
		f.flushing = nil
		f.mu.Unlock()
		return
	}
	batches, stored := f.pending.batches, f.stored
	generation, seq := f.generation, f.seq
	f.mu.Unlock()

	begin := time.Now()
	m := merge(batches, stored, f.cfg.Limits.CommitBytes)
	token := batches[m.n-1].Token
	f.send(&m, generation, seq, func(res *protocol.CommitResult, err error) {
		f.mu.Lock()
		f.metrics.CommitTime += time.Since(begin)
		if err != nil {
			f.fail(err)
			f.mu.Unlock()
			f.next()
			return
		}
		f.pending.resolve(m.n)
		f.seq, f.stored = seq+uint64(m.n), m.size
		f.metrics.UsedBytes = res.UsedBytes
		f.metrics.Commits++
		f.metrics.Batches += uint64(m.n)
		f.metrics.PagesCommitted += uint64(len(m.pages))
		f.mu.Unlock()
		f.sink.Committed(token)
		f.flush()
	})
}

// send writes one merged commit.
func (f *File) send(m *merged, generation, seq uint64, done func(*protocol.CommitResult, error)) {
	limit := f.cfg.Limits.CommitBytes
	if size := uint64(len(m.pages)) * protocol.PageSize; limit > 0 && size > limit {
		done(nil, protocol.Errorf(protocol.CodePayloadTooLarge,
			"the transaction wrote %d bytes of pages, the server's limit is %d: split it into smaller ones", size, limit))
		return
	}
	f.remote.BeginCommit(f.commits, &protocol.Commit{
		Generation: generation,
		Seq:        seq + uint64(m.n),
		Count:      uint64(m.n),
		Size:       m.size,
		Pages:      protocol.Pages{Indexes: m.indexes},
		DropFiles:  m.dropFiles,
	}, m.pages, done)
}

// fail gives up all that is pending and tells the sink. f.mu is held, but not during the sink's call.
func (f *File) fail(err error) {
	token := f.pending.batches[0].Token
	f.failed = err
	f.lost = channel.IsLockLost(err)
	if f.lost && errors.Is(err, channel.ErrIndeterminate) {
		// Whether this commit is stored is its own callers' question; what comes later has no lock.
		f.failed = fmt.Errorf("%w: another session took the actor over", channel.ErrLockLost)
	}
	f.pending.reset()
	f.metrics.Failures++
	f.mu.Unlock()
	f.sink.Failed(token, err)
	f.mu.Lock()
}

// Flush waits until nothing is pending. It returns the error of a failed commit until Reload, and ctx's error.
func (f *File) Flush(ctx context.Context) error {
	if err := f.Settle(ctx); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

// Settle waits until nothing is under way and the sink knows all, which includes a failure. It returns ctx's error.
func (f *File) Settle(ctx context.Context) error {
	f.Release()
	for {
		f.mu.Lock()
		flushing := f.flushing
		f.mu.Unlock()
		if flushing == nil {
			return nil
		}
		select {
		case <-flushing:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Reload asks the server for the stored state after Failed and goes on from it: the commit sequence, the sizes and the
// pages that come with it, which are staged. The sink drops its pages, staged and pending, before it calls. An error
// leaves the File failed, and Reload may be called again; once the lock is lost, every call returns that.
func (f *File) Reload(ctx context.Context) error {
	if err := f.Settle(ctx); err != nil {
		return err
	}
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	f.mu.Lock()
	switch {
	case f.closed:
		f.mu.Unlock()
		return ErrClosed
	case f.lost:
		defer f.mu.Unlock()
		return f.failed
	}
	f.mu.Unlock()

	res, err := f.remote.Reload(ctx, &protocol.Preload{Pages: true})

	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		if channel.IsLockLost(err) {
			f.failed, f.lost = err, true
		}
		return err
	}
	f.failed = nil
	f.adopt(res)
	f.metrics.Reloads++
	return nil
}

// Close waits for what is pending, at most until ctx ends, and closes the actor; hints are pages of the main file that
// the next open should preload first. What could not be written is failed as ever, and Close returns why. No goroutine
// is left afterwards. Further calls return nil.
func (f *File) Close(ctx context.Context, hints []uint32) error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil
	}
	unwritten := len(f.pending.batches) > 0
	f.mu.Unlock()

	flushed := f.Flush(ctx)
	f.cancel()
	f.Settle(context.Background()) // the flush ends now: its commit was cancelled
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	if !unwritten {
		flushed = nil // the sink was told before
	}
	return errors.Join(flushed, f.remote.Close(ctx, hints))
}
