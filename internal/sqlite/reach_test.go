package sqlite_test

import (
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/sqlite"
	"github.com/pagewire/pagewire/internal/store"
)

// What an attempt to reach a file or the network must come to.
const (
	refused = "not_allowed" // the guard says no, and why
	fails   = "fails"       // SQLite has no such thing, or forbids it
	works   = "works"       // ... in memory
)

// attempt is SQL that reaches for something outside of its database.
type attempt struct {
	want, sql string
	args      []any
}

func attempts() (all []attempt) {
	add := func(want string, statements ...string) {
		for _, s := range statements {
			all = append(all, attempt{want: want, sql: s})
		}
	}
	for _, name := range []string{
		"", ":memory:", "other.db", "/tmp/other.db", "./pw1", "pw1", "pw1-journal", "pw2", "file:other.db",
		"file:/tmp/other.db?mode=rwc", "file:other.db?vfs=unix", "file:other.db?vfs=unix-none&mode=rwc", "file::memory:",
		"file::memory:?cache=shared", "file:memdb1?mode=memory&cache=shared", "file:/memdb?vfs=memdb", "file://localhost/tmp/o.db",
		"file:%2ftmp%2fother.db", "file:pw1?vfs=pagewire", "/dev/null", "/proc/self/mem", `\\\\host\share\x.db`,
	} {
		add(refused, "ATTACH '"+name+"' AS other")
		if name != "" { // into '' is into memory, and forgotten
			add(refused, "VACUUM INTO '"+name+"'", "VACUUM main INTO '"+name+"'")
		}
	}
	add(refused, "ATTACH DATABASE 'a' || '.db' AS other", "ATTACH (SELECT v FROM t) AS other", "EXPLAIN ATTACH 'x' AS y", "VACUUM INTO 'a' || 'b'")
	all = append(all, attempt{refused, "ATTACH ? AS other", []any{"/tmp/other.db"}}, attempt{refused, "VACUUM INTO ?", []any{"/tmp/other.db"}})
	add(works, "VACUUM INTO ''", "VACUUM", "VACUUM temp")
	add(fails, "DETACH main", "DETACH temp", "DETACH vacuum_db", "BEGIN; VACUUM")

	// Functions of the shell, of extensions, and those that pass pointers.
	add(fails,
		"SELECT load_extension('x')", "SELECT load_extension('/tmp/x.so', 'init')", "SELECT writefile('x', 'y')",
		"SELECT writefile('x', 'y', 0755)", "SELECT readfile('/etc/passwd')", "SELECT edit('x', 'vi')", "SELECT lsmode(1)",
		"SELECT * FROM fsdir('/')", "SELECT zipfile('a', 'b')", "SELECT * FROM zipfile('x.zip')", "SELECT sqlar_compress('x')",
		"SELECT shell('x')", "SELECT system('x')", "SELECT xp_cmdshell('x')", "SELECT getenv('HOME')", "SELECT http_get('http://127.0.0.1/')",
		"SELECT * FROM generate_series(1, 3)", "SELECT * FROM sqlite_dbpage", "UPDATE sqlite_dbpage SET data = x'00' WHERE pgno = 1",
		"INSERT INTO sqlite_dbpage VALUES (1, zeroblob(4096))", "SELECT * FROM sqlite_stmt", "SELECT * FROM bytecode('SELECT 1')",
		"CREATE VIRTUAL TABLE x USING csv(filename='/etc/passwd')", "CREATE VIRTUAL TABLE x USING zipfile('x.zip')",
		"CREATE VIRTUAL TABLE x USING sqlite_dbpage", "CREATE VIRTUAL TABLE x USING fsdir", "CREATE VIRTUAL TABLE x USING unionvtab('SELECT 1')",
		"CREATE VIRTUAL TABLE x USING swarmvtab('SELECT 1')", "CREATE VIRTUAL TABLE x USING virtualtext('/etc/passwd')",
		"CREATE VIRTUAL TABLE x USING fts4(a, tokenize=icu en)", "CREATE VIRTUAL TABLE x USING fts5(a, tokenize='/tmp/x.so')",
		"CREATE VIRTUAL TABLE x USING fts5(a, tokenize='unicode61 file /etc/passwd')")
	add(refused, "SELECT fts3_tokenizer('simple')", "SELECT fts3_tokenizer('simple', x'0102030405060708')")
	all = append(all,
		attempt{refused, "SELECT fts3_tokenizer(?)", []any{"simple"}},
		attempt{refused, "SELECT fts3_tokenizer(?, ?)", []any{"evil", []byte("AAAAAAAA")}})

	// PRAGMAs that name files, move them, or change how they are written.
	for name, values := range map[string][]string{
		"journal_mode": {"DELETE", "TRUNCATE", "PERSIST", "WAL", "OFF"}, "temp_store": {"FILE", "DEFAULT", "0", "1"},
		"temp_store_directory": {"'/tmp'", "''"}, "locking_mode": {"NORMAL"}, "synchronous": {"OFF", "FULL", "EXTRA", "0"},
		"cache_spill": {"ON", "10"}, "page_size": {"512", "65536"}, "mmap_size": {"1000000"}, "journal_size_limit": {"0", "100"},
		"wal_autocheckpoint": {"1"}, "wal_checkpoint": {"FULL", "TRUNCATE"}, "data_store_directory": {"'/tmp'"},
		"lock_proxy_file": {"'/tmp/proxy'", "':auto:'"}, "hard_heap_limit": {"1000"}, "soft_heap_limit": {"1000"}, "threads": {"8"},
		"key": {"'x'"}, "rekey": {"'x'"}, "hexkey": {"'00'"}, "activate_extensions": {"'x'"}, "sql_trace": {"1"}, "vdbe_trace": {"1"},
		"trace": {"'/tmp/trace'"}, "no_such_pragma": {"1"},
	} {
		for _, v := range values {
			add(refused, "PRAGMA "+name+"="+v, "PRAGMA main."+name+"("+v+")", "PRAGMA temp."+name+"="+v)
		}
	}
	add(works, "PRAGMA wal_checkpoint", "PRAGMA journal_mode", "PRAGMA temp_store_directory", "PRAGMA mmap_size", "PRAGMA journal_mode=MEMORY",
		"PRAGMA fullfsync=ON", "PRAGMA checkpoint_fullfsync=ON", "PRAGMA secure_delete=ON", "PRAGMA auto_vacuum=FULL",
		"PRAGMA incremental_vacuum(10)", "PRAGMA optimize(-1)", "SELECT * FROM pragma_optimize(0x10002)", "SELECT * FROM pragma_journal_mode",
		"PRAGMA trusted_schema=ON", "PRAGMA writable_schema=ON", "PRAGMA cache_size=10", "PRAGMA no_such_pragma")
	add(fails, "SELECT * FROM pragma_journal_mode('wal')", "SELECT * FROM pragma_temp_store_directory('/tmp')", "SELECT * FROM pragma_wal_checkpoint",
		"PRAGMA pw2.journal_mode=WAL")

	// The schema: edited, and naming evil SQL in every place that runs by itself.
	add(fails, "UPDATE sqlite_schema SET sql = 'x'", "DELETE FROM sqlite_schema", "INSERT INTO sqlite_schema VALUES ('table','x','x',2,'CREATE TABLE x(y)')",
		"UPDATE temp.sqlite_schema SET sql = 'x'")
	add(works, "CREATE VIEW evil_view AS SELECT writefile('/tmp/evil', 'x')", "CREATE TABLE watched (v)",
		"CREATE TRIGGER evil_trigger AFTER INSERT ON watched BEGIN SELECT load_extension('/tmp/evil.so'); END")
	add(fails, "SELECT * FROM evil_view", "INSERT INTO watched VALUES (1)", "CREATE TABLE gen (a, b AS (writefile('x', a)))",
		"CREATE TABLE def (a DEFAULT (readfile('/etc/passwd')), b); INSERT INTO def (b) VALUES (1)",
		"CREATE INDEX evil_index ON t (readfile(v))", "CREATE TABLE chk (a CHECK (load_extension(a))); INSERT INTO chk VALUES ('x')",
		"CREATE TRIGGER t2 AFTER INSERT ON t BEGIN ATTACH 'x' AS y; END", "CREATE TRIGGER t3 AFTER INSERT ON t BEGIN VACUUM INTO 'x'; END")

	// Shadow tables of virtual tables, and tables on tables.
	add(works, "CREATE VIRTUAL TABLE ft USING fts5 (body)", "INSERT INTO ft VALUES ('one two three')", "INSERT INTO ft (ft) VALUES ('rebuild')",
		"INSERT INTO ft (ft) VALUES ('integrity-check')", "INSERT INTO ft (ft) VALUES ('optimize')", "CREATE VIRTUAL TABLE vocab USING fts5vocab (ft, row)",
		"SELECT * FROM vocab", "CREATE VIRTUAL TABLE f4 USING fts4 (body)", "INSERT INTO f4 VALUES ('one two')", "INSERT INTO f4 (f4) VALUES ('optimize')",
		"CREATE VIRTUAL TABLE aux USING fts4aux (f4)", "SELECT * FROM aux", "CREATE VIRTUAL TABLE tok USING fts3tokenize ('porter')",
		"SELECT * FROM tok WHERE input = 'running wild'", "CREATE VIRTUAL TABLE box USING rtree (id, a, b)", "INSERT INTO box VALUES (1, 0, 9)",
		"SELECT rtreecheck('box')", "SELECT * FROM dbstat", "CREATE VIRTUAL TABLE temp.stat USING dbstat (main)", "SELECT sum(pgsize) FROM temp.stat")
	add(fails, "UPDATE ft_data SET block = x'00'", "DELETE FROM ft_config", "UPDATE f4_segdir SET root = x'00'", "UPDATE box_node SET data = x'00'",
		"DELETE FROM box_rowid", "DROP TABLE ft_data", "CREATE VIRTUAL TABLE temp.stat2 USING dbstat (other)")

	// What would spill to disk.
	add(works,
		"CREATE TABLE big (i INTEGER PRIMARY KEY, v TEXT, w TEXT UNIQUE)",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 20000) INSERT INTO big SELECT i, hex(randomblob(40)), 'w' || i FROM n",
		"SELECT count(*) FROM (SELECT v FROM big ORDER BY v DESC LIMIT -1 OFFSET 1)", "SELECT count(DISTINCT v) FROM big",
		"SELECT v FROM big UNION SELECT w FROM big ORDER BY 1 LIMIT 1", "SELECT a.v FROM big a, big b WHERE a.v = b.v || '' LIMIT 1",
		"CREATE TEMP TABLE tmp AS SELECT * FROM big", "CREATE INDEX temp.tmp_v ON tmp (v)", "CREATE INDEX big_v ON big (v)",
		"SELECT i, sum(i) OVER (ORDER BY v) FROM big LIMIT 1", "WITH m AS MATERIALIZED (SELECT * FROM big) SELECT count(*) FROM m",
		"BEGIN; UPDATE big SET v = v || 'x'; SAVEPOINT a; UPDATE tmp SET v = 'y'; DELETE FROM big WHERE i % 2; ROLLBACK TO a; RELEASE a; COMMIT",
		"BEGIN; INSERT INTO tmp SELECT * FROM tmp; UPDATE big SET v = 'z' WHERE i < 9; COMMIT", // two files in one commit
		"BEGIN; DELETE FROM big; ROLLBACK", "UPDATE OR REPLACE big SET w = 'w' || (i / 2) WHERE i < 100",
		"DELETE FROM big WHERE i > 15000", "VACUUM", "REINDEX", "ANALYZE", "DROP TABLE tmp", "PRAGMA shrink_memory")
	add(fails, "UPDATE big SET w = 'same' WHERE i > 1000") // a statement journal, played back

	// What the C library may look up in files.
	add(works, "SELECT datetime('now', 'localtime'), strftime('%s', 'now', 'utc'), datetime(0, 'unixepoch', 'localtime')",
		"SELECT hex(randomblob(3000)), random()", "SELECT upper('ä'), 'a' LIKE 'Ä', printf('%!.20g', 1.5)")
	return all
}

