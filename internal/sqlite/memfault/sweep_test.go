package memfault_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/channel"
	"github.com/pagewire/pagewire/internal/pages"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/server"
	"github.com/pagewire/pagewire/internal/sqlite"
	"github.com/pagewire/pagewire/internal/sqlite/memfault"
	"github.com/pagewire/pagewire/internal/store/memory"
)

const setup = `CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, b BLOB);
	CREATE INDEX tv ON t (v);
	WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
	INSERT INTO t SELECT i, 'value ' || (i * 7919 % 1000), NULL FROM n`

var workloads = []struct {
	name string
	run  func(db *sqlite.DB) error
	most int // points to visit at most, 0 for all
}{
	{"insert", query("INSERT INTO t (v) VALUES (?)", "new"), 0},
	{"update", query("UPDATE t SET v = v || ? WHERE id % 3 = 0", "x"), 0},
	{"blob", query("INSERT INTO t (b) VALUES (?)", bytes.Repeat([]byte("0123456789abcdef"), 1<<16)), 0},
	{"ddl", script(`BEGIN; CREATE TABLE u (a, b UNIQUE); INSERT INTO u VALUES (1, 2); CREATE VIEW w AS SELECT * FROM u;
		ALTER TABLE u ADD c; COMMIT`), 0},
	{"vacuum", script("DELETE FROM t WHERE id > 100; VACUUM"), 0},
	{"transaction", script("BEGIN; INSERT INTO t (v) VALUES ('a'); DELETE FROM t WHERE id < 50; UPDATE t SET v = 'b' WHERE id = 60; COMMIT"), 0},
	{"savepoints", script(`BEGIN; SAVEPOINT one; INSERT INTO t (v) VALUES ('a'); SAVEPOINT two; DELETE FROM t; ROLLBACK TO two;
		RELEASE two; UPDATE t SET v = 'c' WHERE id = 1; RELEASE one; COMMIT`), 0},
	{"returning", query("INSERT INTO t (v) SELECT v || '+' FROM t WHERE id < 40 RETURNING id, v"), 0},
	{"read", submitted(sqlite.Call{NoInline: true, Statements: []sqlite.Statement{{SQL: "SELECT t.v, count(*), group_concat(s.v, ?) " +
		"FROM t JOIN t s ON s.id = t.id + 1 GROUP BY t.v ORDER BY 2, 1", Args: []any{"é"}}}}), 0},
	{"inline read", query("SELECT v, ? FROM t WHERE id IN (3, 200)", "é"), 0},
	{"point reads", points("SELECT v, ? FROM t WHERE id = 3", "é"), 0},
	{"batch", submitted(sqlite.Call{Statements: []sqlite.Statement{
		{SQL: "INSERT INTO t (v) VALUES (?)", Args: []any{"new"}}, {SQL: "DELETE FROM t WHERE id < ?", Args: []any{9}},
		{SQL: "SELECT v FROM t WHERE id = ?", Args: []any{20}}, {SQL: "UPDATE t SET b = ? WHERE id = 30", Args: []any{[]byte("blob")}},
	}}), 0},
	{"batch in pieces", submitted(sqlite.Call{Statements: []sqlite.Statement{
		{SQL: "INSERT INTO t (v) VALUES (?)", Args: []any{"new"}}, {SQL: "DELETE FROM t WHERE id < ?", Args: []any{9}},
		{SQL: "SELECT v FROM t WHERE id = ?", Args: []any{20}}, {SQL: "UPDATE t SET b = ? WHERE id = 30", Args: []any{[]byte("blob")}},
	}, Feed: func() error { return nil }}), 0},
	{"cursor", cursor("SELECT id, v FROM t ORDER BY v, id LIMIT ?", 250), 0},
	{"20,000 pages", script("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO t (b) SELECT zeroblob(3000) FROM n"), 8},
}

func query(sql string, args ...any) func(*sqlite.DB) error {
	return func(db *sqlite.DB) error { _, err := db.Query(sql, args...); return err }
}

// submitted runs a call as JavaScript does.
func submitted(call sqlite.Call) func(*sqlite.DB) error {
	return func(db *sqlite.DB) error { _, err := submit(db, call); return err }
}

