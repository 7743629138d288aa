package pebble_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	cockroach "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/store"
	"github.com/pagewire/pagewire/internal/store/pebble"
)

func TestReopen(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "made", "by open")
	var want store.Head
	for seq := uint64(1); seq <= 3; seq++ {
		s, err := pebble.Open(dir, pebble.Options{Logger: quiet})
		require.NoError(t, err)
		head, err := s.Head(ctx, "a")
		require.NoError(t, err)
		require.Equal(t, want, head)
		head, err = s.Fence(ctx, "a")
		require.NoError(t, err)
		want, err = s.Apply(ctx, "a", &store.Batch{
			Generation: head.Generation, Seq: seq, Expect: seq - 1, Hints: []uint32{uint32(seq), 7},
			Puts: []store.Entry{{Key: []byte{byte(seq)}, Value: []byte("value")}},
		})
		require.NoError(t, err)
		require.NoError(t, s.Close())
	}
}

func TestInUse(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"disk": vfs.Default, "memory": vfs.NewMem()} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			s, err := pebble.Open(dir, pebble.Options{Logger: quiet, FS: fs})
			require.NoError(t, err)
			_, err = pebble.Open(dir, pebble.Options{Logger: quiet, FS: fs})
			require.ErrorIs(t, err, store.ErrInUse)
			require.ErrorContains(t, err, dir)
			require.NoError(t, s.Close())
			s, err = pebble.Open(dir, pebble.Options{Logger: quiet, FS: fs})
			require.NoError(t, err, "the lock outlived its store")
			require.NoError(t, s.Close())
		})
	}
}

func TestFormatMarker(t *testing.T) {
	marker := []byte("\x00format")
	for _, c := range []struct {
		name, key, value, want string
		corrupt                bool
	}{
		{"newer", string(marker), "pagewire store 2", "use the version that wrote it", false},
		{"garbage", string(marker), "?", "unknown format marker", true},
		{"another database", "other", "data", "not a Pagewire store", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := vfs.NewMem()
			db, err := cockroach.Open("data", &cockroach.Options{FS: fs, Logger: discard{}})
			require.NoError(t, err)
			require.NoError(t, db.Set([]byte(c.key), []byte(c.value), cockroach.Sync))
			require.NoError(t, db.Close())
			for range 2 {
				_, err = pebble.Open("data", pebble.Options{FS: fs, Logger: quiet})
				require.ErrorContains(t, err, c.want)
				require.NotErrorIs(t, err, store.ErrInUse, "the failed open kept the lock")
				if c.corrupt {
					require.ErrorIs(t, err, store.ErrCorrupt)
				}
			}
		})
	}
}

// TestCorruptTable damages the tables of a store on disk. I9: reading answers ErrCorrupt or the true value, never
// another one, and nothing crashes.
func TestCorruptTable(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	open := func() *pebble.Store {
		s, err := pebble.Open(dir, pebble.Options{Logger: quiet, MemTableBytes: smallMemTable})
		require.NoError(t, err)
		return s
	}
	s := open()
	_, err := s.Fence(ctx, "a")
	require.NoError(t, err)
	const pages = 256
	value := strings.Repeat("page", 1024)
	batch := &store.Batch{Generation: 1}
	for i := range pages {
		batch.Puts = append(batch.Puts, store.Entry{Key: []byte{byte(i)}, Value: []byte(value)})
	}
	_, err = s.Apply(ctx, "a", batch) // larger than a memtable, so it goes to a table at once
	require.NoError(t, err)
	require.NoError(t, s.Close())
	s = open() // replays the log into tables
	require.NoError(t, s.Close())

	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	require.NoError(t, err)
	require.NotEmpty(t, tables)
	for _, table := range tables {
		content, err := os.ReadFile(table)
		require.NoError(t, err)
		// Not the first blocks, which hold the format marker and the heads, nor the index at the end.
		for i := len(content) / 4; i < len(content)/2; i += 512 {
			content[i] ^= 0xFF
		}
		require.NoError(t, os.WriteFile(table, content, 0o600))
	}
	s = open()
	corrupt := 0
	for i := range pages {
		values, err := s.Get(ctx, "a", [][]byte{{byte(i)}})
		if err != nil {
			require.ErrorIs(t, err, store.ErrCorrupt)
			corrupt++
			continue
		}
		require.Equal(t, value, string(values[0]))
	}
	require.NotZero(t, corrupt, "the damage was not met")
	err = s.Scan(ctx, "a", store.Range{}, false, func(_, _ []byte) bool { return true })
	require.ErrorIs(t, err, store.ErrCorrupt)
	require.NoError(t, s.Close())
}

// TestDiskNearlyFull checks that the reserve is kept for what makes room, and that writes go on when there is room
// again.
func TestDiskNearlyFull(t *testing.T) {
	ctx := context.Background()
	const reserve = 1 << 20
	fs := vfs.NewMem()
	room := func(free uint64) { fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: free, TotalBytes: 1 << 30}) }
	s, err := pebble.Open("data", pebble.Options{FS: fs, Logger: quiet, ReserveBytes: reserve})
	require.NoError(t, err)
	_, err = s.Fence(ctx, "a")
	require.NoError(t, err)
	put := func(value string) error {
		_, err := s.Apply(ctx, "a", &store.Batch{
			Generation: 1, Puts: []store.Entry{{Key: []byte("k"), Value: []byte(value)}},
		})
		return err
	}
	room(1 << 29)
	require.NoError(t, put("four"))
	room(reserve - 1)
	require.ErrorIs(t, put("longer"), store.ErrFull)
	require.NoError(t, put("same"))
	room(reserve / 2)
	require.ErrorIs(t, put("SAME"), store.ErrFull)
	room(0)
	require.NoError(t, put("cut"))
	_, err = s.Fence(ctx, "b")
	require.NoError(t, err, "an open must not fail on a full disk: reading goes on")
	values, err := s.Get(ctx, "a", [][]byte{[]byte("k")})
	require.NoError(t, err)
	require.Equal(t, "cut", string(values[0]))
	room(1 << 29)
	require.NoError(t, put("longer"))
	require.NoError(t, s.Close())
}

// discard drops Pebble's messages.
type discard struct{}

func (discard) Infof(string, ...any)  {}
func (discard) Errorf(string, ...any) {}
func (discard) Fatalf(format string, args ...any) {
	panic(format)
}
