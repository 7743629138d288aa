package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	sqlite3 "github.com/mattn/go-sqlite3"
	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/sqlite"
	"github.com/pagewire/pagewire/internal/store"
)

// stock is SQLite on a file with its own VFS, with the settings that decide what is written.
type stock struct {
	t    testing.TB
	path string
	db   *sql.DB
	conn *sql.Conn
}

func (s *stock) open() {
	s.t.Helper()
	var err error
	s.db, err = sql.Open("sqlite3", s.path)
	require.NoError(s.t, err)
	s.conn, err = s.db.Conn(context.Background())
	require.NoError(s.t, err)
	// foreign_keys is the driver's to switch off; ours are on as compiled in.
	_, err = s.conn.ExecContext(context.Background(), "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=MEMORY; "+
		"PRAGMA synchronous=OFF; PRAGMA cache_spill=OFF; PRAGMA temp_store=MEMORY; PRAGMA foreign_keys=ON")
	require.NoError(s.t, err)
}

func (s *stock) close() {
	s.t.Helper()
	require.NoError(s.t, s.conn.Close())
	require.NoError(s.t, s.db.Close())
}

func (s *stock) query(text string, args []any) ([][]any, error) {
	rows, err := s.conn.QueryContext(context.Background(), text, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var out [][]any
	for rows.Next() {
		row, at := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			at[i] = &row[i]
		}
		if err := rows.Scan(at...); err != nil {
			return nil, err
		}
		for i, v := range row {
			if text, ok := v.(string); ok { // JavaScript's strings have no malformed bytes: each becomes U+FFFD
				row[i] = string([]rune(text))
			}
		}
		out = append(out, row)
	}
	return out, rows.Err()
}

// stored puts the file together from the store, as docs/storage-layout.md says.
func stored(t testing.TB, s store.Store, actor string) []byte {
	t.Helper()
	ctx := context.Background()
	meta, err := s.Get(ctx, actor, [][]byte{protocol.MetaKey(protocol.FileMain)})
	require.NoError(t, err)
	if meta[0] == nil {
		return nil
	}
	size, err := protocol.DecodeMeta(meta[0])
	require.NoError(t, err)
	file := make([]byte, size)
	start, end := protocol.ChunkRange(protocol.FileMain)
	require.NoError(t, s.Scan(ctx, actor, store.Range{Start: start, End: end}, false, func(key, value []byte) bool {
		at := uint64(binary.BigEndian.Uint32(key[4:])) * protocol.PageSize
		require.LessOrEqual(t, at+uint64(len(value)), size, "a chunk lies past the end of the file")
		copy(file[at:], value)
		return true
	}))
	return file
}

func code(err error) string {
	var ours *sqlite.Error
	var theirs sqlite3.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &ours):
		return fmt.Sprintf("%d %s", ours.SQLite, ours.Message)
	case errors.As(err, &theirs):
		return fmt.Sprintf("%d %s", int(theirs.ExtendedCode), theirs.Error())
	default:
		return err.Error()
	}
}

