package pages_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	_ "github.com/mattn/go-sqlite3"
	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/btree"
	"github.com/pagewire/pagewire/internal/channel"
	"github.com/pagewire/pagewire/internal/pages"
	"github.com/pagewire/pagewire/internal/protocol"
)

// image is a database file made by SQLite itself.
type image struct {
	file  []byte
	roots map[string]uint32 // page numbers by table and index
}

func makeImage(t testing.TB, statements ...string) image {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image.db")
	db, err := sql.Open("sqlite3", name)
	require.NoError(t, err)
	db.SetMaxOpenConns(1)
	for _, s := range append([]string{"PRAGMA page_size = 4096", "PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF"}, statements...) {
		_, err := db.Exec(s)
		require.NoError(t, err, s)
	}
	img := image{roots: map[string]uint32{}}
	rows, err := db.Query("SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0")
	require.NoError(t, err)
	for rows.Next() {
		var table string
		var root uint32
		require.NoError(t, rows.Scan(&table, &root))
		img.roots[table] = root
	}
	require.NoError(t, rows.Err())
	require.NoError(t, rows.Close())
	require.NoError(t, db.Close())
	img.file, err = os.ReadFile(name)
	require.NoError(t, err)
	require.Zero(t, len(img.file)%pageSize)
	return img
}

func (img image) page(number uint32) []byte { return img.file[int(number-1)*pageSize:][:pageSize] }

// load writes the image into an actor through commits.
func (img image) load(t testing.TB, c *channel.Channel, actor string) {
	db := open(t, c, actor, protocol.Open{}, pages.Config{}, nil)
	const batch = 2048
	for from := 0; from < len(img.file); from += batch * pageSize {
		to := min(from+batch*pageSize, len(img.file))
		write := map[uint32][]byte{}
		for at := from; at < to; at += pageSize {
			write[uint32(at/pageSize)] = img.file[at : at+pageSize]
		}
		db.commit(uint64(to), write)
		require.NoError(t, db.f.Flush(context.Background()))
	}
	db.close()
}

// scan reads a tree as SQLite's cursor does, an interior page before its children, forward or backward, and returns the
// number of pages. The overflow chains of rows are read in their turn if overflow is set.
func (img image) scan(t *testing.T, db *database, root uint32, backward, overflow bool) int {
	page := db.read(root - 1)
	if string(page) != string(img.page(root)) {
		require.FailNow(t, "wrong bytes", "page %d", root)
	}
	var chains []btree.Chain
	if overflow {
		chains = btree.Chains(page, root, pageSize)
	}
	children, interior := btree.Children(page, root)
	if backward {
		slices.Reverse(chains)
		slices.Reverse(children)
	}
	n := 1
	if !interior {
		for _, c := range chains {
			n += img.chain(t, db, c.First)
		}
		return n
	}
	for i, child := range children {
		n += img.scan(t, db, child, backward, overflow)
		cell := i // that follows the child
		if backward {
			cell = len(children) - 2 - i
		}
		for _, c := range chains {
			if c.Cell == cell {
				n += img.chain(t, db, c.First)
			}
		}
	}
	return n
}

// chain reads an overflow chain and returns the number of its pages.
func (img image) chain(t *testing.T, db *database, first uint32) (n int) {
	for no := first; no != 0; no = btree.NextOverflow(img.page(no)) {
		if string(img.page(no)) != string(db.read(no-1)) {
			require.FailNow(t, "wrong bytes", "overflow page %d", no)
		}
		n++
	}
	return n
}

const series = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < %d) "

