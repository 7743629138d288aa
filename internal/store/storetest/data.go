package storetest

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/store"
)

func testOrderInBatch(t *testing.T, s store.Store) {
	g := fence(t, s, "a")
	apply(t, s, "a", store.Batch{Generation: g, Puts: []store.Entry{
		entry("a", "1"), entry("b", "1"), entry("c", "1"), entry("d", "1"), entry("e", "1"),
	}})
	head := apply(t, s, "a", store.Batch{
		Generation:   g,
		DeleteRanges: []store.Range{span("b", "d")},
		Deletes:      keys("d", "b", "missing", "n"),
		Puts:         []store.Entry{entry("n", "22"), entry("d", "22"), entry("c", "22")},
	})
	require.Equal(t, []string{"a=1", "c=22", "d=22", "e=1", "n=22"}, all(t, s, "a"))
	require.EqualValues(t, 2+3+3+2+3, head.UsedBytes)
	requireExact(t, s, "a")
}

func testDuplicateKeys(t *testing.T, s store.Store) {
	g := fence(t, s, "a")
	apply(t, s, "a", store.Batch{Generation: g, Puts: []store.Entry{entry("k", "old"), entry("x", "old")}})
	apply(t, s, "a", store.Batch{
		Generation: g,
		Deletes:    keys("x", "x"),
		Puts:       []store.Entry{entry("k", "first"), entry("j", "1"), entry("k", "the last one counts")},
	})
	require.Equal(t, []string{"j=1", "k=the last one counts"}, all(t, s, "a"))
	requireExact(t, s, "a")
}

// Keys that are called new are written and counted as others are.
func testNewKeys(t *testing.T, s store.Store) {
	g := fence(t, s, "a")
	apply(t, s, "a", store.Batch{Generation: g, Puts: []store.Entry{entry("b", "old"), entry("d", "old")}})
	put := func(entries ...store.Entry) {
		apply(t, s, "a", store.Batch{Generation: g, Puts: entries})
		requireExact(t, s, "a")
	}
	fresh := func(key, value string) store.Entry {
		e := entry(key, value)
		e.New = true
		return e
	}
	put(fresh("a", "1"), entry("b", "1"), fresh("c", "1"), entry("d", "longer"), fresh("e", "1"))
	put(entry("c", "longer"), fresh("f", ""))
	require.Equal(t, []string{"a=1", "b=1", "c=longer", "d=longer", "e=1", "f="}, all(t, s, "a"))
}

func testRangeDeletes(t *testing.T, s store.Store) {
	// Enough keys that a backend may choose another way to delete a range of them.
	const count = 300
	name := func(i int) string { return string([]byte{byte(i >> 8), byte(i)}) }
	for _, c := range []struct {
		name   string
		ranges []store.Range
		gone   func(i int) bool
	}{
		{"nothing", []store.Range{span("\xF0", "\xF1")}, func(int) bool { return false }},
		{"empty and backward", []store.Range{span(name(5), name(5)), span(name(9), name(3)), {Start: nil, End: []byte{}}},
			func(int) bool { return false }},
		{"few", []store.Range{span(name(10), name(20))}, func(i int) bool { return i >= 10 && i < 20 }},
		{"many", []store.Range{span(name(10), name(290))}, func(i int) bool { return i >= 10 && i < 290 }},
		{"to the end", []store.Range{{Start: []byte(name(100))}}, func(i int) bool { return i >= 100 }},
		{"all", []store.Range{{}}, func(int) bool { return true }},
		{"overlapping and out of order", []store.Range{
			span(name(200), name(210)), span(name(50), name(60)), span(name(55), name(70)), span(name(52), name(54)),
			span(name(70), name(71)),
		}, func(i int) bool { return i >= 50 && i < 71 || i >= 200 && i < 210 }},
		{"overlapping an open one", []store.Range{{Start: []byte(name(250))}, span(name(260), name(270)), span(name(240), name(255))},
			func(i int) bool { return i >= 240 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, other := range []string{c.name, c.name + "\x00", c.name + "x"} {
				g := fence(t, s, other)
				var puts []store.Entry
				for i := range count {
					puts = append(puts, entry(name(i), "v"))
				}
				apply(t, s, other, store.Batch{Generation: g, Puts: puts})
			}
			want := []string{}
			for i := range count {
				if !c.gone(i) {
					want = append(want, name(i)+"=v")
				}
			}
			apply(t, s, c.name, store.Batch{Generation: 1, DeleteRanges: c.ranges})
			require.Equal(t, want, all(t, s, c.name))
			requireExact(t, s, c.name)
			for _, other := range []string{c.name + "\x00", c.name + "x"} {
				require.Len(t, all(t, s, other), count, "another actor lost keys")
			}
			// What was deleted can come back, in one batch with the delete too.
			apply(t, s, c.name, store.Batch{
				Generation: 1, DeleteRanges: []store.Range{{}}, Puts: []store.Entry{entry(name(15), "back")},
			})
			require.Equal(t, []string{name(15) + "=back"}, all(t, s, c.name))
			requireExact(t, s, c.name)
		})
	}
}

