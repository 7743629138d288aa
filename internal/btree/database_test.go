package btree_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	_ "github.com/mattn/go-sqlite3"
	"github.com/pagewire/pagewire/internal/btree"
	"github.com/stretchr/testify/require"
)

// stat is what SQLite itself says of a page. path names its place: "/" is a root, "/01c/" child 0x1c of the root,
// "/01c/003+000000" the first overflow page of cell 3 there.
type stat struct {
	no         uint32
	kind, path string
	tree       string
}

// database is a database file made by SQLite, with SQLite's own account of its pages (the dbstat table).
type database struct {
	bytes []byte
	size  int
	stats []stat
	reads [][]uint32 // batches read
}

// page returns page no.
func (d *database) page(no uint32) []byte {
	return d.bytes[(int(no)-1)*d.size : int(no)*d.size]
}

func (d *database) count() uint32 { return uint32(len(d.bytes) / d.size) }

// walk returns a walk over the database that records its batches and fails the test on a read that is not allowed.
func (d *database) walk(t testing.TB, budget int) *btree.Walk {
	d.reads = nil
	seen := map[uint32]bool{}
	return &btree.Walk{
		PageCount: d.count(), Usable: btree.UsableSize(d.page(1)), Budget: budget,
		Read: func(pgnos []uint32) ([][]byte, error) {
			d.reads = append(d.reads, pgnos)
			pages := make([][]byte, len(pgnos))
			for i, no := range pgnos {
				require.False(t, seen[no], "page %d read twice", no)
				require.True(t, no >= 1 && no <= d.count(), "page %d of %d read", no, d.count())
				seen[no] = true
				pages[i] = d.page(no)
			}
			return pages, nil
		},
	}
}

// named returns the pages of the trees and kinds that the filter lets through.
func (d *database) named(filter func(stat) bool) (pgnos []uint32) {
	for _, s := range d.stats {
		if filter(s) {
			pgnos = append(pgnos, s.no)
		}
	}
	return pgnos
}

// rows inserts n rows whose text is as long as the format %d of the widths says, in turn.
func rows(table string, n int, widths ...int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i+1 FROM n WHERE i < %d) ", n)
	fmt.Fprintf(&b, "INSERT INTO %s SELECT i, CASE i %% %d ", table, len(widths))
	for i, w := range widths {
		fmt.Fprintf(&b, "WHEN %d THEN printf('%%0%dd', i) ", i, w)
	}
	b.WriteString("END FROM n;")
	return b.String()
}