// A cold scan of a 50 MiB table takes at most 20 round trips, however its pages lie in the file and whatever came with
// the open.
func TestReadaheadOfAScan(t *testing.T) {
	const rows = 118_000
	ordered := makeImage(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)",
		fmt.Sprintf("INSERT INTO t "+series+"SELECT i, randomblob(400) FROM n", rows))
	fragmented := makeImage(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)",
		fmt.Sprintf("INSERT INTO t "+series+"SELECT (i * 7919) %% 118033, randomblob(350) FROM n", rows))
	require.Greater(t, len(ordered.file), 49<<20)
	require.Greater(t, len(fragmented.file), 45<<20)
	c := dial(t, serve(t, protocol.Limits{}))
	ordered.load(t, c, "ordered")
	fragmented.load(t, c, "fragmented")
	for _, test := range []struct {
		name     string
		img      image
		actor    string
		preload  *protocol.Preload
		cfg      pages.Config
		backward bool
		most     int
	}{
		{"preloaded", ordered, "ordered", &protocol.Preload{Pages: true}, pages.Config{}, false, 20},
		{"cold", ordered, "ordered", noPreload(), pages.Config{}, false, 20},
		{"fragmented", fragmented, "fragmented", &protocol.Preload{Pages: true}, pages.Config{}, false, 20},
		{"fragmented, cold", fragmented, "fragmented", noPreload(), pages.Config{}, false, 20},
		{"fragmented, backward", fragmented, "fragmented", noPreload(), pages.Config{}, true, 20},
		{"fragmented, without expansion", fragmented, "fragmented", noPreload(), pages.Config{DisableExpand: true}, false, 40},
	} {
		t.Run(test.name, func(t *testing.T) {
			db := open(t, c, test.actor, protocol.Open{Preload: test.preload}, test.cfg, nil)
			n := test.img.scan(t, db, test.img.roots["t"], test.backward, false)
			m := db.f.Metrics()
			t.Logf("%d pages in %d fetches, %d received, %d prefetched, %d not read, %d pointers known",
				n, m.Fetches, m.PagesFetched, m.PagesPrefetched, len(db.extra), m.KnownChildren)
			require.Greater(t, n, 11_000)
			require.LessOrEqual(t, m.Fetches, uint64(test.most))
			require.Less(t, m.PagesFetched, uint64(n)*21/20, "much was fetched twice or in vain")
			db.close()
		})
	}
}

// Random reads bring next to nothing that nobody asked for; without readahead and expansion, nothing at all.
func TestSeeksFetchOnePage(t *testing.T) {
	img := makeImage(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)",
		fmt.Sprintf("INSERT INTO t "+series+"SELECT i, randomblob(400) FROM n", 20_000))
	c := dial(t, serve(t, protocol.Limits{}))
	img.load(t, c, "a")
	leaves, _ := btree.Children(img.page(img.roots["t"]), img.roots["t"])
	for len(leaves) < 100 {
		leaves, _ = btree.Children(img.page(leaves[0]), leaves[0])
	}
	for _, test := range []struct {
		name   string
		cfg    pages.Config
		wasted int
	}{
		{"default", pages.Config{}, 40},
		{"no readahead", pages.Config{DisableReadahead: true}, 40},
		{"nothing", pages.Config{DisableReadahead: true, DisableExpand: true}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			db := open(t, c, "a", protocol.Open{Preload: noPreload()}, test.cfg, nil)
			db.read(0)
			db.read(img.roots["t"] - 1)
			for i := range 60 {
				leaf := leaves[i*37%len(leaves)]
				require.Equal(t, img.page(leaf), db.read(leaf-1))
			}
			require.LessOrEqual(t, len(db.extra), test.wasted)
			require.LessOrEqual(t, db.f.Metrics().Fetches, uint64(62))
			db.close()
		})
	}
}

// What is remembered of the trees is bounded; what was forgotten costs round trips only.
func TestRememberedPointersAreBounded(t *testing.T) {
	img := makeImage(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)",
		fmt.Sprintf("INSERT INTO t "+series+"SELECT i, randomblob(400) FROM n", 20_000))
	c := dial(t, serve(t, protocol.Limits{}))
	img.load(t, c, "a")
	db := open(t, c, "a", protocol.Open{Preload: &protocol.Preload{Pages: true}}, pages.Config{MaxChildren: 500}, nil)
	img.scan(t, db, img.roots["t"], false, false)
	known := db.f.Metrics().KnownChildren
	require.Positive(t, known)
	require.LessOrEqual(t, known, 500)
	db.close()
}

// Two scans that take turns, as in a join, are both read ahead.
func TestReadaheadFollowsSeveralScans(t *testing.T) {
	img := makeImage(t, "CREATE TABLE a (id INTEGER PRIMARY KEY, v BLOB)", "CREATE TABLE b (id INTEGER PRIMARY KEY, v BLOB)",
		fmt.Sprintf("INSERT INTO a "+series+"SELECT i, randomblob(400) FROM n", 9_000),
		fmt.Sprintf("INSERT INTO b "+series+"SELECT i, randomblob(400) FROM n", 9_000))
	c := dial(t, serve(t, protocol.Limits{}))
	img.load(t, c, "a")
	db := open(t, c, "a", protocol.Open{Preload: &protocol.Preload{Pages: true}}, pages.Config{}, nil)
	leaves := map[string][]uint32{}
	for _, table := range []string{"a", "b"} {
		leaves[table], _ = btree.Children(img.page(img.roots[table]), img.roots[table])
		for _, inner := range leaves[table] {
			if children, ok := btree.Children(img.page(inner), inner); ok {
				leaves[table] = append(leaves[table][1:], children...)
			}
		}
	}
	n := min(len(leaves["a"]), len(leaves["b"]))
	require.Greater(t, n, 900)
	for i := range n {
		db.read(leaves["a"][i] - 1)
		db.read(leaves["b"][i] - 1)
	}
	require.LessOrEqual(t, db.f.Metrics().Fetches, uint64(30))
	db.close()
}

