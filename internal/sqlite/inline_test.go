package sqlite_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	sqlite3 "github.com/mattn/go-sqlite3"
	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/sqlite"
)

// ask runs one statement as the JavaScript side does, in the transaction that epoch stands for unless it is 0.
func ask(t testing.TB, db *sqlite.DB, epoch uint32, sql string, args ...any) (*sqlite.Result, error) {
	t.Helper()
	type answer struct {
		result *sqlite.Result
		err    error
	}
	answered := make(chan answer, 1)
	_, err := db.Submit(sqlite.Call{Epoch: epoch, Statements: []sqlite.Statement{{SQL: sql, Args: args}}},
		func(r *sqlite.Result, err error) { answered <- answer{r, err} })
	require.NoError(t, err)
	a := <-answered
	return a.result, a.err
}

// inTransaction tells whether stock SQLite has one open.
func (s *stock) inTransaction() bool {
	open := false
	require.NoError(s.t, s.conn.Raw(func(c any) error {
		open = !c.(*sqlite3.SQLiteConn).AutoCommit()
		return nil
	}))
	return open
}

func TestInlineWrites(t *testing.T) {
	f := newFixture(t)
	db := f.open("inline")
	defer f.close(db)
	exec(t, db, "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, k TEXT UNIQUE, n INT)")
	exec(t, db, "CREATE INDEX t_n ON t (n)")
	exec(t, db, "CREATE TABLE log (what)")
	exec(t, db, "CREATE TABLE watched (v)")
	exec(t, db, "CREATE TRIGGER w AFTER INSERT ON watched BEGIN INSERT INTO log VALUES (new.v); END")
	exec(t, db, "CREATE VIRTUAL TABLE words USING fts5 (w)")
	exec(t, db, "INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 1)")
	r, err := ask(t, db, 0, "INSERT INTO t (k) VALUES ('outside')")
	require.NoError(t, err)
	require.False(t, r.Inline, "its commit is a worker's matter")
	r, err = ask(t, db, 0, "BEGIN IMMEDIATE")
	require.NoError(t, err)
	epoch := r.Epoch
	for _, c := range []struct {
		sql    string
		inline bool
	}{
		{"INSERT INTO t (k, n) VALUES ('c', 2)", true},
		{"INSERT INTO t (k, n) VALUES ('d', 2) RETURNING id", true},
		{"INSERT INTO t (k) VALUES ('d') ON CONFLICT (k) DO UPDATE SET n = 3", true},
		{"REPLACE INTO t (k, n) VALUES ('d', 4)", true},
		{"UPDATE t SET n = 9 WHERE id = 1", true},
		{"UPDATE t SET n = 8 WHERE k = 'a'", true},
		{"UPDATE t SET n = 7 WHERE id IN (1, 2)", true},
		{"DELETE FROM t WHERE id = 2", true},
		{"UPDATE t SET k = k || n WHERE n = 8", false}, // as many as there are
		{"UPDATE t SET n = n + 1", false},
		{"DELETE FROM t WHERE n > 100", false},
		{"DELETE FROM log", false},
		{"INSERT INTO t (k) SELECT 'x' || id FROM t", false},
		{"INSERT INTO watched VALUES (1)", false}, // has a trigger
		{"CREATE TABLE u (v)", false},
		{"INSERT INTO t (k) VALUES ('after DDL')", false}, // what is not known may have been a virtual table
	} {
		r, err := ask(t, db, epoch, c.sql)
		require.NoError(t, err, c.sql)
		require.Equal(t, c.inline, r.Inline, c.sql)
	}
	_, err = ask(t, db, epoch, "COMMIT")
	require.NoError(t, err)
	_, err = ask(t, db, 0, "BEGIN IMMEDIATE")
	require.NoError(t, err)
	for i, want := range []bool{true, false, false} {
		r, err = ask(t, db, epoch, "INSERT INTO t (k) VALUES (?)", fmt.Sprint("k", i))
		require.NoError(t, err)
		require.Equal(t, want, r.Inline)
		_, err = ask(t, db, epoch, "INSERT INTO words VALUES ('hello')") // has a savepoint of its own kind
		require.NoError(t, err)
	}
	large, err := ask(t, db, epoch, "INSERT INTO t (k) VALUES (?)", strings.Repeat("x", 1<<20))
	require.NoError(t, err)
	require.False(t, large.Inline)
	// The transaction ends with what rolls it back, and says so from then on.
	_, err = ask(t, db, epoch, "INSERT OR ROLLBACK INTO t (id, k) VALUES (1, 'again')")
	require.ErrorContains(t, err, "UNIQUE constraint failed")
	_, err = ask(t, db, epoch, "INSERT INTO t (k) VALUES ('z')")
	require.ErrorContains(t, err, "transaction_lost")
	require.Equal(t, [][]any{{"ok"}}, query(t, db, "PRAGMA integrity_check"))
}

