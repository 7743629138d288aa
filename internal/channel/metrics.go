package channel

import (
	"time"

	"github.com/pagewire/pagewire/internal/protocol"
)

// Metrics are the counters of a channel since it was dialled.
type Metrics struct {
	Requests      uint64               `json:"requests"`      // calls begun
	RoundTrips    uint64               `json:"roundTrips"`    // answers received; a commit with its stages is one
	BytesSent     uint64               `json:"bytesSent"`     // on the wire
	BytesReceived uint64               `json:"bytesReceived"` // on the wire
	Reconnects    uint64               `json:"reconnects"`
	Resends       uint64               `json:"resends"` // requests sent again on another connection
	Pending       uint64               `json:"pending"` // calls under way now
	Ops           map[string]OpMetrics `json:"ops"`     // by operation: open, close, get, ...
}

// OpMetrics are the counters of one operation, measured by its callers.
type OpMetrics struct {
	Count   uint64  `json:"count"`
	TotalMs float64 `json:"totalMs"`
	MaxMs   float64 `json:"maxMs"`
	Errors  uint64  `json:"errors"`
}

var opNames = [...]string{
	protocol.OpOpen: "open", protocol.OpClose: "close", protocol.OpGet: "get", protocol.OpPut: "put",
	protocol.OpDelete: "delete", protocol.OpDeleteRange: "delete_range", protocol.OpList: "list",
	protocol.OpFetch: "fetch", protocol.OpCommit: "commit",
}

// counters is what Metrics is made of; the channel's mutex guards it.
type counters struct {
	requests, roundTrips, reconnects, resends, pending uint64
	ops                                                [len(opNames)]opCounter
}

type opCounter struct {
	count, errors uint64
	total, max    time.Duration
}

func (m *counters) begin() {
	m.requests++
	m.pending++
}

func (m *counters) end(op protocol.Op, took time.Duration, err error) {
	m.pending--
	o := &m.ops[op]
	o.count++
	o.total += took
	o.max = max(o.max, took)
	if err != nil {
		o.errors++
	}
}

// Metrics returns the counters as of now. Operations never called are not listed.
func (c *Channel) Metrics() Metrics {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := Metrics{
		Requests: c.metrics.requests, RoundTrips: c.metrics.roundTrips, Reconnects: c.metrics.reconnects,
		Resends: c.metrics.resends, Pending: c.metrics.pending,
		BytesSent: c.sent.Load(), BytesReceived: c.received.Load(),
		Ops: make(map[string]OpMetrics),
	}
	for op, o := range c.metrics.ops {
		if o.count > 0 {
			m.Ops[opNames[op]] = OpMetrics{Count: o.count, TotalMs: millis(o.total), MaxMs: millis(o.max), Errors: o.errors}
		}
	}
	return m
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