// I9: an empty value is present, an absent one is nil.
func testEmptyAndAbsent(t *testing.T, s store.Store) {
	ctx := context.Background()
	values, err := s.Get(ctx, "nobody", keys("k", "l"))
	require.NoError(t, err)
	require.Equal(t, [][]byte{nil, nil}, values, "an actor that does not exist")
	require.Empty(t, all(t, s, "nobody"))

	g := fence(t, s, "a")
	apply(t, s, "a", store.Batch{Generation: g, Puts: []store.Entry{
		{Key: []byte("nil")}, {Key: []byte("empty"), Value: []byte{}}, {Key: []byte{}, Value: []byte("empty key")},
	}})
	for _, one := range []string{"nil", "empty"} {
		values, err := s.Get(ctx, "a", keys(one))
		require.NoError(t, err)
		require.Equal(t, [][]byte{{}}, values, one)
	}
	values, err = s.Get(ctx, "a", keys("nil", "absent", "empty", ""))
	require.NoError(t, err)
	require.Equal(t, [][]byte{{}, nil, {}, []byte("empty key")}, values)
	read := map[int]string{}
	require.NoError(t, s.Read(ctx, "a", keys("nil", "absent", "empty", ""), func(i int, v []byte) { read[i] = string(v) }))
	require.Equal(t, map[int]string{0: "", 2: "", 3: "empty key"}, read)
	require.Equal(t, []string{"=empty key", "empty=", "nil="}, all(t, s, "a"))
	requireExact(t, s, "a")
	values, err = s.Get(ctx, "a", nil)
	require.NoError(t, err)
	require.Empty(t, values)
}

