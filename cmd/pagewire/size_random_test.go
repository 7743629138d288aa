package main

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// A size that is taken reads the same again, and fits into a signed integer. A fuzz target would run the package's
// TestMain, which builds the command, in each of its processes.
func TestSizesOfRandomText(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	pieces := []string{"0", "1", "9", "4096", "8388607", "8388608", "18446744073709551615", "KiB", "MiB", "GiB", "TiB", " ", "-", "+", "e", ".", "_", "0x", "\x00", "Ki"}
	taken := 0
	for range 200_000 {
		text := ""
		for range 1 + rng.IntN(4) {
			text += pieces[rng.IntN(len(pieces))]
		}
		var a, b size
		if a.Set(text) != nil {
			continue
		}
		taken++
		require.GreaterOrEqual(t, int64(a), int64(0), text)
		require.NoError(t, b.Set(a.String()), text)
		require.Equal(t, a, b, text)
	}
	require.Greater(t, taken, 1000)
}
