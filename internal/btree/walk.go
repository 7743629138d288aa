package btree

// maxDepth is the deepest tree that SQLite reads.
const maxDepth = 20

// Page is a page with its number.
type Page struct {
	No   uint32
	Data []byte
}

// Walk collects pages that are likely to be read next. It reads in batches, one or two a level of the trees, and ends on
// any input: no page is read twice, and at most about twice as many as the budget holds.
type Walk struct {
	// Read returns one page a number, nil where there is none. Numbers are distinct and in [1, PageCount].
	Read func(pgnos []uint32) ([][]byte, error)
	// PageCount is the number of pages in the file. References past it are ignored.
	PageCount uint32
	// Usable is the usable size of a page ([UsableSize]). Expand follows no overflow chains without it.
	Usable int
	// Budget bounds the bytes of the pages returned.
	Budget int
	// Have says that the caller has a page: it is followed, but neither returned nor counted. It may be nil.
	Have func(pgno uint32) bool
}

// collector is the state of one walk.
type collector struct {
	*Walk
	pages []Page
	left  int                 // bytes of budget
	reads int                 // pages that may still be read
	seen  map[uint32][]byte   // pages read, nil where there is none
	taken map[uint32]struct{} // pages returned, or had by the caller
	full  bool                // a page did not fit
}

// pageSize is the size to reckon with before a page was read.
const pageSize = 4096

func (w *Walk) collector() *collector {
	return &collector{
		Walk:  w,
		left:  w.Budget,
		reads: 2*(max(w.Budget, 0)/pageSize) + 16,
		seen:  map[uint32][]byte{},
		taken: map[uint32]struct{}{},
	}
}

// load reads the pages that were not read before and may be, and returns those of pgnos that exist, in order, each once.
func (c *collector) load(pgnos []uint32) ([]Page, error) {
	var missing []uint32
	for _, no := range pgnos {
		if _, ok := c.seen[no]; ok || no == 0 || no > c.PageCount || len(missing) >= c.reads {
			continue
		}
		c.seen[no] = nil
		missing = append(missing, no)
	}
	if len(missing) > 0 {
		c.reads -= len(missing)
		data, err := c.Read(missing)
		if err != nil {
			return nil, err
		}
		for i, no := range missing[:min(len(missing), len(data))] {
			c.seen[no] = data[i]
		}
	}
	var pages []Page
	once := make(map[uint32]struct{}, len(pgnos))
	for _, no := range pgnos {
		if _, ok := once[no]; !ok && c.seen[no] != nil {
			once[no] = struct{}{}
			pages = append(pages, Page{No: no, Data: c.seen[no]})
		}
	}
	return pages, nil
}

// take adds a page to the result unless it is there or had. It returns false once the budget is spent.
func (c *collector) take(p Page) bool {
	if _, ok := c.taken[p.No]; ok || c.full {
		return !c.full
	}
	if c.Have == nil || !c.Have(p.No) {
		if len(p.Data) > c.left {
			c.full = true
			return false
		}
		c.left -= len(p.Data)
		c.pages = append(c.pages, p)
	}
	c.taken[p.No] = struct{}{}
	return true
}

// room returns how many more pages fit.
func (c *collector) room() int {
	if c.full {
		return 0
	}
	return min(c.reads, c.left/pageSize)
}

// Interior returns the pages of the schema table, leaves included, then the interior pages of every tree that it names,
// level by level from the roots down. The error is Read's.
func (w *Walk) Interior() ([]Page, error) {
	c := w.collector()
	roots, err := c.schema()
	if err != nil || c.full {
		return c.pages, err
	}
	trees, err := c.interiors(roots)
	for depth := 1; err == nil && len(trees) > 0 && depth < maxDepth && !c.full; depth++ {
		trees, err = c.descend(trees)
	}
	return c.pages, err
}

// schema takes the whole schema table, whose root is page 1, and returns the roots that it names.
func (c *collector) schema() (roots []uint32, err error) {
	level := []uint32{1}
	for depth := 0; depth < maxDepth && len(level) > 0; depth++ {
		pages, err := c.load(level)
		if err != nil {
			return nil, err
		}
		level = nil
		for _, p := range pages {
			if !c.take(p) {
				return nil, nil
			}
			children, _ := Children(p.Data, p.No)
			level = append(level, c.fresh(children)...)
			roots = append(roots, SchemaRoots(p.Data, p.No)...)
		}
	}
	return roots, nil
}

// interiors loads pages, takes the interior ones among them and returns the children of each.
func (c *collector) interiors(pgnos []uint32) (trees [][]uint32, err error) {
	pages, err := c.load(c.fresh(pgnos))
	if err != nil {
		return nil, err
	}
	for _, p := range pages {
		children, ok := Children(p.Data, p.No)
		if !ok {
			continue
		}
		if !c.take(p) {
			break
		}
		trees = append(trees, c.fresh(children))
	}
	return trees, nil
}

// descend goes one level down. All leaves of a tree are on one level, so the first child of a page tells whether its
// siblings are worth reading.
func (c *collector) descend(trees [][]uint32) ([][]uint32, error) {
	var probes, rest []uint32
	for _, children := range trees {
		if len(children) > 0 {
			probes = append(probes, children[0])
		}
	}
	if _, err := c.load(probes); err != nil {
		return nil, err
	}
	for _, children := range trees {
		if len(children) == 0 || len(c.seen[children[0]]) == 0 {
			continue
		}
		if _, ok := Children(c.seen[children[0]], children[0]); ok {
			rest = append(rest, children...)
		}
	}
	return c.interiors(rest)
}

// fresh returns the pages that were not taken yet and exist, at most as many as may be read.
func (c *collector) fresh(pgnos []uint32) []uint32 {
	kept := make([]uint32, 0, min(len(pgnos), c.reads))
	for _, no := range pgnos {
		if len(kept) >= c.reads {
			break
		}
		if _, ok := c.taken[no]; !ok && no != 0 && no <= c.PageCount {
			kept = append(kept, no)
		}
	}
	return kept
}
