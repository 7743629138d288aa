package server

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/pagewire/pagewire/internal/protocol"
)

// metrics counts what the server does. Fields without a note only rise.
type metrics struct {
	connections      atomic.Int64 // now
	connectionsTotal atomic.Uint64
	refused          atomic.Uint64
	openActors       atomic.Int64 // now
	requests         [len(opNames)]atomic.Uint64
	framesIn         atomic.Uint64
	framesOut        atomic.Uint64
	bytesIn          atomic.Uint64
	bytesOut         atomic.Uint64
	badFrames        atomic.Uint64
	stages           atomic.Uint64
	commits          atomic.Uint64
	commitsAlready   atomic.Uint64
	pagesCommitted   atomic.Uint64
	pagesFetched     atomic.Uint64
	pagesExpanded    atomic.Uint64
	pagesPreloaded   atomic.Uint64
	lockLost         atomic.Uint64
	slowReaders      atomic.Uint64
	pingTimeouts     atomic.Uint64
	panics           atomic.Uint64

	mu     sync.Mutex
	errors map[protocol.Code]uint64
}

// opNames names the operations in logs and metrics; index 0 stands for operations that this server does not know.
var opNames = [...]string{"unknown", "open", "close", "get", "put", "delete", "delete_range", "list", "fetch", "commit"}

// opIndex is op's place in opNames.
func opIndex(op protocol.Op) int {
	if int(op) < len(opNames) {
		return int(op)
	}
	return 0
}

// answered counts an error answer.
func (m *metrics) answered(code protocol.Code) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.errors == nil {
		m.errors = make(map[protocol.Code]uint64)
	}
	m.errors[code]++
}

// Snapshot is what a server has counted since it started, and how much of it there is now. Bytes are those of frames,
// without WebSocket and TCP headers.
type Snapshot struct {
	Connections      int64                    // open now
	ConnectionsTotal uint64                   // accepted
	Refused          uint64                   // HTTP requests for the channel that were refused
	OpenActors       int64                    // held now
	Requests         map[string]uint64        // by operation; "unknown" for those this server does not know
	Errors           map[protocol.Code]uint64 // error answers
	FramesIn         uint64
	FramesOut        uint64
	BytesIn          uint64
	BytesOut         uint64
	BadFrames        uint64 // malformed or too long
	Stages           uint64 // stage frames
	Commits          uint64 // applied
	CommitsAlready   uint64 // answered "already applied"
	PagesCommitted   uint64
	PagesFetched     uint64 // asked for in fetches and present
	PagesExpanded    uint64 // added to fetches by expansion
	PagesPreloaded   uint64 // in open replies
	LockLost         uint64 // sessions that were evicted
	SlowReaders      uint64 // connections closed because they did not drain their answers
	PingTimeouts     uint64 // connections closed because nothing came from them
	Panics           uint64 // caught in handlers
	HeldBytes        uint64 // queued requests and staged pages, now
}

// Snapshot returns the counters.
func (s *Server) Snapshot() Snapshot {
	m := &s.metrics
	out := Snapshot{
		Connections:      m.connections.Load(),
		ConnectionsTotal: m.connectionsTotal.Load(),
		Refused:          m.refused.Load(),
		OpenActors:       m.openActors.Load(),
		Requests:         make(map[string]uint64, len(opNames)),
		Errors:           make(map[protocol.Code]uint64),
		HeldBytes:        s.held.Load(),
		FramesIn:         m.framesIn.Load(),
		FramesOut:        m.framesOut.Load(),
		BytesIn:          m.bytesIn.Load(),
		BytesOut:         m.bytesOut.Load(),
		BadFrames:        m.badFrames.Load(),
		Stages:           m.stages.Load(),
		Commits:          m.commits.Load(),
		CommitsAlready:   m.commitsAlready.Load(),
		PagesCommitted:   m.pagesCommitted.Load(),
		PagesFetched:     m.pagesFetched.Load(),
		PagesExpanded:    m.pagesExpanded.Load(),
		PagesPreloaded:   m.pagesPreloaded.Load(),
		LockLost:         m.lockLost.Load(),
		SlowReaders:      m.slowReaders.Load(),
		PingTimeouts:     m.pingTimeouts.Load(),
		Panics:           m.panics.Load(),
	}
	for i, name := range opNames {
		out.Requests[name] = m.requests[i].Load()
	}
	m.mu.Lock()
	maps.Copy(out.Errors, m.errors)
	m.mu.Unlock()
	return out
}
