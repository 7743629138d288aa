package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/server"
	"github.com/pagewire/pagewire/internal/store/pebble"
)

// settings are the flags of `pagewire serve`.
type settings struct {
	data, listen  string
	tokens        []string
	tokenFile     string
	exitWithStdin bool
	ephemeral     bool
	logLevel      string
	logFormat     string

	pingInterval, pingTimeout, drainGrace time.Duration

	maxActorBytes, maxCommitBytes, maxFrameBytes size
	maxKeyBytes, maxValueBytes, maxPutBytes      size
	preloadBytes                                 size
	maxConnections                               uint64
	maxHeldBytes                                 size
	maxConnectionActors, maxActorQueue           uint64
	maxBatchKeys, maxFetchPages                  uint64

	cacheBytes, memTableBytes, reserveBytes size
}

// envPrefix precedes the name of a setting in the environment: --drain-grace is PAGEWIRE_DRAIN_GRACE.
const envPrefix = "PAGEWIRE_"

// envTokens holds several tokens, separated by white space.
const envTokens = envPrefix + "TOKENS"

func (s *settings) register(flags *pflag.FlagSet) {
	flags.SortFlags = false
	flags.StringVar(&s.data, "data", "", "directory of the store, made if it is missing (required, but for --ephemeral)")
	flags.BoolVar(&s.ephemeral, "ephemeral", false, "keep the data in a temporary directory and remove it at the end")
	flags.StringVar(&s.listen, "listen", "127.0.0.1:6420", "address and port; port 0 picks a free one")
	flags.StringArrayVar(&s.tokens, "token", nil,
		"bearer token that clients must send; may be repeated. Other users of the machine see arguments: prefer the others")
	flags.StringVar(&s.tokenFile, "token-file", "", "file of bearer tokens, separated by white space")
	flags.BoolVar(&s.exitWithStdin, "exit-with-stdin", false,
		"end when standard input does, so that the server does not outlive the process that started it")
	flags.StringVar(&s.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&s.logFormat, "log-format", "text", "text or json")

	flags.DurationVar(&s.pingInterval, "ping-interval", 15*time.Second, "time between pings of a connection")
	flags.DurationVar(&s.pingTimeout, "ping-timeout", 15*time.Second, "time that a silent connection has to answer a ping")
	flags.DurationVar(&s.drainGrace, "drain-grace", 10*time.Second, "time that clients have to leave when the server ends")

	limits := server.DefaultLimits()
	sizes := func(p *size, name string, def uint64, usage string) {
		*p = size(def)
		flags.Var(p, name, usage)
	}
	sizes(&s.maxActorBytes, "max-actor-bytes", limits.ActorBytes, "storage quota of one actor")
	flags.Uint64Var(&s.maxConnections, "max-connections", 10_000, "connections open at once")
	sizes(&s.maxHeldBytes, "max-held-bytes", 1<<30, "queued requests and staged pages of all connections together")
	flags.Uint64Var(&s.maxConnectionActors, "max-connection-actors", limits.ConnectionActors, "actors open on one connection")
	flags.Uint64Var(&s.maxActorQueue, "max-actor-queue", limits.ActorQueue, "queued requests of one actor")
	sizes(&s.maxCommitBytes, "max-commit-bytes", limits.CommitBytes, "pages of one commit")
	sizes(&s.preloadBytes, "preload-bytes", limits.PreloadBytes, "what the reply to an open may bring along; 0 disables it")
	flags.Uint64Var(&s.maxFetchPages, "max-fetch-pages", limits.FetchPages, "pages asked for in one fetch")
	sizes(&s.maxFrameBytes, "max-frame-bytes", limits.FrameBytes, "one WebSocket message")
	sizes(&s.maxKeyBytes, "max-key-bytes", limits.KeyBytes, "longest key")
	sizes(&s.maxValueBytes, "max-value-bytes", limits.ValueBytes, "longest value of a generic put")
	flags.Uint64Var(&s.maxBatchKeys, "max-batch-keys", limits.BatchKeys, "keys in one generic request")
	sizes(&s.maxPutBytes, "max-put-bytes", limits.PutBytes, "keys and values of one generic put")

	sizes(&s.cacheBytes, "cache-bytes", pebble.DefaultCacheBytes, "block cache of the store")
	sizes(&s.memTableBytes, "memtable-bytes", pebble.DefaultMemTableBytes, "one memtable of the store, of which there are up to 4")
	sizes(&s.reserveBytes, "reserve-bytes", pebble.DefaultReserveBytes, "free disk space below which writes that grow are refused")
}

