package sim

import (
	"math/rand/v2"
	"time"
)

// restartAfter is how long a crashed process is down at most.
const restartAfter = 3 * time.Second

// The faults. A seed switches some of them on, each with a rate of its own between 0 and the one given here. Those of the
// first table strike where they are asked for by name (World.chance); those of the second are done by chaos, about one
// every few hundred milliseconds, and their rates are weights. To add one, add a row.
var faultRates = map[string]float64{
	"reset":             0.03,  // a segment: the connection breaks in it
	"lose":              0.01,  // a segment: from there on, its direction is silent
	"slow":              0.02,  // a segment: it takes up to 20 s
	"ghost":             0.2,   // a dial: the server has a connection, its client does not
	"twin":              0.1,   // a dial: the server gets everything twice, on two connections
	"store error":       0.03,  // a store operation: nothing is done
	"store error after": 0.03,  // a store operation: it is done, and reported as failed
	"store stalls":      0.02,  // a store operation: it begins up to a minute late
	"store dawdles":     0.02,  // a store operation: it is done, and answered up to a minute late
	"crash":             0.003, // any step: its process crashes
}

var chaosFaults = map[string]func(w *World, r *rand.Rand){
	"partition": func(w *World, r *rand.Rand) {
		c, s := w.anyClient(r).ID(), w.anyServer(r).ID()
		both, there := r.IntN(2) == 0, r.IntN(2) == 0
		if both || there {
			w.Net.Cut(c, s)
		}
		if both || !there {
			w.Net.Cut(s, c)
		}
		time.Sleep(between(r, time.Millisecond, 20*time.Second))
		w.Net.Mend(c, s)
		w.Net.Mend(s, c)
	},
	"freeze client": func(w *World, r *rand.Rand) { w.freeze(w.anyClient(r), r) },
	"freeze server": func(w *World, r *rand.Rand) { w.freeze(w.anyServer(r), r) },
	"crash client":  func(w *World, r *rand.Rand) { w.crash(w.anyClient(r), r) },
	"crash server":  func(w *World, r *rand.Rand) { w.crash(w.anyServer(r), r) },
	"drain server": func(w *World, r *rand.Rand) { // a server is replaced as an operator does it
		s := w.Servers[r.IntN(len(w.Servers))]
		s.drain(between(r, time.Millisecond, 5*time.Second))
		w.crash(s, r)
	},
}

// chaos lets the faults of the second table strike until stop is closed. It waits for those under way.
func (w *World) chaos(stop <-chan struct{}) {
	var names []string
	var weights []float64
	for _, name := range sortedKeys(chaosFaults) {
		if rate := w.Faults[name]; rate > 0 {
			names, weights = append(names, name), append(weights, rate)
		}
	}
	if len(names) == 0 {
		return
	}
	for n := uint64(1); ; n++ {
		r := w.Rand("chaos", n)
		select {
		case <-time.After(between(r, 10*time.Millisecond, 1500*time.Millisecond)):
		case <-stop:
			return
		}
		name := names[pick(r, weights)]
		w.Event("chaos", "%s", name)
		w.wg.Go(func() { chaosFaults[name](w, r) })
	}
}

func (w *World) freeze(n Node, r *rand.Rand) {
	n.Freeze()
	longest := time.Second
	if r.IntN(3) == 0 {
		longest = time.Minute
	}
	time.Sleep(between(r, time.Millisecond, longest))
	n.Thaw()
}

func (w *World) crash(n Node, r *rand.Rand) {
	n.Crash()
	time.Sleep(between(r, time.Millisecond, restartAfter))
	n.Start()
}

func (w *World) anyClient(r *rand.Rand) Node { return w.Clients[r.IntN(len(w.Clients))] }
func (w *World) anyServer(r *rand.Rand) Node { return w.Servers[r.IntN(len(w.Servers))] }

// netFault decides what happens to a segment.
func (w *World) netFault(s *Segment) (f NetFault) {
	w.mu.Lock()
	w.counts.net++
	n := w.counts.net
	w.mu.Unlock()
	if w.Hooks.Net != nil {
		f = w.Hooks.Net(n, s)
	}
	r := w.Rand("net"+s.From+s.To, s.Conn, s.N)
	if w.chance("reset", r) {
		f.Reset, f.Keep = true, r.IntN(s.Bytes+1)
	}
	f.Lose = f.Lose || w.chance("lose", r)
	if w.chance("slow", r) {
		f.Delay += between(r, time.Millisecond, 20*time.Second)
	}
	return f
}