// The same random statements give the same results, errors and, after each commit, the same file as stock SQLite. PAGEWIRE_STATEMENTS and PAGEWIRE_SEED make the run longer or another one.
func TestDifferentialAgainstStockSQLite(t *testing.T) {
	statements, seed := setting(t, "PAGEWIRE_STATEMENTS", 5_000), setting(t, "PAGEWIRE_SEED", 1)
	f := newFixture(t)
	g := newGenerator(seed)
	theirs := &stock{t: t, path: filepath.Join(t.TempDir(), "stock.db")}
	theirs.open()
	db := f.open("differential", 0)
	failures, commits, writes, points, batches := 0, 0, 0, 0, uint64(0)
	for i := range statements {
		if g.IntN(400) == 0 { // cold again, with as much or as little preloaded
			theirs.close()
			f.close(db)
			theirs.open()
			batches = 0
			db = f.open("differential", []uint64{0, 4096, 64 << 10, 1 << 20}[g.IntN(4)])
		}
		points += comparePoints(t, g, theirs, db)
		text, args := g.statement()
		epoch := uint32(0)
		if theirs.inTransaction() && g.IntN(4) > 0 {
			epoch = 1 // no commit fails here
		}
		want, wantErr := theirs.query(text, args)
		got, gotErr := ask(t, db, epoch, text, args...)
		where := fmt.Sprintf("seed %d, statement %d: %s %v", seed, i, text, args)
		require.Equal(t, code(wantErr), code(gotErr), where)
		if wantErr != nil {
			failures++
			g.learn(code(wantErr))
			continue
		}
		if got.Inline && epoch != 0 && !strings.HasPrefix(text, "SELECT") {
			writes++
		}
		require.Equal(t, want, got.Rows, where)
		if now := db.PagesMetrics().Batches; now == batches && i%50 != 0 {
			continue
		} else if now != batches {
			commits++
			batches = now
		}
		file, err := os.ReadFile(theirs.path)
		require.NoError(t, err)
		ours := stored(t, f.store, "default/differential")
		require.Equal(t, len(file), len(ours), where)
		sameFile(t, file, ours, where)
		if len(file) > 1<<20 { // keep the comparison quick
			for _, table := range g.tables {
				_, _ = theirs.query("DELETE FROM "+table, nil)
				_, _ = db.Query("DELETE FROM " + table)
			}
			_, _ = theirs.query("VACUUM", nil)
			_, _ = db.Query("VACUUM")
		}
	}
	t.Logf("%d statements, %d of them inline writes, %d point reads between them, %d commits compared, %d statements failed alike",
		statements, writes, points, commits, failures)
	require.Greater(t, commits, int(statements)/10)
	require.Greater(t, points, int(statements)/2)
	theirs.close()
	f.close(db)
}

// comparePoints reads some rows at once, so that what follows finds a read transaction open; it returns how many were.
func comparePoints(t testing.TB, g *generator, theirs *stock, db *sqlite.DB) (points int) {
	t.Helper()
	texts := []string{"SELECT * FROM sqlite_schema WHERE rowid = ?", "SELECT count(*) + ?, max(rootpage) FROM sqlite_schema"}
	for _, table := range g.tables {
		texts = append(texts, "SELECT * FROM "+table+" LIMIT 1 OFFSET ?")
	}
	for range g.IntN(6) {
		text, arg := texts[g.IntN(len(texts))], int64(g.IntN(5))
		row, ok, err := db.Point(sqlite.Statement{SQL: text, Args: []any{arg}})
		if !ok {
			continue
		}
		if row.Point {
			points++
		}
		want, wantErr := theirs.query(text, []any{arg})
		require.Equal(t, code(wantErr), code(err), "%s %d", text, arg)
		if len(want) == 0 {
			want = [][]any{nil}
		}
		require.Equal(t, want[0], row.Values, "%s %d", text, arg)
	}
	return points
}

// sameFile holds that two database files are equal but for what savepoints leave behind, of which an inline write is in one:
// SQLite then writes free pages, whose contents mean nothing, and counts a change in a transaction all of which was undone.
func sameFile(t testing.TB, want, got []byte, where string) {
	t.Helper()
	if bytes.Equal(want, got) {
		return
	}
	require.Len(t, got, len(want), where)
	want, got = bytes.Clone(want), bytes.Clone(got)
	for _, file := range [][]byte{want, got} {
		clearFreePages(t, file)
		clear(file[24:28]) // the change counter,
		clear(file[92:96]) // and the one that the version number behind it belongs to
	}
	for at := 0; at < len(want); at += protocol.PageSize {
		require.Equal(t, want[at:at+protocol.PageSize], got[at:at+protocol.PageSize], "page %d after %s", at/protocol.PageSize+1, where)
	}
}

// clearFreePages zeroes what has no meaning in the pages of the free list
// (https://www.sqlite.org/fileformat2.html#the_freelist).
func clearFreePages(t testing.TB, file []byte) {
	t.Helper()
	page := func(no uint32) []byte { return file[int(no-1)*protocol.PageSize:][:protocol.PageSize] }
	for trunk := binary.BigEndian.Uint32(file[32:]); trunk != 0; {
		p := page(trunk)
		n := int(binary.BigEndian.Uint32(p[4:]))
		for i := range n {
			clear(page(binary.BigEndian.Uint32(p[8+4*i:])))
		}
		clear(p[8+4*n:])
		trunk = binary.BigEndian.Uint32(p)
	}
}

func setting(t testing.TB, name string, value uint64) uint64 {
	t.Helper()
	if s := os.Getenv(name); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		require.NoError(t, err, name)
		return n
	}
	return value
}
