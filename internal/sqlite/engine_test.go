package sqlite_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/sqlite"
)

func TestValuesAreExact(t *testing.T) {
	f := newFixture(t)
	db := f.open("values")
	defer f.close(db)
	exec(t, db, "CREATE TABLE v (x)")
	for _, want := range []any{
		nil, int64(0), int64(-1), int64(1) << 53, int64(math.MaxInt64), int64(math.MinInt64), 1.5, math.Inf(1),
		"", "plain", "nul\x00inside\x00", "Grüße, 世界 \U0001F600", strings.Repeat("ä", 5000), []byte{}, []byte{0, 1, 0xFF},
		strings.Repeat("x", 100_000), make([]byte, 50_000),
	} {
		require.Equal(t, [][]any{{want}}, query(t, db, "SELECT ?", want))
		query(t, db, "INSERT INTO v VALUES (?)", want)
		got := query(t, db, "SELECT x FROM v ORDER BY rowid DESC LIMIT 1")
		require.Equal(t, [][]any{{want}}, got)
	}
	require.Equal(t, [][]any{{"narrow", "wide é", []byte("b"), "narrow again"}},
		query(t, db, "SELECT 'narrow', 'wide é', CAST('b' AS BLOB), 'narrow again'"))
}

func TestContentsSurviveReopening(t *testing.T) {
	f := newFixture(t)
	db := f.open("reopen")
	exec(t, db, "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); CREATE INDEX i ON t (v)")
	exec(t, db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 20000) INSERT INTO t SELECT i, 'value ' || i FROM n")
	f.close(db)
	for _, budget := range []uint64{0, 4096, 1 << 20} {
		db = f.open("reopen", budget)
		require.Equal(t, [][]any{{"ok"}}, query(t, db, "PRAGMA integrity_check"))
		require.Equal(t, [][]any{{int64(20000), "value 20000"}}, query(t, db, "SELECT id, v FROM t WHERE id = ?", 20000))
		require.Equal(t, [][]any{{int64(777)}}, query(t, db, "SELECT id FROM t WHERE v = ?", "value 777"))
		f.close(db)
	}
}

func TestInlineReadsFallBackOnAMiss(t *testing.T) {
	f := newFixture(t)
	db := f.open("inline")
	exec(t, db, "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
	exec(t, db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 5000) INSERT INTO t SELECT i, hex(randomblob(40)) FROM n")
	f.close(db)
	db = f.open("inline", 0)
	defer f.close(db)
	r, err := db.Query("SELECT id FROM t WHERE id = 4000")
	require.NoError(t, err)
	require.False(t, r.Inline, "nothing was preloaded, the pages must be fetched")
	r, err = db.Query("SELECT id FROM t WHERE id = 4000")
	require.NoError(t, err)
	require.True(t, r.Inline, "the pages are cached now")
	r, err = db.Query("UPDATE t SET v = 'x' WHERE id = 4000 RETURNING v")
	require.NoError(t, err)
	require.False(t, r.Inline)
	require.Equal(t, [][]any{{"x"}}, r.Rows)
}

func TestErrorsNameTheCause(t *testing.T) {
	f := newFixture(t)
	db := f.open("errors")
	defer f.close(db)
	exec(t, db, "CREATE TABLE t (a INTEGER PRIMARY KEY, b UNIQUE)")
	exec(t, db, "INSERT INTO t VALUES (1, 1)")
	for _, c := range []struct {
		sql     string
		args    []any
		code    string
		sqlite  int
		offset  int
		message string
	}{
		{"SELECT * FROM nowhere", nil, "", 1, -1, "no such table: nowhere"},
		{"SELECT nix FROM t", nil, "", 1, 7, "no such column: nix"},
		{"INSERT INTO t VALUES (2, 1)", nil, "", 2067, -1, "UNIQUE constraint failed: t.b"},
		{"INSERT INTO t VALUES (1, 5)", nil, "", 1555, -1, "UNIQUE constraint failed: t.a"},
		{"SELECT ?", nil, "parameter", 0, -1, "the statement has 1 parameter, 0 values were given"},
		{"SELECT ?", []any{1, 2}, "parameter", 0, -1, "the statement has 1 parameter, 2 values were given"},
		{"SELECT 1; SELECT 2", nil, "multiple_statements", 0, -1, "exec()"},
		{"  ", nil, "empty_statement", 0, -1, "no statement"},
		{"SELECT 1\x00; DROP TABLE t", nil, "nul_in_sql", 0, -1, "NUL"},
	} {
		_, err := db.Query(c.sql, c.args...)
		var e *sqlite.Error
		require.ErrorAs(t, err, &e, c.sql)
		require.Equal(t, c.code, e.Code, c.sql)
		require.Equal(t, c.sqlite, e.SQLite, c.sql)
		require.Equal(t, c.offset, e.Offset, c.sql)
		require.Contains(t, e.Message, c.message)
	}
	var e *sqlite.Error
	require.ErrorAs(t, db.Exec("SELECT 1; SELECT oops"), &e)
	require.Equal(t, 17, e.Offset)
}

// I6: a commit that the server refuses fails its own statement with the real reason, and the next one works on the
// stored state.
func TestI6RefusedCommitReloads(t *testing.T) {
	f := newFixture(t, func(l *protocol.Limits) { l.ActorBytes = 200_000 })
	db := f.open("quota")
	exec(t, db, "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB); INSERT INTO t VALUES (1, 'first'); CREATE TEMP TABLE mine (x)")
	for range 3 {
		_, err := db.Query("INSERT INTO t (v) VALUES (zeroblob(300000))")
		var e *sqlite.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, string(protocol.CodeStorageQuotaExceeded), e.Code)
		require.Equal(t, [][]any{{int64(1), []byte(nil)}}[0][:1], query(t, db, "SELECT id FROM t")[0])
		require.Equal(t, [][]any{{int64(1)}}, query(t, db, "SELECT count(*) FROM t"))
		require.Equal(t, [][]any{{"ok"}}, query(t, db, "PRAGMA integrity_check"))
	}
	exec(t, db, "INSERT INTO t VALUES (2, 'second'); CREATE TABLE u (x); INSERT INTO mine VALUES (1)")
	f.close(db)
	db = f.open("quota")
	defer f.close(db)
	require.Equal(t, [][]any{{"first"}, {"second"}}, query(t, db, "SELECT v FROM t ORDER BY id"))
}

