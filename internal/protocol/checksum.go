package protocol

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// ChecksumBytes is what the checksum adds to the encoding of a frame.
const ChecksumBytes = 4

// ErrChecksum is returned, within a [FrameError], when a message is shorter than a checksum or does not match its own: it
// was damaged on its way. Nothing in it can be believed, its id included.
var ErrChecksum = errors.New("the checksum does not match: the frame was damaged on its way")

// castagnoli returns the table of CRC-32C, which processors compute in hardware. It is made by the first call.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// Seal appends to the encoding of a frame its CRC-32C, big-endian, which makes it a message. TCP's own checksum ends at
// every proxy and misses one error in 65536; a damaged page would be stored, or be believed, without a word.
func Seal(frame []byte) []byte {
	return binary.BigEndian.AppendUint32(frame, crc32.Checksum(frame, castagnoli()))
}

// unseal returns the frame of a message if it is what was sealed.
func unseal(message []byte) ([]byte, error) {
	n := len(message) - ChecksumBytes
	if n < 0 || crc32.Checksum(message[:n], castagnoli()) != binary.BigEndian.Uint32(message[n:]) {
		return nil, ErrChecksum
	}
	return message[:n], nil
}
