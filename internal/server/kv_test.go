package server_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/server"
	"github.com/pagewire/pagewire/internal/store"
	"github.com/stretchr/testify/require"
)

func put(gen uint64, pairs ...string) protocol.Put {
	p := protocol.Put{Generation: gen}
	for i := 0; i < len(pairs); i += 2 {
		p.Keys = append(p.Keys, []byte(pairs[i]))
		p.Values = append(p.Values, []byte(pairs[i+1]))
	}
	return p
}

func TestGenericOperations(t *testing.T) {
	eachStore(t, func(t *testing.T, st store.Store) {
		srv, url := serve(t, server.Config{Store: st})
		c := dial(t, url)
		gen := c.open("a", protocol.ModeFail).Generation
		call[protocol.Empty](c, "a", protocol.OpPut, put(gen, "a1", "x", "a2", "", "b1", "z", "a1", "y"))
		got := call[protocol.GetResult](c, "a", protocol.OpGet, protocol.Get{Keys: keys("a1", "a2", "none", "b1")})
		require.Equal(t, [][]byte{[]byte("y"), {}, nil, []byte("z")}, got.Values, "an empty value is not an absent one")

		for _, x := range []struct {
			name string
			list protocol.List
			want string
			more bool
		}{
			{"all", protocol.List{}, "a1 a2 b1", false},
			{"prefix", protocol.List{Prefix: []byte("a")}, "a1 a2", false},
			{"reverse", protocol.List{Reverse: true}, "b1 a2 a1", false},
			{"limit", protocol.List{Limit: 2}, "a1 a2", true},
			{"limit reached by the last", protocol.List{Prefix: []byte("a"), Limit: 2}, "a1 a2", false},
			{"range", protocol.List{Start: []byte("a2"), End: []byte("b1")}, "a2", false},
			{"prefix and range", protocol.List{Prefix: []byte("a"), Start: []byte("a2")}, "a2", false},
			{"prefix outside of the range", protocol.List{Prefix: []byte("a"), Start: []byte("b")}, "", false},
		} {
			r := call[protocol.ListResult](c, "a", protocol.OpList, x.list)
			require.Equal(t, x.want, string(bytes.Join(r.Entries.Keys, []byte(" "))), x.name)
			require.Equal(t, x.more, r.More, x.name)
		}
		call[protocol.Empty](c, "a", protocol.OpDelete, protocol.Delete{Generation: gen, Keys: keys("a1", "none")})
		call[protocol.Empty](c, "a", protocol.OpDeleteRange, protocol.DeleteRange{Generation: gen, Start: []byte("b")})
		require.Equal(t, keys("a2"), call[protocol.ListResult](c, "a", protocol.OpList, protocol.List{}).Entries.Keys)
		call[protocol.Empty](c, "a", protocol.OpClose, protocol.Close{Generation: gen})
		c.refused(protocol.CodeActorNotOpen, "a", protocol.OpGet, protocol.Get{Keys: keys("a2")})

		n := srv.Snapshot()
		require.EqualValues(t, 1, n.Requests["put"])
		require.EqualValues(t, 8+1, n.Requests["list"])
		require.EqualValues(t, 1, n.Errors[protocol.CodeActorNotOpen])
		require.EqualValues(t, 0, n.OpenActors)
		require.EqualValues(t, 1, n.Connections)
	})
}

func TestNamespacesAreApart(t *testing.T) {
	_, url := serve(t, server.Config{})
	a, b := dial(t, url+"?namespace=one"), dial(t, url+"?namespace=two")
	gen := a.open("x", protocol.ModeFail).Generation
	call[protocol.Empty](a, "x", protocol.OpPut, put(gen, "k", "v"))
	b.open("x", protocol.ModeFail)
	require.Empty(t, call[protocol.ListResult](b, "x", protocol.OpList, protocol.List{}).Entries.Keys)
}

