package pages

import (
	"slices"

	"github.com/pagewire/pagewire/internal/protocol"
)

// merged is one commit made of the oldest n batches.
type merged struct {
	n         int
	size      uint64   // of the main file afterwards
	indexes   []uint32 // ascending
	pages     [][]byte // pairwise
	dropFiles []uint8
}

// merge joins as many of the oldest batches as one commit can stand for; at least the first. stored is the size of the
// file that the commit will meet and limit the number of page bytes that a commit may carry (0 means any). The result
// exceeds the limit only if the first batch does by itself.
//
// A commit removes the stored pages past its final size only. Where a batch cuts the file and a later one makes it grow
// again, stored pages in between would come back, unless the later one writes every one of them. If it does not, the
// merge ends before it.
func merge(batches []Batch, stored, limit uint64) merged {
	m := merged{size: stored}
	pages := make(map[uint32][]byte, len(batches[0].Indexes))
	for i, b := range batches {
		if i > 0 && (b.alone || revives(b, m.size, stored) || limit > 0 && overflows(pages, b, limit/protocol.PageSize)) {
			break
		}
		if b.Size < m.size {
			for index := range pages {
				if offset(index) >= b.Size {
					delete(pages, index)
				}
			}
		}
		for j, index := range b.Indexes {
			if offset(index) < b.Size {
				pages[index] = b.Pages[j]
			}
		}
		for _, tag := range b.DropFiles {
			if !slices.Contains(m.dropFiles, tag) {
				m.dropFiles = append(m.dropFiles, tag)
			}
		}
		m.size = b.Size
		m.n++
	}
	m.indexes = make([]uint32, 0, len(pages))
	for index := range pages {
		m.indexes = append(m.indexes, index)
	}
	slices.Sort(m.indexes)
	m.pages = make([][]byte, len(m.indexes))
	for i, index := range m.indexes {
		m.pages[i] = pages[index]
	}
	return m
}

// revives says whether b, which follows a size of before, would bring stored pages back that an earlier batch of the
// merge cut off: some page from before up to b.Size that is stored and that b does not write.
func revives(b Batch, before, stored uint64) bool {
	from, to := protocol.ChunkCount(before), min(protocol.ChunkCount(b.Size), protocol.ChunkCount(stored))
	if from >= to {
		return false
	}
	if to-from > uint64(len(b.Indexes)) {
		return true
	}
	wrote := make(map[uint32]struct{}, to-from)
	for _, index := range b.Indexes {
		if i := uint64(index); i >= from && i < to {
			wrote[index] = struct{}{}
		}
	}
	return uint64(len(wrote)) < to-from
}

// overflows says whether a commit that has b beside pages would have more than limit pages.
func overflows(pages map[uint32][]byte, b Batch, limit uint64) bool {
	if uint64(len(pages)+len(b.Indexes)) <= limit {
		return false
	}
	union := make(map[uint32]struct{}, len(pages)+len(b.Indexes))
	for index := range pages {
		if offset(index) < b.Size {
			union[index] = struct{}{}
		}
	}
	for _, index := range b.Indexes {
		if offset(index) < b.Size {
			union[index] = struct{}{}
		}
	}
	return uint64(len(union)) > limit
}
