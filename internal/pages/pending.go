package pages

import "github.com/pagewire/pagewire/internal/protocol"

// pending knows what storage does not hold yet: the pages of the batches that are handed over and not resolved, and how
// far the file was cut by them. While a fetch is under way it also remembers what batches resolved meanwhile had touched,
// since the answer may have been read before they were applied.
type pending struct {
	batches []Batch           // unresolved, oldest first
	bytes   uint64            // of their pages
	pages   map[uint32]copyOf // the newest version of every page in them that was not cut off since
	floor   uint64            // the smallest Size among them; MaxUint64 if there are none
	alone   bool              // batches are not merged
	fetch   *touched          // what resolved since the fetch under way was sent, nil without one
}

// copyOf is a page and the token of the batch that wrote it.
type copyOf struct {
	token uint64
	page  []byte
}

// touched is what a series of batches wrote or cut off.
type touched struct {
	pages map[uint32]struct{}
	floor uint64
}

const noFloor = ^uint64(0)

func (p *pending) reset() {
	p.batches, p.bytes, p.pages, p.floor = nil, 0, nil, noFloor
}

// add takes a batch that was handed over; before is the size of the file until then.
func (p *pending) add(b Batch, before uint64) {
	b.alone = p.alone
	p.batches = append(p.batches, b)
	p.bytes += uint64(len(b.Pages)) * protocol.PageSize
	p.floor = min(p.floor, b.Size)
	if p.pages == nil {
		p.pages = make(map[uint32]copyOf, len(b.Indexes))
	}
	if b.Size < before {
		for index := range p.pages {
			if offset(index) >= b.Size {
				delete(p.pages, index)
			}
		}
	}
	for i, index := range b.Indexes {
		if offset(index) < b.Size {
			p.pages[index] = copyOf{b.Token, b.Pages[i]}
		}
	}
}

// resolve forgets the oldest n batches, which are durable now.
func (p *pending) resolve(n int) {
	for _, b := range p.batches[:n] {
		p.bytes -= uint64(len(b.Pages)) * protocol.PageSize
		if p.fetch != nil {
			p.fetch.add(b)
		}
		for _, index := range b.Indexes {
			if c, ok := p.pages[index]; ok && c.token == b.Token {
				delete(p.pages, index)
			}
		}
	}
	clear(p.batches[:n])
	p.batches = p.batches[n:]
	p.floor = noFloor
	for _, b := range p.batches {
		p.floor = min(p.floor, b.Size)
	}
	if len(p.batches) == 0 {
		p.reset()
	}
}

// read returns what unresolved batches made of a page: its bytes, nil if it was cut off and not written since (it reads
// as zeros). known is false if the page is as stored.
func (p *pending) read(index uint32) (page []byte, known bool) {
	if c, ok := p.pages[index]; ok {
		return c.page, true
	}
	return nil, offset(index) >= p.floor
}

// stale says whether what the fetch under way answered for a page may be older than a batch.
func (p *pending) stale(index uint32) bool {
	if _, known := p.read(index); known {
		return true
	}
	if p.fetch == nil {
		return false
	}
	_, wrote := p.fetch.pages[index]
	return wrote || offset(index) >= p.fetch.floor
}

func (p *pending) beginFetch() { p.fetch = &touched{floor: noFloor} }
func (p *pending) endFetch()   { p.fetch = nil }

func (t *touched) add(b Batch) {
	if t.pages == nil {
		t.pages = make(map[uint32]struct{}, len(b.Indexes))
	}
	for _, index := range b.Indexes {
		t.pages[index] = struct{}{}
	}
	t.floor = min(t.floor, b.Size)
}
