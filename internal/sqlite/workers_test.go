package sqlite_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/pages"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/sqlite"
)

// meeting holds fetches back, once it is called, until all databases wait for one.
type meeting struct {
	pages.Remote
	called *atomic.Bool
	all    *sync.WaitGroup
}

func (m meeting) Fetch(ctx context.Context, f *protocol.Fetch) (*protocol.FetchResult, error) {
	if !m.called.Load() {
		return m.Remote.Fetch(ctx, f)
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	m.all.Done()
	met := make(chan struct{})
	go func() { m.all.Wait(); close(met) }()
	select {
	case <-met:
		return m.Remote.Fetch(ctx, f)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// One worker is called at a time, and each may wait for a page, so each has to call the next: what is queued must not wait
// for a fetch of another database.
func TestADatabaseDoesNotWaitForAnothersFetch(t *testing.T) {
	const databases = 40
	f := newFixture(t)
	for i := range databases {
		db := f.open(fmt.Sprint("db", i))
		exec(t, db, "CREATE TABLE t (a); INSERT INTO t VALUES (1)")
		f.close(db)
	}
	var called atomic.Bool
	var all sync.WaitGroup
	all.Add(databases)
	told := make(chan error, databases)
	dbs := make([]*sqlite.DB, databases)
	for i := range dbs {
		dbs[i] = f.openAs(f.ch, fmt.Sprint("db", i), nil, func(r pages.Remote) pages.Remote { return meeting{r, &called, &all} })
	}
	called.Store(true)
	for _, db := range dbs {
		call := sqlite.Call{Statements: []sqlite.Statement{{SQL: "SELECT a FROM t"}}}
		_, err := db.Submit(call, func(_ *sqlite.Result, err error) { told <- err })
		require.NoError(t, err)
	}
	for range dbs {
		require.NoError(t, <-told)
	}
	for _, db := range dbs {
		f.close(db)
	}
}
