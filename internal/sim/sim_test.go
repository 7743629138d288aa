package sim_test

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagewire/pagewire/internal/sim"
)

var (
	seeds = flag.Uint64("seeds", 0, "how many seeds to run; 0 for a share that fits make test")
	first = flag.Uint64("first", 1, "the first seed")
	quick = flag.Bool("failfast", false, "stop at the first seed that fails")
	trace = flag.Bool("trace", false, "print the events of each seed")
)

// run runs one seed in a bubble of its own.
func run(t *testing.T, seed uint64, text bool) (sum, events uint64, lines []string, err error) {
	t.Helper()
	stuck := time.AfterFunc(sim.Watchdog, func() {
		debug.SetTraceback("all")
		panic(fmt.Sprintf("seed %d has run for %v", seed, sim.Watchdog))
	})
	defer stuck.Stop()
	synctest.Test(t, func(t *testing.T) {
		cfg := sim.Draw(seed)
		cfg.Trace = text
		w := sim.New(cfg)
		err = w.Run()
		sum, events = w.TraceHash()
		lines = w.Lines()
	})
	return sum, events, lines, err
}

// TestSeeds is the simulator: I1 to I6, I8 and I9 under whatever weather the seeds bring.
func TestSeeds(t *testing.T) {
	n := *seeds
	if n == 0 {
		n = 60
	}
	begin, failures, total := time.Now(), 0, uint64(0)
	for seed := *first; seed < *first+n; seed++ {
		_, events, lines, err := run(t, seed, *trace)
		total += events
		if *trace {
			t.Logf("%s", strings.Join(lines, "\n"))
		}
		if err != nil {
			t.Errorf("%v\n\treplay: make sim SEEDS=1 FIRST=%d TRACE=1", err, seed)
			if failures++; failures == 20 || *quick {
				break
			}
		}
	}
	t.Logf("%d seeds from %d: %v each, %d events each", n, *first, time.Since(begin)/time.Duration(n), total/n)
}

// TestReplay proves that a seed replays exactly.
func TestReplay(t *testing.T) {
	n := max(*seeds, 15)
	for seed := *first; seed < *first+n; seed++ {
		sum1, n1, lines1, _ := run(t, seed, true)
		sum2, n2, lines2, _ := run(t, seed, true)
		if sum1 != sum2 || n1 != n2 {
			at := 0
			for at < min(len(lines1), len(lines2)) && lines1[at] == lines2[at] {
				at++
			}
			t.Errorf("seed %d: %d events, then %d; they part after %d:\n%s\n---\n%s", seed, n1, n2, at,
				strings.Join(lines1[max(0, at-5):min(len(lines1), at+3)], "\n"), strings.Join(lines2[max(0, at-5):min(len(lines2), at+3)], "\n"))
		}
	}
}

func TestMain(m *testing.M) {
	flag.Parse()
	runtime.GOMAXPROCS(1) // one goroutine at a time: what happens at one moment of virtual time happens in one order
	debug.SetGCPercent(800)
	os.Exit(m.Run())
}
