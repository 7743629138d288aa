package sqlite_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// SQLite loads what ANALYZE found together with the schema, and says nothing if it cannot. A read on the calling thread
// that runs out of its time there must not leave a schema behind whose plans lack the statistics.
func TestStatisticsSurviveAReadThatRunsOutOfTime(t *testing.T) {
	f := newFixture(t)
	db := f.open("statistics")
	defer f.close(db)
	// Half of the rows have the same a. The average says that an a is in two rows and a b in twenty; only a sample tells.
	var sql strings.Builder
	sql.WriteString(`CREATE TABLE t (a, b); CREATE INDEX t_a ON t (a); CREATE INDEX t_b ON t (b);
		WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
			INSERT INTO t SELECT iif(i % 2, 1, i), i % 100 FROM n;
		CREATE TABLE wide (x); INSERT INTO wide SELECT a FROM t;`)
	for i := range 120 { // their samples take longer to load than the read may take
		fmt.Fprintf(&sql, "CREATE INDEX wide_%d ON wide (x, %d);", i, i)
	}
	sql.WriteString("ANALYZE;")
	exec(t, db, sql.String())

	plan := func() []any { return query(t, db, "EXPLAIN QUERY PLAN SELECT * FROM t WHERE a = 1 AND b = 7")[0] }
	require.Contains(t, plan()[3], "t_b")
	for range 5 {
		exec(t, db, "VACUUM") // after which the next statement loads the schema
		require.Contains(t, plan()[3], "t_b")
	}
}
