package pebble_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/store"
	"github.com/pagewire/pagewire/internal/store/pebble"
)

// TestDamagedFiles flips bits in every kind of file of a crashed store, and cuts the files short, at many places. I9: the
// store refuses to open, or a call answers an error, or everything read is true. One kind of damage cannot be told from
// a crash: that of the last records of the log, which looks like a write that was under way. Then the commits before it
// must be there whole (I3).
func TestDamagedFiles(t *testing.T) {
	const commits = 100
	const wholeRecord = 8 << 10 // bytes of a log that hold its first record
	ctx := context.Background()
	disk := vfs.NewCrashableMem()
	s, err := pebble.Open("data", pebble.Options{FS: disk, Logger: quiet, MemTableBytes: smallMemTable})
	require.NoError(t, err)
	_, err = s.Fence(ctx, "a")
	require.NoError(t, err)
	for seq := uint64(1); seq <= commits; seq++ {
		_, err := s.Apply(ctx, "a", commitOf(1, seq))
		require.NoError(t, err)
	}
	crashed := disk.CrashClone(vfs.CrashCloneCfg{})
	require.NoError(t, s.Close())

	names, err := crashed.List("data")
	require.NoError(t, err)
	slices.Sort(names)
	for _, name := range names {
		file := "data/" + name
		content := readFile(t, crashed, file)
		if len(content) == 0 {
			continue
		}
		kind := filepath.Ext(name)
		if kind == "" {
			kind = name[:min(len(name), 8)]
		}
		var refused, failed, whole, tail int
		damage := func(how string, at int, damaged []byte) {
			fs := crashed.CrashClone(vfs.CrashCloneCfg{})
			writeFile(t, fs, file, damaged)
			seq, err := readAll(t, fs, fmt.Sprintf("%s at %d of %s of %d bytes", how, at, name, len(content)))
			var openErr *openError
			switch {
			case errors.As(err, &openErr):
				refused++
			case err != nil:
				failed++
			case seq == commits:
				whole++
			default:
				require.Equal(t, ".log", kind, "%s at %d of %s of %d bytes: commits after %d are gone without an error", how, at, name, len(content), seq)
				require.GreaterOrEqual(t, seq, uint64(commits-16), "%s at %d of %s of %d bytes: only commits of the log may go", how, at, name, len(content))
				tail++
			}
		}
		for _, at := range damagePoints(len(content)) {
			flipped := slices.Clone(content)
			flipped[at-1] ^= 0x40
			damage("flip", at-1, flipped)
			if kind == ".log" && at < wholeRecord {
				continue // an empty log is what a crash after its creation leaves: nothing tells that it was longer
			}
			damage("cut", at-1, content[:at-1])
		}
		t.Logf("%s of %d bytes: %d times refused at open, %d errors of reads, %d without effect, %d times the end of the log was taken for torn",
			name, len(content), refused, failed, whole, tail)
	}
}

// damagePoints returns places in a file of n bytes: 12 of them, or 200 if PAGEWIRE_SWEEPS is set.
func damagePoints(n int) []int {
	count := 12
	if os.Getenv("PAGEWIRE_SWEEPS") != "" {
		count = 200
	}
	var list []int
	for at := 1; at <= n; at += max(1, n/count) {
		list = append(list, at)
	}
	return list
}

// openError is what Open said.
type openError struct{ error }

// readAll reads everything of actor "a", which must be the state after one of its commits, and returns which.
func readAll(t *testing.T, fs vfs.FS, what string) (seq uint64, err error) {
	ctx := context.Background()
	s, err := pebble.Open("data", pebble.Options{FS: fs, Logger: quiet, CacheBytes: 1 << 20})
	if err != nil {
		require.NotEmpty(t, err.Error())
		return 0, &openError{err}
	}
	defer func() { _ = s.Close() }()
	head, err := s.Head(ctx, "a")
	if err != nil {
		return 0, err
	}
	got := []string{}
	err = s.Scan(ctx, "a", store.Range{}, false, func(key, value []byte) bool {
		got = append(got, string(key)+"="+string(value))
		return true
	})
	if err != nil {
		return 0, err
	}
	want, used := stateAfter(head.Seq)
	require.True(t, slices.Equal(want, got), "I3: %s: the entries are not those of commit %d: %d of %d", what, head.Seq, len(got), len(want))
	require.Equal(t, used, head.UsedBytes, what)
	return head.Seq, nil
}

func readFile(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	require.NoError(t, err)
	content, err := io.ReadAll(f)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return content
}

func writeFile(t *testing.T, fs vfs.FS, name string, content []byte) {
	t.Helper()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	_, err = f.Write(content)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}
