package pages

import (
	"math"
	"slices"

	"github.com/pagewire/pagewire/internal/btree"
)

const (
	maxIndexLeaves = 64 // index leaves whose rowids are remembered
	maxLookups     = 4  // scans of an index followed at once
	lookupSlack    = 64 // entries that a lookup may skip, because the cache had their rows
	lookupGrowth   = 4  // of a lookup's window at each of its misses
)

// lookup is a scan of an index whose rows are looked up in their table: a series of misses on leaves of the table, in the
// order of the rowids that the index's entries end with. Those that come next are known, and so are their leaves, from
// the keys of the table's interior pages.
type lookup struct {
	used   uint64 // clock of the last miss, 0 for a free slot
	top    uint32 // the table's uppermost remembered page
	at     entry  // behind the last entry whose row was fetched
	dir    int    // 1 or -1
	window int    // pages that the last fetch was meant to bring
}

// entry is a place in a B-tree page: of the rowid of an index entry, or of an overflow chain.
type entry struct {
	page uint32
	i    int // among those of the page
}

// lookups are the scans of indexes followed last, and the index leaves that passed through last.
type lookups struct {
	ids   map[uint32][]int64 // rowids of index leaves
	order []uint32           // of ids, the last learned at the end
	slots [maxLookups]lookup
	clock uint64
}

// learn takes the newest version of a page.
func (l *lookups) learn(index uint32, page []byte) {
	if btree.KindOf(page, index+1) != btree.LeafIndex {
		l.forget(index)
		return
	}
	ids := btree.RowIDs(page, index+1)
	if ids == nil {
		l.forget(index)
		return
	}
	if l.ids == nil {
		l.ids = make(map[uint32][]int64)
	}
	if _, known := l.ids[index]; !known {
		if len(l.order) == maxIndexLeaves {
			l.forget(l.order[0])
		}
		l.order = append(l.order, index)
	}
	l.ids[index] = ids
}

func (l *lookups) forget(index uint32) {
	if _, known := l.ids[index]; known {
		delete(l.ids, index)
		l.order = slices.DeleteFunc(l.order, func(i uint32) bool { return i == index })
	}
}

// ahead returns up to limit pages that will be missed after a leaf of a table, if its rows are being looked up in the order
// of an index: other leaves of the table, interior pages that are needed to find them, and the next leaf of the index.
func (l *lookups) ahead(t *tree, index uint32, limit int) []uint32 {
	if len(l.ids) == 0 {
		return nil
	}
	home, ok := t.locate(index)
	if !ok {
		return nil
	}
	l.clock++
	slot := l.follow(t, &home)
	if slot == nil {
		return nil
	}
	slot.used = l.clock
	slot.window = min(lookupGrowth*slot.window, limit)
	return l.collect(t, slot, &home)
}

// follow returns the lookup that a miss on a leaf continues, or a new one with a window of one page, at the entry whose
// row the leaf holds; nil if no remembered entry's is there.
func (l *lookups) follow(t *tree, home *home) *lookup {
	oldest := &l.slots[0]
	for i := range l.slots {
		s := &l.slots[i]
		if s.used != 0 && s.top == home.top {
			for _, dir := range [2]int{s.dir, -s.dir} {
				if at, ok := l.search(t, s.at, dir, s.window+lookupSlack, home); ok {
					s.at, s.dir = at, dir
					return s
				}
			}
		}
		if s.used < oldest.used {
			oldest = s
		}
	}
	for _, leaf := range slices.Backward(l.order) {
		if i := slices.IndexFunc(l.ids[leaf], home.holds); i >= 0 {
			*oldest = lookup{top: home.top, at: entry{leaf, i}, dir: 1, window: 1}
			return oldest
		}
	}
	return nil
}

// search looks for an entry whose row a leaf holds, among n from an entry on.
func (l *lookups) search(t *tree, at entry, dir, n int, home *home) (entry, bool) {
	for range n {
		id, next, ok := l.step(t, &at, dir)
		if !ok {
			return entry{}, false
		}
		if home.holds(id) {
			return at, true
		}
		at = next
	}
	return entry{}, false
}

// step returns the rowid of an entry and the entry behind it, of which there are those of a leaf, the one in an interior
// page between it and the next, and so on. at is moved to the next leaf when its own is over; it is not ok if that leaf is
// not remembered.
func (l *lookups) step(t *tree, at *entry, dir int) (id int64, next entry, ok bool) {
	ids, known := l.ids[at.page]
	if known && (at.i < -1 || at.i > len(ids)) {
		run, _, _ := t.walk(at.page, dir, 1)
		if len(run) == 0 {
			return 0, entry{}, false
		}
		if ids, known = l.ids[run[0]]; known {
			*at = entry{page: run[0]}
			if dir < 0 {
				at.i = len(ids) - 1
			}
		}
	}
	if !known {
		return 0, entry{}, false
	}
	next = entry{at.page, at.i + dir}
	if at.i < 0 || at.i >= len(ids) {
		return t.between(at.page, dir), next, true
	}
	return ids[at.i], next, true
}

// collect returns the pages that s's window holds, and moves s behind them.
func (l *lookups) collect(t *tree, s *lookup, home *home) (run []uint32) {
	taken := map[uint32]bool{home.leaf: true}
	take := func(index uint32) {
		if !taken[index] {
			taken[index] = true
			run = append(run, index)
		}
	}
	for n := 0; n < lookupSlack*s.window && len(run) < s.window-1; n++ { // corrupt trees may form cycles
		id, next, ok := l.step(t, &s.at, s.dir)
		if !ok {
			if beside, gap, ended := t.walk(s.at.page, s.dir, 1); len(beside) > 0 {
				take(beside[0])
			} else if ended {
				take(gap)
			}
			break
		}
		if page, ok := t.find(home, id); ok && id != btree.NoRowID {
			take(page)
		}
		s.at = next
	}
	return run
}

// home is where a leaf of a table stands.
type home struct {
	leaf   uint32
	top    uint32 // its uppermost remembered ancestor
	levels int    // from top down to it
	lo, hi int64  // the rowids that it may hold are above lo and up to hi
}

func (h *home) holds(id int64) bool { return id > h.lo && id <= h.hi }

// locate finds out where a page stands; it is not ok if it is not known to be a leaf of a table.
func (t *tree) locate(index uint32) (h home, ok bool) {
	if leaf, _ := t.leaf(index); !leaf {
		return h, false
	}
	h = home{leaf: index, top: index, lo: math.MinInt64, hi: math.MaxInt64}
	for h.levels < maxLevels {
		n, at, ok := t.place(h.top)
		if !ok {
			return h, h.levels > 0
		}
		if !n.table {
			return h, false
		}
		if h.lo == math.MinInt64 && at > 0 {
			h.lo = n.keys[at-1]
		}
		if h.hi == math.MaxInt64 && at < len(n.keys) {
			h.hi = n.keys[at]
		}
		h.top = n.index
		h.levels++
	}
	return h, false
}

// find returns the leaf that holds a row of the table in which a leaf stands, or the interior page that must be known
// to tell.
func (t *tree) find(h *home, id int64) (index uint32, ok bool) {
	index = h.top
	for range h.levels {
		if !t.interior(index) {
			break
		}
		n := t.node(index)
		at, _ := slices.BinarySearch(n.keys, id)
		if len(n.keys) == 0 || at >= len(n.children) {
			return 0, false
		}
		index = n.children[at]
	}
	return index, true
}
