package server

import (
	"bytes"
	"context"

	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/store"
)

// planPreload checks a preload and completes its budget. nil means that nothing is to be preloaded.
func (s *Server) planPreload(p *protocol.Preload) (*protocol.Preload, error) {
	if p == nil {
		return nil, nil
	}
	limits := &s.cfg.Limits
	bad := func(format string, args ...any) (*protocol.Preload, error) {
		return nil, protocol.Errorf(protocol.CodeBadRequest, "preload: "+format, args...)
	}
	if n := uint64(len(p.Keys)); n > limits.BatchKeys {
		return bad("%d keys, the limit is %d", n, limits.BatchKeys)
	}
	if n := uint64(len(p.Prefixes)); n > limits.BatchKeys {
		return bad("%d prefixes, the limit is %d", n, limits.BatchKeys)
	}
	for i, k := range p.Keys {
		if len(k) == 0 || uint64(len(k)) > limits.KeyBytes {
			return bad("key %d has %d bytes, it must have 1 to %d", i, len(k), limits.KeyBytes)
		}
	}
	for i, x := range p.Prefixes {
		if x.Prefix == nil {
			return bad("prefix %d is missing; an empty byte string stands for all keys", i)
		}
		if uint64(len(x.Prefix)) > limits.KeyBytes {
			return bad("prefix %d has %d bytes, the limit is %d", i, len(x.Prefix), limits.KeyBytes)
		}
	}
	plan := *p
	budget := limits.PreloadBytes
	if p.Budget != nil {
		budget = min(budget, *p.Budget)
	}
	if budget == 0 {
		return nil, nil
	}
	plan.Budget = &budget
	return &plan, nil
}

// preloader fills an open reply within its budget. Entries cost the bytes of their keys and values, absent keys those of
// the key, pages those of the page.
type preloader struct {
	queue *queue
	left  uint64              // bytes of budget
	sent  map[string]struct{} // keys in the reply
	res   *protocol.OpenResult
}

// preload adds to res what the plan asks for, in its order: keys, prefixes, pages.
func (q *queue) preload(ctx context.Context, plan *protocol.Preload, hints []uint32, res *protocol.OpenResult) error {
	if plan == nil {
		return nil
	}
	l := &preloader{queue: q, left: *plan.Budget, sent: make(map[string]struct{}), res: res}
	if err := l.keys(ctx, plan.Keys); err != nil {
		return err
	}
	for _, p := range plan.Prefixes {
		if err := l.prefix(ctx, p); err != nil {
			return err
		}
	}
	if !plan.Pages {
		return nil
	}
	return l.pages(ctx, hints)
}

// keys adds the keys that fit and says of each of those that it was scanned. What does not fit is left out, what is
// smaller and comes later may still fit.
func (l *preloader) keys(ctx context.Context, keys [][]byte) error {
	if len(keys) == 0 {
		return nil
	}
	values, err := l.queue.conn.server.cfg.Store.Get(ctx, l.queue.name, keys)
	if err != nil {
		return err
	}
	for i, k := range keys {
		cost := uint64(len(k) + len(values[i]))
		if _, twice := l.sent[string(k)]; twice || cost > l.left {
			continue
		}
		l.left -= cost
		l.sent[string(k)] = struct{}{}
		l.res.ScannedKeys = append(l.res.ScannedKeys, k)
		if values[i] != nil {
			l.add(k, values[i])
		}
	}
	return nil
}

func (l *preloader) add(key, value []byte) {
	l.res.Entries.Keys = append(l.res.Entries.Keys, key)
	l.res.Entries.Values = append(l.res.Entries.Values, value)
}

// prefix adds the entries below a prefix: all of them, or what fits if that is enough. A prefix of which nothing was
// learned is not listed as scanned.
func (l *preloader) prefix(ctx context.Context, p protocol.PreloadPrefix) error {
	limit := l.left
	if p.MaxBytes != 0 {
		limit = min(limit, p.MaxBytes)
	}
	used, complete := uint64(0), true
	var through []byte
	var found []store.Entry
	r := store.Range{Start: p.Prefix, End: store.PrefixEnd(p.Prefix)}
	err := l.queue.conn.server.cfg.Store.Scan(ctx, l.queue.name, r, false, func(k, v []byte) bool {
		if _, twice := l.sent[string(k)]; !twice {
			cost := uint64(len(k) + len(v))
			if used+cost > limit || len(l.res.Entries.Keys)+len(found) == maxEntries {
				complete = false
				return false
			}
			used += cost
			found = append(found, store.Entry{Key: bytes.Clone(k), Value: cloneValue(v)})
		}
		through = append(through[:0], k...)
		return true
	})
	if err != nil {
		return err
	}
	if !complete && (!p.Partial || through == nil) {
		return nil
	}
	l.left -= used
	for _, e := range found {
		l.sent[string(e.Key)] = struct{}{}
		l.add(e.Key, e.Value)
	}
	scanned := protocol.ScannedPrefix{Prefix: p.Prefix, Complete: complete}
	if !complete {
		scanned.Through = through
	}
	l.res.ScannedPrefixes = append(l.res.ScannedPrefixes, scanned)
	return nil
}

// pages adds pages of the main file: the first one, those that the last session named, and the inner ones of its trees.
func (l *preloader) pages(ctx context.Context, hints []uint32) error {
	if l.left < protocol.PageSize {
		return nil
	}
	file, err := l.queue.mainFile(ctx)
	if err != nil || file.pages == 0 {
		return err
	}
	have := make(map[uint32]bool)
	add := func(index uint32, page []byte) {
		if page == nil || have[index] || l.left < protocol.PageSize {
			return
		}
		have[index] = true
		l.left -= protocol.PageSize
		addPage(&l.res.Pages, index, page)
	}
	add(0, file.page1)
	wanted := make([]uint32, 0, len(hints))
	for _, index := range hints {
		if index < file.pages && uint64(len(wanted)) < l.left/protocol.PageSize {
			wanted = append(wanted, index)
		}
	}
	hinted, err := l.queue.readPages(ctx, protocol.FileMain, wanted)
	if err != nil {
		return err
	}
	for i, index := range wanted {
		add(index, hinted[i])
	}
	if file.usable != 0 {
		walk := l.queue.walk(ctx, file, l.left)
		walk.Have = func(no uint32) bool { return have[no-1] }
		inner, err := walk.Interior()
		if err != nil {
			return err
		}
		for _, p := range inner {
			add(p.No-1, p.Data)
		}
	}
	l.queue.conn.server.metrics.pagesPreloaded.Add(uint64(len(l.res.Pages.Indexes)))
	return nil
}
