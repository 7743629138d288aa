package sim

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// Draw makes the configuration of a seed: every seed has its own kind of weather.
func Draw(seed uint64) Config {
	r := rand.New(rand.NewPCG(seed, 0x5EED))
	of := func(values ...uint64) uint64 { return values[r.IntN(len(values))] }
	c := Config{
		Seed:     seed,
		Servers:  1 + r.IntN(2),
		Clients:  1 + r.IntN(3),
		Actors:   1 + r.IntN(2),
		Latency:  time.Duration(of(50_000, 500_000, 5_000_000, 40_000_000)),
		Pings:    time.Duration(of(1, 5, 15)) * time.Second,
		Timeout:  time.Duration(of(2, 10, 30)) * time.Second,
		Stage:    int(of(10_000, 50_000, 1<<20)),
		Preload:  of(1, 20_000, 1<<20),
		Quota:    of(0, 0, 0, 150_000, 400_000),
		MaxBytes: of(0, 0, 0, 60_000),
		Cache:    of(1<<20, 1<<20, 20_000),
		Queue:    of(0, 0, 4),
		Faults:   make(map[string]float64),
		Work:     make(map[string]int),
	}
	c.Rounds = 4 + r.IntN(12)/c.Clients
	for _, name := range sortedKeys(faultRates) {
		if r.IntN(4) == 0 {
			c.Faults[name] = faultRates[name] * r.Float64()
		}
	}
	for _, name := range sortedKeys(chaosFaults) {
		if r.IntN(4) == 0 {
			c.Faults[name] = r.Float64()
		}
	}
	for _, step := range stepNames {
		if r.IntN(16) == 0 {
			c.Faults["crash at "+step] = 0.1 * r.Float64()
		}
		if r.IntN(24) == 0 {
			c.Faults["freeze at "+step] = 0.05 * r.Float64()
		}
	}
	for _, name := range sortedKeys(workloads) {
		if name == "giant" {
			continue // a world with it takes seconds: for sweeps alone
		}
		if r.IntN(3) > 0 {
			c.Work[name] = 1 + r.IntN(8)
		}
	}
	c.Work["write"]++
	c.Work["read"]++
	return c
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// pick draws an index, each as likely as its weight.
func pick(r *rand.Rand, weights []float64) int {
	sum := 0.0
	for _, x := range weights {
		sum += x
	}
	at := r.Float64() * sum
	for i, x := range weights {
		if at -= x; at < 0 {
			return i
		}
	}
	return len(weights) - 1
}
