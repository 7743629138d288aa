package pages

import (
	"slices"

	"github.com/pagewire/pagewire/internal/btree"
	"github.com/pagewire/pagewire/internal/protocol"
)

const (
	maxStreams   = 8  // scans followed at once: a join reads several trees in turn
	streamGrowth = 4  // of a stream's window at each of its misses
	minReach     = 4  // pages that a scan may skip, because the cache had them, and still be one
	maxTails     = 8  // ends of overflow chains remembered for one stream
	chainMiss    = 4  // what a miss on an overflow page adds to File.chains
	maxChains    = 16 // bound of File.chains
)

// stream is a scan being followed: a series of misses, each near behind the last page fetched for the one before. In a
// B-tree "behind" means in key order, either way. Pages whose parent is not known, in overflow chains and auxiliary
// files, are followed upwards by index, and along the chains.
type stream struct {
	used   uint64 // clock of the last miss, 0 for a free slot
	file   uint8
	keyed  bool     // in key order of a B-tree
	dir    int      // 1 or -1; 0 after the first miss in key order, when it is not known yet
	edge   uint32   // the furthest page fetched without a gap
	window int      // pages that the last fetch was meant to bring
	tails  []uint32 // where the overflow chains of the last fetch go on
	jumped bool     // the last miss was on one of tails
}

// streams are the scans followed last.
type streams struct {
	slots [maxStreams]stream
	clock uint64
}

// follow returns the stream that a miss continues, with its window grown up to limit, nil if there is none.
func (s *streams) follow(t *tree, file uint8, index uint32, limit int) *stream {
	keyed := t.keyed(file, index)
	for i := range s.slots {
		st := &s.slots[i]
		if st.used != 0 && st.file == file && st.keyed == keyed && st.continues(t, index) {
			s.clock++
			st.used = s.clock
			st.window = min(streamGrowth*st.window, limit)
			return st
		}
	}
	return nil
}

// begin returns a new stream with a window of one page, which takes the place of the one idle longest.
func (s *streams) begin(t *tree, file uint8, index uint32) *stream {
	s.clock++
	oldest := &s.slots[0]
	for i := range s.slots {
		if s.slots[i].used < oldest.used {
			oldest = &s.slots[i]
		}
	}
	*oldest = stream{used: s.clock, file: file, keyed: t.keyed(file, index), edge: index, window: 1}
	if !oldest.keyed {
		oldest.dir = 1
	}
	return oldest
}

// keyed says whether the key order of a B-tree tells what is behind a page.
func (t *tree) keyed(file uint8, index uint32) bool {
	_, ok := t.parent[index]
	return ok && file == protocol.FileMain
}

// continues says whether index is a little behind the edge or where a chain goes on, and settles the direction.
func (s *stream) continues(t *tree, index uint32) bool {
	reach := max(minReach, s.window/4)
	if !s.keyed {
		near := index > s.edge && index-s.edge <= uint32(reach)
		s.jumped = !near && slices.Contains(s.tails, index)
		return near || s.jumped
	}
	for _, dir := range [2]int{1, -1} {
		if s.dir == -dir {
			continue
		}
		if run, _, _ := t.walk(s.edge, dir, reach); slices.Contains(run, index) {
			s.dir = dir
			return true
		}
	}
	return false
}

// ahead returns up to n pages that the stream reads after index, as far as they are known, and the interior page whose
// children would be next if it is not remembered.
func (s *stream) ahead(t *tree, index uint32, n int) (run []uint32, gap uint32, ended bool) {
	switch {
	case s.keyed && s.dir != 0:
		return t.walk(index, s.dir, n)
	case s.keyed || s.jumped:
		return nil, 0, false
	}
	for i := uint32(1); i <= uint32(n) && index+i > index; i++ {
		run = append(run, index+i)
	}
	return run, 0, false
}

// advance moves the edge to the last page behind index that have tells is there, with none missing in between. next has
// the pages that those fetched name as their successors, if they are of chains.
func (s *stream) advance(t *tree, index uint32, n int, next []uint32, have func(uint32) bool) {
	s.tails = s.tails[:0]
	for _, p := range next {
		if !s.keyed && !have(p) && len(s.tails) < maxTails {
			s.tails = append(s.tails, p)
		}
	}
	s.edge = index
	run, _, _ := s.ahead(t, index, n)
	for _, p := range run {
		if !have(p) {
			return
		}
		s.edge = p
	}
}

