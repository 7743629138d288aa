package sim

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/server"
)

// Server is a process that runs pagewire's server on the world's store.
type Server struct {
	w    *World
	Name string

	mu     sync.Mutex
	run    *serving // nil while it is down
	frozen chan struct{}
}

// serving is one life of a server.
type serving struct {
	srv   *server.Server
	http  *http.Server
	store *nodeStore
	conns chan net.Conn
	stop  chan struct{}
}

var errDown = errors.New("sim: the server is down")

func newServer(w *World, i int) *Server {
	return &Server{w: w, Name: "s" + string(rune('0'+i))}
}

// ID implements Node.
func (s *Server) ID() string { return s.Name }

// Start makes the server run, unless it does.
func (s *Server) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run != nil || s.w.isEnded() {
		return
	}
	st := &nodeStore{w: s.w, s: s}
	limits := server.DefaultLimits()
	limits.ActorBytes = s.w.Quota
	limits.PreloadBytes = s.w.Preload
	limits.CommitBytes = s.w.MaxBytes
	limits.ActorQueue = s.w.Queue
	srv, err := server.New(server.Config{
		Store: st, Limits: limits, PingInterval: s.w.Pings,
		PingTimeout: s.w.Pings + 1_234_567, // at no moment at which a ping is due as well

		Logger: slog.New(slog.DiscardHandler), Version: "sim",
	})
	if err != nil {
		s.w.Fail("setup", "%v", err)
		return
	}
	run := &serving{
		srv: srv, http: &http.Server{Handler: srv}, store: st, conns: make(chan net.Conn, 64), stop: make(chan struct{}),
	}
	s.run = run
	s.w.Event("start", "%s", s.Name)
	s.w.wg.Go(func() { _ = run.http.Serve(run) })
}

// Crash ends the server at once. What the store was asked for may still happen if it has begun.
func (s *Server) Crash() {
	s.mu.Lock()
	run := s.run
	s.run = nil
	s.mu.Unlock()
	if run == nil {
		return
	}
	s.w.Event("crash", "%s", s.Name)
	s.Thaw()
	run.store.kill()
	close(run.stop)
	r := s.w.Rand("die"+s.Name, 0)
	s.w.Net.killAll(s.Name, r.IntN(4) == 0)
	s.w.wg.Go(func() {
		_ = run.http.Close()
		_ = run.srv.Close()
	})
}

// drain asks the clients to leave, and returns when they have or the time is up.
func (s *Server) drain(limit time.Duration) {
	s.mu.Lock()
	run := s.run
	s.mu.Unlock()
	if run == nil {
		return
	}
	s.w.Event("drain", "%s", s.Name)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	_ = run.srv.Drain(ctx)
}

// accept hands the server a connection.
func (s *Server) accept(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run == nil {
		return false
	}
	select {
	case s.run.conns <- c:
		return true
	default:
		return false
	}
}

// Freeze makes the server do nothing until Thaw.
func (s *Server) Freeze() { freeze(s.w, s.Name, &s.mu, &s.frozen) }

// Thaw ends Freeze.
func (s *Server) Thaw() { thaw(s.w, s.Name, &s.mu, &s.frozen) }

func (s *Server) isFrozen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.frozen != nil
}

func freeze(w *World, name string, mu *sync.Mutex, frozen *chan struct{}) {
	mu.Lock()
	if *frozen == nil {
		*frozen = make(chan struct{})
	}
	mu.Unlock()
	w.Event("freeze", "%s", name)
}

func thaw(w *World, name string, mu *sync.Mutex, frozen *chan struct{}) {
	mu.Lock()
	was := *frozen
	*frozen = nil
	mu.Unlock()
	if was == nil {
		return
	}
	w.Event("thaw", "%s", name)
	close(was)
	w.Net.release()
}

// awake waits while a process is frozen, and what n of it waits for comes at a moment of its own afterwards.
func (w *World) awake(what string, n uint64, mu *sync.Mutex, frozen *chan struct{}) {
	for {
		mu.Lock()
		f := *frozen
		mu.Unlock()
		if f == nil {
			return
		}
		<-f
		w.pause("awake"+what, n, time.Microsecond)
	}
}

// Accept implements net.Listener.
func (r *serving) Accept() (net.Conn, error) {
	select {
	case c := <-r.conns:
		return c, nil
	case <-r.stop:
		return nil, errDown
	}
}

// Close implements net.Listener.
func (r *serving) Close() error { return nil }

// Addr implements net.Listener.
func (r *serving) Addr() net.Addr { return addr("server") }

// actorName is the name of an actor in the store.
func actorName(i int) string { return protocol.DefaultNamespace + "/" + actorID(i) }

func actorID(i int) string { return "a" + string(rune('0'+i)) }
