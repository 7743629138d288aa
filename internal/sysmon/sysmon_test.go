package sysmon_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/sysmon"
)

const patience = 20 * time.Second

func TestSpareProcessors(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	t.Setenv("GOMAXPROCS", "")
	sysmon.SpareProcessors(2)
	require.Equal(t, before+2, runtime.GOMAXPROCS(0))
}

// Who says how many processors there are gets so many.
func TestGOMAXPROCSIsLeftAlone(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	t.Setenv("GOMAXPROCS", "2")
	sysmon.SpareProcessors(2)
	require.Equal(t, before, runtime.GOMAXPROCS(0))
}
