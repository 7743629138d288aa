package sqlite_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/sqlite"
	"github.com/pagewire/pagewire/internal/store/memory"
)

// point reads a row at once, and as a point or not, as want says.
func point(t testing.TB, db *sqlite.DB, want bool, sql string, args ...any) []any {
	t.Helper()
	row, ok, err := db.Point(sqlite.Statement{SQL: sql, Args: args})
	require.NoError(t, err, sql)
	require.True(t, ok, "%s was not read at once", sql)
	require.Equal(t, want, row.Point, sql)
	return row.Values
}

// held makes the engine keep a read transaction open.
func held(t testing.TB, db *sqlite.DB) {
	t.Helper()
	const sql = "SELECT count(*) FROM sqlite_schema"
	_, ok, err := db.Point(sqlite.Statement{SQL: sql})
	require.NoError(t, err)
	require.True(t, ok)
	for range 4 {
		point(t, db, true, sql)
	}
	require.True(t, db.HoldsRead())
}

func TestPointReadsAreExact(t *testing.T) {
	f := newFixture(t)
	db := f.open("points")
	defer f.close(db)
	values := []any{
		nil, int64(math.MinInt64), int64(1) << 53, int64(0), -0.5, math.Inf(1), "", "text", "nul \x00 in it", "été 😀", strings.Repeat("long ", 30_000),
		[]byte{}, []byte{0, 255}, make([]byte, 100_000),
	}
	sql := "SELECT ?" + strings.Repeat(", ?", len(values)-1)
	point(t, db, false, sql, values...)
	for range 3 { // the first ones without, the last ones with a transaction held
		got := point(t, db, true, sql, values...)
		require.Len(t, got, len(values))
		for i, value := range values {
			if b, ok := value.([]byte); ok && len(b) == 0 {
				require.Empty(t, got[i])
				continue
			}
			require.Equal(t, value, got[i], "value %d", i)
		}
	}
	exec(t, db, "CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)")
	for i := range 3 {
		require.Equal(t, []any{int64(1)}, point(t, db, i > 0, "SELECT a FROM t ORDER BY a"))
		require.Nil(t, point(t, db, i > 0, "SELECT a FROM t WHERE a > 2"))
	}
}

// What is in the way of a point read is what its operation waits for or tells.
func TestPointReadsThatCannotBe(t *testing.T) {
	f := newFixture(t)
	db := f.open("not-at-once")
	exec(t, db, "CREATE TABLE t (a, b UNIQUE); INSERT INTO t VALUES (1, 2), (NULL, 3)")
	exec(t, db, "CREATE TABLE other (c); INSERT INTO other SELECT zeroblob(100000)")

	const all = "SELECT * FROM t WHERE a = ?"
	point(t, db, false, all, 1)
	require.Equal(t, []any{int64(1), int64(2)}, point(t, db, true, all, 1))
	exec(t, db, "ALTER TABLE t ADD COLUMN c DEFAULT 'more'")
	require.Equal(t, []any{int64(1), int64(2), "more"}, point(t, db, false, all, 1), "with another shape")
	require.Equal(t, []any{int64(1), int64(2), "more"}, point(t, db, true, all, 1))

	_, ok, err := db.Point(sqlite.Statement{SQL: all, Args: []any{1, 2}})
	require.True(t, ok)
	require.ErrorContains(t, err, "the statement has 1 parameter, 2 values were given")

	const fails = "SELECT abs(CAST(? AS INTEGER))"
	point(t, db, false, fails, 1)
	point(t, db, true, fails, 1)
	_, ok, err = db.Point(sqlite.Statement{SQL: fails, Args: []any{int64(math.MinInt64)}})
	require.True(t, ok)
	require.ErrorContains(t, err, "integer overflow")
	require.Equal(t, []any{int64(5)}, point(t, db, true, fails, -5))

	const writes = "INSERT INTO t VALUES (?, ?, ?) RETURNING a"
	_, ok, err = db.Point(sqlite.Statement{SQL: writes, Args: []any{5, 5, 5}})
	require.NoError(t, err)
	require.False(t, ok, "it writes")

	const lengthy = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ?) SELECT count(*) FROM c"
	point(t, db, false, lengthy, 10)
	point(t, db, true, lengthy, 10)
	began := time.Now()
	_, ok, err = db.Point(sqlite.Statement{SQL: lengthy, Args: []any{100_000_000}})
	require.NoError(t, err)
	require.False(t, ok, "it takes long")
	require.Less(t, time.Since(began), 5*time.Second)
	_, ok, err = db.Point(sqlite.Statement{SQL: lengthy, Args: []any{10}})
	require.NoError(t, err)
	require.False(t, ok, "not before a worker has seen it end in time")
	f.close(db)

	db = f.open("not-at-once", 0) // cold
	defer f.close(db)
	const cold = "SELECT hex(substr(c, -2)) FROM other"
	query(t, db, "SELECT count(*) FROM t")
	point(t, db, false, "SELECT 1")
	_, ok, err = db.Point(sqlite.Statement{SQL: cold})
	require.NoError(t, err)
	require.False(t, ok, "a page is not here")
	require.Equal(t, [][]any{{"0000"}}, query(t, db, cold))
	point(t, db, false, cold)
	require.Equal(t, []any{"0000"}, point(t, db, true, cold))
}

