package sqlite_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/pages"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/sqlite"
	"github.com/pagewire/pagewire/internal/store"
)

// corruptible makes a database with every kind of page: interior and leaf pages of tables and indexes, WITHOUT ROWID,
// overflow chains, a freelist with trunk and leaves, pointer maps, the shadow tables of FTS and R-trees, statistics.
func corruptible(t testing.TB) []byte {
	t.Helper()
	s := &stock{t: t, path: filepath.Join(t.TempDir(), "base.db")}
	s.open()
	for _, q := range []string{
		"PRAGMA auto_vacuum=INCREMENTAL; VACUUM",
		"CREATE TABLE t (i INTEGER PRIMARY KEY, v TEXT, w UNIQUE); CREATE TABLE k (a, b, PRIMARY KEY (b, a)) WITHOUT ROWID",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 1200) INSERT INTO t SELECT i, 'v' || (i % 97), hex(i * 7919) || '-' || printf('%.*c', i % 150, 'x') FROM n",
		"INSERT INTO k SELECT i, w FROM t WHERE i < 400; CREATE INDEX t_v ON t (v, i)",
		"CREATE TABLE blobs (i INTEGER PRIMARY KEY, b BLOB); INSERT INTO blobs SELECT i, zeroblob(3000 * i) FROM t WHERE i < 12",
		"CREATE VIRTUAL TABLE ft USING fts5 (body); INSERT INTO ft SELECT v || ' ' || w FROM t WHERE i < 150",
		"CREATE VIRTUAL TABLE box USING rtree (id, a, b); INSERT INTO box SELECT i, i, i + 3 FROM t WHERE i < 200",
		"ANALYZE; CREATE TABLE gone AS SELECT * FROM t; DROP TABLE gone",
	} {
		_, err := s.query(q, nil)
		require.NoError(t, err, q)
	}
	s.close()
	b, err := os.ReadFile(s.path)
	require.NoError(t, err)
	return b
}

// workload reads and writes all that a database of corruptible holds.
var workload = []string{
	"PRAGMA quick_check(5)", "SELECT count(*), sum(length(v)), sum(length(w)) FROM t", "SELECT * FROM t WHERE v = 'v7' ORDER BY i DESC",
	"SELECT count(*) FROM k WHERE b > 'A'", "SELECT sum(length(b)), hex(substr(b, -4)) FROM blobs", "SELECT * FROM ft WHERE ft MATCH 'v7' LIMIT 5",
	"SELECT count(*) FROM box WHERE a > 50 AND b < 90", "SELECT * FROM dbstat LIMIT 3", "INSERT INTO t VALUES (NULL, 'new', 'neu')",
	"UPDATE t SET v = v || 'y' WHERE i % 50 = 0", "DELETE FROM k WHERE a % 3 = 0", "INSERT INTO blobs VALUES (99, randomblob(20000))",
	"DELETE FROM blobs WHERE i < 6", "INSERT INTO ft VALUES ('one more')", "INSERT INTO box VALUES (999, 1, 2)", "PRAGMA incremental_vacuum(3)",
	"CREATE TABLE added (x)", "INSERT INTO added SELECT v FROM t LIMIT 50", "DROP TABLE IF EXISTS k", "VACUUM",
}

// codes are the primary result codes that a corrupt database may answer: SQLite's own for what it finds, and those of
// constraints, since changed bytes may well be other valid data.
var codes = map[int]bool{1: true, 11: true, 26: true, 19: true, 13: true, 18: true, 20: true, 267: true}

// survive opens a database that may be anything and works on it: every answer is a result or an error of SQLite's that
// fits, in bounded time, and the server and other databases are none the worse (I9). It returns how many statements failed.
func survive(t *testing.T, f *fixture, actor, what string) (failed int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	check := func(where string, err error) {
		if err == nil {
			return
		}
		failed++
		var e *sqlite.Error
		require.ErrorAs(t, err, &e, "%s: %s", what, where)
		require.NoError(t, ctx.Err(), "%s: %s takes too long", what, where)
		require.True(t, codes[e.SQLite&0xFF] || e.Code == "page_size", "%s: %s: %v", what, where, err)
	}
	a, opened, err := f.ch.Open(ctx, actor, protocol.Open{Mode: protocol.ModeTakeover, Preload: &protocol.Preload{Pages: true}}, nil)
	require.NoError(t, err, what)
	limits := f.ch.Limits()
	db, err := sqlite.Open(ctx, a, opened, sqlite.Options{CommitBytes: limits.CommitBytes, Pages: pages.Config{Limits: limits}})
	if err != nil {
		check("open", err)
		require.NoError(t, a.Close(ctx, nil), what)
		return failed
	}
	for _, q := range workload {
		check(q, db.Exec(q))
	}
	if err := db.Close(ctx); err != nil {
		require.NoError(t, err, what)
	}
	return failed
}

