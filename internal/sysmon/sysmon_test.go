package sysmon_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/sysmon"
)

const patience = 20 * time.Second

func newCalm(t *testing.T) *sysmon.Calm {
	t.Setenv("GOMAXPROCS", "")
	before := runtime.GOMAXPROCS(0)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	c := sysmon.New()
	if runtime.GOOS != "linux" {
		require.Nil(t, c)
		t.Skip("there are no naps here")
	}
	require.Equal(t, before+1, runtime.GOMAXPROCS(0))
	return c
}

// Naps begin with work that comes often, end when no more comes, and begin again.
func TestNapsLastAsLongAsTheWork(t *testing.T) {
	c := newCalm(t)
	for range 2 {
		end := time.Now().Add(patience)
		for !c.Awake() && time.Now().Before(end) {
			c.Work()
		}
		require.True(t, c.Awake())
		require.Eventually(t, func() bool { return !c.Awake() }, patience, time.Millisecond)
	}
}

func TestRareWorkBeginsNoNap(t *testing.T) {
	c := newCalm(t)
	for range 3 {
		time.Sleep(10 * time.Millisecond) // what is rare is said in time: there is no event to wait for
		c.Work()
		require.False(t, c.Awake())
	}
}

// Who says how many processors there are gets so many.
func TestGOMAXPROCSIsLeftAlone(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	t.Setenv("GOMAXPROCS", "2")
	c := sysmon.New()
	require.Nil(t, c)
	require.Equal(t, before, runtime.GOMAXPROCS(0))
	c.Work()
}