// A read transaction that is held between point reads is in nobody's way.
func TestHeldReadsAreLetGoOf(t *testing.T) {
	f := newFixture(t)
	db := f.open("held")
	defer f.close(db)
	exec(t, db, "CREATE TABLE t (a); INSERT INTO t VALUES (1); CREATE TABLE gone (a); CREATE INDEX i ON gone (a)")
	for _, sql := range []string{
		"INSERT INTO t VALUES (2)", "DROP INDEX i", "DROP TABLE gone", "VACUUM", "REINDEX", "ANALYZE", "BEGIN", "ROLLBACK", "BEGIN IMMEDIATE",
		"INSERT INTO t VALUES (3)", "ROLLBACK", "SAVEPOINT s", "DELETE FROM t WHERE a = 2", "RELEASE s", "PRAGMA auto_vacuum=FULL", "VACUUM",
		"PRAGMA integrity_check", "PRAGMA cache_size=-100", "ALTER TABLE t RENAME TO u", "ALTER TABLE u RENAME TO t", "PRAGMA incremental_vacuum",
		"CREATE VIRTUAL TABLE words USING fts5 (w)", "INSERT INTO words VALUES ('one')", "DROP TABLE words",
	} {
		if sql != "ROLLBACK" && sql != "INSERT INTO t VALUES (3)" && sql != "DELETE FROM t WHERE a = 2" && sql != "RELEASE s" {
			held(t, db)
		}
		_, err := ask(t, db, 0, sql)
		require.NoError(t, err, sql)
		require.False(t, db.HoldsRead(), sql)
	}
	held(t, db)
	require.Equal(t, [][]any{{int64(1)}}, query(t, db, "SELECT a FROM t"))
	held(t, db) // and closed so
}

// No row is read before it is durable, at once neither (I5).
func TestI5PointReadsWaitForCommits(t *testing.T) {
	st := &stalled{Store: memory.New(), goOn: make(chan struct{})}
	f := newFixtureOn(t, st)
	db := f.open("point-gated")
	defer f.close(db)
	const count = "SELECT count(*) FROM sqlite_schema"
	point(t, db, false, count)
	point(t, db, true, count)
	told := make(chan error, 1)
	_, err := db.Submit(sqlite.Call{Script: "CREATE TABLE t (a)"}, func(_ *sqlite.Result, err error) { told <- err })
	require.NoError(t, err)
	require.Eventually(t, func() bool { return db.PagesMetrics().PendingBatches > 0 }, time.Minute, time.Millisecond)
	_, ok, err := db.Point(sqlite.Statement{SQL: count})
	require.NoError(t, err)
	require.False(t, ok)
	close(st.goOn)
	require.NoError(t, <-told)
	require.Equal(t, []any{int64(1)}, point(t, db, false, count), "the schema is another one")
	require.Equal(t, []any{int64(1)}, point(t, db, true, count))
}
