package channel

import "github.com/pagewire/pagewire/internal/protocol"

// The frames of a commit are encoded here by hand: package protocol's encoder would want the bytes of all pages joined,
// and copy them once more. What comes out, once sealed, is the same, byte for byte (a test holds it against
// protocol.Encode).

// stageBytes is how many bytes of pages a stage frame carries at most, the default of Config.StageBytes.
const stageBytes = 1 << 20

// pageCost is what a page takes in a frame: its bytes and its index in CBOR.
const pageCost = protocol.PageSize + 5

// envelopeBytes is what a stage or commit frame takes besides its pages and the actor id, checksum included, generously.
const envelopeBytes = 256

// pagesPerFrame is how many pages a frame of at most frameBytes, stage of them for pages, carries for an actor.
func pagesPerFrame(frameBytes, stage int, actor string) int {
	return max(1, (min(frameBytes-envelopeBytes, stage)-len(actor))/pageCost)
}

// CBOR major types.
const (
	cborUint  = 0
	cborBytes = 2
	cborText  = 3
	cborArray = 4
	cborMap   = 5
)

// appendField appends a map key and an unsigned integer.
func appendField(b []byte, key byte, n uint64) []byte {
	return protocol.AppendHead(append(b, key), cborUint, n)
}

// appendText appends a map key and a text.
func appendText(b []byte, key byte, s string) []byte {
	return append(protocol.AppendHead(append(b, key), cborText, uint64(len(s))), s...)
}

// appendPages appends a map key and a protocol.Pages.
func appendPages(b []byte, key byte, indexes []uint32, pages [][]byte) []byte {
	b = append(b, key)
	if len(indexes) == 0 {
		return protocol.AppendHead(b, cborMap, 0)
	}
	b = protocol.AppendHead(b, cborMap, 2)
	b = protocol.AppendHead(append(b, 1), cborArray, uint64(len(indexes)))
	for _, index := range indexes {
		b = protocol.AppendHead(b, cborUint, uint64(index))
	}
	b = protocol.AppendHead(append(b, 2), cborBytes, uint64(len(pages))*protocol.PageSize)
	for _, page := range pages {
		b = append(b, page...)
	}
	return b
}

// appendStage appends a protocol.Stage.
func appendStage(b []byte, id uint64, actor string, indexes []uint32, pages [][]byte) []byte {
	b = protocol.AppendHead(b, cborMap, 4)
	b = appendField(b, 0, uint64(protocol.FrameStage))
	b = appendField(b, 1, id)
	b = appendText(b, 2, actor)
	return appendPages(b, 3, indexes, pages)
}

// appendCommit appends a protocol.Request of a commit with the pages given instead of those of m.
func appendCommit(b []byte, id uint64, actor string, m *protocol.Commit, indexes []uint32, pages [][]byte) []byte {
	b = protocol.AppendHead(b, cborMap, 5)
	b = appendField(b, 0, uint64(protocol.FrameRequest))
	b = appendField(b, 1, id)
	b = appendText(b, 2, actor)
	b = appendField(b, 3, uint64(protocol.OpCommit))
	fields := uint64(5)
	if m.Staged > 0 {
		fields++
	}
	if len(m.DropFiles) > 0 {
		fields++
	}
	b = protocol.AppendHead(append(b, 4), cborMap, fields)
	b = appendField(b, 1, m.Generation)
	b = appendField(b, 2, m.Seq)
	b = appendField(b, 3, m.Count)
	b = appendField(b, 4, m.Size)
	b = appendPages(b, 5, indexes, pages)
	if m.Staged > 0 {
		b = appendField(b, 6, m.Staged)
	}
	if len(m.DropFiles) > 0 {
		b = protocol.AppendHead(append(b, 7), cborBytes, uint64(len(m.DropFiles)))
		b = append(b, m.DropFiles...)
	}
	return b
}
