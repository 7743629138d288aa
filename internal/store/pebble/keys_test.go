package pebble

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEscapedGolden(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"", "\x00\x01"}, {"a", "a\x00\x01"}, {"\x00", "\x00\xFF\x00\x01"}, {"a\x00b\xFF", "a\x00\xFFb\xFF\x00\x01"},
		{"\x01\x00\x01", "\x01\x00\xFF\x01\x00\x01"},
	} {
		require.Equal(t, c.want, string(appendEscaped(nil, c.name)))
	}
	require.Equal(t, "\x01a\x00\x01", string(headKey("a")))
	require.Equal(t, "\x02a\x00\x01", string(hintsKey("a")))
	prefix := dataPrefix("a")
	require.Equal(t, "\x03a\x00\x01", string(prefix))
	require.Equal(t, "\x03a\x00\x02", string(dataEnd(prefix)))
	require.Equal(t, "\x03a\x00\x01", string(prefix), "the prefix itself stays")
}

func TestDecodeEscapedRefuses(t *testing.T) {
	for _, bad := range []string{"", "a", "a\x00", "a\x00\x02", "\x00\x00\x00\x01", "a\x00\xFF"} {
		_, _, err := decodeEscaped(nil, []byte(bad))
		require.Error(t, err, "%q", bad)
	}
}

// FuzzEscaped checks that names come back, that what follows them is left alone, that they sort as they are, and that
// none is a prefix of another.
func FuzzEscaped(f *testing.F) {
	for _, s := range []string{"", "\x00", "\x00\x01", "\xFF", "a", "a\x00", "ab", "\x00\xFF"} {
		f.Add([]byte(s), []byte("a"), []byte("\x00\x01"))
	}
	f.Fuzz(func(t *testing.T, a, b, rest []byte) {
		ea, eb := appendEscaped(nil, a), appendEscaped(nil, b)
		require.Equal(t, len(ea), escapedSize(nil, a))
		name, left, err := decodeEscaped(nil, slices.Concat(ea, rest))
		require.NoError(t, err)
		require.True(t, bytes.Equal(a, name))
		require.True(t, bytes.Equal(rest, left))
		require.Equal(t, bytes.Compare(a, b), bytes.Compare(ea, eb))
		require.Equal(t, bytes.Equal(a, b), bytes.HasPrefix(ea, eb))
		require.Less(t, bytes.Compare(ea, dataEnd(ea)), 0)
		// A later version of a key follows it and precedes the next key.
		version := append(bytes.Clone(ea), rest...)
		if bytes.Compare(a, b) < 0 {
			require.Less(t, bytes.Compare(version, eb), 0)
		}
	})
}