// Overflow chains come in long runs where they lie in one piece, and along their pointers where they do not.
func TestReadaheadOfOverflowChains(t *testing.T) {
	ordered := makeImage(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)",
		fmt.Sprintf("INSERT INTO t "+series+"SELECT i, randomblob(100000) FROM n", 200))
	// Rows deleted at random leave a free list in disorder, from which the big rows take their pages.
	fragmented := makeImage(t, "CREATE TABLE s (id INTEGER PRIMARY KEY, v BLOB)", "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)",
		fmt.Sprintf("INSERT INTO s "+series+"SELECT i, randomblob(5000) FROM n", 5_000),
		"DELETE FROM s WHERE id IN (SELECT (id * 7919) % 5003 FROM s LIMIT 4500)",
		fmt.Sprintf("INSERT INTO t "+series+"SELECT i, randomblob(1000000) FROM n", 12))
	c := dial(t, serve(t, protocol.Limits{}))
	for _, test := range []struct {
		name string
		img  image
		most int
	}{
		{"ordered", ordered, 40},
		{"fragmented", fragmented, 110},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.img.load(t, c, test.name)
			db := open(t, c, test.name, protocol.Open{Preload: &protocol.Preload{Pages: true}}, pages.Config{}, nil)
			n := test.img.scan(t, db, test.img.roots["t"], false, true)
			m := db.f.Metrics()
			t.Logf("%d pages in %d fetches, %d received, %d not read", n, m.Fetches, m.PagesFetched, len(db.extra))
			require.Greater(t, n, 2500)
			require.LessOrEqual(t, m.Fetches, uint64(test.most))
			db.close()
		})
	}
}

// Rows that spill are read ahead wherever their chains lie, in either direction; little is fetched twice or in vain.
func TestReadaheadOfRowsThatSpill(t *testing.T) {
	// (i * 7919) % 5003 takes every value below 5003 once: the rows are written in no order.
	shuffled := "INSERT INTO t " + series + "SELECT (i * 7919) %% 5003, randomblob(%d) FROM n"
	c := dial(t, serve(t, protocol.Limits{}))
	for _, test := range []struct {
		name, table string
		bytes, most int
	}{
		{"chains of a page", "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)", 6000, 25},
		{"chains of several pages", "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)", 18000, 45},
		{"index", "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB) WITHOUT ROWID", 1500, 45},
	} {
		img := makeImage(t, test.table, fmt.Sprintf(shuffled, 5_000, test.bytes))
		img.load(t, c, test.name)
		for _, backward := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, backward %v", test.name, backward), func(t *testing.T) {
				db := open(t, c, test.name, protocol.Open{Preload: &protocol.Preload{Pages: true}}, pages.Config{}, nil)
				n := img.scan(t, db, img.roots["t"], backward, true)
				m := db.f.Metrics()
				t.Logf("%d pages in %d fetches, %d received, %d not read", n, m.Fetches, m.PagesFetched, len(db.extra))
				require.Greater(t, n, 5000)
				require.LessOrEqual(t, m.Fetches, uint64(test.most))
				require.Less(t, m.PagesFetched, uint64(n)*9/8, "much was fetched twice or in vain")
				require.Less(t, len(db.extra), 10)
				db.close()
			})
		}
	}
}