func TestTooLargeATransactionIsRolledBackCleanly(t *testing.T) {
	f := newFixture(t, func(l *protocol.Limits) { l.CommitBytes = 1 << 20 })
	db := f.open("large")
	defer f.close(db)
	exec(t, db, "CREATE TABLE t (v BLOB)")
	_, err := db.Query("INSERT INTO t VALUES (zeroblob(2000000))")
	var e *sqlite.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "payload_too_large", e.Code)
	require.Equal(t, [][]any{{int64(0)}}, query(t, db, "SELECT count(*) FROM t"))
	exec(t, db, "INSERT INTO t VALUES (zeroblob(200000))")
	require.Equal(t, [][]any{{"ok"}}, query(t, db, "PRAGMA integrity_check"))
}

// I1: the evicted holder learns of it, and neither reads what may be stale nor writes.
func TestI1TakenOverDatabaseFails(t *testing.T) {
	f := newFixture(t)
	old := f.open("taken")
	exec(t, old, "CREATE TABLE t (v); INSERT INTO t VALUES (1)")
	fresh := f.open("taken")
	defer f.close(fresh)
	_, err := old.Query("INSERT INTO t VALUES (2)")
	var e *sqlite.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, string(protocol.CodeLockLost), e.Code)
	_, err = old.Query("SELECT * FROM t")
	require.ErrorAs(t, err, &e)
	require.Equal(t, string(protocol.CodeLockLost), e.Code)
	require.Equal(t, [][]any{{int64(1)}}, query(t, fresh, "SELECT v FROM t"))
}

func TestShrinkAndRegrow(t *testing.T) {
	f := newFixture(t)
	db := f.open("vacuum")
	exec(t, db, "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)")
	for range 3 {
		exec(t, db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 300) INSERT INTO t (v) SELECT randomblob(3000) FROM n")
		exec(t, db, "DELETE FROM t WHERE id % 10")
		exec(t, db, "VACUUM")
		require.Equal(t, [][]any{{"ok"}}, query(t, db, "PRAGMA integrity_check"))
	}
	want := query(t, db, "SELECT * FROM t")
	f.close(db)
	db = f.open("vacuum", 0)
	defer f.close(db)
	require.Equal(t, want, query(t, db, "SELECT * FROM t"))
	require.Equal(t, [][]any{{"ok"}}, query(t, db, "PRAGMA integrity_check"))
}
