package protocol

import (
	"encoding/binary"
	"slices"
)

// FetchAnswer is the message that answers a fetch, made in one buffer, so that what a store reads is copied once, to where
// it is sent from. What comes out is what [Encode] makes of the same [FetchResult], byte for byte (a test holds it
// against that). Pages asked for are absent until they are put.
type FetchAnswer struct {
	buf   []byte // room for what stands before the pages, then the pages
	room  int
	asked []uint32
	found []bool   // of asked
	added []uint32 // pages that nobody asked for
}

// NewFetchAnswer returns the answer to a fetch of the pages asked, to which up to more pages will be added. It is made in
// buf if that is large enough.
func NewFetchAnswer(buf []byte, asked []uint32, more int) *FetchAnswer {
	const envelope = 64 // frame type, id, keys and heads
	a := &FetchAnswer{room: envelope + 5*(len(asked)+more), asked: asked, found: make([]bool, len(asked))}
	// Absent pages are named behind the others, each in less than the place that it leaves.
	a.buf = slices.Grow(buf[:0], a.room+(len(asked)+more)*PageSize+envelope)[:a.room+len(asked)*PageSize]
	return a
}

// Put sets the page at position i of those asked for. A short chunk is padded with zeros, a longer one, which no client of
// ours writes, is cut. Pages at different positions may be put at the same time.
func (a *FetchAnswer) Put(i int, chunk []byte) {
	a.found[i] = true
	page := a.slot(i)
	clear(page[copy(page, chunk):])
}

// Page returns the page at position i of those asked for, nil if it is absent. It is valid until Message.
func (a *FetchAnswer) Page(i int) []byte {
	if !a.found[i] {
		return nil
	}
	return a.slot(i)
}

// Add adds a page that was not asked for.
func (a *FetchAnswer) Add(index uint32, page []byte) {
	a.added = append(a.added, index)
	a.buf = append(a.buf, page[:PageSize]...)
}

// Len returns how many pages the answer holds.
func (a *FetchAnswer) Len() int {
	n := len(a.added)
	for _, found := range a.found {
		if found {
			n++
		}
	}
	return n
}

func (a *FetchAnswer) slot(i int) []byte {
	at := a.room + i*PageSize
	return a.buf[at : at+PageSize : at+PageSize]
}

// Message returns the message, which is a part of buffer: whoever reuses memory may reuse that. It ends the answer.
func (a *FetchAnswer) Message(id uint64) (message, buffer []byte) {
	indexes := make([]uint32, 0, a.Len())
	var absent []uint32
	end := a.room
	for i, index := range a.asked {
		if !a.found[i] {
			absent = append(absent, index)
			continue
		}
		if to := a.room + len(indexes)*PageSize; to < a.room+i*PageSize {
			copy(a.buf[to:], a.slot(i))
		}
		indexes = append(indexes, index)
	}
	end += len(indexes) * PageSize
	end += copy(a.buf[end:], a.buf[a.room+len(a.asked)*PageSize:])
	indexes = append(indexes, a.added...)

	head := make([]byte, 0, a.room)
	head = AppendHead(head, majorMap, 3)
	head = AppendHead(append(head, 0), majorUint, uint64(FrameResponse))
	head = AppendHead(append(head, 1), majorUint, id)
	head = AppendHead(append(head, 2), majorMap, 1)
	fields := uint64(0)
	if len(indexes) > 0 {
		fields += 2
	}
	if len(absent) > 0 {
		fields++
	}
	head = AppendHead(append(head, 1), majorMap, fields)
	if len(indexes) > 0 {
		head = appendIndexes(head, 1, indexes)
		head = AppendHead(append(head, 2), majorBytes, uint64(len(indexes))*PageSize)
	}
	buffer = a.buf[:end]
	if len(absent) > 0 {
		buffer = appendIndexes(buffer, 3, absent)
	}
	begin := a.room - copy(buffer[a.room-len(head):], head)
	sealed := Seal(buffer[begin:])
	return sealed, buffer[:0]
}

// appendIndexes appends a map key and page indexes.
func appendIndexes(b []byte, key byte, indexes []uint32) []byte {
	b = AppendHead(append(b, key), majorArray, uint64(len(indexes)))
	for _, index := range indexes {
		b = AppendHead(b, majorUint, uint64(index))
	}
	return b
}

// AppendHead appends the head of a CBOR item, major type and argument, in its shortest form.
func AppendHead(b []byte, major byte, n uint64) []byte {
	major <<= 5
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n < 1<<8:
		return append(b, major|24, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, major|27), n)
}
