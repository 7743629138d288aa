package server_test

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/mattn/go-sqlite3"
	"github.com/pagewire/pagewire/internal/btree"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/server"
	"github.com/pagewire/pagewire/internal/store"
	"github.com/stretchr/testify/require"
)

func budget(n uint64) *uint64 { return &n }

func TestPreloadEntries(t *testing.T) {
	eachStore(t, func(t *testing.T, st store.Store) {
		_, url := serve(t, server.Config{Store: st})
		c := dial(t, url)
		gen := c.open("x", protocol.ModeFail).Generation
		// "a\xff" is below the prefix "a"; "b" is its successor and is not.
		call[protocol.Empty](c, "x", protocol.OpPut, put(gen, "a", "0", "a1", "11", "a\xff\xff", "22", "b", "3", "\xff\xff", "4", "\xff\xffz", "5"))
		for _, x := range []struct {
			name     string
			preload  *protocol.Preload
			keys     string // of the entries
			scanned  string
			prefixes []protocol.ScannedPrefix
		}{
			{name: "nothing asked", preload: nil},
			{name: "present and absent keys", preload: &protocol.Preload{Keys: keys("b", "none", "b")}, keys: "b", scanned: "b none"},
			{name: "prefix", preload: &protocol.Preload{Prefixes: []protocol.PreloadPrefix{{Prefix: []byte("a")}}},
				keys: "a a1 a\xff\xff", prefixes: []protocol.ScannedPrefix{{Prefix: []byte("a"), Complete: true}}},
			{name: "empty prefix", preload: &protocol.Preload{Prefixes: []protocol.PreloadPrefix{{Prefix: []byte{}}}},
				keys: "a a1 a\xff\xff b \xff\xff \xff\xffz", prefixes: []protocol.ScannedPrefix{{Prefix: []byte{}, Complete: true}}},
			{name: "prefix of FF", preload: &protocol.Preload{Prefixes: []protocol.PreloadPrefix{{Prefix: []byte("\xff\xff")}}},
				keys: "\xff\xff \xff\xffz", prefixes: []protocol.ScannedPrefix{{Prefix: []byte("\xff\xff"), Complete: true}}},
			{name: "prefix with nothing below", preload: &protocol.Preload{Prefixes: []protocol.PreloadPrefix{{Prefix: []byte("q")}}},
				prefixes: []protocol.ScannedPrefix{{Prefix: []byte("q"), Complete: true}}},
			{name: "partial prefix", preload: &protocol.Preload{Prefixes: []protocol.PreloadPrefix{{Prefix: []byte("a"), MaxBytes: 6, Partial: true}}},
				keys: "a a1", prefixes: []protocol.ScannedPrefix{{Prefix: []byte("a"), Through: []byte("a1")}}},
			{name: "all or nothing", preload: &protocol.Preload{Prefixes: []protocol.PreloadPrefix{{Prefix: []byte("a"), MaxBytes: 6}, {Prefix: []byte("b")}}},
				keys: "b", prefixes: []protocol.ScannedPrefix{{Prefix: []byte("b"), Complete: true}}},
			{name: "not even one fits", preload: &protocol.Preload{Prefixes: []protocol.PreloadPrefix{{Prefix: []byte("a"), MaxBytes: 1, Partial: true}}}},
			{name: "budget of nothing", preload: &protocol.Preload{Budget: budget(0), Keys: keys("b"), Prefixes: []protocol.PreloadPrefix{{Prefix: []byte("q")}}}},
			{name: "budget in priority order", preload: &protocol.Preload{Budget: budget(6), Keys: keys("b", "\xff\xff", "a"), Prefixes: []protocol.PreloadPrefix{{Prefix: []byte("a"), Partial: true}}},
				keys: "b \xff\xff", scanned: "b \xff\xff"},
			{name: "keys come before prefixes and not twice", preload: &protocol.Preload{Keys: keys("a1"), Prefixes: []protocol.PreloadPrefix{{Prefix: []byte("a")}}},
				keys: "a1 a a\xff\xff", scanned: "a1", prefixes: []protocol.ScannedPrefix{{Prefix: []byte("a"), Complete: true}}},
			{name: "budget over the server's", preload: &protocol.Preload{Budget: budget(1 << 60), Keys: keys("b")}, keys: "b", scanned: "b"},
		} {
			t.Run(x.name, func(t *testing.T) {
				c.t = t
				r := call[protocol.OpenResult](c, "x", protocol.OpOpen, protocol.Open{Mode: protocol.ModeTakeover, Preload: x.preload})
				join := func(k [][]byte) string {
					var s []string
					for _, b := range k {
						s = append(s, string(b))
					}
					return strings.Join(s, " ")
				}
				require.Equal(t, x.keys, join(r.Entries.Keys))
				require.Equal(t, x.scanned, join(r.ScannedKeys))
				require.Equal(t, x.prefixes, r.ScannedPrefixes)
			})
		}
	})
}

