// Package btree reads the structure of SQLite database pages: which pages an interior page points to, which overflow
// chains a page's cells begin, which trees the schema names. The server uses it to send pages before they are asked
// for, the client to read ahead.
//
// Pages come from storage and may be anything. Every count and offset is checked, a page that makes no sense yields
// nothing, and what is found is a guess that only ever costs bytes: SQLite itself judges the pages it reads (I9).
//
// Page numbers are SQLite's, from 1; page n is chunk n-1. The layouts are those of the SQLite file format,
// https://www.sqlite.org/fileformat2.html, sections 1.3 (database header), 1.6 (B-tree pages and cell payload), 1.7
// (overflow pages), 2.1 (record format) and 2.6 (schema table).
package btree

import "encoding/binary"

// Kind is the type of a B-tree page, the first byte of its header.
type Kind byte

// Kinds of B-tree pages.
const (
	InteriorIndex Kind = 0x02
	InteriorTable Kind = 0x05
	LeafIndex     Kind = 0x0a
	LeafTable     Kind = 0x0d
)

// databaseHeader is the length of what precedes the B-tree header on page 1.
const databaseHeader = 100

// node is a B-tree page whose header has been checked.
type node struct {
	page  []byte
	kind  Kind
	right uint32 // right-most child of an interior page
	array int    // offset of the cell pointer array
	cells int    // number of cells
	body  int    // offset of the cell content area
}

// parse checks the header of a page:
//
//	offset  bytes
//	0       1     kind
//	1       2     first freeblock
//	3       2     number of cells
//	5       2     start of the cell content area, 0 means 65536
//	7       1     fragmented free bytes
//	8       4     right-most child, interior pages only
//
// The cell pointer array follows, 2 bytes a cell.
func parse(page []byte, pgno uint32) (n node, ok bool) {
	at := 0
	if pgno == 1 {
		at = databaseHeader
	}
	if pgno == 0 || len(page) < at+12 || len(page) > 65536 {
		return node{}, false
	}
	h := page[at:]
	n = node{page: page, kind: Kind(h[0]), array: at + 8}
	switch n.kind {
	case InteriorIndex, InteriorTable:
		n.right = binary.BigEndian.Uint32(h[8:])
		n.array += 4
	case LeafIndex, LeafTable:
	default:
		return node{}, false
	}
	n.cells = int(binary.BigEndian.Uint16(h[3:]))
	n.body = int(binary.BigEndian.Uint16(h[5:]))
	if n.body == 0 {
		n.body = 65536
	}
	if n.array+2*n.cells > n.body || n.body > len(page) {
		return node{}, false
	}
	return n, true
}

// interior says whether the page has children.
func (n node) interior() bool { return n.kind == InteriorIndex || n.kind == InteriorTable }

// cell returns the bytes from the start of cell i to the end of the page, at least 4 of them.
func (n node) cell(i int) (b []byte, ok bool) {
	at := int(binary.BigEndian.Uint16(n.page[n.array+2*i:]))
	if at < n.body || at+4 > len(n.page) {
		return nil, false
	}
	return n.page[at:], true
}

// KindOf returns the kind of a page, 0 if it is no plausible B-tree page.
func KindOf(page []byte, pgno uint32) Kind {
	n, _ := parse(page, pgno)
	return n.kind
}

// Children returns the child pages of an interior page in key order, the right-most one last. ok is false if the page is
// not a plausible interior page. Children are not 0, but may be out of the file's range.
func Children(page []byte, pgno uint32) (children []uint32, ok bool) {
	n, ok := parse(page, pgno)
	if !ok || !n.interior() || n.right == 0 {
		return nil, false
	}
	children = make([]uint32, 0, n.cells+1)
	for i := range n.cells {
		cell, ok := n.cell(i)
		if !ok {
			return nil, false
		}
		child := binary.BigEndian.Uint32(cell)
		if child == 0 {
			return nil, false
		}
		children = append(children, child)
	}
	return append(children, n.right), true
}

// UsableSize returns the page size less the reserved bytes at each page's end, from a database's page 1. It is 0 if page1
// does not begin with a database header.
func UsableSize(page1 []byte) int {
	if len(page1) < databaseHeader || string(page1[:16]) != "SQLite format 3\x00" {
		return 0
	}
	size := int(binary.BigEndian.Uint16(page1[16:]))
	if size == 1 {
		size = 65536
	}
	usable := size - int(page1[20])
	if size < 512 || size&(size-1) != 0 || usable < minUsable {
		return 0
	}
	return usable
}

// minUsable is the smallest usable size that SQLite accepts.
const minUsable = 480

// PageCount returns the number of pages that the header of page 1 states, 0 if it states none that can be relied on.
func PageCount(page1 []byte) uint32 {
	if UsableSize(page1) == 0 || string(page1[24:28]) != string(page1[92:96]) {
		return 0
	}
	return binary.BigEndian.Uint32(page1[28:])
}