// Writes that miss a page amid their work, and are run again on a worker, leave the file that stock SQLite makes (I3).
func TestInlineWritesThatMiss(t *testing.T) {
	f := newFixture(t)
	theirs := &stock{t: t, path: filepath.Join(t.TempDir(), "stock.db")}
	theirs.open()
	db := f.open("miss")
	both := func(epoch uint32, sql string, args ...any) *sqlite.Result {
		want, wantErr := theirs.query(sql, args)
		got, gotErr := ask(t, db, epoch, sql, args...)
		require.Equal(t, code(wantErr), code(gotErr), sql)
		if gotErr != nil {
			return nil
		}
		require.Equal(t, want, got.Rows, sql)
		return got
	}
	both(0, "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, k TEXT, u INT UNIQUE, v BLOB)")
	both(0, "CREATE INDEX t_k ON t (k)")
	both(0, "CREATE TABLE w (k INT PRIMARY KEY, v) WITHOUT ROWID")
	both(0, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 3000) "+
		"INSERT INTO t (k, u, v) SELECT (i * 7919) % 3001, i * 2, zeroblob(i % 300) FROM n")
	both(0, "INSERT INTO w SELECT id * 2, k FROM t")
	r := rand.New(rand.NewPCG(1, 2))
	inline, missed, resident := 0, 0, 0
	for range 200 {
		theirs.close()
		f.close(db)
		theirs.open()
		db = f.open("miss", uint64(r.IntN(30))*4096)
		if r.IntN(4) == 0 {
			both(0, "VACUUM") // no free pages, which nobody reads
			query(t, db, "SELECT count(*), (SELECT max(v) FROM t), (SELECT max(v) FROM w) FROM dbstat")
		}
		epoch := both(0, "BEGIN IMMEDIATE").Epoch
		for range 1 + r.IntN(12) {
			sql, args := randomWrite(r)
			got := both(epoch, sql, args...)
			if got != nil && got.Inline && db.IsResident() {
				resident++
			} else if got != nil && got.Inline {
				inline++
			} else if got != nil {
				missed++
			}
			both(epoch, "SELECT last_insert_rowid(), changes()")
		}
		both(epoch, []string{"COMMIT", "COMMIT", "COMMIT", "ROLLBACK"}[r.IntN(4)])
		file, err := os.ReadFile(theirs.path)
		require.NoError(t, err)
		sameFile(t, file, stored(t, f.store, "default/miss"), "the transaction")
	}
	t.Logf("%d writes ran inline, %d without a savepoint, %d were run again", inline, resident, missed)
	require.Greater(t, inline, 100)
	require.Greater(t, missed, 100)
	require.Greater(t, resident, 100)
	require.Equal(t, [][]any{{"ok"}}, query(t, db, "PRAGMA integrity_check"))
	theirs.close()
	f.close(db)
}

func randomWrite(r *rand.Rand) (string, []any) {
	id := 1 + r.IntN(3200)
	blob := make([]byte, []int{0, 10, 400, 4000, 9000}[r.IntN(5)])
	switch r.IntN(8) {
	case 0:
		return "DELETE FROM t WHERE id = ?", []any{id}
	case 1:
		return "UPDATE t SET k = ?, v = ? WHERE id = ?", []any{fmt.Sprint(r.IntN(5000)), blob, id}
	case 2:
		return "UPDATE OR REPLACE t SET u = ? WHERE u = ? RETURNING id", []any{id, id + r.IntN(3)}
	case 3:
		return "REPLACE INTO t (id, k, u, v) VALUES (?, ?, ?, ?)", []any{id, "new", r.IntN(7000), blob}
	case 4:
		return "INSERT INTO w VALUES (?, ?) ON CONFLICT DO UPDATE SET v = v || 'again'", []any{id, blob}
	case 5:
		return "DELETE FROM w WHERE k = ?", []any{id}
	default:
		return "INSERT INTO t (k, u, v) VALUES (?, ?, ?)", []any{fmt.Sprint(r.IntN(5000)), 10_000 + r.IntN(3000), blob}
	}
}
