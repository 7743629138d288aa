package protocol_test

import (
	"bytes"
	"testing"

	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/stretchr/testify/require"
)

func TestLayoutKeys(t *testing.T) {
	require.Equal(t, []byte{8, 1, 0, 2}, protocol.MetaKey(protocol.FileWAL))
	require.Equal(t, []byte{8, 1, 1, 1, 0x01, 0x02, 0x03, 0x04}, protocol.ChunkKey(protocol.FileJournal, 0x01020304))
	require.Equal(t, append([]byte("x"), protocol.ChunkKey(0, 9)...), protocol.AppendChunkKey([]byte("x"), 0, 9))

	for tag := protocol.FileMain; tag <= protocol.FileSHM; tag++ {
		start, end := protocol.ChunkRange(tag)
		require.Equal(t, []byte{8, 1, 1, tag}, start)
		require.Equal(t, []byte{8, 1, 1, tag + 1}, end)
		last := protocol.ChunkKey(tag, 0)
		for _, index := range []uint32{0, 1, 255, 256, 1 << 24, 1<<32 - 1} {
			key := protocol.ChunkKey(tag, index)
			require.Len(t, key, protocol.ChunkKeyLen)
			require.True(t, bytes.Compare(start, key) < 0 && bytes.Compare(key, end) < 0)
			require.LessOrEqual(t, bytes.Compare(last, key), 0, "chunks sort by index")
			gotTag, gotIndex, ok := protocol.ParseChunkKey(key)
			require.True(t, ok)
			require.Equal(t, []any{tag, index}, []any{gotTag, gotIndex})
			last = key
		}
		_, _, ok := protocol.ParseChunkKey(protocol.MetaKey(tag))
		require.False(t, ok)
	}
}

func TestMeta(t *testing.T) {
	require.Equal(t, []byte{1, 0, 0, 0x30, 0, 0, 0, 0, 0, 0}, protocol.EncodeMeta(12288))
	for _, size := range []uint64{0, 1, 12288, protocol.MaxFileBytes} {
		got, err := protocol.DecodeMeta(protocol.EncodeMeta(size))
		require.NoError(t, err)
		require.Equal(t, size, got)
	}
	for _, bad := range [][]byte{nil, {1, 0}, append(protocol.EncodeMeta(1), 0), {2, 0, 0, 0, 0, 0, 0, 0, 0, 0}, protocol.EncodeMeta(protocol.MaxFileBytes + 1)} {
		_, err := protocol.DecodeMeta(bad)
		require.Error(t, err)
	}
}

// FuzzLayout holds of metadata and keys of chunks that they are refused, or are encoded to the same bytes again (I9).
func FuzzLayout(f *testing.F) {
	f.Add(protocol.EncodeMeta(1 << 40))
	f.Add(protocol.ChunkKey(protocol.FileMain, 1<<31))
	f.Fuzz(func(t *testing.T, b []byte) {
		if size, err := protocol.DecodeMeta(b); err == nil {
			require.LessOrEqual(t, size, uint64(protocol.MaxFileBytes))
			require.Equal(t, b, protocol.EncodeMeta(size))
		}
		if tag, index, ok := protocol.ParseChunkKey(b); ok {
			require.Equal(t, b, protocol.ChunkKey(tag, index))
		}
	})
}