// evilFile makes a database, with stock SQLite, whose schema was written by an enemy.
func evilFile(t *testing.T) []byte {
	s := &stock{t: t, path: filepath.Join(t.TempDir(), "evil.db")}
	s.open()
	for _, q := range []string{
		"CREATE TABLE t (v); INSERT INTO t VALUES (1); CREATE TABLE victim (v)",
		"CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; END; CREATE VIEW w AS SELECT 1; CREATE INDEX i ON victim (v)",
		"PRAGMA writable_schema=ON",
		"UPDATE sqlite_schema SET sql = 'CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT fts3_tokenizer(''a'', new.v); END' WHERE name = 'tr'",
		"UPDATE sqlite_schema SET sql = 'CREATE VIEW w AS SELECT load_extension(''/tmp/evil.so''), readfile(''/etc/passwd'')' WHERE name = 'w'",
		"INSERT INTO sqlite_schema VALUES ('table', 'a', 'a', 0, 'CREATE VIRTUAL TABLE a USING csv(filename=''/etc/passwd'')')",
		"INSERT INTO sqlite_schema VALUES ('table', 'b', 'b', 0, 'CREATE VIRTUAL TABLE b USING fts5(x, content=''t; ATTACH \"/tmp/e.db\" AS e'')')",
	} {
		_, err := s.query(q, nil)
		require.NoError(t, err, q)
	}
	s.close()
	b, err := os.ReadFile(s.path)
	require.NoError(t, err)
	return b
}