func submit(db *sqlite.DB, call sqlite.Call) (r *sqlite.Result, err error) {
	done := make(chan struct{})
	_, refused := db.Submit(call, func(result *sqlite.Result, failed error) {
		r, err = result, failed
		close(done)
	})
	if refused != nil {
		return nil, refused
	}
	<-done
	return r, err
}

// points reads a row at once, several times, so that a read transaction is held from some point on, and then writes. What
// a point read has no memory for is for an operation to tell, which follows.
func points(sql string, args ...any) func(*sqlite.DB) error {
	return func(db *sqlite.DB) error {
		for range 5 {
			_, ok, err := db.Point(sqlite.Statement{SQL: sql, Args: args})
			if err == nil && !ok {
				_, err = db.Query(sql, args...)
			}
			if err != nil {
				return err
			}
		}
		return db.Exec("INSERT INTO t (v) VALUES ('behind')")
	}
}

// cursor reads all rows, some at a time.
func cursor(sql string, args ...any) func(*sqlite.DB) error {
	return func(db *sqlite.DB) error {
		c, err := db.Cursor(sqlite.Statement{SQL: sql, Args: args}, 20)
		if err != nil {
			return err
		}
		defer c.Close()
		for more := true; more; {
			r, err := submit(db, sqlite.Call{Cursor: c})
			if err != nil {
				return err
			}
			more = r.More
		}
		return nil
	}
}

func script(sql string) func(*sqlite.DB) error {
	return func(db *sqlite.DB) error { return db.Exec(sql) }
}

// TestOutOfMemory lets the Nth allocation in C fail, for every N until none is left to fail, once and from then on. The
// statement fails with the code of a lack of memory or gets over it; the database is as before it or as after it, never
// between (I3); the next statement works, on what is stored (I6); nothing is leaked.
func TestOutOfMemory(t *testing.T) {
	ch := dial(t)
	total := 0
	for _, w := range workloads {
		for _, once := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/once=%v", w.name, once), func(t *testing.T) {
				s := sweep{t: t, ch: ch, name: fmt.Sprintf("%s %v", w.name, once), run: w.run, once: once, most: w.most}
				s.all()
				t.Logf("%d allocations; %d faults injected, all fired; %d statements failed", s.allocations, s.injected, s.failed)
				total += s.injected
			})
		}
	}
	t.Logf("%d faults injected, all fired", total)
}

type sweep struct {
	t    *testing.T
	ch   *channel.Channel
	name string
	run  func(*sqlite.DB) error
	once bool
	most int

	before, after                 string
	allocations, injected, failed int
}

func (s *sweep) all() {
	// Without a fault, twice: the first time makes what SQLite keeps for ever.
	if s.most != 0 && os.Getenv("PAGEWIRE_SWEEPS") == "" {
		s.t.Skip("takes minutes; make sweeps")
	}
	s.visit(-1)
	s.visit(-2)
	most := 25
	if os.Getenv("PAGEWIRE_SWEEPS") != "" {
		if most = s.most; most == 0 {
			most = s.allocations
		}
	}
	step := max(1, s.allocations/most)
	at := 1
	for s.visit(at) {
		s.injected++
		at += step
	}
	require.Greater(s.t, s.injected, 1)
	require.Greater(s.t, at+step, s.allocations*9/10, "the sweep ended long before the last allocation")
}

