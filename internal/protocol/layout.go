package protocol

import (
	"encoding/binary"
	"fmt"
)

// Keys and values of the storage layout (docs/storage-layout.md).
const (
	keyPrefix  = 0x08 // of everything that belongs to a file system
	keySchema  = 0x01 // layout version
	keyMeta    = 0x00
	keyChunk   = 0x01
	metaLen    = 10 // bytes of file metadata
	metaFormat = 1  // version of file metadata

	// ChunkKeyLen is the length in bytes of a chunk's key.
	ChunkKeyLen = 8
)

// MetaKey returns the key of a file's metadata.
func MetaKey(tag uint8) []byte { return []byte{keyPrefix, keySchema, keyMeta, tag} }

// ChunkKey returns the key of the chunk with the index (the 0-based page number) in a file.
func ChunkKey(tag uint8, index uint32) []byte {
	return AppendChunkKey(make([]byte, 0, ChunkKeyLen), tag, index)
}

// AppendChunkKey appends the key of a chunk to b.
func AppendChunkKey(b []byte, tag uint8, index uint32) []byte {
	return binary.BigEndian.AppendUint32(append(b, keyPrefix, keySchema, keyChunk, tag), index)
}

// ChunkCount returns how many chunks, or pages, a file of size bytes has, a partial last one included.
func ChunkCount(size uint64) uint64 { return (size + PageSize - 1) / PageSize }

// ParseChunkKey returns the file and the index of a chunk's key; ok is false if key is no chunk's.
func ParseChunkKey(key []byte) (tag uint8, index uint32, ok bool) {
	if len(key) != ChunkKeyLen || key[0] != keyPrefix || key[1] != keySchema || key[2] != keyChunk {
		return 0, 0, false
	}
	return key[3], binary.BigEndian.Uint32(key[4:]), true
}

// ChunkRange returns the range [start, end) that holds all chunks of a file.
func ChunkRange(tag uint8) (start, end []byte) {
	return []byte{keyPrefix, keySchema, keyChunk, tag}, []byte{keyPrefix, keySchema, keyChunk, tag + 1}
}

// EncodeMeta returns the metadata of a file of size bytes.
func EncodeMeta(size uint64) []byte {
	b := make([]byte, 0, metaLen)
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint16(b, metaFormat), size)
}

// DecodeMeta returns the size of a file from its metadata. It returns an error if the metadata is of another length or
// version, or the size is over MaxFileBytes.
func DecodeMeta(b []byte) (size uint64, err error) {
	if len(b) != metaLen {
		return 0, fmt.Errorf("file metadata has %d bytes, want %d", len(b), metaLen)
	}
	if v := binary.LittleEndian.Uint16(b); v != metaFormat {
		return 0, fmt.Errorf("file metadata is of version %d, want %d", v, metaFormat)
	}
	size = binary.LittleEndian.Uint64(b[2:])
	if size > MaxFileBytes {
		return 0, fmt.Errorf("file metadata says %d bytes, over the limit of %d", size, uint64(MaxFileBytes))
	}
	return size, nil
}
