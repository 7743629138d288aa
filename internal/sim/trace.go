package sim

import (
	"fmt"
	"hash/fnv"
	"slices"
)

// trace is what happened. Its hash does not depend on the order of events of one moment.
type trace struct {
	sum    uint64
	events uint64
	lines  []string
}

// Event notes what happened; kind is a word, the rest says to whom and what.
func (w *World) Event(kind, format string, args ...any) {
	line := fmt.Sprintf("%12d %-9s ", w.Now(), kind) + fmt.Sprintf(format, args...)
	h := fnv.New64a()
	_, _ = h.Write([]byte(line))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace.sum += h.Sum64()
	w.trace.events++
	if w.Trace {
		w.trace.lines = append(w.trace.lines, line)
	}
}

// TraceHash returns the hash and the number of the events so far.
func (w *World) TraceHash() (sum, events uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.trace.sum, w.trace.events
}

// Lines returns the events as text, nanoseconds first, those of one moment in the order of their text, if Config.Trace is
// set.
func (w *World) Lines() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(slices.Values(w.trace.lines))
}
