package pebble

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/store"
)

// Stores written before epochs existed open as ever.
func TestHeadOfVersion1(t *testing.T) {
	b := []byte{headVersion1}
	for _, n := range []uint64{7, 8, 9} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	head, err := decodeHead(b)
	require.NoError(t, err)
	require.Equal(t, store.Head{Generation: 7, Seq: 8, UsedBytes: 9}, head)
	head.Epoch = 10
	again, err := decodeHead(encodeHead(head))
	require.NoError(t, err)
	require.Equal(t, head, again)
	_, err = decodeHead(append(b, 0))
	require.ErrorIs(t, err, store.ErrCorrupt)
}
