package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/store"
)

func TestPrefixEnd(t *testing.T) {
	for _, c := range []struct{ prefix, want string }{
		{"a", "b"}, {"a\x00", "a\x01"}, {"a\xFE", "a\xFF"}, {"a\xFF", "b"}, {"a\xFF\xFF", "b"}, {"\x00", "\x01"},
		{"\x00\xFF", "\x01"}, {"\xFE\xFF", "\xFF"},
	} {
		prefix := []byte(c.prefix)
		require.Equal(t, []byte(c.want), store.PrefixEnd(prefix), "%q", c.prefix)
		require.Equal(t, c.prefix, string(prefix), "the prefix itself stays")
	}
	for _, none := range []string{"", "\xFF", "\xFF\xFF\xFF"} {
		require.Nil(t, store.PrefixEnd([]byte(none)), "%q", none)
	}
}
