package sysmon_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/sysmon"
)

// Without Beat, four such runs in five stand still for a minute.
func TestNoStopOfTheWorldLasts(t *testing.T) {
	stops := filepath.Join(t.TempDir(), "stops.exe")
	out, err := exec.Command("go", "build", "-o", stops, "./testdata/stops").CombinedOutput()
	require.NoErrorf(t, err, "%s", out)
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	defer cancel()
	out, err = exec.CommandContext(ctx, stops).Output()
	require.NoError(t, err)
	longest, err := strconv.Atoi(strings.TrimSpace(string(out)))
	require.NoError(t, err)
	t.Logf("the longest stop took %d ms", longest)
	require.Less(t, time.Duration(longest)*time.Millisecond, patience)
}

func TestPulseEndsAfterTheLastBeat(t *testing.T) {
	for range 2 {
		sysmon.Beat()
		require.True(t, sysmon.Beating())
		require.Eventually(t, func() bool { return !sysmon.Beating() }, patience, time.Millisecond)
	}
}
