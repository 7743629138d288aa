package pages

import (
	"slices"

	"github.com/pagewire/pagewire/internal/btree"
	"github.com/pagewire/pagewire/internal/protocol"
)

const (
	maxHeads      = 8192 // overflow chains whose beginnings are remembered
	maxChainScans = 4    // scans of rows that spill followed at once
	chainSlack    = 64   // chains that a scan may skip, because the cache had them, and leaves
	chainGrowth   = 4    // of a scan's window at each of its misses
)

// chainScan is a scan of rows that spill: a series of misses on the first pages of their overflow chains, in the order of
// the rows. SQLite lays the chains of rows that were written in another order, or changed, anywhere in the file, but the
// leaves tell where each begins, and mostly were fetched before.
type chainScan struct {
	used   uint64 // clock of the last miss, 0 for a free slot
	at     entry  // the last chain fetched
	dir    int    // 1 or -1; 0 after the first miss, when it is not known yet
	window int    // pages that the last fetch was meant to bring
}

// spilled is the B-tree pages that passed through last whose cells spill, and the scans of these followed last.
type spilled struct {
	usable int                      // usable size of a page
	pages  map[uint32][]btree.Chain // of leaves and of interior pages of indexes, in key order
	heads  map[uint32]entry         // of pages, by the index of a chain's first page
	order  []uint32                 // of pages, the last learned at the end
	slots  [maxChainScans]chainScan
	clock  uint64
}

// learn takes the newest version of a page.
func (o *spilled) learn(index uint32, page []byte) {
	if index == 0 {
		o.usable = btree.UsableSize(page)
	}
	if o.usable == 0 {
		o.usable = protocol.PageSize // as in nearly all databases: the first page has not passed through
	}
	chains := btree.Chains(page, index+1, o.usable)
	if len(chains) == 0 {
		o.forget(index)
		return
	}
	if o.pages == nil {
		o.pages, o.heads = make(map[uint32][]btree.Chain), make(map[uint32]entry)
	}
	if _, known := o.pages[index]; !known {
		o.order = append(o.order, index)
	}
	o.dropHeads(index)
	o.pages[index] = chains
	for i, c := range chains {
		o.heads[c.First-1] = entry{index, i}
	}
	for len(o.heads) > maxHeads && len(o.order) > 1 {
		o.dropHeads(o.order[0])
		delete(o.pages, o.order[0])
		o.order = o.order[1:]
	}
}

// forget drops a page that has no chains any more.
func (o *spilled) forget(index uint32) {
	if _, known := o.pages[index]; known {
		o.dropHeads(index)
		delete(o.pages, index)
		o.order = slices.DeleteFunc(o.order, func(i uint32) bool { return i == index })
	}
}

func (o *spilled) dropHeads(index uint32) {
	for i, c := range o.pages[index] {
		if o.heads[c.First-1] == (entry{index, i}) {
			delete(o.heads, c.First-1)
		}
	}
}

// ahead returns what to fetch with a page that was missed, if a chain begins with it and the next one lies elsewhere: the
// first pages of the chains behind it in key order, how many more pages to ask for that these chains and its own go on with,
// and whether its own is whole then.
func (o *spilled) ahead(t *tree, index uint32, limit, first int) (run []uint32, more int, whole, ok bool) {
	at, ok := o.heads[index]
	if !ok || o.inOrder(t, at) {
		return nil, 0, false, false
	}
	o.clock++
	s := o.follow(t, at, limit)
	s.used, s.at = o.clock, at
	most := max(s.window, min(first, limit)) - 1
	own := int(o.pages[at.page][at.i].Pages) - 1
	if more, whole = min(own, most), own <= most; s.dir == 0 {
		return nil, more, whole, true
	}
	room := s.window - 1 - more
	o.behind(t, at, s.dir, limit, func(next entry, c btree.Chain) bool {
		if room -= int(c.Pages); room < 0 {
			return false
		}
		run = append(run, c.First-1)
		more += int(c.Pages) - 1
		s.at = next
		return true
	})
	return run, more, whole, true
}

// inOrder says whether the chain behind one lies behind it in the file too: then a stream of pages follows both.
func (o *spilled) inOrder(t *tree, at entry) (near bool) {
	own := o.pages[at.page][at.i]
	o.behind(t, at, 1, chainSlack, func(_ entry, c btree.Chain) bool {
		near = c.First-own.First-own.Pages <= minReach
		return false
	})
	return near
}

