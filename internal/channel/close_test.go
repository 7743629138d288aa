package channel_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/channel"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/server"
)

// waitPending waits until n calls are under way.
func waitPending(t *testing.T, c *channel.Channel, n uint64) {
	t.Helper()
	require.Eventually(t, func() bool { return c.Metrics().Pending >= n }, patience, time.Millisecond)
}

// Close works in every state, ends every call and leaves no goroutine behind.
func TestCloseInEveryState(t *testing.T) {
	for _, test := range []struct {
		name string
		// prepare brings c into the state; calls still under way report to done, as many as it returns.
		prepare func(t *testing.T, c *channel.Channel, events *eventLog, p *proxy, w *watched, done chan error) int
		clean   bool // Close has nothing to complain of
	}{
		{"idle", func(*testing.T, *channel.Channel, *eventLog, *proxy, *watched, chan error) int { return 0 }, true},
		{"with open actors", func(t *testing.T, c *channel.Channel, _ *eventLog, _ *proxy, _ *watched, _ chan error) int {
			open(t, c, "a")
			open(t, c, "b")
			return 0
		}, true},
		{"while reconnecting", func(t *testing.T, c *channel.Channel, events *eventLog, p *proxy, _ *watched, done chan error) int {
			a := open(t, c, "a")
			p.setRefuse(true)
			p.cut()
			events.next(t, channel.Disconnect)
			go func() { _, err := commitPages(context.Background(), a, 1, 1, 1); done <- err }()
			go func() { _, _, err := c.Open(context.Background(), "b", protocol.Open{}, nil); done <- err }()
			waitPending(t, c, 2)
			return 2
		}, true},
		{"while the server hangs", func(t *testing.T, c *channel.Channel, _ *eventLog, _ *proxy, w *watched, done chan error) int {
			a := open(t, c, "a")
			release := w.holdCommits()
			t.Cleanup(release)
			go func() { _, err := commitPages(context.Background(), a, 1, 1, 1); done <- err }()
			receive(t, w.entered, "the commit to reach the store")
			go func() { _, err := a.Get(context.Background(), &protocol.Get{}); done <- err }()
			waitPending(t, c, 2)
			return 2
		}, false},
		{"while stages are stuck", func(t *testing.T, c *channel.Channel, _ *eventLog, p *proxy, _ *watched, done chan error) int {
			a := open(t, c, "a")
			held := p.stall(true, false)
			go func() { _, err := commitPages(context.Background(), a, 1, 16_000, 1); done <- err }()
			receive(t, held, "the stages to be held")
			return 1
		}, false},
		{"while an open waits", func(t *testing.T, c *channel.Channel, _ *eventLog, p *proxy, _ *watched, done chan error) int {
			other, _ := dial(t, p.addr())
			open(t, other, "a")
			t.Cleanup(func() { closeSoon(other) })
			go func() {
				_, _, err := c.Open(context.Background(), "a", protocol.Open{Mode: protocol.ModeWait}, nil)
				done <- err
			}()
			waitPending(t, c, 1)
			return 1
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newStore(t)
			_, addr := startServer(t, server.Config{Store: w})
			p := newProxy(t, addr)
			c, events := dial(t, p.addr())
			done := make(chan error, 10)
			n := test.prepare(t, c, events, p, w, done)
			limit := patience
			if !test.clean {
				limit = 500 * time.Millisecond // it has to run out
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			err := c.Close(ctx)
			if test.clean {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, context.DeadlineExceeded)
			}
			for range n {
				require.ErrorIs(t, receive(t, done, "a call to end"), channel.ErrClosed)
			}
			if test.name != "while an open waits" { // another channel of the test lives
				requireNoGoroutines(t)
			}
			require.Zero(t, c.Metrics().Pending)
			_, _, err = c.Open(t.Context(), "x", protocol.Open{}, nil)
			require.ErrorIs(t, err, channel.ErrClosed)
			require.NoError(t, c.Close(t.Context()), "closing twice does nothing")
		})
	}
}

// Close lets what is in flight finish and releases the actors: the next open finds nobody.
func TestCloseFinishesWhatIsInFlight(t *testing.T) {
	w := newStore(t)
	_, addr := startServer(t, server.Config{Store: w})
	c, _ := dial(t, addr)
	a := open(t, c, "actor")
	release := w.holdCommits()
	defer release()
	done := make(chan outcome, 1)
	go func() {
		res, err := commitPages(context.Background(), a, 1, 1, 1)
		done <- outcome{res, err}
	}()
	receive(t, w.entered, "the commit to reach the store")
	closed := make(chan error, 1)
	go func() { closed <- c.Close(context.Background()) }()
	release()
	require.NoError(t, receive(t, done, "the commit").err)
	require.NoError(t, receive(t, closed, "Close"))
	require.NoError(t, a.Close(t.Context(), nil))
	_, err := a.Get(t.Context(), &protocol.Get{})
	require.Error(t, err)

	next, _ := dial(t, addr)
	_, res, err := next.Open(t.Context(), "actor", protocol.Open{}, nil)
	require.NoError(t, err)
	require.Equal(t, uint64(1), res.Seq)
}

// A write that was sent when the channel closed may be applied, and says so.
func TestCloseDuringASentCommit(t *testing.T) {
	w := newStore(t)
	_, addr := startServer(t, server.Config{Store: w})
	c, _ := dial(t, addr)
	a := open(t, c, "actor")
	release := w.holdCommits()
	defer release()
	done := make(chan error, 1)
	go func() { _, err := commitPages(context.Background(), a, 1, 1, 1); done <- err }()
	receive(t, w.entered, "the commit to reach the store")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, c.Close(ctx), context.Canceled)
	err := receive(t, done, "the commit")
	require.ErrorIs(t, err, channel.ErrClosed)
	require.ErrorIs(t, err, channel.ErrIndeterminate)
}
