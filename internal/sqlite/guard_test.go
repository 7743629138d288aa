package sqlite_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/sqlite"
)

// I7: nothing reached through SQL touches the local disk; each refusal says why.
func TestI7SQLReachesNoFile(t *testing.T) {
	t.Chdir(t.TempDir())
	f := newFixture(t)
	db := f.open("guard")
	defer f.close(db)
	exec(t, db, "CREATE TABLE t (v); INSERT INTO t VALUES (1)")
	for _, c := range []struct{ sql, code string }{
		{"ATTACH 'other.db' AS other", "not_allowed"},
		{"ATTACH '' AS other", "not_allowed"},
		{"ATTACH ':memory:' AS other", "not_allowed"},
		{"ATTACH 'file:other.db?mode=rwc' AS other", "not_allowed"},
		{"ATTACH 'file:other.db?vfs=unix' AS other", "not_allowed"},
		{"ATTACH 'pw1' AS other", "not_allowed"},
		{"VACUUM INTO 'copy.db'", "not_allowed"},
		{"VACUUM INTO 'file:copy.db?vfs=unix'", "not_allowed"},
		{"SELECT load_extension('x.so')", ""}, // the function does not exist
		{"PRAGMA journal_mode=DELETE", "not_allowed"},
		{"PRAGMA main.journal_mode=WAL", "not_allowed"},
		{"PRAGMA synchronous=OFF", "not_allowed"},
		{"PRAGMA locking_mode=NORMAL", "not_allowed"},
		{"PRAGMA cache_spill=ON", "not_allowed"},
		{"PRAGMA temp_store=FILE", "not_allowed"},
		{"PRAGMA temp_store_directory='/tmp'", "not_allowed"},
		{"PRAGMA page_size=8192", "not_allowed"},
		{"PRAGMA mmap_size=1000000", "not_allowed"},
		{"PRAGMA hard_heap_limit=1000", "not_allowed"},
		{"UPDATE sqlite_schema SET sql = 'x'", ""}, // defensive
	} {
		err := db.Exec(c.sql)
		var e *sqlite.Error
		require.ErrorAs(t, err, &e, c.sql)
		require.Equal(t, c.code, e.Code, c.sql)
		require.NotEmpty(t, e.Message)
	}
	for pragma, want := range map[string]any{
		"journal_mode": "memory", "synchronous": int64(1), "locking_mode": "exclusive", "temp_store": int64(2),
		"cache_spill": int64(0), "page_size": int64(4096), "foreign_keys": int64(1),
	} {
		require.Equal(t, [][]any{{want}}, query(t, db, "PRAGMA "+pragma), pragma)
	}
	exec(t, db, "PRAGMA journal_mode=MEMORY; PRAGMA synchronous=NORMAL; VACUUM") // what is in force may be said
	exec(t, db, "CREATE TEMP TABLE big AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 20000) SELECT i, hex(i) AS h FROM n")
	require.Len(t, query(t, db, "SELECT h FROM big ORDER BY h DESC LIMIT 3"), 3)
	require.Equal(t, [][]any{{int64(1)}}, query(t, db, "SELECT v FROM t"))
	entries, err := readDir(".")
	require.NoError(t, err)
	require.Empty(t, entries, "files appeared")
}

func TestSQLiteHasWhatUsersExpect(t *testing.T) {
	f := newFixture(t)
	db := f.open("features")
	defer f.close(db)
	exec(t, db, "CREATE VIRTUAL TABLE docs USING fts5 (body); INSERT INTO docs VALUES ('the quick brown fox')")
	require.Len(t, query(t, db, "SELECT * FROM docs WHERE docs MATCH 'quick'"), 1)
	exec(t, db, "CREATE VIRTUAL TABLE boxes USING rtree (id, a, b); INSERT INTO boxes VALUES (1, 0, 10)")
	require.Len(t, query(t, db, "SELECT id FROM boxes WHERE a <= 5 AND b >= 5"), 1)
	require.Equal(t, [][]any{{int64(2), 2.0}}, query(t, db, "SELECT json_extract('{\"a\":[1,2]}', '$.a[1]'), sqrt(4)"))
	require.NotEmpty(t, query(t, db, "SELECT name FROM dbstat LIMIT 1"))
	exec(t, db, "ANALYZE")
	options := query(t, db, "SELECT compile_options FROM pragma_compile_options")
	for _, want := range []string{
		"ENABLE_STAT4", "ENABLE_COLUMN_METADATA", "ENABLE_FTS5", "ENABLE_RTREE", "ENABLE_MATH_FUNCTIONS", "DQS=0",
		"TEMP_STORE=3", "OMIT_LOAD_EXTENSION",
	} {
		require.Contains(t, options, []any{want})
	}
	_, err := db.Query(`SELECT "no such column"`)
	require.Error(t, err, "double quotes are for names")
}
