package protocol_test

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/stretchr/testify/require"
)

// bodies and results make a value of every body and result type.
var (
	bodies = []func() any{
		func() any { return new(protocol.Open) }, func() any { return new(protocol.Close) },
		func() any { return new(protocol.Get) }, func() any { return new(protocol.Put) },
		func() any { return new(protocol.Delete) }, func() any { return new(protocol.DeleteRange) },
		func() any { return new(protocol.List) }, func() any { return new(protocol.Fetch) },
		func() any { return new(protocol.Commit) },
	}
	results = []func() any{
		func() any { return new(protocol.OpenResult) }, func() any { return new(protocol.GetResult) },
		func() any { return new(protocol.ListResult) }, func() any { return new(protocol.FetchResult) },
		func() any { return new(protocol.CommitResult) }, func() any { return new(protocol.Empty) },
	}
)

// decodeBounded decodes b and fails if that allocates more than b justifies: 64 bytes a byte, for the smallest element
// there is, and something for the decoder itself.
func decodeBounded(t *testing.T, b []byte, decode func() error) error {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := decode()
	runtime.ReadMemStats(&after)
	require.LessOrEqual(t, after.TotalAlloc-before.TotalAlloc, uint64(64*len(b)+1<<20))
	return err
}

// checkFrame decodes a frame and its body as every type, and holds that what decodes survives another round.
func checkFrame(t *testing.T, b []byte, decode func([]byte) (any, error), types []func() any) {
	var v any
	err := decodeBounded(t, b, func() (err error) { v, err = decode(b); return err })
	if err != nil {
		var fe *protocol.FrameError
		require.ErrorAs(t, err, &fe)
		require.Nil(t, v)
		return
	}
	again := encode(t, v)
	v2, err := decode(again)
	require.NoError(t, err)
	require.Equal(t, again, encode(t, v2))
	var raw []byte
	switch v := v.(type) {
	case *protocol.RawRequest:
		raw = v.Body
	case *protocol.RawResponse:
		raw = v.Result
	}
	for _, make := range types {
		body, body2 := make(), make()
		err := decodeBounded(t, raw, func() error { return protocol.DecodeBody(raw, body) })
		if err != nil {
			var e *protocol.Error
			require.ErrorAs(t, err, &e)
			continue
		}
		again := encode(t, body)
		require.NoError(t, protocol.DecodeBody(again, body2))
		require.Equal(t, again, encode(t, body2))
	}
}

func FuzzDecodeClientFrame(f *testing.F) { fuzzFrames(f, "client", protocol.DecodeClientFrame, bodies) }

func FuzzDecodeServerFrame(f *testing.F) {
	fuzzFrames(f, "server", protocol.DecodeServerFrame, results)
}

func fuzzFrames(f *testing.F, direction string, decode func([]byte) (any, error), types []func() any) {
	for _, c := range vectorCases() {
		if c.direction == direction {
			b, err := protocol.Encode(c.frame)
			require.NoError(f, err)
			f.Add(b[:len(b)-protocol.ChecksumBytes])
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) { checkFrame(t, protocol.Seal(b), decode, types) })
}

// TestMemoryIsBounded decodes the frames that claim most for their size.
func TestMemoryIsBounded(t *testing.T) {
	const n = protocol.MaxArrayElements
	array := func(count uint32, element byte, present int) []byte {
		head := []byte{0x9a, byte(count >> 24), byte(count >> 16), byte(count >> 8), byte(count)}
		return append(head, bytes.Repeat([]byte{element}, present)...)
	}
	cases := []struct {
		name string
		body []byte
		into any
		ok   bool
	}{
		{"keys that are not there", append([]byte{0xa1, 1}, array(1<<31, 0x40, 10)...), new(protocol.Get), false},
		{"most keys", append([]byte{0xa1, 1}, array(n, 0x40, n)...), new(protocol.Get), true},
		{"more keys", append([]byte{0xa1, 1}, array(n+1, 0x40, n+1)...), new(protocol.Get), false},
		{"most prefixes", append([]byte{0xa2, 1, 1, 6}, array(n, 0xa0, n)...), new(protocol.OpenResult), true},
		{"bytes that are not there", []byte{0xa1, 2, 0x5a, 0xff, 0xff, 0xff, 0xff}, new(protocol.DeleteRange), false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := decodeBounded(t, c.body, func() error { return protocol.DecodeBody(c.body, c.into) })
			require.Equal(t, c.ok, err == nil, "%v", err)
		})
	}
}
