package btree

import (
	"encoding/binary"
	"math"
)

// NoRowID stands for the rowid of an index entry that has none or does not tell it in its page.
const NoRowID = math.MinInt64

// TableKeys returns the largest rowid below each child of an interior table page but the last, in order: one key less than
// there are children. ok is false if the page is not a plausible one.
func TableKeys(page []byte, pgno uint32) (keys []int64, ok bool) {
	n, ok := parse(page, pgno)
	if !ok || n.kind != InteriorTable {
		return nil, false
	}
	keys = make([]int64, 0, n.cells)
	for i := range n.cells {
		cell, ok := n.cell(i)
		if !ok {
			return nil, false
		}
		key, k := varint(cell[4:])
		if k == 0 {
			return nil, false
		}
		keys = append(keys, int64(key))
	}
	return keys, true
}

// RowIDs returns the rowids that the entries of an index page end with, in their order: NoRowID for those that spill or do
// not end with an integer, as in indexes of tables without rowids. It is nil if no entry tells one.
func RowIDs(page []byte, pgno uint32) []int64 {
	n, ok := parse(page, pgno)
	if !ok || n.kind != LeafIndex && n.kind != InteriorIndex {
		return nil
	}
	ids, some := make([]int64, n.cells), false
	for i := range ids {
		ids[i] = NoRowID
		record, rest := n.payload(i, len(page))
		if id, ok := lastInteger(record); ok && rest.First == 0 {
			ids[i], some = id, true
		}
	}
	if !some {
		return nil
	}
	return ids
}

// lastInteger returns the last column of a record if it is an integer (section 2.1).
func lastInteger(record []byte) (int64, bool) {
	size, k := varint(record)
	if k == 0 || size > uint64(len(record)) || uint64(k) >= size {
		return 0, false
	}
	var serial uint64
	for header := record[k:size]; len(header) > 0; header = header[k:] {
		if serial, k = varint(header); k == 0 {
			return 0, false
		}
	}
	switch {
	case serial == 8 || serial == 9:
		return int64(serial - 8), true
	case serial == 0 || serial > 6:
		return 0, false
	}
	width := int(serialWidth(serial))
	if width > len(record)-int(size) {
		return 0, false
	}
	var wide [8]byte
	bytes := record[len(record)-width:]
	if bytes[0] >= 0x80 {
		wide = [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	}
	copy(wide[8-width:], bytes)
	return int64(binary.BigEndian.Uint64(wide[:])), true
}