// successor returns the page that an overflow page names as the next of its chain.
func successor(index uint32, page []byte) (next uint32, ok bool) {
	if index == 0 || btree.KindOf(page, index+1) != 0 {
		return 0, false
	}
	number := btree.NextOverflow(page)
	return number - 1, number != 0
}

// plan returns the fetch that a miss on a page of a file should send, and the stream it belongs to, nil if readahead is
// off. The page missed comes first. f.mu is held.
func (f *File) plan(file uint8, index uint32) (*protocol.Fetch, *stream) {
	req := &protocol.Fetch{File: file, Pages: []uint32{index}}
	if f.cfg.DisableReadahead {
		if file == protocol.FileMain && f.subtreeUnknown(index, 1) {
			req.Expand = f.expansion(f.cfg.ExpandBudget)
		}
		return req, nil
	}
	s := f.streams.follow(&f.tree, file, index, f.cfg.MaxReadahead)
	if s == nil && file == protocol.FileMain {
		if rest, ok := f.planChains(req); ok {
			return req, rest
		}
	}
	if s == nil && file == protocol.FileMain && !f.cfg.DisableLookups {
		if run := f.lookups.ahead(&f.tree, index, f.cfg.MaxReadahead); run != nil {
			f.addRun(req, run)
			return req, nil
		}
	}
	if s == nil {
		s = f.streams.begin(&f.tree, file, index)
	}
	run, gap, ended := s.ahead(&f.tree, index, s.window-1)
	f.addRun(req, run)
	if file != protocol.FileMain {
		return req, s
	}
	size := f.current
	switch room := s.window - 1 - len(run); {
	case ended && room > 0 && offset(gap) < size && !f.pending.stale(gap):
		// The scan goes on below an interior page that is not known: ask for it and for what fits of its children.
		req.Pages = append(req.Pages, gap)
		if room > 1 {
			req.Expand = f.expansion(uint64(room-1) * protocol.PageSize)
			if req.Expand != nil {
				req.Expand.Depth = 1
			}
		}
	case f.subtreeUnknown(index, s.window):
		req.Expand = f.expansion(f.cfg.ExpandBudget)
	case !s.keyed && s.window > 1:
		// Chains lie in one piece mostly, and are followed where they do not.
		if s.jumped {
			s.window = min(max(s.window, 2*int(f.cfg.ExpandBudget/protocol.PageSize)), f.cfg.MaxReadahead)
		}
		req.Expand = f.expansion(uint64(s.window) * protocol.PageSize)
	}
	return req, s
}

// addRun adds the pages of a run that storage holds in their newest version.
func (f *File) addRun(req *protocol.Fetch, run []uint32) {
	size := f.aux[req.File]
	if req.File == protocol.FileMain {
		size = f.current
	}
	for _, p := range run {
		if offset(p) < size && (req.File != protocol.FileMain || !f.pending.stale(p)) {
			req.Pages = append(req.Pages, p)
		}
	}
}

// subtreeUnknown says whether what a page points to is worth asking for together with it: it may be an interior page
// that was not seen before, or a leaf of a table whose overflow chains are being read.
func (f *File) subtreeUnknown(index uint32, window int) bool {
	if window > 1 || f.tree.interior(index) {
		return false
	}
	leaf, known := f.tree.leaf(index)
	if known && leaf {
		if f.chains == 0 {
			return false
		}
		f.chains--
	}
	return true
}

// observe learns from the page that a miss was about: one that no known page points to and that is no B-tree page belongs
// to an overflow chain.
func (f *File) observe(index uint32, page []byte) {
	if _, known := f.tree.parent[index]; !known && index != 0 && btree.KindOf(page, index+1) == 0 {
		f.chains = min(f.chains+chainMiss, maxChains)
	}
}

// expansion returns the request to follow pointers, nil if that is switched off.
func (f *File) expansion(budget uint64) *protocol.Expand {
	if f.cfg.DisableExpand {
		return nil
	}
	return &protocol.Expand{Depth: f.cfg.ExpandDepth, Budget: budget}
}