// put stores a database file, as docs/storage-layout.md says.
func put(t testing.TB, s store.Store, actor string, size uint64, file []byte) {
	t.Helper()
	head, err := s.Fence(t.Context(), actor)
	require.NoError(t, err)
	b := &store.Batch{Generation: head.Generation, Puts: []store.Entry{{Key: protocol.MetaKey(0), Value: protocol.EncodeMeta(size)}}}
	for at := 0; at < len(file); at += protocol.PageSize {
		b.Puts = append(b.Puts, store.Entry{
			Key: protocol.ChunkKey(0, uint32(at/protocol.PageSize)), Value: file[at:min(at+protocol.PageSize, len(file))],
		})
	}
	_, err = s.Apply(t.Context(), actor, b)
	require.NoError(t, err)
}

// attack makes every attempt, and those against a database that an enemy wrote, and returns how many it made.
func attack(t *testing.T, db, evil *sqlite.DB) int {
	all := attempts()
	for _, a := range all {
		var err error
		if a.args != nil {
			_, err = db.Query(a.sql, a.args...)
		} else {
			err = db.Exec(a.sql)
		}
		if err != nil && strings.HasPrefix(a.sql, "BEGIN") {
			require.NoError(t, db.Exec("ROLLBACK"))
		}
		if a.want == works {
			require.NoError(t, err, a.sql)
			continue
		}
		var e *sqlite.Error
		require.ErrorAs(t, err, &e, a.sql)
		require.Equal(t, a.want == refused, e.Code == refused, "%s: %v", a.sql, err)
		require.NotEmpty(t, e.Message, a.sql)
	}
	// Whatever these answer, they reach nothing.
	against := []string{
		"SELECT * FROM t", "INSERT INTO t VALUES (x'4141414141414141')", "SELECT * FROM w", "SELECT * FROM victim WHERE v = 1", "SELECT * FROM a",
		"SELECT * FROM b", "INSERT INTO b VALUES ('x')", "INSERT INTO b (b) VALUES ('rebuild')", "PRAGMA integrity_check", "VACUUM", "DROP TABLE victim",
		"SELECT * FROM evil.sqlite_schema",
	}
	for _, q := range against {
		_ = evil.Exec(q)
	}
	return len(all) + len(against)
}