// makeDatabase runs scripts on a new database.
func makeDatabase(t testing.TB, pragmas string, scripts ...string) *database {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	db, err := sql.Open("sqlite3", path+"?_sync=OFF")
	require.NoError(t, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, s := range append([]string{pragmas}, scripts...) {
		_, err = db.Exec(s)
		require.NoError(t, err, "%.80s", s)
	}
	d := &database{}
	require.NoError(t, db.QueryRow("PRAGMA page_size").Scan(&d.size))
	list, err := db.Query("SELECT pageno, pagetype, path, name FROM dbstat ORDER BY name, path")
	require.NoError(t, err, "SQLite has no dbstat table: run the tests with scripts/go test")
	defer list.Close()
	for list.Next() {
		var s stat
		require.NoError(t, list.Scan(&s.no, &s.kind, &s.path, &s.tree))
		d.stats = append(d.stats, s)
	}
	require.NoError(t, list.Err())
	d.bytes, err = os.ReadFile(path)
	require.NoError(t, err)
	return d
}

// databases are the shapes that the tests run over.
func databases() map[string][]string {
	tables := "BEGIN;"
	for i := range 300 {
		tables += fmt.Sprintf("CREATE TABLE table_with_a_long_name_%d (i INTEGER PRIMARY KEY, v TEXT); ", i)
	}
	mixed := []string{
		"CREATE TABLE t (i INTEGER PRIMARY KEY, v TEXT); CREATE INDEX t_v ON t(v);" +
			"CREATE TABLE w (i INTEGER, v TEXT, PRIMARY KEY (v, i)) WITHOUT ROWID; CREATE VIEW x AS SELECT 1;",
		rows("t", 3000, 10, 300, 5000, 20, 20000), rows("w", 2000, 30, 30, 3000),
		"CREATE TABLE blobs (i INTEGER PRIMARY KEY, b BLOB); INSERT INTO blobs VALUES (1, zeroblob(1000000)), (2, zeroblob(70000));",
	}
	return map[string][]string{
		"empty":          {"CREATE TABLE t (i)"},
		"mixed":          append([]string{"PRAGMA page_size = 4096"}, mixed...),
		"autovacuum":     append([]string{"PRAGMA auto_vacuum = FULL"}, mixed...),
		"small pages":    append([]string{"PRAGMA page_size = 512"}, mixed...),
		"large pages":    append([]string{"PRAGMA page_size = 65536"}, mixed...),
		"many tables":    {tables + "COMMIT", rows("table_with_a_long_name_299", 9000, 100)},
		"deleted":        append(append([]string{""}, mixed...), "DELETE FROM t WHERE i % 3; DELETE FROM w WHERE i < 1500;"),
		"spilled schema": {"CREATE TABLE t (i, /*" + strings.Repeat("x", 20000) + "*/ v)", rows("t", 5000, 100)},
	}
}

func TestPagesAgainstSQLite(t *testing.T) {
	childPath := regexp.MustCompile(`^(.*/)[0-9a-f]{3}/$`)
	overflowPath := regexp.MustCompile(`^(.*/)([0-9a-f]{3})\+([0-9a-f]{6})$`)
	for name, scripts := range databases() {
		t.Run(name, func(t *testing.T) {
			d := makeDatabase(t, scripts[0], scripts[1:]...)
			usable := btree.UsableSize(d.page(1))
			require.Equal(t, d.size, usable)
			require.Equal(t, d.count(), btree.PageCount(d.page(1)))

			children, chains, roots := map[string][]uint32{}, map[string][]btree.Chain{}, []uint32{}
			var last stat
			for _, s := range d.stats {
				if m := childPath.FindStringSubmatch(s.path); m != nil {
					children[s.tree+m[1]] = append(children[s.tree+m[1]], s.no)
				} else if m := overflowPath.FindStringSubmatch(s.path); m == nil {
					roots = append(roots, s.no)
				} else if of := s.tree + m[1]; m[3] == "000000" {
					cell, err := strconv.ParseUint(m[2], 16, 16)
					require.NoError(t, err)
					chains[of] = append(chains[of], btree.Chain{Cell: int(cell), First: s.no, Pages: 1})
				} else {
					require.Equal(t, s.no, btree.NextOverflow(d.page(last.no)))
					chains[of][len(chains[of])-1].Pages++
				}
				last = s
			}
			found := []uint32{1}
			for _, s := range d.stats {
				if s.kind == "overflow" {
					continue
				}
				got, ok := btree.Children(d.page(s.no), s.no)
				require.Equal(t, s.kind == "internal", ok, "page %d", s.no)
				require.Equal(t, children[s.tree+s.path], got, "children of page %d", s.no)
				require.Equal(t, chains[s.tree+s.path], btree.Chains(d.page(s.no), s.no, usable), "chains of page %d", s.no)
				if s.tree == "sqlite_schema" {
					found = append(found, btree.SchemaRoots(d.page(s.no), s.no)...)
				}
			}
			require.ElementsMatch(t, roots, found)
		})
	}
}

func TestNotADatabase(t *testing.T) {
	for _, page := range [][]byte{nil, {5}, make([]byte, 4096), []byte(strings.Repeat("\x05", 4096)), []byte(strings.Repeat("\xff", 4096))} {
		require.Zero(t, btree.UsableSize(page))
		require.Zero(t, btree.PageCount(page))
		require.Empty(t, btree.SchemaRoots(page, 1))
		require.Empty(t, btree.Chains(page, 2, 4096))
		require.Zero(t, btree.KindOf(page, 2))
		_, ok := btree.Children(page, 2)
		require.False(t, ok)
	}
}
