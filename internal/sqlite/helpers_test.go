package sqlite_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/channel"
	"github.com/pagewire/pagewire/internal/pages"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/server"
	"github.com/pagewire/pagewire/internal/sqlite"
	"github.com/pagewire/pagewire/internal/store"
	"github.com/pagewire/pagewire/internal/store/memory"
)

// fixture is a real server on a memory store, and a channel to it.
type fixture struct {
	t     testing.TB
	store store.Store
	srv   *server.Server
	ch    *channel.Channel
}

func newFixture(t testing.TB, limits ...func(*protocol.Limits)) *fixture {
	t.Helper()
	return newFixtureOn(t, memory.New(), limits...)
}

func newFixtureOn(t testing.TB, st store.Store, limits ...func(*protocol.Limits)) *fixture {
	t.Helper()
	cfg := server.Config{Store: st, Logger: slog.New(slog.DiscardHandler), Limits: server.DefaultLimits(), Version: "test"}
	for _, change := range limits {
		change(&cfg.Limits)
	}
	srv, err := server.New(cfg)
	require.NoError(t, err)
	hs := httptest.NewServer(srv)
	f := &fixture{t: t, store: cfg.Store, srv: srv}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	f.ch, err = channel.Dial(ctx, channel.Config{URL: strings.Replace(hs.URL, "http", "ws", 1)})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = f.ch.Close(ctx)
		require.NoError(t, srv.Close())
		hs.Close()
	})
	return f
}

// requests is how many the server has been sent.
func (f *fixture) requests() uint64 {
	n := uint64(0)
	for _, count := range f.srv.Snapshot().Requests {
		n += count
	}
	return n
}

func (f *fixture) open(actor string, budget ...uint64) *sqlite.DB {
	f.t.Helper()
	preload := &protocol.Preload{Pages: true}
	if len(budget) > 0 {
		preload.Budget = &budget[0]
	}
	return f.openAs(f.ch, actor, preload)
}

// openAs opens an actor on a channel, between which and the database stands what wrap makes of it, if given.
func (f *fixture) openAs(ch *channel.Channel, actor string, preload *protocol.Preload, wrap ...func(pages.Remote) pages.Remote,
) *sqlite.DB {
	f.t.Helper()
	ctx := context.Background()
	var db *sqlite.DB
	a, opened, err := ch.Open(ctx, actor, protocol.Open{Mode: protocol.ModeTakeover, Preload: preload}, func(err error) {
		if db != nil {
			db.Lost(err)
		}
	})
	require.NoError(f.t, err)
	var remote pages.Remote = a
	for _, wrapped := range wrap {
		remote = wrapped(remote)
	}
	limits := ch.Limits()
	db, err = sqlite.Open(ctx, remote, opened, sqlite.Options{CommitBytes: limits.CommitBytes, Pages: pages.Config{Limits: limits}})
	require.NoError(f.t, err)
	return db
}

func (f *fixture) close(db *sqlite.DB) {
	f.t.Helper()
	require.NoError(f.t, db.Close(context.Background()))
}

func query(t testing.TB, db *sqlite.DB, sql string, args ...any) [][]any {
	t.Helper()
	r, err := db.Query(sql, args...)
	require.NoError(t, err, sql)
	return r.Rows
}

func exec(t testing.TB, db *sqlite.DB, sql string) {
	t.Helper()
	require.NoError(t, db.Exec(sql), sql)
}

func readDir(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}
