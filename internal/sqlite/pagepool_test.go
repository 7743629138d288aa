package sqlite_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Transactions of more pages than are kept, and scans that fetch as many, come back whole (I3): in memory that was used before,
// and beyond it.
func TestMorePagesThanAreKept(t *testing.T) {
	f := newFixture(t)
	db := f.open("big")
	exec(t, db, "CREATE TABLE t (i, v)")
	whole := [][]any{{int64(1500), int64(0), "ok"}} // a page a row, and 1,024 are kept
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
