package btree_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/pagewire/pagewire/internal/btree"
	"github.com/stretchr/testify/require"
)

func numbers(pages []btree.Page) (pgnos []uint32) {
	for _, p := range pages {
		pgnos = append(pgnos, p.No)
	}
	return pgnos
}

func isInterior(s stat) bool {
	return s.kind == "internal" || s.kind == "leaf" && s.tree == "sqlite_schema"
}

func TestInteriorFindsEveryInteriorPage(t *testing.T) {
	for name, scripts := range databases() {
		if name == "small pages" || name == "large pages" {
			continue // budgets are reckoned in pages of 4096 bytes
		}
		t.Run(name, func(t *testing.T) {
			d := makeDatabase(t, scripts[0], scripts[1:]...)
			pages, err := d.walk(t, 4<<20).Interior()
			require.NoError(t, err)
			require.ElementsMatch(t, d.named(isInterior), numbers(pages))
			require.Equal(t, uint32(1), pages[0].No)
			for _, p := range pages {
				require.Equal(t, d.page(p.No), p.Data)
			}
			levels := 0
			for _, s := range d.stats {
				if s.kind != "overflow" {
					levels = max(levels, 1+len(s.path)/4)
				}
			}
			require.LessOrEqual(t, len(d.reads), 2*levels, "batches: %v", d.reads)
		})
	}
}

func TestInteriorKeepsItsBudget(t *testing.T) {
	d := makeDatabase(t, databases()["mixed"][0], databases()["mixed"][1:]...)
	whole, err := d.walk(t, 4<<20).Interior()
	require.NoError(t, err)
	for budget := range len(whole) + 1 {
		pages, err := d.walk(t, budget*4096+4095).Interior()
		require.NoError(t, err)
		require.Len(t, pages, budget)
	}
	w := d.walk(t, 0)
	w.Have = func(no uint32) bool { return no != whole[2].No }
	pages, err := w.Interior()
	require.NoError(t, err)
	require.Empty(t, pages)

	w = d.walk(t, 4096)
	w.Have = func(no uint32) bool { return no != whole[2].No }
	pages, err = w.Interior()
	require.NoError(t, err)
	require.Equal(t, whole[2:3], pages)
}

func TestExpandFollowsChildren(t *testing.T) {
	d := makeDatabase(t, "", "CREATE TABLE t (i INTEGER PRIMARY KEY, v TEXT)", rows("t", 40000, 60))
	at := func(depth int) []uint32 {
		return d.named(func(s stat) bool { return s.tree == "t" && len(s.path) == 1+4*depth })
	}
	root := at(0)[0]
	require.NotEmpty(t, at(1))
	require.Empty(t, at(3))
	from := []btree.Page{{No: root, Data: d.page(root)}}
	for depth := range 4 {
		var want []uint32
		for n := 1; n <= depth; n++ {
			want = append(want, at(n)...)
		}
		pages, err := d.walk(t, 16<<20).Expand(from, depth)
		require.NoError(t, err)
		require.Equal(t, want, numbers(pages))
		require.LessOrEqual(t, len(d.reads), depth)
	}
	pages, err := d.walk(t, 5*4096).Expand(from, 1)
	require.NoError(t, err)
	require.Equal(t, at(1)[:min(5, len(at(1)))], numbers(pages))

	w := d.walk(t, 4096)
	first := at(1)[0]
	w.Have = func(no uint32) bool { return no == first }
	pages, err = w.Expand(from, 1)
	require.NoError(t, err)
	require.NotContains(t, numbers(pages), first)
}

