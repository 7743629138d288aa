package pebble_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/store"
	"github.com/pagewire/pagewire/internal/store/pebble"
)

// TestReopenAmongOldLogs opens stores again whose memtables, and with them their logs, had grown to several sizes.
// Pebble keeps some logs that it needs no more to write them anew, and deletes later ones: the gaps between those that
// are left are no damage. I2: what was acknowledged is there.
func TestReopenAmongOldLogs(t *testing.T) {
	const each = 64 << 10
	ctx := context.Background()
	value := func(seq uint64) []byte { return bytes.Repeat([]byte{byte(seq)}, each) }
	for _, commits := range []uint64{40, 160, 320} {
		options := pebble.Options{FS: vfs.NewMem(), Logger: quiet}
		s, err := pebble.Open("data", options)
		require.NoError(t, err)
		_, err = s.Fence(ctx, "a")
		require.NoError(t, err)
		for seq := uint64(1); seq <= commits; seq++ {
			_, err := s.Apply(ctx, "a", &store.Batch{
				Generation: 1, Seq: seq, Expect: seq - 1, Puts: []store.Entry{{Key: []byte("k"), Value: value(seq)}},
			})
			require.NoError(t, err)
		}
		require.NoError(t, s.Close())

		s, err = pebble.Open("data", options)
		require.NoError(t, err, "after %d commits", commits)
		values, err := s.Get(ctx, "a", [][]byte{[]byte("k")})
		require.NoError(t, err)
		require.Equal(t, [][]byte{value(commits)}, values, "after %d commits", commits)
		require.NoError(t, s.Close())
	}
}