// fromEnvironment sets the flags that were not given from the environment.
func fromEnvironment(cmd *cobra.Command) error {
	var errs []error
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		name := envPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value := os.Getenv(name)
		if f.Changed || value == "" || f.Name == "help" {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			errs = append(errs, fmt.Errorf("the environment variable %s is not valid: %w", name, err))
		}
	})
	return errors.Join(errs...)
}

// allTokens are the tokens of the flags, the file and the environment.
func (s *settings) allTokens() ([]string, error) {
	tokens := append([]string{}, s.tokens...)
	for _, token := range tokens {
		if token == "" {
			return nil, errors.New("--token is empty: give it a value or leave it out")
		}
	}
	for _, name := range []string{envPrefix + "TOKEN", envTokens} {
		// A variable that was meant to hold a token must not open the server to everybody.
		if value, set := os.LookupEnv(name); set && strings.TrimSpace(value) == "" {
			return nil, fmt.Errorf("the environment variable %s is set but empty: give it a token or unset it", name)
		}
	}
	tokens = append(tokens, strings.Fields(os.Getenv(envTokens))...)
	if s.tokenFile != "" {
		content, err := os.ReadFile(s.tokenFile)
		if err != nil {
			return nil, fmt.Errorf("cannot read --token-file: %w", err)
		}
		found := strings.Fields(string(content))
		if len(found) == 0 {
			return nil, fmt.Errorf("--token-file %s holds no token", s.tokenFile)
		}
		tokens = append(tokens, found...)
	}
	return tokens, nil
}

// check refuses values that would mean something else than what they say.
func (s *settings) check() error {
	if s.ephemeral && s.data != "" {
		return fmt.Errorf("--ephemeral keeps nothing, but --data names %s: give one of the two", s.data)
	}
	if s.data == "" && !s.ephemeral {
		return fmt.Errorf("no directory to keep the data in: name one with --data or %sDATA", envPrefix)
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"ping-interval", s.pingInterval}, {"ping-timeout", s.pingTimeout}, {"drain-grace", s.drainGrace}} {
		if d.value < time.Millisecond {
			return fmt.Errorf("--%s is %v: it must be at least 1ms", d.name, d.value)
		}
	}
	for _, n := range []struct {
		name  string
		value uint64
	}{
		{"max-connections", s.maxConnections}, {"max-held-bytes", uint64(s.maxHeldBytes)},
		{"max-actor-bytes", uint64(s.maxActorBytes)}, {"max-connection-actors", s.maxConnectionActors},
		{"max-actor-queue", s.maxActorQueue}, {"max-commit-bytes", uint64(s.maxCommitBytes)},
		{"max-fetch-pages", s.maxFetchPages}, {"max-frame-bytes", uint64(s.maxFrameBytes)},
		{"max-key-bytes", uint64(s.maxKeyBytes)}, {"max-value-bytes", uint64(s.maxValueBytes)},
		{"max-batch-keys", s.maxBatchKeys}, {"max-put-bytes", uint64(s.maxPutBytes)},
		{"cache-bytes", uint64(s.cacheBytes)}, {"reserve-bytes", uint64(s.reserveBytes)},
	} {
		if n.value == 0 {
			return fmt.Errorf("--%s is 0: it must be at least 1", n.name)
		}
	}
	if least, most := size(1<<20), size(1<<30); s.memTableBytes < least || s.memTableBytes > most {
		return fmt.Errorf("--memtable-bytes is %v: it must be from %v to %v", &s.memTableBytes, &least, &most)
	}
	return nil
}

func (s *settings) limits() protocol.Limits {
	return protocol.Limits{
		KeyBytes:         uint64(s.maxKeyBytes),
		ValueBytes:       uint64(s.maxValueBytes),
		BatchKeys:        s.maxBatchKeys,
		PutBytes:         uint64(s.maxPutBytes),
		ActorBytes:       uint64(s.maxActorBytes),
		ConnectionActors: s.maxConnectionActors,
		ActorQueue:       s.maxActorQueue,
		CommitBytes:      uint64(s.maxCommitBytes),
		FrameBytes:       uint64(s.maxFrameBytes),
		FetchPages:       s.maxFetchPages,
		// The server takes 0 for its default. No entry fits into one byte, so nothing is preloaded.
		PreloadBytes: max(1, uint64(s.preloadBytes)),
	}
}
