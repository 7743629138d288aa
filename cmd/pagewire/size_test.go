package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSize(t *testing.T) {
	for _, c := range []struct {
		text, shown string
		want        size
	}{
		{"0", "0", 0}, {"1", "1", 1}, {"4096", "4KiB", 4096}, {"4KiB", "4KiB", 4096}, {"1536", "1536", 1536},
		{"10GiB", "10GiB", 10 << 30}, {"976 KiB", "976KiB", 976 << 10}, {"1024GiB", "1TiB", 1 << 40}, {"0MiB", "0", 0},
	} {
		var s size
		require.NoError(t, s.Set(c.text), c.text)
		require.Equal(t, c.want, s)
		require.Equal(t, c.shown, s.String())
	}
	for _, bad := range []string{"", "KiB", "-1", "1.5GiB", "10GB", "1e3", "8388608TiB", "99999999999999999999"} {
		s := size(7)
		require.Error(t, s.Set(bad), bad)
		require.EqualValues(t, 7, s, "a refused value changed the setting")
	}
}