// visit runs the workload with a fault at an allocation, and reports whether it fired.
func (s *sweep) visit(at int) bool {
	t := s.t
	actor := fmt.Sprintf("%s %d", strings.ReplaceAll(s.name, " ", "-"), at)
	live := memfault.Live()
	db := open(t, s.ch, actor, directly)
	require.NoError(t, db.Exec(setup))
	before := dump(t, db)
	memfault.Arm(at, s.once)
	err := s.run(db)
	hits := memfault.Disarm()
	seen := memfault.Seen()
	if err != nil {
		_ = db.Exec("ROLLBACK") // a script may have ended amid its transaction, if SQLite has not ended that too
	}
	what := fmt.Sprintf("allocation %d of %d: %v", at, seen, err)

	got := dump(t, db)
	if at < 0 {
		require.NoError(t, err)
		if s.before == "" {
			s.before, s.after, s.allocations = before, got, seen
		}
		s.allocations = min(s.allocations, seen) // an inline read that takes long is run twice
	} else {
		require.True(t, s.before == before)
		switch {
		case err == nil:
			require.True(t, got == s.after, "%s: not the state after", what)
		default:
			s.failed++
			requireNoMemory(t, err, what)
			require.True(t, got == s.before || got == s.after, "I3: %s: neither the state before nor the one after", what)
		}
	}
	// The connection is as good as new, and what it sees is what is stored.
	require.NoError(t, db.Exec("CREATE TABLE probe (x); INSERT INTO probe VALUES (1); DROP TABLE probe"), what)
	require.NoError(t, db.Close(context.Background()), what)
	db = open(t, s.ch, actor, directly)
	require.True(t, got == dump(t, db), "I6: %s: what is stored differs", what)
	check, err := db.Query("PRAGMA integrity_check")
	require.NoError(t, err)
	require.Equal(t, [][]any{{"ok"}}, check.Rows, what)
	require.NoError(t, db.Exec("DELETE FROM t; VACUUM"), what) // the store is in memory
	require.NoError(t, db.Close(context.Background()))
	if at >= 0 {
		// A worker lets go of the database after the last operation was done, which may be a moment later.
		freed := func() bool { return memfault.Live() == live }
		require.Eventually(t, freed, time.Minute, time.Millisecond, "%s: leaked", what)
	}
	return hits > 0
}

// requireNoMemory checks that err says that memory is short.
func requireNoMemory(t *testing.T, err error, what string) {
	t.Helper()
	const noMemory, ioNoMemory = 7, 10 | 12<<8
	var e *sqlite.Error
	require.ErrorAs(t, err, &e, what)
	require.True(t, e.Code == "out_of_memory" ||
		e.Code == "" && (e.SQLite == noMemory || e.SQLite == ioNoMemory), "%s: code %q, SQLite %d", what, e.Code, e.SQLite)
}

// dump is the schema and the contents.
func dump(t *testing.T, db *sqlite.DB) string {
	t.Helper()
	out := ""
	schema, err := db.Query("SELECT name, sql FROM sqlite_schema ORDER BY name")
	require.NoError(t, err)
	for _, row := range schema.Rows {
		out += fmt.Sprintln(row...)
		if row[1] == nil || !strings.HasPrefix(row[1].(string), "CREATE TABLE") {
			continue
		}
		rows, err := db.Query(fmt.Sprintf("SELECT rowid, * FROM %s", row[0]))
		require.NoError(t, err)
		for _, r := range rows.Rows {
			for _, v := range r {
				if b, ok := v.([]byte); ok {
					v = fmt.Sprintf("%d bytes, %x", len(b), b[:4])
				}
				out += fmt.Sprint(v, "|")
			}
			out += "\n"
		}
	}
	return out
}

func dial(t *testing.T) *channel.Channel {
	t.Helper()
	srv, err := server.New(server.Config{Store: memory.New(), Logger: slog.New(slog.DiscardHandler), Version: "test"})
	require.NoError(t, err)
	hs := httptest.NewServer(srv)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ch, err := channel.Dial(ctx, channel.Config{URL: strings.Replace(hs.URL, "http", "ws", 1)})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = ch.Close(ctx)
		require.NoError(t, srv.Close())
		hs.Close()
	})
	return ch
}

// open opens an actor; between the channel and the database stands what between makes.
func open(t *testing.T, ch *channel.Channel, actor string, between func(pages.Remote) pages.Remote) *sqlite.DB {
	t.Helper()
	ctx := context.Background()
	a, opened, err := ch.Open(ctx, actor, protocol.Open{Preload: &protocol.Preload{}}, nil)
	require.NoError(t, err)
	db, err := sqlite.Open(ctx, between(a), opened, sqlite.Options{Pages: pages.Config{Limits: ch.Limits()}})
	require.NoError(t, err)
	return db
}

func directly(r pages.Remote) pages.Remote { return r }
