// Package sim is the simulator: the real channel client, pages, SQLite engine, server and memory store of several
// processes in one, on a virtual clock and a virtual network, driven by one seed.
//
// The idea in one paragraph. A [World] lives in a bubble of testing/synctest, whose clock moves only when every goroutine
// waits. Whatever passes from one process to another (bytes on a connection, a store's answer, a statement on its way to
// the engine and its result on the way back) passes through the world, which delays it by an odd number of nanoseconds.
// So one thing happens at a time, and everything that it causes comes to rest before the next thing happens. All chance
// is drawn from the seed together with the name and time of what it is for, never from a shared sequence, so that the order
// in which goroutines run does not matter and a seed replays exactly: the hash of its trace says so.
//
// The [Model] knows what every transaction did and what its caller was told, and holds the store's bytes, read by stock
// SQLite, against it after every step. Faults, crash points and workloads are rows of tables (faults.go, workloads.go);
// docs/reliability.md says how to add one.
package sim

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/pagewire/pagewire/internal/sqlite"
	"github.com/pagewire/pagewire/internal/store/memory"
)

// Config is what a world is made of. [Draw] makes one of a seed.
type Config struct {
	Seed     uint64
	Servers  int           // on one store
	Clients  int           // processes
	Actors   int           // databases, each used by every client
	Rounds   int           // of work that each client does on each actor
	Latency  time.Duration // of one way, about
	Faults   map[string]float64
	Work     map[string]int // weights of workloads
	Pings    time.Duration
	Timeout  time.Duration // of a request
	Stage    int           // bytes of pages in a frame of a commit
	Preload  uint64        // bytes
	Quota    uint64        // bytes an actor, 0 for none
	MaxBytes uint64        // of one commit, 0 for the default
	Cache    uint64        // bytes of SQLite's page cache
	Queue    uint64        // requests an actor
	Trace    bool          // keep the events as text
}

// Hooks let a test fail what it chooses. Each is called for one operation, in the order in which they happen; n counts
// from 1. All may be nil.
type Hooks struct {
	// Net is called for every segment that is written to a connection.
	Net func(n uint64, s *Segment) NetFault
	// Store is called for every operation of a server on the store.
	Store func(n uint64, op *StoreOp) StoreFault
	// Step is called at every step of the protocol that a process takes, named in steps.go.
	Step func(n uint64, step Step)
}

// World is one simulated system. Make it inside a bubble, with New.
type World struct {
	Config
	Hooks   Hooks
	Net     *Net
	Store   *memory.Store // behind the fault wrapper of each server
	Model   *Model
	Servers []*Server
	Clients []*Client
	checker *Client // looks at what is left

	mu     sync.Mutex
	trace  trace
	errs   []error
	counts struct{ net, store, step uint64 }
	calm   bool // no more faults
	ended  bool // nothing starts any more
	begun  time.Time
	wg     sync.WaitGroup // whatever must end before the bubble does
}

// New makes a world and starts its servers. Clients are started by Run, or by the caller.
func New(cfg Config) *World {
	sqlite.Simulate()
	w := &World{Config: cfg, Store: memory.New(), begun: time.Now()}
	w.Net = newNet(w)
	w.Model = newModel(w)
	for i := range cfg.Servers {
		w.Servers = append(w.Servers, newServer(w, i))
	}
	for i := range cfg.Clients {
		w.Clients = append(w.Clients, newClient(w, i))
	}
	w.checker = newClient(w, 9)
	return w
}

// Run works through the configured rounds under the configured faults, heals everything, checks what is left and ends
// all. It returns the first thing that was wrong.
func (w *World) Run() error {
	for _, s := range w.Servers {
		s.Start()
	}
	var work sync.WaitGroup
	for _, c := range w.Clients {
		c.Start()
		for i := range w.Actors {
			work.Go(func() { w.drive(c, i) })
		}
	}
	stop := make(chan struct{})
	var chaos sync.WaitGroup
	chaos.Go(func() { w.chaos(stop) })

	done := make(chan struct{})
	go func() { work.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Minute):
	}
	close(stop)
	chaos.Wait()
	w.Heal()
	select {
	case <-done:
	case <-time.After(30 * time.Minute):
		w.Fail("liveness", "work has not ended within 30 minutes of a healed world")
	}
	if w.Err() == nil {
		w.finalCheck()
	}
	w.Close()
	select {
	case <-done:
	case <-time.After(time.Hour):
	}
	return w.Err()
}

// Heal ends every fault: servers run, links carry, nobody is frozen.
func (w *World) Heal() {
	w.mu.Lock()
	w.calm = true
	w.mu.Unlock()
	w.Net.heal()
	for _, s := range w.Servers {
		s.Thaw()
		s.Start()
	}
	for _, c := range w.Clients {
		c.Thaw()
	}
}

// Close ends all processes.
func (w *World) Close() {
	w.mu.Lock()
	w.calm, w.ended = true, true
	w.mu.Unlock()
	for _, c := range w.Clients {
		c.Crash()
	}
	w.checker.Crash()
	for _, s := range w.Servers {
		s.Crash()
	}
	w.wg.Wait()
	_ = w.Store.Close()
}

// Fail notes that an invariant does not hold.
func (w *World) Fail(invariant, format string, args ...any) {
	err := fmt.Errorf("%s: %s", invariant, fmt.Sprintf(format, args...))
	w.Event("violation", "%v", err)
	w.mu.Lock()
	w.errs = append(w.errs, err)
	w.mu.Unlock()
}

// Err returns the first violation.
func (w *World) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.errs) == 0 {
		return nil
	}
	return fmt.Errorf("seed %d: %w", w.Seed, w.errs[0])
}

func (w *World) isEnded() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended
}

// Now is the virtual time since the world began.
func (w *World) Now() time.Duration { return time.Since(w.begun) }

// Rand is the chance for what is named by what and n at this moment.
func (w *World) Rand(what string, n ...uint64) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(what))
	sum := h.Sum64()
	for _, x := range append(n, uint64(w.Now())) {
		sum = (sum ^ x) * 0x9E3779B97F4A7C15
		sum ^= sum >> 29
	}
	return rand.New(rand.NewPCG(w.Seed, sum))
}

// chance says whether a fault strikes; its rate is that of the configuration.
func (w *World) chance(fault string, r *rand.Rand) bool {
	rate := w.Faults[fault]
	if rate == 0 {
		return false
	}
	w.mu.Lock()
	calm := w.calm
	w.mu.Unlock()
	return !calm && r.Float64() < rate
}

// between draws a duration from lo to hi, odd to the nanosecond.
func between(r *rand.Rand, lo, hi time.Duration) time.Duration {
	return lo + time.Duration(r.Int64N(int64(hi-lo)+1))
}

// pause lets virtual time pass before something reaches another process.
func (w *World) pause(what string, n uint64, upTo time.Duration) {
	time.Sleep(between(w.Rand(what, n), 1, upTo))
}

func hashOf(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s))
	return h.Sum64()
}
