package pages

import (
	"context"
	"fmt"
	"time"

	"github.com/pagewire/pagewire/internal/protocol"
)

// Fetch brings a page to the sink: before it returns nil, Stage was called for it with asked set, and perhaps for others
// with asked unset. A page past the end of its file is zeros. It blocks for a round trip, unless unresolved batches tell
// what the page holds.
//
// It returns ctx's error when ctx ends, the error of a failed commit until Reload, ErrClosed after Close, and otherwise
// what the remote returns.
func (f *File) Fetch(ctx context.Context, file uint8, index uint32) error {
	f.Release()
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		done, err := f.fetchOnce(ctx, file, index)
		if done || err != nil {
			return err
		}
	}
}

// fetchOnce is one round trip. done is false if the page missed was written or cut off meanwhile by a batch that is
// durable now: the answer is void, and the next one will be right.
func (f *File) fetchOnce(ctx context.Context, file uint8, index uint32) (done bool, err error) {
	f.mu.Lock()
	if err := f.usable(); err != nil {
		f.mu.Unlock()
		return false, err
	}
	if f.stageKnown(file, index) {
		f.mu.Unlock()
		return true, nil
	}
	req, s := f.plan(file, index)
	f.pending.beginFetch()
	f.metrics.Fetches++
	if req.Expand != nil {
		f.metrics.Expansions++
	}
	f.mu.Unlock()

	begin := time.Now()
	res, err := f.remote.Fetch(ctx, req)
	took := time.Since(begin)

	f.mu.Lock()
	f.metrics.FetchTime += took
	f.mu.Unlock()
	if err == nil {
		done, err = f.accept(req, res, s)
		if res.Release != nil {
			res.Release()
		}
	}
	f.mu.Lock()
	f.pending.endFetch()
	f.mu.Unlock()
	return done, err
}

// stageKnown stages a page whose contents need no round trip: it is past the end of its file, or unresolved batches
// wrote it or cut it off. f.mu is held.
func (f *File) stageKnown(file uint8, index uint32) bool {
	if file != protocol.FileMain {
		if size, exists := f.aux[file]; exists && offset(index) < size {
			return false
		}
		f.sink.Stage(file, index, nil, true)
		return true
	}
	page, known := f.pending.read(index)
	if offset(index) >= f.current {
		page, known = nil, true
	}
	if known {
		f.stageMain(index, page, true)
	}
	return known
}

// accept stages what a fetch answered, page by page so that a batch is not held up by more than one, and skips pages
// that are older than a batch. It returns whether the page asked for was staged.
func (f *File) accept(req *protocol.Fetch, res *protocol.FetchResult, s *stream) (bool, error) {
	asked, have := req.Pages[0], make(map[uint32]bool, len(res.Pages.Indexes))
	answered, done := false, false
	var next []uint32
	var failed error
	eachPage(&res.Pages, func(index uint32, page []byte) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if failed = f.usable(); failed != nil || have[index] {
			return
		}
		answered = answered || index == asked
		f.metrics.PagesFetched++
		if f.stageFetched(req.File, index, page, index == asked) {
			have[index] = true
			done = done || index == asked
			if n, ok := successor(index, page); ok {
				next = append(next, n)
			}
		}
	})
	if failed != nil {
		return false, failed
	}
	if !answered {
		return false, fmt.Errorf("pages: the server's answer lacks page %d of file %d, which was asked for", asked, req.File)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if s != nil {
		s.advance(&f.tree, asked, f.cfg.MaxReadahead, next, func(index uint32) bool {
			return have[index] || req.File == protocol.FileMain && f.pending.stale(index)
		})
	}
	return done, nil
}

// stageFetched stages a page that a fetch answered unless it may be older than a batch. f.mu is held.
func (f *File) stageFetched(file uint8, index uint32, page []byte, asked bool) bool {
	if file != protocol.FileMain {
		if size, exists := f.aux[file]; !asked && (!exists || offset(index) >= size) {
			return false
		}
		f.sink.Stage(file, index, page, asked)
		if !asked {
			f.metrics.PagesPrefetched++
		}
		return true
	}
	if f.pending.stale(index) || offset(index) >= f.current {
		f.metrics.PagesDropped++
		return asked && f.stageKnown(file, index)
	}
	if asked {
		f.observe(index, page)
	}
	f.stageMain(index, page, asked)
	return true
}
