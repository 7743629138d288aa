// Package tune switches techniques off, so that benchmarks can tell what each is worth: the environment variable
// PAGEWIRE_TUNE holds a list like "no-readahead,no-merge". It is read once. Names that nobody asks for are ignored.
// Techniques that are in C are switched by internal/sqlite/tune.c in the same way, timer-slack where it is set (internal/sysmon). No switch changes what is promised.
package tune

import (
	"os"
	"strings"
	"sync"
)

var parts = sync.OnceValue(func() map[string]bool {
	found := make(map[string]bool)
	for part := range strings.SplitSeq(os.Getenv("PAGEWIRE_TUNE"), ",") {
		found[strings.TrimSpace(part)] = true
	}
	return found
})

// Off says whether a technique is switched off.
func Off(technique string) bool { return parts()["no-"+technique] }
