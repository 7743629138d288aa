package pebble

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/store"
)

// FuzzDecodeRecords holds of what is read from a store's files that it is refused as corrupt, or means what it says: it is
// encoded to the same bytes again (I9).
func FuzzDecodeRecords(f *testing.F) {
	f.Add([]byte("a\x00\x01rest"))
	f.Add([]byte("\x00\xFF\x00\x01"))
	f.Add(encodeHead(store.Head{Generation: 1, Seq: 2, UsedBytes: 3, Epoch: 4}))
	f.Add(encodeHints([]uint32{1, 2, 3}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if name, rest, err := decodeEscaped(nil, b); err == nil {
			require.Equal(t, b, slices.Concat(appendEscaped(nil, name), rest))
		}
		if hints, err := decodeHints(b); err == nil {
			require.Equal(t, len(b), len(encodeHints(hints)))
			require.Equal(t, string(b), string(encodeHints(hints)))
		} else {
			require.ErrorIs(t, err, store.ErrCorrupt)
		}
		head, err := decodeHead(b)
		switch {
		case err != nil:
			require.ErrorIs(t, err, store.ErrCorrupt)
		case len(b) == headSize:
			require.Equal(t, b, encodeHead(head))
		default: // written before epochs existed
			require.Zero(t, head.Epoch)
			require.Equal(t, binary.BigEndian.Uint64(b[9:]), head.Seq)
		}
	})
}