// I7: no attempt changes what a directory holds, on any platform; each refusal says why.
func TestI7AttemptsLeaveNoFiles(t *testing.T) {
	f := newFixture(t)
	file := evilFile(t)
	put(t, f.store, "default/evil", uint64(len(file)), file)
	t.Chdir(t.TempDir())
	t.Setenv("TMPDIR", ".")
	t.Setenv("SQLITE_TMPDIR", ".")
	db, evil := f.open("reach"), f.open("evil")
	defer f.close(db)
	defer f.close(evil)
	seed(t, db)
	t.Logf("%d attempts", attack(t, db, evil))
	entries, err := readDir(".")
	require.NoError(t, err)
	require.Empty(t, entries, "files appeared")
}

func seed(t *testing.T, db *sqlite.DB) {
	exec(t, db, "CREATE TABLE t (v); INSERT INTO t VALUES ('x.db')")
}

// I7: the guard knows every PRAGMA that this SQLite has, those of the fixed values and the harmless ones, and refuses to
// set all others. A new SQLite that brings new ones fails here until somebody has looked at them.
func TestI7GuardKnowsEveryPragma(t *testing.T) {
	f := newFixture(t)
	db := f.open("pragmas")
	defer f.close(db)
	for _, row := range query(t, db, "SELECT name FROM pragma_pragma_list") {
		name := row[0].(string)
		switch name {
		case "collation_list", "compile_options", "data_version", "database_list", "freelist_count", "function_list", "module_list",
			"page_count", "pragma_list", "shrink_memory":
			continue // these take no value
		}
		err := db.Exec("EXPLAIN PRAGMA " + name + "=1")
		if err != nil {
			require.NotContains(t, err.Error(), "not one that Pagewire knows", "PRAGMA %s is new: look at it, then list it in guard.c", name)
		}
	}
	require.ErrorContains(t, db.Exec("PRAGMA unheard_of=1"), "not one that Pagewire knows")
}

// reachEnv tells the test binary to be the process that is watched.
const reachEnv = "PAGEWIRE_REACH"

// watched runs this test binary as the process that makes the attempts.
func watched(t *testing.T, mode string, wrap ...string) (output string, err error) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	args := append(wrap, self, "-test.run=^TestI7Watched$", "-test.v")
	cmd := osexec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), reachEnv+"="+mode,
		"TMPDIR="+t.TempDir(),                     // it ends, or is killed, without tidying up
		"GLIBC_TUNABLES=glibc.malloc.arena_max=1") // else it looks at /proc before it gives memory back
	b, err := cmd.CombinedOutput()
	return string(b), err
}
