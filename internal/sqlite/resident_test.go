package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/pages"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/sqlite"
)

// begin begins a transaction, and returns what its statements bear.
func begin(t testing.TB, db *sqlite.DB) uint32 {
	t.Helper()
	r, err := ask(t, db, 0, "BEGIN IMMEDIATE")
	require.NoError(t, err)
	return r.Epoch
}

// write runs a short write of a transaction, which is done at once.
func write(t testing.TB, db *sqlite.DB, epoch uint32, sql string, args ...any) {
	t.Helper()
	r, err := ask(t, db, epoch, sql, args...)
	require.NoError(t, err, sql)
	require.True(t, r.Inline, sql)
}

// readAll reads every page: those of B-trees, and those that table t's large values of column v overflow to.
func readAll(t testing.TB, db *sqlite.DB) {
	t.Helper()
	query(t, db, "SELECT max(v) FROM t NOT INDEXED")
	require.Equal(t, query(t, db, "PRAGMA page_count"), query(t, db, "SELECT count(*) FROM dbstat"))
}

// What the engine takes for the number of cached pages is their number.
func TestResidentPagesAreCounted(t *testing.T) {
	f := newFixture(t)
	db := f.open("counted")
	require.EqualValues(t, 1, db.ResidentPages(), "of an empty file, too, SQLite makes one")
	exec(t, db, "CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE INDEX i ON t (length(v))")
	for range 6 {
		exec(t, db, "INSERT INTO t (v) VALUES (1), (zeroblob(40000)); INSERT INTO t (v) SELECT v FROM t")
		require.EqualValues(t, query(t, db, "PRAGMA page_count")[0][0], db.ResidentPages())
	}
	count := db.ResidentPages()
	require.Greater(t, count, uint64(1000))
	f.close(db)
	db = f.open("counted", 0)
	defer f.close(db)
	require.LessOrEqual(t, db.ResidentPages(), uint64(2))
	query(t, db, "SELECT count(*) FROM t NOT INDEXED")
	part := db.ResidentPages()
	require.Less(t, part, count)
	readAll(t, db)
	require.Equal(t, count, db.ResidentPages())
	exec(t, db, "CREATE TEMP TABLE mine (a); INSERT INTO mine VALUES (1)")
	require.Zero(t, db.ResidentPages(), "those of temporary tables are not told from them")
}

// A transaction's writes do without a savepoint while every page is cached, and no longer.
func TestResidentWrites(t *testing.T) {
	f := newFixture(t)
	db := f.open("resident")
	exec(t, db, "CREATE TABLE t (id INTEGER PRIMARY KEY, k UNIQUE, v); INSERT INTO t VALUES (1, 1, zeroblob(300000))")
	epoch := begin(t, db)
	for range 100 {
		write(t, db, epoch, "INSERT INTO t (k, v) VALUES (random(), 'x')")
		require.True(t, db.IsResident())
	}
	_, err := ask(t, db, epoch, "INSERT INTO t (k) VALUES (1)")
	require.ErrorContains(t, err, "UNIQUE constraint failed")
	require.Equal(t, [][]any{{int64(101)}}, query(t, db, "SELECT count(*) FROM t"))
	require.True(t, db.IsResident())
	for _, pragma := range []string{"PRAGMA shrink_memory", "PRAGMA cache_size=10"} { // the last one for good
		_, err = ask(t, db, epoch, pragma)
		require.NoError(t, err)
		require.False(t, db.IsResident(), pragma)
		for _, sql := range []string{"INSERT INTO t (k, v) VALUES (random(), 'y')", "COMMIT"} {
			_, err = ask(t, db, epoch, sql)
			require.NoError(t, err)
		}
		readAll(t, db)
		epoch = begin(t, db)
	}
	require.False(t, db.IsResident(), "the cache has another size")
	f.close(db)

	db = f.open("resident", 0)
	begin(t, db)
	require.False(t, db.IsResident(), "it is cold")
	exec(t, db, "ROLLBACK")
	readAll(t, db)
	epoch = begin(t, db)
	require.True(t, db.IsResident())
	_, err = ask(t, db, epoch, "INSERT INTO t (v) VALUES (zeroblob(20000000))")
	require.NoError(t, err)
	write(t, db, epoch, "INSERT INTO t (k, v) VALUES (random(), 'z')")
	require.False(t, db.IsResident(), "the cache is full")
	exec(t, db, "ROLLBACK")
	require.Equal(t, [][]any{{int64(103), "ok"}}, query(t, db, "SELECT count(*), (SELECT * FROM pragma_integrity_check) FROM t"))
	f.close(db)
}

// cut is a server that answers no fetch while an error is set.
type cut struct {
	pages.Remote
	err error
}

func (c *cut) Fetch(ctx context.Context, req *protocol.Fetch) (*protocol.FetchResult, error) {
	if c.err != nil {
		return nil, c.err
	}
	return c.Remote.Fetch(ctx, req)
}

// A page that was taken for cached and is not is fetched; where that fails, the transaction is undone as a whole (I6).
func TestResidentByMistake(t *testing.T) {
	f := newFixture(t)
	db := f.open("mistaken")
	exec(t, db, "CREATE TABLE t (id INTEGER PRIMARY KEY, k TEXT UNIQUE, v)")
	query(t, db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO t SELECT i, i * 7919 % 5003 || 'k', zeroblob(100) FROM n")
	f.close(db)

	remote := &cut{}
	none := uint64(0)
	db = f.openAs(f.ch, "mistaken", &protocol.Preload{Pages: true, Budget: &none}, func(r pages.Remote) pages.Remote {
		remote.Remote = r
		return remote
	})
	defer f.close(db)
	epoch := begin(t, db)
	db.BelieveResident()
	before := f.requests()
	for i := range 20 {
		write(t, db, epoch, "INSERT INTO t (k) VALUES (?)", fmt.Sprint(i*250, "new"))
		write(t, db, epoch, "DELETE FROM t WHERE id = ?", 1+i*250)
	}
	require.Greater(t, f.requests(), before)
	exec(t, db, "COMMIT")
	require.Equal(t, [][]any{{"ok", int64(5000)}}, query(t, db, "SELECT (SELECT * FROM pragma_integrity_check), count(*) FROM t"))
	exec(t, db, "PRAGMA shrink_memory")

	epoch = begin(t, db)
	db.BelieveResident()
	write(t, db, epoch, "INSERT INTO t (k) VALUES ('kept?')")
	exec(t, db, "PRAGMA shrink_memory") // a script, so not of the transaction
	db.BelieveResident()
	remote.err = errors.New("the cable is cut")
	_, err := ask(t, db, epoch, "INSERT INTO t (id, k) VALUES (3, 'cut')")
	require.ErrorContains(t, err, "the cable is cut")
	remote.err = nil
	_, err = ask(t, db, epoch, "INSERT INTO t (k) VALUES ('too late')")
	require.ErrorContains(t, err, "transaction_lost")
	require.Equal(t, [][]any{{"ok", int64(5000)}}, query(t, db, "SELECT (SELECT * FROM pragma_integrity_check), count(*) FROM t"))
}
