package sqlite_test

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/sqlite"
	"github.com/pagewire/pagewire/internal/tune"
)

// Transactions of many pages, and scans that fetch as many, come back whole (I3): in memory that was used before, and beyond it.
func TestPagesInMemoryUsedBefore(t *testing.T) {
	f := newFixture(t)
	db := f.open("big")
	exec(t, db, "CREATE TABLE t (i, v)")
	whole := [][]any{{int64(1500), int64(0), "ok"}} // a page a row
	check := "SELECT count(*), sum(v <> printf('%03800d', i * 7919)), (SELECT integrity_check FROM pragma_integrity_check) FROM t"
	for range 3 {
		exec(t, db, `DELETE FROM t; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 1500)
			INSERT INTO t SELECT i, printf('%03800d', i * 7919) FROM n`)
		require.Equal(t, whole, query(t, db, check))
		f.close(db)
		db = f.open("big", 0)
		require.Equal(t, whole, query(t, db, check))
	}
	f.close(db)
}

// The pages of SQLite's caches, and those on their way, are of the pool, which gives their memory back to the system but for a
// few spare MiB.
func TestPoolGivesBack(t *testing.T) {
	if runtime.GOOS == "windows" || tune.Off("page-pool") {
		t.Skip("there is no pool")
	}
	const spare = 4 * mib
	held := func() uint64 { return sqlite.CurrentBudget().HeldBytes }
	before := held()
	f := newFixture(t)
	db := f.filled("big", 16*mib)
	f.close(db)
	require.LessOrEqual(t, held(), before+spare, "pages that were written")

	db = f.open("big")
	f.readRows(db, 1, 16*1024)
	require.GreaterOrEqual(t, held(), uint64(16*mib), "a cache of a database of that size")
	f.close(db)
	require.LessOrEqual(t, held(), before+spare, "pages that were read")
}