// Leaves whose chains are not read cost nothing but their own fetches, and rows that are read one by one no more than theirs.
func TestChainsThatAreNotRead(t *testing.T) {
	img := makeImage(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)",
		fmt.Sprintf("INSERT INTO t "+series+"SELECT (i * 7919) %% 5003, randomblob(6000) FROM n", 5_000))
	c := dial(t, serve(t, protocol.Limits{}))
	img.load(t, c, "a")
	db := open(t, c, "a", protocol.Open{Preload: noPreload()}, pages.Config{}, nil)
	n := img.scan(t, db, img.roots["t"], false, false)
	require.Less(t, db.f.Metrics().PagesFetched, uint64(n)*11/10)
	leaves, _ := btree.Children(img.page(img.roots["t"]), img.roots["t"])
	for i := range 50 {
		leaf := leaves[i*37%len(leaves)]
		for btree.KindOf(img.page(leaf), leaf) != btree.LeafTable {
			children, _ := btree.Children(img.page(leaf), leaf)
			leaf = children[i*37%len(children)]
		}
		before := db.f.Metrics().PagesFetched
		img.chain(t, db, btree.Chains(img.page(leaf), leaf, pageSize)[0].First)
		require.LessOrEqual(t, db.f.Metrics().PagesFetched-before, uint64(1))
	}
	db.close()
}

// What is remembered of chains is bounded, however often their leaves pass through.
func TestRememberedChainsAreBounded(t *testing.T) {
	img := makeImage(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB) WITHOUT ROWID",
		fmt.Sprintf("INSERT INTO t "+series+"SELECT i, randomblob(1010) FROM n", 10_000))
	c := dial(t, serve(t, protocol.Limits{}))
	img.load(t, c, "a")
	db := open(t, c, "a", protocol.Open{Preload: noPreload()}, pages.Config{}, nil)
	for range 2 {
		img.scan(t, db, img.roots["t"], false, false)
		known := db.f.Metrics().KnownChains
		require.Greater(t, known, 7000)
		require.LessOrEqual(t, known, 8192)
		for index := range uint32(len(img.file) / pageSize) {
			db.forget(index)
		}
	}
	db.close()
}

// Interior pages that make no sense, point past the end or in circles cost nothing but guesses (I9).
func TestI9CorruptTreesAreReadAsTheyAre(t *testing.T) {
	c := dial(t, serve(t, protocol.Limits{}))
	db := open(t, c, "a", protocol.Open{}, pages.Config{}, nil)
	write := map[uint32][]byte{
		0: filled(0),
		1: interiorPage(2, 3, 1, 1<<30, 4, 5), // itself, and past the end
		2: interiorPage(3, 1),                 // its parent
		3: interiorPage(2, 2, 2),
		4: interiorPage(5, 5),
		5: filled(5), // nonsense cells
	}
	db.commit(6*pageSize, write)
	require.NoError(t, db.f.Flush(context.Background()))
	db.close()
	for _, cfg := range []pages.Config{{}, {DisableExpand: true}, {MaxChildren: 4}} {
		db = open(t, c, "a", protocol.Open{Preload: noPreload()}, cfg, nil)
		for range 20 {
			for i := range uint32(6) {
				require.Equal(t, write[i], db.read(i))
				db.forget(i)
			}
		}
		db.close()
	}
}

// Nor do cells that claim to spill into whatever there is (I9).
func TestI9CorruptChainsAreReadAsTheyAre(t *testing.T) {
	c := dial(t, serve(t, protocol.Limits{}))
	for seed := range uint64(20) {
		img := makeImage(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB) WITHOUT ROWID",
			fmt.Sprintf("INSERT INTO t "+series+"SELECT (i * 79) %% 503, randomblob(1500) FROM n", 500))
		draw := rand.New(rand.NewPCG(seed, 1))
		count := uint32(len(img.file) / pageSize)
		for range 300 {
			page := img.page(2 + draw.Uint32N(count-1))
			if draw.IntN(2) == 0 {
				page[draw.IntN(16)] = byte(draw.Uint32()) // of the header and the first cells' places
			} else {
				copy(page[draw.IntN(pageSize-2):], img.file[draw.IntN(len(img.file)-2):][:2])
			}
		}
		actor := fmt.Sprint("corrupt-", seed)
		img.load(t, c, actor)
		db := open(t, c, actor, protocol.Open{Preload: &protocol.Preload{Pages: seed%2 == 0}}, pages.Config{}, nil)
		for range 3 * count {
			no := 1 + draw.Uint32N(count)
			for range 8 { // along what the page says, as a scan would
				require.Equal(t, img.page(no), db.read(no-1))
				if draw.IntN(4) == 0 {
					db.forget(no - 1)
				}
				next, _ := btree.Children(img.page(no), no)
				for _, chain := range btree.Chains(img.page(no), no, pageSize) {
					next = append(next, chain.First)
				}
				if len(next) == 0 {
					break
				}
				if no = next[draw.IntN(len(next))]; no > count {
					break
				}
			}
		}
		db.close()
	}
}
