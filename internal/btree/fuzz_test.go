package btree_test

import (
	"testing"

	"github.com/pagewire/pagewire/internal/btree"
	"github.com/stretchr/testify/require"
)

// fuzzPage is the page size here: small, because the fuzzer is slow on large inputs.
const fuzzPage = 512

// FuzzWalk holds that whatever the pages are (I9), nothing panics, every walk ends within its budget and twice as many
// reads, and no page is read twice, read out of range or returned twice.
func FuzzWalk(f *testing.F) {
	for name, scripts := range map[string][]string{
		"tables": {"PRAGMA page_size = 512; PRAGMA auto_vacuum = FULL", "CREATE TABLE t (i INTEGER PRIMARY KEY, v TEXT); CREATE INDEX x ON t(v)", rows("t", 60, 50, 1200)},
		"keys":   {"PRAGMA page_size = 512", "CREATE TABLE w (i, v, PRIMARY KEY (v, i)) WITHOUT ROWID", rows("w", 60, 50, 900)},
	} {
		d := makeDatabase(f, scripts[0], scripts[1:]...)
		for _, changed := range []struct{ at, to int }{{-1, 0}, {100, 2}, {104, 255}, {fuzzPage, 5}, {fuzzPage + 3, 255}} {
			b := append([]byte(nil), d.bytes[:min(len(d.bytes), 24*fuzzPage)]...)
			if changed.at >= 0 {
				b[changed.at] = byte(changed.to)
			}
			f.Add(b, uint16(len(name)), uint8(3))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, budgetPages uint16, depth uint8) {
		if len(data) > 1<<20 {
			return
		}
		d := &database{bytes: append(data, make([]byte, fuzzPage-len(data)%fuzzPage)...), size: fuzzPage}
		budget := int(budgetPages%300) * 4096
		check := func(pages []btree.Page, err error) {
			require.NoError(t, err)
			total, reads, once := 0, 0, map[uint32]bool{}
			for _, p := range pages {
				require.False(t, once[p.No], "page %d returned twice", p.No)
				once[p.No] = true
				total += len(p.Data)
			}
			require.LessOrEqual(t, total, budget)
			for _, batch := range d.reads {
				reads += len(batch)
			}
			require.LessOrEqual(t, reads, 2*budget/4096+16)
		}
		w := d.walk(t, budget)
		check(w.Interior())
		for no := uint32(1); no <= min(d.count(), 8); no++ {
			w := d.walk(t, budget)
			w.Usable = fuzzPage
			check(w.Expand([]btree.Page{{No: no, Data: d.page(no)}}, int(depth)))
			btree.Chains(d.page(no), no, int(budgetPages))
			btree.SchemaRoots(d.page(no)[:int(budgetPages)%fuzzPage], no)
		}
	})
}
