package sqlite_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/pages"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/sqlite"
	"github.com/pagewire/pagewire/internal/store"
	"github.com/pagewire/pagewire/internal/store/memory"
)

// stalled is a store whose writes wait until goOn is closed.
type stalled struct {
	store.Store
	goOn chan struct{}
}

func (s *stalled) Apply(ctx context.Context, actor string, b *store.Batch) (store.Head, error) {
	<-s.goOn
	return s.Store.Apply(ctx, actor, b)
}

// What is handed over while the server does not answer is bounded: behind 64 MiB of unacknowledged pages nothing is run until
// something is acknowledged, and all of it then.
func TestUnacknowledgedPagesAreBounded(t *testing.T) {
	st := &stalled{Store: memory.New(), goOn: make(chan struct{})}
	f := newFixtureOn(t, st)
	db := f.open("stalled")
	defer f.close(db)

	const transactions, pages = 5, 10_000
	script := `CREATE TABLE IF NOT EXISTS t (b BLOB); BEGIN;
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) INSERT INTO t SELECT zeroblob(4000) FROM n; COMMIT`
	results := make(chan error, transactions)
	for range transactions {
		_, err := db.Submit(sqlite.Call{Script: script}, func(_ *sqlite.Result, err error) { results <- err })
		require.NoError(t, err)
	}
	pending := func() uint64 { return db.PagesMetrics().PendingBytes / 4096 }
	require.Eventually(t, func() bool { return pending() >= 2*pages }, time.Minute, time.Millisecond)
	require.Never(t, func() bool { return pending() >= 3*pages }, 300*time.Millisecond, 5*time.Millisecond)
	close(st.goOn)
	for range transactions {
		require.NoError(t, <-results)
	}
	require.Equal(t, [][]any{{int64(transactions * pages)}}, query(t, db, "SELECT count(*) FROM t"))
}

// ending calls then once a commit has been handed over, on the thread whose statement it is.
type ending struct {
	pages.Remote
	then func()
}

func (e *ending) BeginCommit(ctx context.Context, c *protocol.Commit, data [][]byte, done func(*protocol.CommitResult, error)) {
	e.Remote.BeginCommit(ctx, c, data, done)
	e.then()
}

// A write that is cancelled when its commit is handed over and its statement has not ended is told so at once, and not only
// when the commit is answered.
func TestI4WriteIsGivenUpBetweenItsCommitAndItsEnd(t *testing.T) {
	st := &stalled{Store: memory.New(), goOn: make(chan struct{})}
	f := newFixtureOn(t, st)
	submitted := make(chan *sqlite.Submitted, 1)
	db := f.openAs(f.ch, "given-up", nil, func(r pages.Remote) pages.Remote {
		return &ending{Remote: r, then: func() { (<-submitted).Cancel("aborted") }}
	})
	defer f.close(db)

	told := make(chan error, 1)
	s, err := db.Submit(sqlite.Call{Script: "CREATE TABLE t (a)"}, func(_ *sqlite.Result, err error) { told <- err })
	require.NoError(t, err)
	submitted <- s
	require.ErrorContains(t, <-told, "may still become durable")
	close(st.goOn)
	require.Equal(t, [][]any{{int64(1)}}, query(t, db, "SELECT count(*) FROM sqlite_schema"))
}

// Nobody is told of anything that could still vanish: neither the writer nor a reader behind it, in a queue or on its own
// thread, before the commit is stored (I5).
func TestI5NothingIsToldBeforeItIsDurable(t *testing.T) {
	st := &stalled{Store: memory.New(), goOn: make(chan struct{})}
	f := newFixtureOn(t, st)
	db := f.open("gated")
	defer f.close(db)

	told := make(chan error, 3)
	tell := func(_ *sqlite.Result, err error) { told <- err }
	_, err := db.Submit(sqlite.Call{Script: "CREATE TABLE t (a); INSERT INTO t VALUES (1)"}, tell)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return db.PagesMetrics().PendingBatches > 0 }, time.Minute, time.Millisecond)
	_, err = db.Submit(sqlite.Call{Statements: []sqlite.Statement{{SQL: "SELECT count(*) FROM sqlite_schema"}}}, tell)
	require.NoError(t, err)
	go func() {
		_, err := db.Query("SELECT count(*) FROM sqlite_schema")
		told <- err
	}()
	require.Never(t, func() bool { return len(told) > 0 }, 200*time.Millisecond, time.Millisecond)
	close(st.goOn)
	for range 3 {
		require.NoError(t, <-told)
	}
}
