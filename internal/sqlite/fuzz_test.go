package sqlite_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzValues holds that values survive binding, packing and unpacking: integers and numbers exactly, blobs byte for byte,
// text with U+FFFD for each byte that is no UTF-8, as Go converts it too.
func FuzzValues(f *testing.F) {
	f.Add("plain", "né\x00\xff\xf0\x9f\x98\x80", []byte{0, 255}, int64(1<<53), 0.5)
	f.Add("\xed\xa0\x80", "\xf4\x90\x80\x80\xc0\xaf", []byte{}, int64(math.MinInt64), math.Inf(1))
	db := newFixture(f).open("a")
	f.Fuzz(func(t *testing.T, a, b string, blob []byte, i int64, r float64) {
		if len(a)+len(b)+len(blob) > 1<<16 {
			return
		}
		if math.IsNaN(r) {
			r = 0 // SQLite makes it NULL
		}
		if blob == nil {
			blob = []byte{}
		}
		// Two rows, so that wide text follows narrow and the other way round.
		rows := query(t, db, "SELECT ?1, ?2, ?3, ?4, ?5, NULL UNION ALL SELECT ?2, ?1, ?3, -?4, ?5, ''", a, b, blob, i, r)
		text := func(s string) string { return string([]rune(s)) }
		require.Equal(t, []any{text(a), text(b), i, r}, []any{rows[0][0], rows[0][1], rows[0][3], rows[0][4]})
		require.Equal(t, []any{text(b), text(a), r, ""}, []any{rows[1][0], rows[1][1], rows[1][4], rows[1][5]})
		for _, row := range rows {
			require.Equal(t, string(blob), string(row[2].([]byte)))
		}
		require.Nil(t, rows[0][5])
		if i != math.MinInt64 { // its negative is a REAL
			require.Equal(t, -i, rows[1][3])
		}
	})
}
