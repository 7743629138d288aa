package pages

import (
	"container/list"

	"github.com/pagewire/pagewire/internal/btree"
)

// maxLevels bounds walks up a B-tree: SQLite's are at most 20 levels deep, and corrupt pages may form cycles.
const maxLevels = 20

// tree remembers what the interior B-tree pages that passed through point to: enough to tell which page follows another
// in key order. It is bounded by the number of child pointers; beyond that the interior pages used least recently are
// forgotten. A pointer costs about 30 bytes. What it says may be out of date and is a guess only. Pages go by their
// indexes, which are SQLite's page numbers less one.
type tree struct {
	limit  int
	size   int                      // child pointers in nodes
	nodes  map[uint32]*list.Element // of recent, by the interior page's index
	recent *list.List               // *node, the last used first
	parent map[uint32]uint32        // interior page of a child
}

// node is an interior page.
type node struct {
	index    uint32
	children []uint32 // in key order
	table    bool
	keys     []int64 // what stands between the children: the largest rowids below them, or the rowids of an index's entries
	leaves   bool    // a child was seen to be a leaf, so all are
}

func (t *tree) reset(limit int) {
	*t = tree{limit: limit, nodes: make(map[uint32]*list.Element), recent: list.New(), parent: make(map[uint32]uint32)}
}

// learn takes the newest version of a page.
func (t *tree) learn(index uint32, page []byte) {
	switch btree.KindOf(page, index+1) {
	case btree.InteriorIndex, btree.InteriorTable:
		t.learnInterior(index, page)
	case btree.LeafIndex, btree.LeafTable:
		t.forget(index)
		if p, ok := t.parent[index]; ok {
			t.node(p).leaves = true
		}
	default:
		t.forget(index)
	}
}

func (t *tree) learnInterior(index uint32, page []byte) {
	t.forget(index)
	numbers, ok := btree.Children(page, index+1)
	if !ok || len(numbers) > t.limit {
		return
	}
	n := &node{index: index, children: make([]uint32, 0, len(numbers))}
	for _, number := range numbers {
		if number != 0 {
			n.children = append(n.children, number-1)
			t.parent[number-1] = index
		}
	}
	if len(n.children) == 0 {
		return
	}
	if n.keys, n.table = btree.TableKeys(page, index+1); !n.table {
		n.keys = btree.RowIDs(page, index+1)
	}
	if len(n.keys)+1 != len(n.children) {
		n.keys, n.table = nil, false
	}
	t.nodes[index] = t.recent.PushFront(n)
	for t.size += len(n.children); t.size > t.limit; {
		t.forget(t.recent.Back().Value.(*node).index)
	}
}

// forget drops an interior page.
func (t *tree) forget(index uint32) {
	e, ok := t.nodes[index]
	if !ok {
		return
	}
	delete(t.nodes, index)
	t.recent.Remove(e)
	children := e.Value.(*node).children
	t.size -= len(children)
	for _, c := range children {
		if p, ok := t.parent[c]; ok && p == index {
			delete(t.parent, c)
		}
	}
}

// node returns a remembered interior page. A parent is always remembered.
func (t *tree) node(index uint32) *node {
	e := t.nodes[index]
	t.recent.MoveToFront(e)
	return e.Value.(*node)
}

// interior says whether what a page points to is remembered.
func (t *tree) interior(index uint32) bool {
	_, ok := t.nodes[index]
	return ok
}

// leaf says whether a page is a child of an interior page whose children are leaves; known, whether it has a remembered
// parent at all.
func (t *tree) leaf(index uint32) (leaf, known bool) {
	p, ok := t.parent[index]
	return ok && t.node(p).leaves, ok
}

// place returns a page's interior page and its position there.
func (t *tree) place(index uint32) (n *node, at int, ok bool) {
	p, ok := t.parent[index]
	if !ok {
		return nil, 0, false
	}
	n = t.node(p)
	for at, c := range n.children {
		if c == index {
			return n, at, true
		}
	}
	return nil, 0, false
}

// walk returns up to n pages of the same level that follow a page in key order (dir 1) or precede it (dir -1), nearest
// first. Where it ends early at an interior page that is not remembered, gap is that page and ended is true.
func (t *tree) walk(index uint32, dir, n int) (run []uint32, gap uint32, ended bool) {
	parent, at, ok := t.place(index)
	if !ok {
		return nil, 0, false
	}
	for len(run) < n {
		at += dir
		if at >= 0 && at < len(parent.children) {
			run = append(run, parent.children[at])
			continue
		}
		next, ok := t.beside(parent.index, dir, maxLevels)
		if !ok {
			return run, 0, false
		}
		if !t.interior(next) {
			return run, next, true
		}
		parent = t.node(next)
		at = -1
		if dir < 0 {
			at = len(parent.children)
		}
	}
	return run, 0, false
}

// outermost returns where the first (dir 1) or the last (dir -1) page below an interior one stands, as far down as is
// remembered.
func (t *tree) outermost(index uint32, dir int) (n *node, child int) {
	for range maxLevels {
		n, child = t.node(index), 0
		if dir < 0 {
			child = len(n.children) - 1
		}
		if index = n.children[child]; !t.interior(index) {
			break
		}
	}
	return n, child
}

// nextChild returns where the page beside a child stands, which may be below the next interior page; false if none is
// remembered.
func (t *tree) nextChild(n *node, child, dir int) (*node, int, bool) {
	if child += dir; child >= 0 && child < len(n.children) {
		return n, child, true
	}
	next, ok := t.beside(n.index, dir, maxLevels)
	if !ok || !t.interior(next) {
		return nil, 0, false
	}
	n, child = t.outermost(next, dir)
	return n, child, true
}

// between returns the rowid of the index entry that stands between a page and the one next to it.
func (t *tree) between(index uint32, dir int) int64 {
	for range maxLevels {
		n, at, ok := t.place(index)
		if !ok || n.table {
			break
		}
		if dir < 0 {
			at--
		}
		if at >= 0 && at < len(n.keys) {
			return n.keys[at]
		}
		if len(n.keys) == 0 {
			break
		}
		index = n.index
	}
	return btree.NoRowID
}

// beside returns the page next to one on its level, if the way there is remembered.
func (t *tree) beside(index uint32, dir, levels int) (uint32, bool) {
	n, at, ok := t.place(index)
	if !ok || levels == 0 {
		return 0, false
	}
	if at += dir; at >= 0 && at < len(n.children) {
		return n.children[at], true
	}
	up, ok := t.beside(n.index, dir, levels-1)
	if !ok || !t.interior(up) {
		return 0, false
	}
	n = t.node(up)
	if dir > 0 {
		return n.children[0], true
	}
	return n.children[len(n.children)-1], true
}
