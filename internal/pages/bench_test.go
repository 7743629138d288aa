package pages_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/pages"
	"github.com/pagewire/pagewire/internal/protocol"
)

// BenchmarkColdScan reads every page of a table of 8 MiB in the order of its leaves, as SQLite does, over a connection to
// a server with a memory store.
func BenchmarkColdScan(b *testing.B) {
	img := makeImage(b,
		"CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8192) INSERT INTO t SELECT i, randomblob(900) FROM n",
	)
	c := dial(b, serve(b, protocol.Limits{}))
	img.load(b, c, "a")
	count := uint32(len(img.file) / pageSize)
	b.SetBytes(int64(len(img.file)))
	b.ReportAllocs()
	for b.Loop() {
		db := open(b, c, "a", protocol.Open{Preload: noPreload()}, pages.Config{}, nil)
		for index := range count {
			require.Len(b, db.read(index), pageSize)
		}
		db.close()
	}
}

// BenchmarkCommit hands over commits one after the other, each awaited.
func BenchmarkCommit(b *testing.B) {
	for _, n := range []uint32{1, 16, 256} {
		b.Run(fmt.Sprintf("pages=%d", n), func(b *testing.B) {
			db := open(b, dial(b, serve(b, protocol.Limits{})), "a", protocol.Open{}, pages.Config{}, nil)
			write := map[uint32][]byte{}
			for i := range n {
				write[i] = make([]byte, pageSize)
			}
			b.SetBytes(int64(n) * pageSize)
			b.ReportAllocs()
			for b.Loop() {
				db.commit(uint64(n)*pageSize, write)
				require.NoError(b, db.f.Flush(context.Background()))
			}
			db.close()
		})
	}
}