func TestExpandFollowsOverflowChains(t *testing.T) {
	// Growing two blobs by turns lays their chains out on alternate stretches of pages.
	scattered := ""
	for range 6 {
		scattered += "UPDATE b SET v = v || zeroblob(30000) WHERE i = 1; UPDATE b SET v = v || zeroblob(30000) WHERE i = 2;"
	}
	cases := []struct {
		name    string
		scripts []string
		batches int
	}{
		{"in a row", []string{"INSERT INTO b VALUES (1, zeroblob(1000000))"}, 1},
		{"across a pointer map", []string{"PRAGMA auto_vacuum = FULL; VACUUM; INSERT INTO b VALUES (1, zeroblob(5000000))"}, 4},
		{"scattered", []string{"INSERT INTO b VALUES (1, zeroblob(1)), (2, zeroblob(1));" + scattered}, 60},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := makeDatabase(t, "CREATE TABLE b (i INTEGER PRIMARY KEY, v BLOB)", c.scripts...)
			want := d.named(func(s stat) bool { return s.kind == "overflow" })
			var leaves []btree.Page
			for _, no := range d.named(func(s stat) bool { return s.tree == "b" && s.kind == "leaf" }) {
				leaves = append(leaves, btree.Page{No: no, Data: d.page(no)})
			}
			pages, err := d.walk(t, 8<<20).Expand(leaves, 0)
			require.NoError(t, err)
			require.ElementsMatch(t, want, numbers(pages))
			require.LessOrEqual(t, len(d.reads), c.batches)

			// From within a chain, whose length the page does not tell.
			pages, err = d.walk(t, 8<<20).Expand([]btree.Page{{No: want[0], Data: d.page(want[0])}}, 0)
			require.NoError(t, err)
			for _, p := range pages {
				require.Contains(t, want[1:], p.No)
			}
			require.NotEmpty(t, pages)

			pages, err = d.walk(t, 3*4096).Expand(leaves, 0)
			require.NoError(t, err)
			require.Len(t, pages, 3)
		})
	}
}

func TestWalkEndsOnCycles(t *testing.T) {
	// Page 2 is an interior page whose children are itself, page 1, itself again and a page past the end.
	interior := make([]byte, 4096)
	interior[0] = byte(btree.InteriorTable)
	binary.BigEndian.PutUint16(interior[3:], 3)
	binary.BigEndian.PutUint16(interior[5:], 4000)
	binary.BigEndian.PutUint32(interior[8:], 99)
	for i, child := range []uint32{2, 1, 2} {
		binary.BigEndian.PutUint16(interior[12+2*i:], uint16(4000+8*i))
		binary.BigEndian.PutUint32(interior[4000+8*i:], child)
	}
	children, ok := btree.Children(interior, 2)
	require.True(t, ok)
	require.Equal(t, []uint32{2, 1, 2, 99}, children)

	d := makeDatabase(t, "CREATE TABLE t (i)")
	require.Equal(t, uint32(2), d.count())
	copy(d.page(2), interior)
	pages, err := d.walk(t, 1<<20).Interior()
	require.NoError(t, err)
	require.Equal(t, []uint32{1, 2}, numbers(pages))
	pages, err = d.walk(t, 1<<20).Expand([]btree.Page{{No: 2, Data: interior}}, 20)
	require.NoError(t, err)
	require.Equal(t, []uint32{1}, numbers(pages))

	// A chain that leads back to itself.
	chain := make([]byte, 4096)
	binary.BigEndian.PutUint32(chain, 2)
	copy(d.page(2), chain)
	pages, err = d.walk(t, 1<<20).Expand([]btree.Page{{No: 2, Data: chain}}, 20)
	require.NoError(t, err)
	require.Empty(t, pages)
}

func TestWalkReportsReadErrors(t *testing.T) {
	broken := errors.New("broken")
	w := &btree.Walk{PageCount: 10, Usable: 4096, Budget: 1 << 20, Read: func([]uint32) ([][]byte, error) { return nil, broken }}
	_, err := w.Interior()
	require.ErrorIs(t, err, broken)
	page := make([]byte, 4096)
	page[3] = 5
	_, err = w.Expand([]btree.Page{{No: 2, Data: page}}, 1)
	require.ErrorIs(t, err, broken)

	// I9: a page that is not there is left out, not made up.
	w.Read = func(pgnos []uint32) ([][]byte, error) { return make([][]byte, len(pgnos)), nil }
	pages, err := w.Interior()
	require.NoError(t, err)
	require.Empty(t, pages)
}
