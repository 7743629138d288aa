// Package server is the KV channel server: it answers the frames of package protocol over WebSockets, from a
// [store.Store].
//
// The idea in one paragraph. A connection has one reader and one writer. The reader hands each request to the queue of
// its actor; a queue answers its requests in order, queues run in parallel. An open takes the actor's hold, which says
// whether somebody on this server still uses the actor, and a new generation from the store, which decides who may
// write: every write carries its generation into the store's own transaction, so that nothing here in memory is needed
// for safety, and two servers on one store are as safe as one. Memory is bounded per connection: by the length of a queue,
// by the bytes of queued and staged requests, and by the answers that wait for a slow peer.
package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pagewire/pagewire/internal/crew"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/store"
)

// Config is what a server needs. Store is required, everything else has a default.
type Config struct {
	Store        store.Store     // not closed by the server
	Tokens       []string        // accepted bearer tokens; none means that everybody may connect
	Limits       protocol.Limits // those that are 0 get their defaults
	PingInterval time.Duration   // between pings; default 15 s
	PingTimeout  time.Duration   // patience with a silent peer after a ping, and with one that reads nothing; default 15 s
	DrainGrace   time.Duration   // how long Drain waits for clients to leave; default 30 s
	// MaxConnections bounds the connections open at once; default 10,000. One too many is answered 503, backpressure.
	MaxConnections uint64
	// HeldBytes bounds the queued requests and staged pages of all connections together; default 1 GiB. Each may
	// keep two frames beyond it, so that a few large commits do not lock everybody out.
	HeldBytes uint64
	Logger    *slog.Logger // default slog.Default()
	Version   string       // of the program, for people
}

// Server serves the KV channel. It is an http.Handler.
type Server struct {
	cfg     Config
	tokens  tokens
	holds   holds
	metrics metrics
	mux     *http.ServeMux

	draining   context.Context // ends when draining starts, with the cause errDraining
	startDrain context.CancelCauseFunc

	mu      sync.Mutex
	conns   map[*conn]struct{}
	held    atomic.Uint64  // bytes of queued requests and staged pages of all connections
	closed  bool           // no connection is accepted any more
	running sync.WaitGroup // one a connection
	crew    *crew.Crew     // runs queues
}

var errDraining = protocol.Errorf(protocol.CodeDraining, "the server is shutting down: open the actor on another one")

// New makes a server. It returns an error if the configuration contradicts itself.
func New(cfg Config) (*Server, error) {
	if cfg.Store == nil {
		return nil, errors.New("server: no store configured")
	}
	var err error
	if cfg.Limits, err = completeLimits(cfg.Limits); err != nil {
		return nil, err
	}
	for _, d := range []struct {
		name string
		have *time.Duration
		def  time.Duration
	}{
		{"ping interval", &cfg.PingInterval, 15 * time.Second},
		{"ping timeout", &cfg.PingTimeout, 15 * time.Second},
		{"drain grace", &cfg.DrainGrace, 30 * time.Second},
	} {
		if *d.have < 0 {
			return nil, fmt.Errorf("server: the %s is %v; it must not be negative", d.name, *d.have)
		}
		if *d.have == 0 {
			*d.have = d.def
		}
	}
	if cfg.MaxConnections == 0 {
		cfg.MaxConnections = 10_000
	}
	if cfg.HeldBytes == 0 {
		cfg.HeldBytes = gib
	}
	cfg.Limits.PingMillis = uint64(cfg.PingInterval.Milliseconds())
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	s := &Server{
		cfg:   cfg,
		conns: make(map[*conn]struct{}),
		mux:   http.NewServeMux(),
		crew:  crew.New(idleQueues),
	}
	s.draining, s.startDrain = context.WithCancelCause(context.Background())
	s.holds.locks = make(map[string]*lock)
	if s.tokens, err = hashTokens(cfg.Tokens); err != nil {
		return nil, err
	}
	s.mux.HandleFunc(protocol.ChannelPath, s.serveChannel)
	s.mux.HandleFunc("GET /healthz", s.serveHealth)
	s.mux.HandleFunc("GET /readyz", s.serveReady)
	s.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusNotFound, protocol.CodeBadRequest, "there is nothing here; the channel is at %s", protocol.ChannelPath)
	})
	return s, nil
}

// idleQueues is how many goroutines wait for the next request of an actor that has none queued.
const idleQueues = 64

// ServeHTTP serves protocol.ChannelPath, /healthz (the process lives) and /readyz (it accepts connections).
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

func (s *Server) serveHealth(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok", "version": s.cfg.Version})
}

func (s *Server) serveReady(w http.ResponseWriter, _ *http.Request) {
	if s.isDraining() {
		refuse(w, http.StatusServiceUnavailable, protocol.CodeDraining, "the server is shutting down")
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}

// refuse answers an HTTP request with an error that a client can show: {"code", "message"}.
func refuse(w http.ResponseWriter, status int, code protocol.Code, format string, args ...any) {
	writeJSON(w, status, map[string]string{"code": string(code), "message": fmt.Sprintf(format, args...)})
}

func writeJSON(w http.ResponseWriter, status int, body map[string]string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	// A peer that is gone does not read its answer: nothing to do about it.
	_ = json.NewEncoder(w).Encode(body)
}

func (s *Server) isDraining() bool { return s.draining.Err() != nil }

// crowded says that no more connections are accepted for now.
func (s *Server) crowded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint64(len(s.conns)) >= s.cfg.MaxConnections
}

// register adds a connection, unless the server drains, is closed or has too many.
func (s *Server) register(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.isDraining() || uint64(len(s.conns)) >= s.cfg.MaxConnections {
		return false
	}
	s.conns[c] = struct{}{}
	s.running.Add(1)
	s.metrics.connections.Add(1)
	s.metrics.connectionsTotal.Add(1)
	return true
}

func (s *Server) unregister(c *conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.metrics.connections.Add(-1)
	s.running.Done()
}

// all returns the connections of now.
func (s *Server) all() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		out = append(out, c)
	}
	return out
}

// Drain tells every client to finish and reconnect elsewhere, refuses new connections and opens with draining, and waits
// until the last connection is closed, by its client or, after the grace period or at the end of ctx, by the server. It
// returns ctx's error if that came first.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	s.startDrain(errDraining) // under the mutex: a connection is either refused or told
	s.mu.Unlock()
	grace := s.cfg.DrainGrace
	for _, c := range s.all() {
		c.push(&protocol.Drain{Type: protocol.FrameDrain, GraceMillis: uint64(grace.Milliseconds())})
	}
	gone := make(chan struct{})
	go func() {
		s.running.Wait()
		close(gone)
	}()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	var err error
	select {
	case <-gone:
		return nil
	case <-timer.C:
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.shut("the server is shutting down")
	<-gone
	return err
}

// Close closes all connections at once and waits for the requests that the store is working on.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.shut("the server is shutting down")
	s.running.Wait()
	s.crew.End()
	return nil
}

func (s *Server) shut(reason string) {
	for _, c := range s.all() {
		c.close(closeGoingAway, reason)
	}
}