// damage puts damaged bytes under an actor's name, over what was there.
func (f *fixture) damage(actor string, size uint64, file []byte) {
	ctx := f.t.Context()
	head, err := f.store.Fence(ctx, actor)
	require.NoError(f.t, err)
	start, end := protocol.ChunkRange(0)
	_, err = f.store.Apply(ctx, actor, &store.Batch{Generation: head.Generation, DeleteRanges: []store.Range{{Start: start, End: end}}})
	require.NoError(f.t, err)
	put(f.t, f.store, actor, size, file)
}

// I9: bytes changed in every page, in the places that matter, are SQLITE_CORRUPT or an answer, never a crash or a hang.
// PAGEWIRE_CORRUPTIONS changes how many databases are tried, PAGEWIRE_SEED which.
func TestI9CorruptPages(t *testing.T) {
	n, seed := 60, uint64(1)
	if v, err := strconv.Atoi(os.Getenv("PAGEWIRE_CORRUPTIONS")); err == nil {
		n = v
	}
	if v, err := strconv.ParseUint(os.Getenv("PAGEWIRE_SEED"), 10, 64); err == nil {
		seed = v
	}
	base := corruptible(t)
	f := newFixture(t)
	f.damage("default/corrupt", uint64(len(base)), base)
	require.Zero(t, survive(t, f, "corrupt", "undamaged"))
	rng := rand.New(rand.NewPCG(seed, 9))
	count := len(base) / protocol.PageSize
	hit := 0
	for i := range n {
		file := append([]byte(nil), base...)
		what := fmt.Sprintf("seed %d, database %d:", seed, i)
		for range 1 + rng.IntN(3) {
			no := rng.IntN(count)
			page := file[no*protocol.PageSize:][:protocol.PageSize]
			what += " " + corrupt(rng, page, no, count)
		}
		f.damage("default/corrupt", uint64(len(file)), file)
		if survive(t, f, "corrupt", what) > 0 {
			hit++
		}
	}
	t.Logf("%d of %d damaged databases answered errors, the others results", hit, n)
	require.Greater(t, hit, n/4, "the damage does not show")
}

// corrupt changes one thing in a page as SQLite's own corruption tests do, and says what.
func corrupt(rng *rand.Rand, page []byte, no, count int) string {
	at := 0 // of the B-tree header
	if no == 0 {
		at = 100
	}
	pick := func(values ...uint64) uint64 { return values[rng.IntN(len(values))] }
	number := func() uint32 { // a page number that leads elsewhere
		return uint32(pick(0, 1, 2, 3, uint64(no), uint64(no+1), uint64(rng.IntN(count)+1), uint64(count), uint64(count+1), 0x7fffffff, 0xffffffff))
	}
	be16, be32 := binary.BigEndian.PutUint16, binary.BigEndian.PutUint32
	what := ""
	switch kind := rng.IntN(11); kind {
	case 0: // page type
		page[at] = byte(pick(0, 1, 2, 5, 10, 13, 255))
		what = "type"
	case 1: // number of cells
		be16(page[at+3:], uint16(pick(0, 1, 2, 400, 4096, 0x7fff, 0xffff)))
		what = "cells"
	case 2: // content area, free blocks, fragments
		be16(page[at+1+int(pick(0, 4)):], uint16(pick(0, 1, 8, 12, 4093, 4095, 4096, 0xffff)))
		page[at+7] = byte(pick(0, 60, 61, 255))
		what = "content"
	case 3: // right-most child, next of an overflow or trunk page, pointer map entry
		be32(page[int(pick(0, 4, 8, 5, 1)):], number())
		what = "pointer"
	case 4: // a cell pointer
		be16(page[at+8+2*rng.IntN(30):], uint16(pick(0, 1, 8, 4092, 4095, 4096, 0xffff, uint64(rng.IntN(4096)))))
		what = "cell pointer"
	case 5: // a cell's child, lengths and serial types
		cell := int(binary.BigEndian.Uint16(page[at+8+2*rng.IntN(10):])) % (protocol.PageSize - 16)
		switch rng.IntN(3) {
		case 0:
			be32(page[cell:], number())
		case 1:
			copy(page[cell:], []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}[:rng.IntN(9)+1])
		default:
			page[cell+rng.IntN(12)] = byte(rng.IntN(256))
		}
		what = "cell"
	case 6: // the count of a trunk page, the tail of a cell
		be32(page[4:], uint32(pick(0, 1, 1021, 1022, 1023, 0x7fffffff, 0xffffffff)))
		be32(page[8+4*rng.IntN(20):], number())
		what = "trunk"
	case 7: // the header of the database
		if no == 0 {
			field := int(pick(16, 18, 20, 21, 24, 28, 32, 36, 40, 44, 48, 52, 56, 64, 92, 96))
			be32(page[field:], uint32(pick(0, 1, 2, 255, uint64(count*2), 0x10000, 0x7fffffff, 0xffffffff)))
			what = fmt.Sprint("header ", field)
			break
		}
		fallthrough
	case 8: // a page of another kind
		rng2 := rand.New(rand.NewPCG(uint64(no), 1))
		for i := range page {
			page[i] = byte(rng2.Uint32())
		}
		what = "noise"
	case 9:
		clear(page[rng.IntN(protocol.PageSize):])
		what = "cleared"
	default:
		for range 1 + rng.IntN(20) {
			page[rng.IntN(len(page))] ^= 1 << rng.IntN(8)
		}
		what = "bits"
	}
	return fmt.Sprintf("page %d %s;", no+1, what)
}

