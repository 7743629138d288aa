package pebble_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/store"
	"github.com/pagewire/pagewire/internal/store/pebble"
)

// TestReopenAmongOldLogs opens a store again at many points while its memtables, and with them its logs, grow to their
// full size. Pebble keeps some logs that it needs no more to write them anew, and deletes later ones: the gaps between
// those that are left are no damage. I2: what was acknowledged is there.
func TestReopenAmongOldLogs(t *testing.T) {
	const commits, each = 320, 64 << 10
	ctx := context.Background()
	disk := vfs.NewCrashableMem()
	s, err := pebble.Open("data", pebble.Options{FS: disk, Logger: quiet})
	require.NoError(t, err)
	_, err = s.Fence(ctx, "a")
	require.NoError(t, err)
	value := func(seq uint64) []byte { return bytes.Repeat([]byte{byte(seq)}, each) }
	for seq := uint64(1); seq <= commits; seq++ {
		_, err := s.Apply(ctx, "a", &store.Batch{
			Generation: 1, Seq: seq, Expect: seq - 1, Puts: []store.Entry{{Key: []byte("k"), Value: value(seq)}},
		})
		require.NoError(t, err)
		if seq%20 != 0 {
			continue
		}
		// A clone with everything in it, for a deletion that is not synced leaves no gap.
		clone := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, seq))})
		again, err := pebble.Open("data", pebble.Options{FS: clone, Logger: quiet})
		require.NoError(t, err, "after commit %d", seq)
		values, err := again.Get(ctx, "a", [][]byte{[]byte("k")})
		require.NoError(t, err)
		require.Equal(t, [][]byte{value(seq)}, values, "after commit %d", seq)
		require.NoError(t, again.Close())
	}
	require.NoError(t, s.Close())
}
