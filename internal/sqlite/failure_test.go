package sqlite_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/sqlite"
	"github.com/pagewire/pagewire/internal/store"
	"github.com/pagewire/pagewire/internal/store/memory"
)

// failing is a store that fails reads, or reports an applied batch as failed, when told to.
type failing struct {
	store.Store
	gets, applied atomic.Bool
}

var errFailing = errors.New("the disk is gone")

func (s *failing) Get(ctx context.Context, actor string, keys [][]byte) ([][]byte, error) {
	if s.gets.Load() {
		return nil, errFailing
	}
	return s.Store.Get(ctx, actor, keys)
}

func (s *failing) Read(ctx context.Context, actor string, keys [][]byte, fn func(i int, value []byte)) error {
	if s.gets.Load() {
		return errFailing
	}
	return s.Store.Read(ctx, actor, keys, fn)
}

func (s *failing) Apply(ctx context.Context, actor string, b *store.Batch) (store.Head, error) {
	head, err := s.Store.Apply(ctx, actor, b)
	if err == nil && s.applied.Load() {
		return store.Head{}, errFailing
	}
	return head, err
}

// A page that cannot be fetched is no damage: SQLite would make a row of the error (I9).
func TestIntegrityCheckFailsWithTheFetch(t *testing.T) {
	st := &failing{Store: memory.New()}
	f := newFixtureOn(t, st)
	db := f.open("unread")
	exec(t, db, "CREATE TABLE t (v); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 9000) INSERT INTO t SELECT hex(randomblob(500)) FROM n")
	f.close(db)
	db = f.open("unread", 8192)
	defer f.close(db)
	query(t, db, "SELECT count(*) FROM sqlite_schema")
	st.gets.Store(true)
	_, err := db.Query("PRAGMA integrity_check")
	var e *sqlite.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "internal_error", e.Code)
	st.gets.Store(false)
	require.Equal(t, [][]any{{"ok"}}, query(t, db, "PRAGMA integrity_check"))
}

// A server that failed at a commit does not know whether the store has applied it: nobody may be told that it has not (I4).
func TestI4CommitThatTheServerFailedAtIsIndeterminate(t *testing.T) {
	st := &failing{Store: memory.New()}
	f := newFixtureOn(t, st)
	db := f.open("indeterminate")
	defer f.close(db)
	exec(t, db, "CREATE TABLE t (v)")
	st.applied.Store(true)
	_, err := db.Query("INSERT INTO t VALUES (1)")
	var e *sqlite.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "commit_indeterminate", e.Code)
	st.applied.Store(false)
	require.Equal(t, [][]any{{int64(1)}}, query(t, db, "SELECT v FROM t"), "it was applied, and the database has reloaded")
}
