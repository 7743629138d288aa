package sqlite_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/pages"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/sqlite"
)

// counting notes how many transactions each commit holds. The first one that follows open lets its thread go on only when
// goOn is closed.
type counting struct {
	pages.Remote
	goOn  chan struct{}
	first sync.Once

	mu     sync.Mutex
	counts []uint64
}

func (c *counting) BeginCommit(ctx context.Context, commit *protocol.Commit, data [][]byte, done func(*protocol.CommitResult, error)) {
	c.mu.Lock()
	c.counts = append(c.counts, commit.Count)
	c.mu.Unlock()
	c.Remote.BeginCommit(ctx, commit, data, done)
	c.first.Do(func() { <-c.goOn })
}

// Writes that wait behind each other are one commit, and the first is not sent ahead of the others. What ends the row sends
// what it has, so that each is told, whether or not another one comes (I5).
func TestI5BurstOfWritesIsOneCommit(t *testing.T) {
	insert := func(a int) sqlite.Call {
		return sqlite.Call{Statements: []sqlite.Statement{{SQL: "INSERT INTO t VALUES (?)", Args: []any{a}}}}
	}
	read := sqlite.Call{NoInline: true, Statements: []sqlite.Statement{{SQL: "SELECT count(*) FROM t"}}}
	for _, c := range []struct {
		name   string
		calls  []sqlite.Call
		counts []uint64 // transactions of each commit
		fail   int      // calls that do
	}{
		{"writes", []sqlite.Call{insert(1), insert(2), insert(3), insert(4)}, []uint64{4}, 0},
		{"the last one fails", []sqlite.Call{insert(1), insert(2), insert(1)}, []uint64{2}, 1},
		{"one between fails", []sqlite.Call{insert(1), insert(1), insert(2)}, []uint64{2}, 1},
		{"a read", []sqlite.Call{insert(1), insert(2), read, insert(3)}, []uint64{2, 1}, 0},
		{"one", []sqlite.Call{insert(1)}, []uint64{1}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			remote := &counting{goOn: make(chan struct{})}
			db := f.openAs(f.ch, "burst", nil, func(r pages.Remote) pages.Remote {
				remote.Remote = r
				return remote
			})
			defer f.close(db)
			told := make(chan error, len(c.calls)+1)
			tell := func(_ *sqlite.Result, err error) { told <- err }
			_, err := db.Submit(sqlite.Call{Script: "CREATE TABLE t (a UNIQUE)"}, tell)
			require.NoError(t, err)
			for _, call := range c.calls {
				_, err := db.Submit(call, tell)
				require.NoError(t, err)
			}
			require.Eventually(t, func() bool { return db.PagesMetrics().Commits == 1 }, time.Minute, time.Millisecond)
			require.NoError(t, db.Settle()) // nothing is under way
			close(remote.goOn)              // and all wait
			failed := 0
			for range len(c.calls) + 1 {
				if err := <-told; err != nil {
					require.ErrorContains(t, err, "UNIQUE")
					failed++
				}
			}
			require.Equal(t, c.fail, failed)
			require.Equal(t, append([]uint64{1}, c.counts...), remote.counts)
			require.EqualValues(t, len(remote.counts), db.PagesMetrics().Commits)
		})
	}
}
