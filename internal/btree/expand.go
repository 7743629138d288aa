package btree

// maxGuess is how many pages are read at once at most of a chain that may go on anywhere.
const maxGuess = 8

// spill is what is left of a chain that is being read.
type spill struct {
	first uint32 // page that it goes on with
	pages uint32 // pages that are left, 0 if unknown
	guess uint32 // consecutive pages to read next
}

// Expand returns the pages that the pages in from lead to: the children of interior pages, leaves included, for depth
// levels down, then the overflow chains of all pages, those in from first. A page in from that is no B-tree page is taken
// for a part of a chain. Pages in from are not returned. The error is Read's.
func (w *Walk) Expand(from []Page, depth int) ([]Page, error) {
	c := w.collector()
	for _, p := range from {
		c.seen[p.No] = p.Data
		c.taken[p.No] = struct{}{}
	}
	all, level := from, from
	for d := 0; d < min(depth, maxDepth) && len(level) > 0 && c.room() > 0; d++ {
		next, err := c.children(level)
		if err != nil {
			return nil, err
		}
		level = next
		all = append(all[:len(all):len(all)], next...)
	}
	if err := c.chains(all); err != nil {
		return nil, err
	}
	return c.pages, nil
}

// children takes the children of a level of pages and returns them.
func (c *collector) children(level []Page) (next []Page, err error) {
	var wanted []uint32
	for _, p := range level {
		if len(wanted) >= c.room() {
			break
		}
		children, _ := Children(p.Data, p.No)
		wanted = append(wanted, c.fresh(children)...)
	}
	pages, err := c.load(wanted[:min(len(wanted), c.room())])
	if err != nil {
		return nil, err
	}
	for _, p := range pages {
		if !c.take(p) {
			break
		}
		next = append(next, p)
	}
	return next, nil
}

// chains takes the overflow chains that begin on the pages. SQLite mostly lays a chain out on consecutive pages, so the
// rest of one whose length is known is read as such in one batch; where a chain jumps, or has no known end, the next
// rounds go on from there with one page, two, four and so on.
func (c *collector) chains(pages []Page) error {
	if c.Usable < minUsable {
		return nil
	}
	var open []spill
	for _, p := range pages {
		if KindOf(p.Data, p.No) != 0 {
			for _, chain := range Chains(p.Data, p.No, c.Usable) {
				open = append(open, spill{first: chain.First, pages: chain.Pages, guess: chain.Pages})
			}
		} else if next := NextOverflow(p.Data); next != 0 && p.No != 1 {
			open = append(open, spill{first: next, guess: 1})
		}
	}
	for len(open) > 0 && c.room() > 0 {
		var batch []uint32
		for _, s := range open {
			for no := s.first; no-s.first < s.guess && no != 0 && no <= c.PageCount && len(batch) < c.room(); no++ {
				batch = append(batch, no)
			}
		}
		if _, err := c.load(batch); err != nil {
			return err
		}
		rest := open[:0]
		for _, s := range open {
			if s = c.follow(s); s.first != 0 {
				rest = append(rest, s)
			}
		}
		open = rest
	}
	return nil
}

// follow takes the pages of a chain that have been read and returns what is left of it. A chain ends where it should, at
// a page of no chain, at a page taken before and at the budget; first is 0 then.
func (c *collector) follow(s spill) spill {
	for before := s.first - 1; s.first != 0 && s.first <= c.PageCount; {
		if _, ok := c.taken[s.first]; ok {
			break
		}
		data, ok := c.seen[s.first]
		if !ok {
			if c.room() == 0 {
				break
			}
			if s.guess = min(2*s.guess, maxGuess); s.first != before+1 {
				s.guess = 1
			}
			return s
		}
		if data == nil || !c.take(Page{No: s.first, Data: data}) || s.pages == 1 {
			break
		}
		before = s.first
		s.first = NextOverflow(data)
		if s.pages > 0 {
			s.pages--
		}
	}
	return spill{}
}
