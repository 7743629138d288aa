package sim

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// sweepWork are the workloads that faults are put into, each alone: commits of one frame, merged ones, held ones, staged
// ones, VACUUM, DDL, a transaction with savepoints, and one of 20,000 pages.
var sweepWork = []string{"write", "pipeline", "burst", "large", "huge", "shrink", "schema", "transaction", "rollback", "giant"}

// outage is how long a fault "from then on" lasts, in the world's time: longer than a request may take.
const outage = 45 * time.Second

// Watchdog is how much real time a world may take, which is a second at most on an idle machine.
const Watchdog = 3 * time.Minute

// sweepConfig is a world of one client and one server without any fault of its own.
func sweepConfig(work string) Config {
	c := Config{
		Seed: 1, Servers: 1, Clients: 1, Actors: 1, Rounds: 3, Latency: 500 * time.Microsecond, Pings: 5 * time.Second,
		Timeout: 10 * time.Second, Stage: 50_000, Preload: 20_000, Cache: 1 << 20, Work: map[string]int{work: 1},
	}
	if work == "giant" {
		c.Rounds, c.Stage = 1, 1<<20
	}
	return c
}

// pointsOf is how many points of a sweep are visited: two, or all if PAGEWIRE_SWEEPS is set. A world of a giant commit
// takes a second, so there are none of it, or six.
func pointsOf(work string) uint64 {
	all := os.Getenv("PAGEWIRE_SWEEPS") != ""
	switch {
	case work == "giant" && all:
		return 6
	case work == "giant":
		return 0
	case all:
		return 1 << 62
	}
	return 2
}

// shot is one fault of a sweep. It strikes at one operation of its kind, and at all within the outage if it lasts, until the
// world is healed.
type shot struct {
	at    uint64
	lasts bool
	begun time.Time // when it struck, zero until then
}

func (s *shot) hits(w *World, n uint64) bool {
	switch {
	case w.healed():
		return false
	case n == s.at:
		s.begun = time.Now()
		return true
	case n < s.at || !s.lasts:
		return false
	}
	return time.Since(s.begun) < outage
}

// sweepFaults are what may go wrong, by the kind of operation at which it does.
var sweepFaults = []struct {
	name string
	kind int // 0 a segment, 1 an operation on the store, 2 a step
	hook func(w *World, s *shot)
}{
	{"connection cut before", 0, onNet(func(*Segment) NetFault { return NetFault{Reset: true} })},
	{"connection cut amid", 0, onNet(func(s *Segment) NetFault { return NetFault{Reset: true, Keep: s.Bytes / 2} })},
	{"connection cut behind", 0, onNet(func(s *Segment) NetFault { return NetFault{Reset: true, Keep: s.Bytes} })},
	{"half-open", 0, onNet(func(*Segment) NetFault { return NetFault{Lose: true} })},
	{"store fails before", 1, onStore(StoreFault{Before: true})},
	{"store fails after", 1, onStore(StoreFault{After: true})},
	{"client crashes", 2, onStep(func(w *World) []Node { return []Node{w.Clients[0]} })},
	{"server crashes", 2, onStep(func(w *World) []Node { return []Node{w.Servers[0]} })},
	{"both crash", 2, onStep(func(w *World) []Node { return []Node{w.Clients[0], w.Servers[0]} })},
}

// healed says whether the work is done and only the last checks run.
func (w *World) healed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calm
}

// count notes how many operations of each kind there are while work is done.
func count(w *World, counts *[3]uint64) {
	var mu sync.Mutex
	seen := func(kind int, n uint64) {
		if w.healed() {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		counts[kind] = max(counts[kind], n)
	}
	w.Hooks.Net = func(n uint64, _ *Segment) NetFault { seen(0, n); return NetFault{} }
	w.Hooks.Store = func(n uint64, _ *StoreOp) StoreFault { seen(1, n); return StoreFault{} }
	w.Hooks.Step = func(n uint64, _ Step) { seen(2, n) }
}

func onNet(f func(*Segment) NetFault) func(*World, *shot) {
	return func(w *World, s *shot) {
		w.Hooks.Net = func(n uint64, segment *Segment) NetFault {
			if s.hits(w, n) {
				return f(segment)
			}
			return NetFault{}
		}
	}
}

func onStore(f StoreFault) func(*World, *shot) {
	return func(w *World, s *shot) {
		w.Hooks.Store = func(n uint64, _ *StoreOp) StoreFault {
			if s.hits(w, n) {
				return f
			}
			return StoreFault{}
		}
	}
}

func onStep(nodes func(*World) []Node) func(*World, *shot) {
	return func(w *World, s *shot) {
		w.Hooks.Step = func(n uint64, step Step) {
			if s.hits(w, n) {
				for _, node := range nodes(w) {
					w.wg.Go(func() { w.crash(node, w.Rand("sweep"+node.ID(), n)) })
				}
			}
		}
	}
}

// TestSweep fails the Nth segment on the network, the Nth operation on the store, and crashes client, server and both at the
// Nth step (which lie before and after each apply and each acknowledgement), for every N, once and from then on. The model
// then holds the stored state to be the one before or the one after each transaction (I2, I3, I4), and the world to work
// again. A fault that does not strike fails the test.
func TestSweep(t *testing.T) {
	injected := 0
	for _, work := range sweepWork {
		few := pointsOf(work)
		if few == 0 {
			continue
		}
		var counts [3]uint64
		if err := sweepOnce(t, work, func(w *World) { count(w, &counts) }); err != nil {
			t.Fatalf("%s without a fault: %v", work, err)
		}
		here, failures := 0, 0
		for _, fault := range sweepFaults {
			total := counts[fault.kind]
			step := max(1, total/few)
			for _, lasts := range []bool{false, true} {
				if lasts && fault.kind == 2 {
					continue // a process that does nothing but crash does nothing else
				}
				for at := uint64(1); at <= total; at += step {
					s := &shot{at: at, lasts: lasts}
					err := sweepOnce(t, work, func(w *World) { fault.hook(w, s) })
					switch {
					case s.begun.IsZero():
						t.Errorf("%s: %s at %d of %d did not strike", work, fault.name, at, total)
					case err != nil:
						failures++
						t.Errorf("%s: %s at %d of %d, lasts %v: %v", work, fault.name, at, total, lasts, err)
					}
					here++
					if failures > 5 {
						t.FailNow()
					}
				}
			}
		}
		injected += here
		t.Logf("%-12s %4d segments, %3d store operations, %3d steps: %5d faults injected, all struck", work, counts[0], counts[1], counts[2], here)
	}
	t.Logf("%d faults injected, all struck", injected)
}

// sweepOnce runs one world in a bubble of its own.
func sweepOnce(t *testing.T, work string, prepare func(*World)) (err error) {
	stuck := time.AfterFunc(Watchdog, func() {
		debug.SetTraceback("all")
		panic(fmt.Sprintf("a world of %s has run for %v", work, Watchdog))
	})
	defer stuck.Stop()
	synctest.Test(t, func(*testing.T) {
		w := New(sweepConfig(work))
		prepare(w)
		err = w.Run()
		if err != nil && strings.Contains(os.Getenv("PAGEWIRE_TRACE"), work) {
			t.Log(strings.Join(w.Lines(), "\n"))
		}
	})
	return err
}