func testGetOrder(t *testing.T, s store.Store) {
	g := fence(t, s, "a")
	var puts []store.Entry
	for i := range 100 {
		puts = append(puts, store.Entry{Key: []byte{byte(2 * i)}, Value: []byte{byte(i)}})
	}
	apply(t, s, "a", store.Batch{Generation: g, Puts: puts})
	var ask, want [][]byte
	for _, i := range []int{7, 8, 9, 10, 255, 6, 6, 198, 199, 0, 1, 100, 102, 104, 3} {
		ask = append(ask, []byte{byte(i)})
		if i%2 == 0 && i < 200 {
			want = append(want, []byte{byte(i / 2)})
		} else {
			want = append(want, nil)
		}
	}
	got, err := s.Get(context.Background(), "a", ask)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func testScanBounds(t *testing.T, s store.Store) {
	g := fence(t, s, "a")
	apply(t, s, "a", store.Batch{Generation: g, Puts: []store.Entry{
		entry("a", ""), entry("b", ""), entry("b\x00", ""), entry("b\x00\x00", ""), entry("b\x00\x01", ""), entry("b\x01", ""),
		entry("b\xFF", ""), entry("c", ""), entry("\xFF", ""), entry("\xFF\xFF", ""),
	}})
	for _, c := range []struct {
		name string
		r    store.Range
		want []string
	}{
		{"all", store.Range{}, []string{"a", "b", "b\x00", "b\x00\x00", "b\x00\x01", "b\x01", "b\xFF", "c", "\xFF", "\xFF\xFF"}},
		{"inclusive, exclusive", span("b", "c"), []string{"b", "b\x00", "b\x00\x00", "b\x00\x01", "b\x01", "b\xFF"}},
		{"bounds between keys", span("aa", "b\x00\x00x"), []string{"b", "b\x00", "b\x00\x00"}},
		{"NUL bounds", span("b\x00", "b\x01"), []string{"b\x00", "b\x00\x00", "b\x00\x01"}},
		{"no end", store.Range{Start: []byte("c")}, []string{"c", "\xFF", "\xFF\xFF"}},
		{"no start", store.Range{End: []byte("b\x00")}, []string{"a", "b"}},
		{"prefix of FF", store.Range{Start: []byte("\xFF"), End: store.PrefixEnd([]byte("\xFF"))}, []string{"\xFF", "\xFF\xFF"}},
		{"prefix", store.Range{Start: []byte("b\x00"), End: store.PrefixEnd([]byte("b\x00"))}, []string{"b\x00", "b\x00\x00", "b\x00\x01"}},
		{"empty", span("b", "b"), []string{}},
		{"empty end", store.Range{End: []byte{}}, []string{}},
		{"backward", span("c", "a"), []string{}},
		{"nothing there", span("d", "e"), []string{}},
	} {
		want := []string{}
		for _, key := range c.want {
			want = append(want, key+"=")
		}
		require.Equal(t, want, dump(t, s, "a", c.r, false), c.name)
		slices.Reverse(want)
		require.Equal(t, want, dump(t, s, "a", c.r, true), c.name+", reverse")
	}
}

func testScanStopsAndNests(t *testing.T, s store.Store) {
	ctx := context.Background()
	g := fence(t, s, "a")
	apply(t, s, "a", store.Batch{Generation: g, Puts: []store.Entry{entry("a", "1"), entry("b", "2"), entry("c", "3")}})
	for _, reverse := range []bool{false, true} {
		calls := 0
		require.NoError(t, s.Scan(ctx, "a", store.Range{}, reverse, func(key, _ []byte) bool {
			values, err := s.Get(ctx, "a", [][]byte{key})
			require.NoError(t, err)
			require.NotNil(t, values[0])
			calls++
			return calls < 2
		}))
		require.Equal(t, 2, calls)
	}
}

func testScanOneMoment(t *testing.T, s store.Store) {
	ctx := context.Background()
	g := fence(t, s, "a")
	apply(t, s, "a", store.Batch{Generation: g, Puts: []store.Entry{entry("a", "old"), entry("b", "old"), entry("c", "old")}})
	seen := []string{}
	require.NoError(t, s.Scan(ctx, "a", store.Range{}, false, func(key, value []byte) bool {
		if len(seen) == 0 {
			apply(t, s, "a", store.Batch{
				Generation: g, Deletes: keys("c"), Puts: []store.Entry{entry("b", "new"), entry("bb", "new")},
			})
		}
		seen = append(seen, string(key)+"="+string(value))
		return true
	}))
	require.Equal(t, []string{"a=old", "b=old", "c=old"}, seen)
	require.Equal(t, []string{"a=old", "b=new", "bb=new"}, all(t, s, "a"))
}

// testBinaryNames checks that actors whose names are prefixes of each other or look like separators stay apart, and
// that keys of the same bytes do.
func testBinaryNames(t *testing.T, s store.Store) {
	names := []string{
		"", "\x00", "\x00\x00", "\x00\x01", "\x00\x02", "\x00\xFF", "\x01", "\xFF", "\xFF\xFF", "a", "a\x00", "a\x00\x01",
		"a\x00\x01b", "a\x00\xFF", "a\x01", "a\xFF", "ab", "b",
	}
	for i, actor := range names {
		g := fence(t, s, actor)
		var puts []store.Entry
		for _, key := range names {
			puts = append(puts, store.Entry{Key: []byte(key), Value: []byte{byte(i)}})
		}
		apply(t, s, actor, store.Batch{Generation: g, Puts: puts})
	}
	check := func(i int, actor string) {
		var got []string
		require.NoError(t, s.Scan(context.Background(), actor, store.Range{}, false, func(key, value []byte) bool {
			require.Equal(t, []byte{byte(i)}, value, "actor %q, key %q", actor, key)
			got = append(got, string(key))
			return true
		}))
		require.Equal(t, slices.Sorted(slices.Values(names)), got, "actor %q", actor)
		requireExact(t, s, actor)
	}
	for i, actor := range names {
		check(i, actor)
	}
	for i, actor := range names {
		apply(t, s, actor, store.Batch{Generation: 1, DeleteRanges: []store.Range{{}}})
		require.Empty(t, all(t, s, actor), "actor %q", actor)
		for j := i + 1; j < len(names); j++ {
			check(j, names[j])
		}
	}
}

func testNotAliased(t *testing.T, s store.Store) {
	ctx := context.Background()
	g := fence(t, s, "a")
	scribble := func(lists ...[]byte) {
		for _, list := range lists {
			for i := range list {
				list[i] = 'X'
			}
		}
	}
	key, value, hints := []byte("key"), []byte("value"), []uint32{1, 2}
	head := apply(t, s, "a", store.Batch{Generation: g, Puts: []store.Entry{{Key: key, Value: value}}, Hints: hints})
	scribble(key, value)
	hints[0], head.Hints[1] = 9, 9
	values, err := s.Get(ctx, "a", keys("key"))
	require.NoError(t, err)
	require.Equal(t, keys("value"), values)
	scribble(values...)
	require.Equal(t, []string{"key=value"}, all(t, s, "a"))
	for range 2 {
		head, err = s.Head(ctx, "a")
		require.NoError(t, err)
		require.Equal(t, []uint32{1, 2}, head.Hints)
		head.Hints[0] = 9
	}
}
