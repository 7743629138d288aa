package store_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/store"
)

// FuzzPrefixEnd holds that [prefix, end) has the keys below a prefix and no other.
func FuzzPrefixEnd(f *testing.F) {
	for _, s := range []string{"", "a", "a\xFF", "\xFF\xFF", "\x00", "\xFE\xFF\xFF"} {
		f.Add([]byte(s), []byte("a"), []byte("\xFF"))
	}
	f.Fuzz(func(t *testing.T, prefix, key, suffix []byte) {
		end := store.PrefixEnd(prefix)
		below := func(k []byte) bool { return bytes.Compare(k, prefix) >= 0 && (end == nil || bytes.Compare(k, end) < 0) }
		require.Equal(t, bytes.HasPrefix(key, prefix), below(key))
		require.True(t, below(append(bytes.Clone(prefix), suffix...)))
	})
}