func TestPreloadIsCapped(t *testing.T) {
	l := server.DefaultLimits()
	l.PreloadBytes = 1000
	_, url := serve(t, server.Config{Limits: l})
	c := dial(t, url)
	gen := c.open("x", protocol.ModeFail).Generation
	call[protocol.Empty](c, "x", protocol.OpPut, put(gen, "a", strings.Repeat("v", 600), "b", strings.Repeat("v", 600)))
	for _, b := range []*uint64{nil, budget(1 << 40)} {
		r := call[protocol.OpenResult](c, "x", protocol.OpOpen, protocol.Open{Mode: protocol.ModeTakeover,
			Preload: &protocol.Preload{Keys: keys("a", "b"), Budget: b}})
		require.Equal(t, keys("a"), r.Entries.Keys)
		require.Equal(t, keys("a"), r.ScannedKeys, "what was not scanned is not listed (I9)")
	}
}

func TestMalformedPreload(t *testing.T) {
	_, url := serve(t, server.Config{})
	c := dial(t, url)
	long := []byte(strings.Repeat("k", 2049))
	for want, p := range map[string]any{
		"preload: key 1 has 0 bytes":         &protocol.Preload{Keys: [][]byte{{1}, {}}},
		"preload: key 0 has 2049 bytes":      &protocol.Preload{Keys: [][]byte{long}},
		"preload: prefix 0 has 2049 bytes":   &protocol.Preload{Prefixes: []protocol.PreloadPrefix{{Prefix: long}}},
		"preload: prefix 0 is missing":       &protocol.Preload{Prefixes: []protocol.PreloadPrefix{{}}},
		"preload: 129 keys, the limit is":    &protocol.Preload{Keys: make129()},
		"preload: 200 prefixes, the limit":   &protocol.Preload{Prefixes: make([]protocol.PreloadPrefix, 200)},
		"body: cbor: cannot unmarshal array": []string{"not a map"},
	} {
		e := c.refused(protocol.CodeBadRequest, "x", protocol.OpOpen, map[int]any{1: 0, 4: p})
		require.Contains(t, e.Message, want)
	}
	c.refused(protocol.CodeBadRequest, "x", protocol.OpOpen, protocol.Open{Mode: 7})
	require.EqualValues(t, 1, c.open("x", protocol.ModeFail).Generation, "a refused open fences nobody")
}

func make129() (out [][]byte) {
	for i := range 129 {
		out = append(out, []byte{1, byte(i)})
	}
	return out
}

// database returns the pages of a real SQLite database: a table of three levels with two blobs in overflow chains.
func database(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	db, err := sql.Open("sqlite3", path)
	require.NoError(t, err)
	_, err = db.Exec(`PRAGMA page_size = 4096;
		CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 3000)
		INSERT INTO t SELECT i*1000000, printf('%01000d', i) FROM n;
		CREATE TABLE b (id INTEGER PRIMARY KEY, v BLOB);
		INSERT INTO b VALUES (1, zeroblob(20000)), (2, zeroblob(40000));`)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}

// load commits a database of any size in stages and returns the session's generation.
func load(t *testing.T, c *client, actor string, db []byte) uint64 {
	t.Helper()
	gen := c.open(actor, protocol.ModeFail).Generation
	id := c.id()
	stages := uint64(0)
	const per = 256 * protocol.PageSize
	for at := 0; at < len(db); at += per {
		part := db[at:min(at+per, len(db))]
		p := protocol.Pages{Data: part}
		for i := range len(part) / protocol.PageSize {
			p.Indexes = append(p.Indexes, uint32(at/protocol.PageSize+i))
		}
		c.frame(protocol.Stage{Commit: id, Actor: actor, Pages: p})
		stages++
	}
	c.frame(protocol.Request[any]{ID: id, Actor: actor, Op: protocol.OpCommit, Body: protocol.Commit{
		Generation: gen, Seq: 1, Count: 1, Size: uint64(len(db)), Staged: stages}})
	result[protocol.CommitResult](c, id)
	return gen
}