// follow returns the scan that a miss at a chain continues, with its window grown up to limit, or a new one with a window
// of one page.
func (o *spilled) follow(t *tree, at entry, limit int) *chainScan {
	oldest := &o.slots[0]
	for i := range o.slots {
		s := &o.slots[i]
		for _, dir := range [2]int{1, -1} {
			if s.used != 0 && s.dir != -dir && o.near(t, s.at, dir, at) {
				s.dir, s.window = dir, min(chainGrowth*s.window, limit)
				return s
			}
		}
		if s.used < oldest.used {
			oldest = s
		}
	}
	*oldest = chainScan{window: 1}
	return oldest
}

// near says whether a chain is a little behind another one.
func (o *spilled) near(t *tree, from entry, dir int, at entry) (found bool) {
	n := 0
	o.behind(t, from, dir, chainSlack, func(e entry, _ btree.Chain) bool {
		n++
		found = e == at
		return !found && n < chainSlack
	})
	return found
}

// behind calls fn with the chains behind one in key order, nearest first, until it returns false or until what is
// remembered ends, on so many leaves at most: corrupt trees may form cycles. Leaves without chains are passed over, and so are
// those that are not remembered.
func (o *spilled) behind(t *tree, from entry, dir, leaves int, fn func(entry, btree.Chain) bool) {
	n, child, ok := o.start(t, from, dir, fn)
	for ; ok && leaves > 0; leaves-- {
		leaf, first := n.children[child], 0
		if dir < 0 {
			first = len(o.pages[leaf]) - 1
		}
		if !o.cells(leaf, first, dir, fn) || !o.between(t, n, child, dir, fn) {
			return
		}
		n, child, ok = t.nextChild(n, child, dir)
	}
}

// start calls fn with the chains behind one as far as the next leaf, and returns where that is.
func (o *spilled) start(t *tree, from entry, dir int, fn func(entry, btree.Chain) bool) (n *node, child int, ok bool) {
	if t.interior(from.page) {
		chains := o.pages[from.page]
		if from.i >= len(chains) {
			return nil, 0, false
		}
		n, child = t.node(from.page), chains[from.i].Cell
		if dir > 0 {
			child++
		}
		if child >= len(n.children) {
			return nil, 0, false
		}
		if below := n.children[child]; t.interior(below) {
			n, child = t.outermost(below, dir)
		}
		return n, child, true
	}
	if !o.cells(from.page, from.i+dir, dir, fn) {
		return nil, 0, false
	}
	n, child, ok = t.place(from.page)
	if !ok || !o.between(t, n, child, dir, fn) {
		return nil, 0, false
	}
	return t.nextChild(n, child, dir)
}

// cells calls fn with the chains of a page, from the i-th on.
func (o *spilled) cells(index uint32, i, dir int, fn func(entry, btree.Chain) bool) bool {
	for chains := o.pages[index]; i >= 0 && i < len(chains); i += dir {
		if !fn(entry{index, i}, chains[i]) {
			return false
		}
	}
	return true
}

// between calls fn with the chain of the cell between a leaf and the next one, if it has one. That cell is in the lowest
// interior page that both are below.
func (o *spilled) between(t *tree, n *node, child, dir int, fn func(entry, btree.Chain) bool) bool {
	for range maxLevels {
		if next := child + dir; next >= 0 && next < len(n.children) {
			chains := o.pages[n.index]
			i, ok := slices.BinarySearchFunc(chains, min(child, next), func(c btree.Chain, cell int) int { return c.Cell - cell })
			return !ok || fn(entry{n.index, i}, chains[i])
		}
		var ok bool
		if n, child, ok = t.place(n.index); !ok {
			break
		}
	}
	return true
}

// planChains plans the fetch for a miss on the first page of an overflow chain, and says if it is one. It returns the stream
// that misses on the rest of the chain will continue, nil if there will be none. f.mu is held.
func (f *File) planChains(req *protocol.Fetch) (s *stream, ok bool) {
	if f.cfg.DisableChains {
		return nil, false
	}
	index, most := req.Pages[0], int(f.cfg.ExpandBudget/protocol.PageSize)
	run, more, whole, ok := f.spilled.ahead(&f.tree, index, f.cfg.MaxReadahead, most)
	if !ok {
		return nil, false
	}
	f.addRun(req, run)
	if more > 0 {
		req.Expand = f.expansion(uint64(more) * protocol.PageSize)
	}
	if !whole {
		s = f.streams.begin(&f.tree, req.File, index)
	}
	return s, true
}
