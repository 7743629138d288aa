package sqlite_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/pages"
	"github.com/pagewire/pagewire/internal/protocol"
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

// late tells of a commit that was refused when the next page is asked for, and holds the page back until it has.
type late struct {
	pages.Remote
	refused chan func()
	armed   atomic.Bool
}

func (l *late) BeginCommit(ctx context.Context, c *protocol.Commit, data [][]byte, done func(*protocol.CommitResult, error)) {
	l.Remote.BeginCommit(ctx, c, data, func(r *protocol.CommitResult, err error) {
		if err == nil {
			done(r, nil)
			return
		}
		l.refused <- func() { done(nil, err) }
	})
}

func (l *late) Fetch(ctx context.Context, m *protocol.Fetch) (*protocol.FetchResult, error) {
	if l.armed.CompareAndSwap(true, false) {
		tell := <-l.refused
		tell()
	}
	return l.Remote.Fetch(ctx, m)
}

// A statement amid which an earlier commit is refused stands on what is not there: it is undone whole, its caller is told the
// reason, and the next one works (I6).
func TestI6StatementAmidWhichACommitIsRefusedIsUndone(t *testing.T) {
	f := newFixture(t, func(l *protocol.Limits) { l.ActorBytes = 4 << 20 })
	db := f.open("refused")
	exec(t, db, "CREATE TABLE t (v); INSERT INTO t VALUES ('kept'); CREATE TABLE cold (v)")
	exec(t, db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO cold SELECT randomblob(4000) FROM n")
	f.close(db)
	l := &late{refused: make(chan func(), 1)}
	db = f.openAs(f.ch, "refused", nil, func(r pages.Remote) pages.Remote { l.Remote = r; return l })
	defer f.close(db)
	query(t, db, "SELECT count(*) FROM t")

	l.armed.Store(true)
	told := []chan error{make(chan error, 1), make(chan error, 1)}
	for i, sql := range []string{"INSERT INTO t VALUES (zeroblob(3000000))", "INSERT INTO t SELECT v FROM cold LIMIT 1 OFFSET 400"} {
		call := sqlite.Call{Statements: []sqlite.Statement{{SQL: sql}}, NoInline: true}
		_, err := db.Submit(call, func(_ *sqlite.Result, err error) { told[i] <- err })
		require.NoError(t, err)
	}
	for _, outcome := range told {
		var e *sqlite.Error
		require.ErrorAs(t, <-outcome, &e)
		require.Equal(t, "storage_quota_exceeded", e.Code)
	}
	require.Equal(t, [][]any{{"kept"}}, query(t, db, "SELECT v FROM t"))
	exec(t, db, "INSERT INTO t VALUES ('next')")
	require.Equal(t, [][]any{{int64(2)}}, query(t, db, "SELECT count(*) FROM t"))
	require.Equal(t, [][]any{{"ok"}}, query(t, db, "PRAGMA integrity_check"))
}