func TestExpansionOfARealDatabase(t *testing.T) {
	eachStore(t, func(t *testing.T, st store.Store) {
		srv, url := serve(t, server.Config{Store: st})
		c := dial(t, url)
		db := database(t)
		at := func(no uint32) []byte { return db[(no-1)*protocol.PageSize : no*protocol.PageSize] }
		gen := load(t, c, "x", db)
		roots := btree.SchemaRoots(at(1), 1)
		require.Len(t, roots, 2)
		interior, ok := btree.Children(at(roots[0]), roots[0])
		require.True(t, ok, "t has interior pages")

		check := func(p protocol.Pages) {
			for i, index := range p.Indexes {
				require.True(t, bytes.Equal(at(index+1), p.Data[i*protocol.PageSize:(i+1)*protocol.PageSize]), "page %d at %d of %d", index, i, len(p.Indexes))
			}
		}
		// A root with its children in one round trip.
		f := call[protocol.FetchResult](c, "x", protocol.OpFetch, protocol.Fetch{
			Pages: []uint32{roots[0] - 1}, Expand: &protocol.Expand{Depth: 1, Budget: 1 << 20}})
		check(f.Pages)
		require.Equal(t, roots[0]-1, f.Pages.Indexes[0], "what was asked for comes first")
		for _, child := range interior {
			require.NotNil(t, pageAt(f.Pages, child-1), "child %d", child)
		}
		// A budget holds, and one beyond a frame is cut to what the frame leaves.
		f = call[protocol.FetchResult](c, "x", protocol.OpFetch, protocol.Fetch{
			Pages: []uint32{roots[0] - 1}, Expand: &protocol.Expand{Depth: 2, Budget: 3 * protocol.PageSize}})
		require.Len(t, f.Pages.Indexes, 1+3)
		f = call[protocol.FetchResult](c, "x", protocol.OpFetch, protocol.Fetch{
			Pages: []uint32{roots[0] - 1}, Expand: &protocol.Expand{Depth: 1 << 40, Budget: 1 << 62}})
		check(f.Pages)
		require.Greater(t, len(f.Pages.Indexes), 500)
		// Leaves with the overflow chains of their rows: 20,000 and 40,000 bytes are 4 and 9 pages past the leaf.
		f = call[protocol.FetchResult](c, "x", protocol.OpFetch, protocol.Fetch{
			Pages: []uint32{roots[1] - 1}, Expand: &protocol.Expand{Depth: 1, Budget: 1 << 20}})
		check(f.Pages)
		require.GreaterOrEqual(t, len(f.Pages.Indexes), 1+4+9)
		require.NotZero(t, srv.Snapshot().PagesExpanded)
		// Only the main file has a structure to follow.
		c.refused(protocol.CodeBadRequest, "x", protocol.OpFetch, protocol.Fetch{File: 1, Expand: &protocol.Expand{}})

		// An open brings page 1, the hints of the last session and the interior pages.
		leaves, ok := btree.Children(at(interior[0]), interior[0])
		require.True(t, ok, "t has three levels")
		leaf := leaves[7] - 1
		call[protocol.Empty](c, "x", protocol.OpClose, protocol.Close{Generation: gen, Hints: []uint32{leaf, 1 << 30}})
		r := call[protocol.OpenResult](c, "x", protocol.OpOpen, protocol.Open{Preload: &protocol.Preload{Pages: true}})
		check(r.Pages)
		require.Equal(t, []uint32{0, leaf}, r.Pages.Indexes[:2])
		for _, no := range append(interior, roots[0]) {
			require.NotNil(t, pageAt(r.Pages, no-1), "interior page %d", no)
		}
		require.Equal(t, []protocol.File{{Tag: 0, Size: uint64(len(db))}}, r.Files)
		r = call[protocol.OpenResult](c, "x", protocol.OpOpen, protocol.Open{Mode: protocol.ModeTakeover,
			Preload: &protocol.Preload{Pages: true, Budget: budget(2*protocol.PageSize + 1)}})
		require.Equal(t, []uint32{0, leaf}, r.Pages.Indexes)
	})
}

// Corrupt pages are followed nowhere and break nothing (I9).
func TestExpansionOfGarbage(t *testing.T) {
	_, url := serve(t, server.Config{})
	c := dial(t, url)
	gen := c.open("x", protocol.ModeFail).Generation
	fetch := protocol.Fetch{Pages: []uint32{0, 1}, Expand: &protocol.Expand{Depth: 9, Budget: 1 << 20}}
	require.Equal(t, []uint32{0, 1}, call[protocol.FetchResult](c, "x", protocol.OpFetch, fetch).Pages.Absent)
	call[protocol.CommitResult](c, "x", protocol.OpCommit, protocol.Commit{Generation: gen, Seq: 1, Count: 1,
		Size: 3 * protocol.PageSize, Pages: pagesOf([]uint32{0, 1, 2}, 0xff, 0x05, 0x02)})
	require.NotEmpty(t, call[protocol.FetchResult](c, "x", protocol.OpFetch, fetch).Pages.Indexes)
	r := call[protocol.OpenResult](c, "x", protocol.OpOpen, protocol.Open{Mode: protocol.ModeTakeover, Preload: &protocol.Preload{Pages: true}})
	require.Equal(t, []uint32{0}, r.Pages.Indexes)
}
