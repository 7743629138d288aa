package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/pagewire/pagewire/internal/server"
	"github.com/pagewire/pagewire/internal/store/pebble"
	"github.com/pagewire/pagewire/internal/sysmon"
	"github.com/pagewire/pagewire/internal/version"
)

// requestTimeout is the time that a client has to send its request, header and body, and to take the answer, and that it
// may stay between two requests. It ends when a request becomes a WebSocket.
const requestTimeout = 10 * time.Second

// headerBytes bounds the header of a request.
const headerBytes = 32 << 10

// extraProcessors is how many processors Go gets beyond the machine's: one for the sync that is nearly always under way.
const extraProcessors = 1

func serveCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "serve --data DIR",
		Short: "Serve the KV channel",
		Long: `Serve the KV channel to Pagewire clients, from a store in one directory.

When it is ready the server prints one line on standard output,

    pagewire: listening on ws://127.0.0.1:6420

and logs to standard error. SIGTERM and SIGINT let it drain: clients are told to leave, what they sent is finished, the
store is closed. A second signal ends it at once; what was acknowledged is on disk either way.

Every flag can be set in the environment too: --drain-grace is PAGEWIRE_DRAIN_GRACE. A flag wins. PAGEWIRE_TOKENS holds
several tokens, separated by white space. Without a token the server listens on loopback addresses only.`,
		Example: `  pagewire serve --data ./data
  PAGEWIRE_TOKEN=secret pagewire serve --data /var/lib/pagewire --listen 0.0.0.0:6420 --max-actor-bytes 1GiB`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd); err != nil {
				return err
			}
			return serve(&s, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	s.register(cmd.Flags())
	return cmd
}

// serve runs the server until a signal, the end of standard input where asked for, or a failure.
func serve(s *settings, stdin io.Reader, stdout, stderr io.Writer) (err error) {
	if err := s.check(); err != nil {
		return err
	}
	log, err := newLogger(stderr, s.logLevel, s.logFormat)
	if err != nil {
		return err
	}
	tokens, err := s.allTokens()
	if err != nil {
		return err
	}
	// From here on a signal drains instead of killing.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	// Nor does a log that nobody reads any more: who started the server may have been killed.
	signal.Ignore(syscall.SIGPIPE)

	listener, err := listen(s.listen, len(tokens) > 0)
	if err != nil {
		return err
	}
	defer listener.Close()
	if !listener.Addr().(*net.TCPAddr).IP.IsLoopback() {
		log.Warn("tokens and data cross the network in the clear: put a TLS proxy in front")
	}
	data := s.data
	if s.ephemeral {
		if data, err = os.MkdirTemp("", "pagewire-"); err != nil {
			return fmt.Errorf("cannot make a temporary directory: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(data)) }()
	}
	store, err := pebble.Open(data, pebble.Options{
		CacheBytes: int64(s.cacheBytes), MemTableBytes: uint64(s.memTableBytes), ReserveBytes: uint64(s.reserveBytes), Logger: log,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	sysmon.SpareProcessors(extraProcessors)
	channel, err := server.New(server.Config{
		Store: store, Tokens: tokens, Limits: s.limits(), PingInterval: s.pingInterval, PingTimeout: s.pingTimeout,
		DrainGrace: s.drainGrace, Logger: log, Version: version.Version, MaxConnections: s.maxConnections, HeldBytes: uint64(s.maxHeldBytes),
	})
	if err != nil {
		return err
	}
	// Closing waits for the requests that the store works on, and so comes before the store's.
	defer func() { err = errors.Join(err, channel.Close()) }()

	web := webServer(channel, requestTimeout, log)
	defer web.Close()
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(listener) }()
	log.Info("serving", "version", version.Version, "address", listener.Addr().String(), "data", data, "tokens", len(tokens))
	if _, err := fmt.Fprintf(stdout, "pagewire: listening on ws://%s\n", listener.Addr()); err != nil {
		return fmt.Errorf("cannot say on standard output where the server listens: %w", err)
	}

	var stdinEnd <-chan struct{}
	if s.exitWithStdin {
		stdinEnd = endOf(stdin)
	}
	select {
	case err := <-failed:
		return fmt.Errorf("the server stopped accepting connections: %w", err)
	case <-store.Failed():
		// What was acknowledged is on disk; what else is, only a new process finds out. Connections are closed, and
		// clients resume with whoever serves the store next.
		return errors.New("the store's disk failed; the log says how. Start the server again when it has been seen to")
	case got := <-signals:
		log.Info("draining", "reason", got.String(), "grace", s.drainGrace)
		go exitOnSignal(signals, 1, log)
	case <-stdinEnd:
		log.Info("draining", "reason", "standard input ended", "grace", s.drainGrace)
		// Who ends the input may well send a signal with it.
		go exitOnSignal(signals, 2, log)
	}
	return channel.Drain(context.Background())
}

// webServer serves HTTP to clients that may be slow on purpose.
func webServer(handler http.Handler, timeout time.Duration, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: timeout, ReadTimeout: timeout, WriteTimeout: timeout, IdleTimeout: timeout,
		MaxHeaderBytes: headerBytes, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// exitOnSignal ends the process at the nth signal from now: what was acknowledged is on disk, and what was not may be
// lost.
func exitOnSignal(signals <-chan os.Signal, n int, log *slog.Logger) {
	var got os.Signal
	for range n {
		got = <-signals
	}
	log.Warn("ending without draining", "reason", got.String())
	os.Exit(1)
}

// endOf returns a channel that is closed when r ends.
func endOf(r io.Reader) <-chan struct{} {
	end := make(chan struct{})
	go func() {
		defer close(end)
		// An error ends it just as its end does.
		_, _ = io.Copy(io.Discard, r)
	}()
	return end
}
