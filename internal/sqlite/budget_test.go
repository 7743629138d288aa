package sqlite_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/sqlite"
)

const mib = 1 << 20

// budget sets the budget for a test, which must leave nothing in it.
func budget(t *testing.T, bytes uint64) {
	t.Helper()
	require.Zero(t, sqlite.CurrentBudget().UsedBytes, "no database is open")
	sqlite.SetBudget(bytes)
	t.Cleanup(func() {
		sqlite.SetBudget(0)
		require.Zero(t, sqlite.CurrentBudget().UsedBytes, "every database is closed")
	})
}

// filled makes a database with so many bytes of rows, and opens it with nothing in its cache.
func (f *fixture) filled(actor string, bytes int) *sqlite.DB {
	f.t.Helper()
	db := f.open(actor)
	exec(f.t, db, "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)")
	query(f.t, db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO t SELECT i, zeroblob(1000) FROM n", bytes/1024)
	f.close(db)
	return f.open(actor, 0)
}

// readRows reads the rows of a filled database from one id to another, and returns what the server was asked for that.
func (f *fixture) readRows(db *sqlite.DB, from, to int) uint64 {
	f.t.Helper()
	before := f.requests()
	rows := query(f.t, db, "SELECT count(v), sum(length(v)) FROM t WHERE id BETWEEN ? AND ?", from, to)
	require.Equal(f.t, [][]any{{int64(to - from + 1), int64(1000 * (to - from + 1))}}, rows)
	return f.requests() - before
}

// within waits until no more than the limit is used: what was in use is given back a little later, as operations go on.
func within(t *testing.T, db *sqlite.DB, limit uint64) {
	t.Helper()
	require.Eventually(t, func() bool {
		exec(t, db, "BEGIN; COMMIT")
		return sqlite.CurrentBudget().UsedBytes <= limit
	}, 10*time.Second, time.Millisecond)
}

func TestBudgetIdleGiveBackFirst(t *testing.T) {
	budget(t, 4*mib)
	f := newFixture(t)
	idle, used, grows := f.filled("idle", mib), f.filled("used", mib), f.filled("grows", 2*mib)
	f.readRows(idle, 1, 1024)
	time.Sleep(1100 * time.Millisecond) // idle is who has done nothing for a second
	f.readRows(used, 1, 1024)
	require.Zero(t, f.readRows(used, 1, 1024), "it is cached")
	f.readRows(grows, 1, 2048)

	within(t, grows, 4*mib)
	require.NotZero(t, sqlite.CurrentBudget().GivenBackBytes)
	require.Zero(t, f.readRows(used, 1, 1024), "what is in use stays")
	require.Zero(t, f.readRows(grows, 1, 2048), "what is in use stays")
	require.NotZero(t, f.readRows(idle, 1, 1024), "the idle one has given back")
	for _, db := range []*sqlite.DB{idle, used, grows} {
		f.close(db)
	}
}

// A read transaction that is held between point reads does not keep pages that another database needs.
func TestBudgetTakesFromHeldReads(t *testing.T) {
	budget(t, 2*mib)
	f := newFixture(t)
	idle, grows := f.filled("idle", mib), f.filled("grows", 3*mib)
	f.readRows(idle, 1, 1024)
	held(t, idle)
	time.Sleep(1100 * time.Millisecond) // idle is who has done nothing for a second
	f.readRows(grows, 1, 3072)
	within(t, grows, 2*mib)
	require.False(t, idle.HoldsRead())
	require.NotZero(t, f.readRows(idle, 1, 1024), "it has given back")
	f.close(idle)
	f.close(grows)
}

func TestBudgetIsSharedFairly(t *testing.T) {
	budget(t, 4*mib)
	f := newFixture(t)
	small, large := f.filled("small", mib/4), f.filled("large", 8*mib)
	f.readRows(small, 1, 256)
	for from := 1; from < 8192; from += 512 {
		f.readRows(large, from, from+511)
		require.Zero(t, f.readRows(small, 1, 256), "less than a share stays")
		within(t, small, 4*mib)
	}
	require.Zero(t, f.readRows(large, 8000, 8192), "the pages used last stay")
	f.close(small)
	f.close(large)
}

func TestBudgetCountsStagedPages(t *testing.T) {
	budget(t, mib)
	f := newFixture(t)
	var dbs []*sqlite.DB
	for _, actor := range []string{"a", "b", "c"} {
		f.close(f.filled(actor, mib))
		db := f.open(actor) // with interior pages
		f.readRows(db, 1, 400)
		f.readRows(db, 401, 1024)
		dbs = append(dbs, db)
	}
	within(t, dbs[0], mib)
	for _, db := range dbs {
		f.readRows(db, 1, 1024)
		f.close(db)
	}
}

func TestBudgetUnderLoad(t *testing.T) {
	budget(t, mib/2)
	f := newFixture(t)
	var all sync.WaitGroup
	for i := range 6 {
		f.close(f.filled(fmt.Sprint(i), mib/4))
		all.Go(func() {
			for range 5 {
				db := f.open(fmt.Sprint(i), 0)
				for from := 1; from < 256; from += 64 {
					_, err := db.Query("UPDATE t SET v = zeroblob(1001) WHERE id BETWEEN ? AND ?", from, from+63)
					assert.NoError(t, err)
					r, err := db.Query("SELECT sum(length(v)) FROM t WHERE id BETWEEN ? AND ?", from, from+63)
					assert.NoError(t, err)
					assert.Equal(t, [][]any{{int64(64 * 1001)}}, r.Rows)
				}
				assert.NoError(t, db.Close(context.Background()))
			}
		})
	}
	all.Wait()
}

func TestBudgetLeavesTransactionsAlone(t *testing.T) {
	budget(t, mib)
	f := newFixture(t)
	db := f.filled("writer", 2*mib)
	exec(t, db, "BEGIN; UPDATE t SET v = zeroblob(999) WHERE id <= 1500")
	f.close(f.filled("other", mib))
	exec(t, db, "UPDATE t SET v = zeroblob(1000) WHERE id <= 1500; COMMIT")
	f.readRows(db, 1, 2048)
	require.Equal(t, [][]any{{"ok"}}, query(t, db, "PRAGMA integrity_check"))
	within(t, db, mib)
	require.Equal(t, [][]any{{int64(-16384)}}, query(t, db, "PRAGMA cache_size"), "the database's own limit is as it was")
	f.close(db)
}

// Memory that is given back amid a transaction is asked for again.
func TestBudgetTakesResidentPages(t *testing.T) {
	budget(t, 2*mib)
	f := newFixture(t)
	db := f.open("gives")
	defer f.close(db)
	exec(t, db, "CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, zeroblob(1500000)), (2, 'x')")
	epoch := begin(t, db)
	require.True(t, db.IsResident())
	other := f.filled("takes", 8*mib)
	defer f.close(other)
	f.readRows(other, 1, 8*1024)
	require.False(t, db.IsResident())
	r, err := ask(t, db, epoch, "UPDATE t SET v = 'y' WHERE id = 1")
	require.NoError(t, err)
	require.False(t, r.Inline, "its pages are gone")
	exec(t, db, "COMMIT")
	require.Equal(t, [][]any{{"ok"}}, query(t, db, "PRAGMA integrity_check"))
}
