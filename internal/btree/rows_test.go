package btree_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"github.com/pagewire/pagewire/internal/btree"
	"github.com/stretchr/testify/require"
)

// What the pages of a tree say, put together in order, is what SQLite answers.
func TestRowIDsAndKeys(t *testing.T) {
	d := makeDatabase(t, "PRAGMA page_size = 4096", "CREATE TABLE t (id INTEGER PRIMARY KEY, k, v)", "CREATE INDEX i ON t (k)",
		"CREATE TABLE w (a, b TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 20000) INSERT INTO t "+
			"SELECT CASE i % 7 WHEN 0 THEN i - (1 << 40) WHEN 1 THEN i WHEN 2 THEN i * 1000003 ELSE i - 30000 END, "+
			"(i * 7919) % 20011, zeroblob(i % 50) FROM n",
		"INSERT OR REPLACE INTO t VALUES (0, -1, ''), (1, -2, '')",
		"INSERT INTO t SELECT max(id) + 1, printf('%.3000c', 'x'), '' FROM t", // an entry that spills
		"INSERT INTO w SELECT i, 'text ' || k FROM (SELECT id AS i, k FROM t LIMIT 5000)")
	var got []int64
	var index func(no uint32)
	index = func(no uint32) {
		children, interior := btree.Children(d.page(no), no)
		ids := btree.RowIDs(d.page(no), no)
		if !interior {
			got = append(got, ids...)
			return
		}
		require.Len(t, ids, len(children)-1)
		for i, child := range children {
			index(child)
			if i < len(ids) {
				got = append(got, ids[i])
			}
		}
	}
	index(d.root("i"))
	require.Equal(t, d.integers(t, "SELECT CASE typeof(k) WHEN 'text' THEN -9223372036854775807 - 1 ELSE id END FROM t ORDER BY k, id"), got)

	// Every leaf of the table holds what the keys on the way to it say.
	seen := 0
	var table func(no uint32, above int64)
	table = func(no uint32, above int64) {
		children, interior := btree.Children(d.page(no), no)
		keys, ok := btree.TableKeys(d.page(no), no)
		require.Equal(t, interior, ok)
		if !interior {
			seen++
			return
		}
		require.Len(t, keys, len(children)-1)
		for i, child := range children {
			if i < len(keys) {
				require.Greater(t, keys[i], above)
				above = keys[i]
			}
			table(child, above)
		}
	}
	table(d.root("t"), btree.NoRowID)
	require.Greater(t, seen, 100)
	_, ok := btree.TableKeys(d.page(d.root("i")), d.root("i"))
	require.False(t, ok)
	require.Nil(t, btree.RowIDs(d.page(d.root("t")), d.root("t")))
	w := d.root("w")
	require.Nil(t, btree.RowIDs(d.page(w), w), "text is no rowid")
	for i := range 200 { // nonsense yields nothing, or anything, and no harm (I9)
		page := append([]byte(nil), d.page(d.root("i"))...)
		for j := i; j < len(page); j += 7 + i {
			page[j] ^= byte(i + j)
		}
		btree.RowIDs(page, 2)
		btree.TableKeys(page, 2)
	}
}

// root returns the root page of a table or index.
func (d *database) root(name string) uint32 {
	return d.named(func(s stat) bool { return s.tree == name && s.path == "/" })[0]
}

// integers asks SQLite itself.
func (d *database) integers(t testing.TB, query string) (all []int64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "copy.db")
	require.NoError(t, os.WriteFile(path, d.bytes, 0o600))
	db, err := sql.Open("sqlite3", path)
	require.NoError(t, err)
	defer db.Close()
	list, err := db.Query(query)
	require.NoError(t, err)
	defer list.Close()
	for list.Next() {
		var v int64
		require.NoError(t, list.Scan(&v))
		all = append(all, v)
	}
	require.NoError(t, list.Err())
	return all
}
