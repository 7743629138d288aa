package btree

import "encoding/binary"

// Chain is the part of a cell's payload that does not fit into its page: a list of overflow pages.
type Chain struct {
	Cell  int    // the cell's number in its page
	First uint32 // page that the chain begins with
	Pages uint32 // pages in the chain
}

// payload returns what cell i holds of its payload and where the rest is; local is nil if the cell has none or makes no
// sense. A payload of P bytes is kept whole up to X bytes, otherwise K or M bytes of it (section 1.6):
//
//	U is the usable size; X is U-35 on a table leaf, (U-12)*64/255-23 on an index page
//	M is (U-12)*32/255-23
//	K is M+((P-M)%(U-4)), kept if K <= X, else M
func (n node) payload(i, usable int) (local []byte, rest Chain) {
	cell, ok := n.cell(i)
	if !ok || n.kind == InteriorTable || usable < minUsable || usable > len(n.page) {
		return nil, Chain{}
	}
	if n.kind == InteriorIndex {
		cell = cell[4:]
	}
	p, k := varint(cell)
	if k == 0 {
		return nil, Chain{}
	}
	cell = cell[k:]
	keep := (usable-12)*64/255 - 23
	if n.kind == LeafTable {
		_, k := varint(cell) // rowid
		if k == 0 {
			return nil, Chain{}
		}
		cell = cell[k:]
		keep = usable - 35
	}
	if p <= uint64(keep) {
		if p > uint64(len(cell)) {
			return nil, Chain{}
		}
		return cell[:p], Chain{}
	}
	if p > maxPayload {
		return nil, Chain{}
	}
	least := (usable-12)*32/255 - 23
	held := least + (int(p)-least)%(usable-4)
	if held > keep {
		held = least
	}
	if held+4 > len(cell) {
		return nil, Chain{}
	}
	rest.First = binary.BigEndian.Uint32(cell[held:])
	rest.Pages = uint32((int(p) - held + usable - 5) / (usable - 4))
	rest.Cell = i
	return cell[:held], rest
}

// maxPayload is the longest payload that SQLite can be built to store.
const maxPayload = 1<<31 - 1

// Chains returns the chain of each cell whose payload spills, in cell order. usable is the database's usable size
// ([UsableSize]). Interior table pages and pages that make no sense have none.
func Chains(page []byte, pgno uint32, usable int) []Chain {
	n, ok := parse(page, pgno)
	if !ok {
		return nil
	}
	var all []Chain
	for i := range n.cells {
		if !n.small(i) {
			if _, rest := n.payload(i, usable); rest.First != 0 {
				all = append(all, rest)
			}
		}
	}
	return all
}

// small says whether cell i is seen at a glance to have a payload of less than 128 bytes, which never spills.
func (n node) small(i int) bool {
	cell, ok := n.cell(i)
	if ok && n.kind == InteriorIndex {
		cell = cell[4:]
	}
	return ok && len(cell) > 0 && cell[0] < 0x80
}

// NextOverflow returns the page after an overflow page in its chain, 0 at the end.
func NextOverflow(page []byte) uint32 {
	if len(page) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(page)
}

// SchemaRoots returns the root pages of the tables and indexes that a leaf page of the schema table lists, in row order.
// Rows without one (views, triggers) and rows that cannot be read from this page alone are left out.
func SchemaRoots(page []byte, pgno uint32) []uint32 {
	n, ok := parse(page, pgno)
	if !ok || n.kind != LeafTable {
		return nil
	}
	// Whether a row spills depends on the reserved bytes, which only page 1 states. Reserved bytes are 0 in nearly all
	// databases, and a wrong guess cuts off or misplaces the end of rows that spill, far behind the root page.
	usable := len(page)
	if pgno == 1 {
		usable = UsableSize(page)
	}
	var roots []uint32
	for i := range n.cells {
		record, _ := n.payload(i, usable)
		if root := schemaRoot(record); root != 0 {
			roots = append(roots, root)
		}
	}
	return roots
}

// schemaRoot returns the fourth column of a schema row (type, name, tbl_name, rootpage, sql), 0 if it is no page number.
// A record is a header of varints, its own length and a serial type a column, then the columns (section 2.1).
func schemaRoot(record []byte) uint32 {
	size, k := varint(record)
	if k == 0 || size > uint64(len(record)) {
		return 0
	}
	header, body := record[k:max(k, int(size))], record[size:]
	for column := 0; ; column++ {
		serial, k := varint(header)
		if k == 0 {
			return 0
		}
		header = header[k:]
		width := serialWidth(serial)
		if width > uint64(len(body)) {
			return 0
		}
		if column < 3 {
			body = body[width:]
			continue
		}
		switch {
		case serial == 9:
			return 1
		case serial == 0 || serial > 6:
			return 0
		}
		var v uint64
		for _, c := range body[:width] {
			v = v<<8 | uint64(c)
		}
		if v > 1<<32-1 || body[0] >= 0x80 {
			return 0
		}
		return uint32(v)
	}
}

// serialWidth returns the length in bytes of a column of a serial type.
func serialWidth(serial uint64) uint64 {
	switch {
	case serial >= 12:
		return (serial - 12) / 2
	case serial < 5:
		return serial
	case serial == 5:
		return 6
	case serial == 6 || serial == 7:
		return 8
	}
	return 0
}

// varint reads a big-endian variable length integer of 1 to 9 bytes; n is 0 if b ends within it.
func varint(b []byte) (v uint64, n int) {
	for i := 0; i < len(b) && i < 8; i++ {
		v = v<<7 | uint64(b[i]&0x7f)
		if b[i] < 0x80 {
			return v, i + 1
		}
	}
	if len(b) < 9 {
		return 0, 0
	}
	return v<<8 | uint64(b[8]), 9
}
