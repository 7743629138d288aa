package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/sqlite"
)

// feeding submits a batch of n INSERTs, of which those behind the first come one by one, each after a call of feed,
// and returns how it ended.
func feeding(t *testing.T, db *sqlite.DB, n int, feed func(given int) error) error {
	t.Helper()
	statements := make([]sqlite.Statement, n)
	for i := range statements {
		statements[i] = sqlite.Statement{SQL: "INSERT INTO t VALUES (?, ?)", Args: []any{i, fmt.Sprint("row ", i)}}
	}
	given := 0
	told := make(chan error, 1)
	call := sqlite.Call{Statements: statements, Feed: func() error { given++; return feed(given) }}
	_, err := db.Submit(call, func(_ *sqlite.Result, err error) { told <- err })
	require.NoError(t, err)
	return <-told
}

// ran waits until so many statements of t have been run.
func ran(t *testing.T, db *sqlite.DB, before uint64, n int) {
	t.Helper()
	done := func() bool { return db.RanStatements() >= before+uint64(n) }
	require.Eventually(t, done, time.Minute, 50*time.Microsecond)
}

func withTable(t *testing.T) (*fixture, *sqlite.DB) {
	f := newFixture(t)
	db := f.open("fed")
	exec(t, db, "CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
	return f, db
}

func TestBatchRunsWhileItIsGivenItsItems(t *testing.T) {
	f, db := withTable(t)
	defer f.close(db)
	for _, waits := range []bool{true, false} {
		exec(t, db, "DELETE FROM t")
		before := db.RanStatements()
		const n = 500
		err := feeding(t, db, n, func(given int) error {
			if waits {
				ran(t, db, before, given) // the last of them before the next is there
			}
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, [][]any{{int64(n), "row 499"}}, query(t, db, "SELECT count(*), max(v) FILTER (WHERE id = 499) FROM t"))
	}
}

// A batch that is given up when some of its statements have run leaves nothing (I3), and the next one finds all in order.
func TestI3BatchGivenUpAmidItsItems(t *testing.T) {
	f, db := withTable(t)
	defer f.close(db)
	before := db.RanStatements()
	err := feeding(t, db, 10, func(given int) error {
		if given < 5 {
			return nil
		}
		ran(t, db, before, 5)
		return errors.New("the sixth cannot be packed")
	})
	require.ErrorContains(t, err, "the sixth cannot be packed")
	require.Equal(t, [][]any{{int64(0)}}, query(t, db, "SELECT count(*) FROM t"))
	require.NoError(t, feeding(t, db, 10, func(int) error { return nil }))
	require.Equal(t, [][]any{{int64(10)}}, query(t, db, "SELECT count(*) FROM t"))
}

// A batch that is given up at any moment undoes itself alone, and not the transaction that it is in.
func TestI3FedBatchInATransaction(t *testing.T) {
	f, db := withTable(t)
	defer f.close(db)
	exec(t, db, "BEGIN; INSERT INTO t VALUES (100, 'before')")
	for i := range 200 {
		before := db.RanStatements()
		err := feeding(t, db, 10, func(given int) error {
			switch {
			case i%2 == 0:
				ran(t, db, before, given) // it waits for the next
			case given < i%10:
				return nil
			}
			return errors.New("no more")
		})
		require.ErrorContains(t, err, "no more")
	}
	require.NoError(t, feeding(t, db, 3, func(int) error { return nil }))
	exec(t, db, "COMMIT")
	require.Equal(t, [][]any{{int64(4)}}, query(t, db, "SELECT count(*) FROM t"))
}

// Nor does it when it is given up while a statement writes, which to interrupt would roll back the transaction.
func TestI3FedBatchIsNotInterrupted(t *testing.T) {
	f, db := withTable(t)
	defer f.close(db)
	exec(t, db, "BEGIN; INSERT INTO t VALUES (-1, 'before')")
	before := db.RanStatements()
	told := make(chan error, 1)
	call := sqlite.Call{
		Statements: []sqlite.Statement{
			{SQL: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) INSERT INTO t SELECT i, 'row' FROM n"},
			{SQL: "SELECT 1"},
		},
		Feed: func() error { ran(t, db, before, 1); return errors.New("no more") },
	}
	_, err := db.Submit(call, func(_ *sqlite.Result, err error) { told <- err })
	require.NoError(t, err)
	require.ErrorContains(t, <-told, "no more")
	exec(t, db, "COMMIT")
	require.Equal(t, [][]any{{int64(1)}}, query(t, db, "SELECT count(*) FROM t"))
}

// A statement that fails ends the batch, though its submitter has more.
func TestFedBatchFailsBeforeItsEnd(t *testing.T) {
	f, db := withTable(t)
	defer f.close(db)
	exec(t, db, "INSERT INTO t VALUES (3, 'there already')")
	for range 50 {
		err := feeding(t, db, 300, func(int) error { return nil })
		require.ErrorContains(t, err, "batch statement 4: UNIQUE constraint failed")
	}
	require.Equal(t, [][]any{{int64(1)}}, query(t, db, "SELECT count(*) FROM t"))
}

// The environment of the submitter ends, which gives no more.
func TestDatabaseIsAbandonedWhileABatchWaitsForItems(t *testing.T) {
	f, db := withTable(t)
	before := db.RanStatements()
	err := feeding(t, db, 10, func(given int) error {
		if given == 1 {
			ran(t, db, before, 1)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			require.NoError(t, db.Abandon(ctx))
		}
		return nil
	})
	require.ErrorContains(t, err, "the database was closed")
	again := f.open("fed")
	defer f.close(again)
	require.Equal(t, [][]any{{int64(0)}}, query(t, again, "SELECT count(*) FROM t"))
}