// Whatever a client writes or deletes, the server's own records are out of its reach (I8).
func TestHeadsAreOutOfReach(t *testing.T) {
	eachStore(t, func(t *testing.T, st store.Store) {
		_, url := serve(t, server.Config{Store: st})
		c := dial(t, url)
		gen := c.open("a", protocol.ModeFail).Generation
		call[protocol.CommitResult](c, "a", protocol.OpCommit, protocol.Commit{Generation: gen, Seq: 1, Count: 1})
		for _, k := range []string{"\x00", "\x01", "\xff", strings.Repeat("\xff", 16), "head", "h/default/a"} {
			call[protocol.Empty](c, "a", protocol.OpPut, put(gen, k, "garbage"))
		}
		call[protocol.Empty](c, "a", protocol.OpDeleteRange, protocol.DeleteRange{Generation: gen})
		require.Empty(t, call[protocol.ListResult](c, "a", protocol.OpList, protocol.List{}).Entries.Keys)
		r := c.open("a", protocol.ModeTakeover)
		require.Equal(t, gen+1, r.Generation)
		require.EqualValues(t, 1, r.Seq)
		require.Zero(t, r.UsedBytes)
	})
}

func TestLimits(t *testing.T) {
	limits := server.DefaultLimits()
	limits.KeyBytes, limits.ValueBytes, limits.BatchKeys, limits.PutBytes = 8, 100, 3, 200
	limits.ActorBytes, limits.ConnectionActors, limits.FetchPages = 300, 2, 4
	limits.CommitBytes = 4 * protocol.PageSize
	_, url := serve(t, server.Config{Limits: limits})
	c := dial(t, url)
	require.Equal(t, limits.PutBytes, c.welcome.Limits.PutBytes)
	require.NotZero(t, c.welcome.Limits.PingMillis)
	gen := c.open("a", protocol.ModeFail).Generation
	long, big := strings.Repeat("k", 9), strings.Repeat("v", 101)
	four := keys("1", "2", "3", "4")
	for _, x := range []struct {
		name string
		code protocol.Code
		op   protocol.Op
		body any
	}{
		{"put key", protocol.CodeKeyTooLarge, protocol.OpPut, put(gen, long, "")},
		{"put empty key", protocol.CodeBadRequest, protocol.OpPut, put(gen, "", "")},
		{"put value", protocol.CodeValueTooLarge, protocol.OpPut, put(gen, "k", big)},
		{"put batch", protocol.CodeBatchTooLarge, protocol.OpPut, put(gen, "1", "", "2", "", "3", "", "4", "")},
		{"put payload", protocol.CodePayloadTooLarge, protocol.OpPut, put(gen, "1", big[:100], "2", big[:100])},
		{"put mismatch", protocol.CodeKeysValuesLengthMismatch, protocol.OpPut, protocol.Put{Generation: gen, Keys: keys("1", "2"), Values: keys("x")}},
		{"get key", protocol.CodeKeyTooLarge, protocol.OpGet, protocol.Get{Keys: keys(long)}},
		{"get batch", protocol.CodeBatchTooLarge, protocol.OpGet, protocol.Get{Keys: four}},
		{"delete batch", protocol.CodeBatchTooLarge, protocol.OpDelete, protocol.Delete{Generation: gen, Keys: four}},
		{"delete key", protocol.CodeKeyTooLarge, protocol.OpDelete, protocol.Delete{Generation: gen, Keys: keys(long)}},
		{"range start", protocol.CodeKeyTooLarge, protocol.OpDeleteRange, protocol.DeleteRange{Generation: gen, Start: []byte(long)}},
		{"range backwards", protocol.CodeBadRequest, protocol.OpDeleteRange, protocol.DeleteRange{Generation: gen, Start: []byte("b"), End: []byte("a")}},
		{"list prefix", protocol.CodeKeyTooLarge, protocol.OpList, protocol.List{Prefix: []byte(long)}},
		{"list end", protocol.CodeKeyTooLarge, protocol.OpList, protocol.List{End: []byte(long)}},
		{"fetch pages", protocol.CodeBatchTooLarge, protocol.OpFetch, protocol.Fetch{Pages: []uint32{0, 1, 2, 3, 4}}},
		{"fetch file", protocol.CodeBadRequest, protocol.OpFetch, protocol.Fetch{File: 9}},
		{"commit bytes", protocol.CodePayloadTooLarge, protocol.OpCommit, protocol.Commit{Generation: gen, Seq: 1, Count: 1,
			Size: 5 * protocol.PageSize, Pages: pagesOf([]uint32{0, 1, 2, 3, 4}, 1, 2, 3, 4, 5)}},
		{"commit quota", protocol.CodeStorageQuotaExceeded, protocol.OpCommit, protocol.Commit{Generation: gen, Seq: 1, Count: 1,
			Size: protocol.PageSize, Pages: pagesOf([]uint32{0}, 1)}},
		{"unknown operation", protocol.CodeUnsupported, 99, protocol.Empty{}},
		{"body of another type", protocol.CodeBadRequest, protocol.OpGet, "text"},
		{"foreign generation", protocol.CodeLockLost, protocol.OpPut, put(gen+1, "k", "v")},
	} {
		t.Run(x.name, func(t *testing.T) {
			c.t = t
			c.refused(x.code, "a", x.op, x.body)
		})
	}
	c.t = t
	require.Empty(t, call[protocol.ListResult](c, "a", protocol.OpList, protocol.List{}).Entries.Keys, "nothing was written (I3)")

	call[protocol.Empty](c, "a", protocol.OpPut, put(gen, "1", big[:90], "2", big[:90]))
	call[protocol.Empty](c, "a", protocol.OpPut, put(gen, "3", big[:90]))
	c.refused(protocol.CodeStorageQuotaExceeded, "a", protocol.OpPut, put(gen, "4", big[:90]))
	call[protocol.Empty](c, "a", protocol.OpPut, put(gen, "3", "")) // what shrinks may always be written

	c.refused(protocol.CodeInvalidActor, "", protocol.OpOpen, protocol.Open{})
	c.refused(protocol.CodeInvalidActor, "a\x00b", protocol.OpOpen, protocol.Open{})
	c.refused(protocol.CodeActorNotOpen, "never", protocol.OpGet, protocol.Get{})
	gb := c.open("b", protocol.ModeFail).Generation
	c.refused(protocol.CodeTooManyActors, "c", protocol.OpOpen, protocol.Open{})
	call[protocol.Empty](c, "b", protocol.OpClose, protocol.Close{Generation: gb})
	c.open("c", protocol.ModeFail)
}

