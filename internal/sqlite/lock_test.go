package sqlite_test

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/sqlite"
)

// Point reads come in by a door beside the lock (lock.c). They take turns with the operations of other threads all the same,
// see what was acknowledged, and nothing that was not asked for (I2, I5).
func TestI5PointReadsTakeTurnsWithOperations(t *testing.T) {
	f := newFixture(t)
	db := f.open("turns")
	defer f.close(db)
	exec(t, db, "CREATE TABLE t (n); INSERT INTO t VALUES (0)")
	const writes = 500
	const sql = "SELECT n FROM t"
	var asked, told, tried atomic.Int64
	var done atomic.Bool
	var others sync.WaitGroup
	others.Go(func() {
		defer done.Store(true)
		for range writes {
			asked.Add(1)
			_, err := db.Query("UPDATE t SET n = n + 1")
			assert.NoError(t, err)
			told.Add(1)
			for before := tried.Load(); tried.Load() < before+2; {
				runtime.Gosched() // let some be read while nothing is written
			}
		}
	})
	others.Go(func() {
		for i := 0; !done.Load(); i++ { // statements of their own, each of which is prepared and freed
			least := told.Load()
			r, err := db.Query(fmt.Sprintf("SELECT n FROM t WHERE %d = %d", i, i))
			assert.NoError(t, err)
			assert.GreaterOrEqual(t, r.Rows[0][0], least)
			runtime.Gosched()
		}
	})
	points, later := 0, 0
	for last := int64(0); !done.Load(); tried.Add(1) {
		least := told.Load()
		row, ok, err := db.Point(sqlite.Statement{SQL: sql})
		require.NoError(t, err)
		if !ok {
			later++
			runtime.Gosched()
			continue
		}
		if row.Point {
			points++
		}
		n := row.Values[0].(int64)
		require.GreaterOrEqual(t, n, max(last, least))
		require.LessOrEqual(t, n, asked.Load())
		last = n
	}
	others.Wait()
	require.Equal(t, []any{int64(writes)}, query(t, db, sql)[0])
	require.Positive(t, points, "no point read came in")
	require.Positive(t, later, "no point read was in the way of anybody")
	t.Logf("%d points, %d other reads at once or later", points, later)
}
