package tune_test

import (
	"testing"

	"github.com/pagewire/pagewire/internal/tune"
)

func TestOff(t *testing.T) {
	t.Setenv("PAGEWIRE_TUNE", "no-merge, no-log-fill,no-such,readahead")
	for technique, want := range map[string]bool{
		"merge": true, "log-fill": true, "log": false, "readahead": false, "expand": false, "": false,
	} {
		if got := tune.Off(technique); got != want {
			t.Errorf("Off(%q) = %v, want %v", technique, got, want)
		}
	}
}
