package sqlite_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Round trips as the server counts them: requests it was sent.
func TestRoundTrips(t *testing.T) {
	f := newFixture(t)
	trips := func(what func()) uint64 {
		before := f.requests()
		what()
		return f.requests() - before
	}
	db := f.open("trips")
	exec(t, db, "CREATE TABLE t (id INTEGER PRIMARY KEY, k TEXT, v BLOB); CREATE INDEX i ON t (k); CREATE TABLE big (v BLOB)")

	require.EqualValues(t, 1, trips(func() {
		exec(t, db, "BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 100000) "+
			"INSERT INTO t SELECT i, 'key ' || (i * 7919 % 100003), randomblob(100) FROM n; COMMIT")
	}), "100,000 rows in one transaction")
	require.EqualValues(t, 1, trips(func() { exec(t, db, "INSERT INTO t VALUES (200000, 'one', x'00')") }), "one row")
	for _, mib := range []int{1, 16, 63} { // 63: with the pages around it just below 64 MiB of pages
		query(t, db, "SELECT max(rowid) FROM big") // what the one before has pushed out of the cache
		require.EqualValues(t, 1, trips(func() { query(t, db, "INSERT INTO big VALUES (zeroblob(?))", mib<<20) }), "%d MiB", mib)
	}
	query(t, db, "SELECT v FROM t WHERE id = 500")
	require.Zero(t, trips(func() {
		for range 100 {
			query(t, db, "SELECT v FROM t WHERE id = 500")
		}
	}), "warm reads")
	f.close(db)

	require.EqualValues(t, 1, trips(func() { db = f.open("trips") }), "open with preload")
	require.LessOrEqual(t, trips(func() { query(t, db, "SELECT v FROM t WHERE id = 77777") }), uint64(2), "cold point read")
	require.LessOrEqual(t, trips(func() { query(t, db, "SELECT v FROM t WHERE k = 'key 99999'") }), uint64(3), "cold index look-up")
	require.EqualValues(t, 1, trips(func() { exec(t, db, "UPDATE t SET v = x'01' WHERE id = 77777") }), "update of a warm row")
	f.close(db)

	for _, order := range []string{"ASC", "DESC"} {
		db = f.open("trips")
		require.LessOrEqual(t, trips(func() {
			rows := query(t, db, "SELECT v FROM t INDEXED BY i WHERE k >= 'key 50000' AND k < 'key 52' ORDER BY k "+order)
			require.Greater(t, len(rows), 2000)
		}), uint64(25), "2,000 rows through an index, %s", order)
		f.close(db)
	}
}