// An actor that was taken over does not count against the limit, but its requests still hear why they fail.
func TestLostActorsMakeRoom(t *testing.T) {
	limits := server.DefaultLimits()
	limits.ConnectionActors = 1
	_, url := serve(t, server.Config{Limits: limits})
	a, b := dial(t, url), dial(t, url)
	gen := a.open("x", protocol.ModeFail).Generation
	b.open("x", protocol.ModeTakeover)
	a.evicted("x", gen)
	a.refused(protocol.CodeLockLost, "x", protocol.OpPut, put(gen, "k", "v"))
	a.open("y", protocol.ModeFail)
}

func TestAnswersThatDoNotFitAFrame(t *testing.T) {
	_, url := serve(t, server.Config{})
	c := dial(t, url)
	gen := c.open("a", protocol.ModeFail).Generation
	var all [][]byte
	for i := range 40 {
		k := string(rune('A' + i))
		all = append(all, []byte(k))
		call[protocol.Empty](c, "a", protocol.OpPut, put(gen, k, strings.Repeat("v", 128<<10)))
	}
	c.refused(protocol.CodePayloadTooLarge, "a", protocol.OpGet, protocol.Get{Keys: all})
	var got [][]byte
	list := protocol.List{}
	for {
		r := call[protocol.ListResult](c, "a", protocol.OpList, list)
		got = append(got, r.Entries.Keys...)
		if !r.More {
			break
		}
		list.Start = append(r.Entries.Keys[len(r.Entries.Keys)-1], 0)
	}
	require.Equal(t, all, got, "a list goes on where the last one ended")
}

func TestContradictingLimitsAreRefused(t *testing.T) {
	l := server.DefaultLimits()
	l.FrameBytes = 1 << 20
	_, err := server.New(server.Config{Limits: l, Store: &hookedStore{}})
	require.ErrorContains(t, err, "frame limit of 1048576 bytes")
	_, err = server.New(server.Config{})
	require.ErrorContains(t, err, "no store")
	_, err = server.New(server.Config{Store: &hookedStore{}, Tokens: []string{""}})
	require.ErrorContains(t, err, "empty token")
}