// I9: a file whose size or chunks are not those that it had is an error or reads as what is there.
func TestI9WrongSizesAndChunks(t *testing.T) {
	base := corruptible(t)
	f := newFixture(t)
	n := uint64(len(base))
	for _, c := range []struct {
		what string
		size uint64
		file []byte
	}{
		{"nothing but a size", n, nil},
		{"size 0, all chunks", 0, base},
		{"size 1", 1, base},
		{"size 99", 99, base},
		{"size 100", 100, base},
		{"half a page", 2048, base},
		{"one page", 4096, base},
		{"one page and a byte", 4097, base},
		{"one byte less", n - 1, base},
		{"one page less", n - 4096, base},
		{"half of it", n / 2, base},
		{"one byte more", n + 1, base},
		{"twice as much", n * 2, base},
		{"1 TiB", 1 << 40, base},
		{"one page below the largest", protocol.MaxFileBytes - 4096, base},
		{"a byte below the largest", protocol.MaxFileBytes - 1, base},
		{"the largest", protocol.MaxFileBytes, base},
		{"the largest, and nothing in it", protocol.MaxFileBytes, nil},
		{"half of the chunks", n, base[:n/2]},
		{"a short last chunk", n, base[:n-100]},
		{"a short only chunk", n, base[:50]},
		{"zeros", n, make([]byte, n)},
		{"text", 8192, []byte("SQLite format 3\x00" + "this is not a database at all")},
	} {
		f.damage("default/sizes", c.size, c.file)
		failed := survive(t, f, "sizes", c.what)
		if c.size > 0xfffffffe*protocol.PageSize {
			require.NotZero(t, failed, c.what)
			kept, err := f.store.Get(t.Context(), "default/sizes", [][]byte{protocol.MetaKey(0), protocol.ChunkKey(0, 0)})
			require.NoError(t, err)
			require.Equal(t, protocol.EncodeMeta(c.size), kept[0], "%s: it was taken for an empty database", c.what)
			require.Equal(t, len(c.file) > 0, kept[1] != nil, "%s: it was written to", c.what)
		}
		t.Logf("%s: %d statements failed", c.what, failed)
	}
	// Missing chunks, one by one and many: they read as zeros.
	for _, step := range []int{2, 3, 17} {
		f.damage("default/sizes", n, base)
		head, err := f.store.Fence(t.Context(), "default/sizes")
		require.NoError(t, err)
		b := &store.Batch{Generation: head.Generation}
		for i := step - 1; i < len(base)/protocol.PageSize; i += step {
			b.Deletes = append(b.Deletes, protocol.ChunkKey(0, uint32(i)))
		}
		_, err = f.store.Apply(t.Context(), "default/sizes", b)
		require.NoError(t, err)
		require.NotZero(t, survive(t, f, "sizes", fmt.Sprintf("every chunk %d missing", step)))
	}
}

// I9: metadata that makes no sense is an error of the open, not an empty database.
func TestI9MetadataMakesNoSense(t *testing.T) {
	f := newFixture(t)
	for i, meta := range [][]byte{{}, {1}, {1, 0, 0}, {2, 0, 0, 16, 0, 0, 0, 0, 0, 0}, make([]byte, 11), {1, 0, 0, 0, 0, 0, 0, 0, 0, 0x80}, {1, 0, 1, 0, 0, 0, 0, 16, 0, 0}} {
		actor := fmt.Sprint("meta", i)
		head, err := f.store.Fence(t.Context(), "default/"+actor)
		require.NoError(t, err)
		_, err = f.store.Apply(t.Context(), "default/"+actor, &store.Batch{
			Generation: head.Generation, Puts: []store.Entry{{Key: protocol.MetaKey(0), Value: meta}},
		})
		require.NoError(t, err)
		_, _, err = f.ch.Open(t.Context(), actor, protocol.Open{}, nil)
		var e *protocol.Error
		require.True(t, errors.As(err, &e), "metadata %x: %v", meta, err)
		require.Equal(t, protocol.CodeInternal, e.Code)
	}
}
