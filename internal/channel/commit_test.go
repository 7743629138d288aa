package channel_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/channel"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/server"
)

type outcome struct {
	res *protocol.CommitResult
	err error
}

// I4: a commit is applied exactly once, wherever the connection breaks, and its caller notices nothing.
func TestI4CommitIsAppliedExactlyOnce(t *testing.T) {
	const small, large = 3, 2000 // pages: in one frame, and with stages
	for _, test := range []struct {
		name    string
		pages   int
		already bool
		// during breaks the connection when commit 1 has been handed over by begin.
		during func(t *testing.T, p *proxy, w *watched, begin func())
	}{
		{"cut before it is sent", small, false, func(t *testing.T, p *proxy, w *watched, begin func()) {
			held := p.stall(true, false)
			begin()
			receive(t, held, "the commit to be held")
			p.cut()
		}},
		{"cut before the server is reached again", small, false, func(t *testing.T, p *proxy, w *watched, begin func()) {
			p.setRefuse(true)
			p.cut()
			begin()
			p.setRefuse(false)
		}},
		{"cut after it was applied, before the answer", small, true, func(t *testing.T, p *proxy, w *watched, begin func()) {
			p.stall(false, true)
			begin()
			require.Equal(t, uint64(1), receive(t, w.applied, "the commit to be applied"))
			w.applied <- 1
			p.cut()
		}},
		{"cut while it is being applied", small, true, func(t *testing.T, p *proxy, w *watched, begin func()) {
			release := w.holdCommits()
			defer release()
			begin()
			receive(t, w.entered, "the commit to reach the store")
			p.cut()
		}},
		{"cut in the middle of the stages", large, false, func(t *testing.T, p *proxy, w *watched, begin func()) {
			p.cutAfter(large * protocol.PageSize / 2)
			begin()
		}},
		{"cut after the stages and the answer", large, true, func(t *testing.T, p *proxy, w *watched, begin func()) {
			p.stall(false, true)
			begin()
			require.Equal(t, uint64(1), receive(t, w.applied, "the commit to be applied"))
			w.applied <- 1
			p.cut()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newStore(t)
			_, addr := startServer(t, server.Config{Store: w})
			p := newProxy(t, addr)
			c, events := dial(t, p.addr())
			a := open(t, c, "actor")
			before := a.Generation()

			done := make(chan outcome, 1)
			test.during(t, p, w, func() {
				go func() {
					res, err := commitPages(context.Background(), a, 1, test.pages, 7)
					done <- outcome{res, err}
				}()
			})
			got := receive(t, done, "the commit to be resolved")
			require.NoError(t, got.err)
			require.Equal(t, uint64(1), got.res.Seq)
			require.Equal(t, test.already, got.res.Already)
			require.Positive(t, got.res.UsedBytes)
			events.next(t, channel.Disconnect)
			require.Positive(t, events.next(t, channel.Reconnect).Attempt)

			require.Equal(t, before, a.Generation())
			requirePages(t, a, test.pages, 7)
			_, err := commitPages(t.Context(), a, 2, 1, 8)
			require.NoError(t, err)
			require.Equal(t, uint64(1), <-w.applied)
			require.Equal(t, uint64(2), <-w.applied)
			require.Empty(t, w.applied, "nothing is applied twice")
			require.GreaterOrEqual(t, c.Metrics().Reconnects, uint64(1))
		})
	}
}

// I4: many commits and cuts at random moments.
func TestI4CommitsSurviveManyCuts(t *testing.T) {
	w := newStore(t)
	_, addr := startServer(t, server.Config{Store: w})
	p := newProxy(t, addr)
	c, _ := dial(t, p.addr())
	a := open(t, c, "actor")
	const commits = 60
	for seq := uint64(1); seq <= commits; seq++ {
		if seq%3 == 0 {
			p.cutAfter(seq * 977)
		}
		_, err := commitPages(t.Context(), a, seq, 20, byte(seq))
		require.NoError(t, err)
	}
	for seq := uint64(1); seq <= commits; seq++ {
		require.Equal(t, seq, <-w.applied)
	}
	require.Empty(t, w.applied)
	requirePages(t, a, 20, commits)
	require.Positive(t, c.Metrics().Resends)
}

// deadline is a context whose deadline passes when the test says so.
type deadline struct {
	context.Context
	passed chan struct{}
}

func (d deadline) Done() <-chan struct{} { return d.passed }

func (d deadline) Err() error {
	select {
	case <-d.passed:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// I4: what cannot be resolved inside the deadline says so, and a reload tells.
func TestI4DeadlineOfASentCommitIsIndeterminate(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func() (context.Context, func()) // a context, and what ends it once the commit is in the store's hands
	}{
		{"deadline", func() (context.Context, func()) {
			d := deadline{context.Background(), make(chan struct{})}
			return d, func() { close(d.passed) }
		}},
		{"cancel", func() (context.Context, func()) {
			ctx, cancel := context.WithCancel(context.Background())
			return ctx, cancel
		}},
		{"default time limit", func() (context.Context, func()) { return context.Background(), func() {} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newStore(t)
			_, addr := startServer(t, server.Config{Store: w})
			c, _ := dial(t, addr, func(cfg *channel.Config) { cfg.Timeout = 2 * time.Second })
			a := open(t, c, "actor")
			release := w.holdCommits()
			defer release()
			ctx, end := test.end()
			done := make(chan error, 1)
			go func() { _, err := commitPages(ctx, a, 1, 1, 1); done <- err }()
			receive(t, w.entered, "the commit to reach the store")
			end()
			err := receive(t, done, "the commit to end")
			require.ErrorIs(t, err, channel.ErrIndeterminate)
			require.Equal(t, "commit_indeterminate", channel.Code(err))
			require.Zero(t, c.Metrics().Pending)
			release()
			// The late answer is of no interest; the reload comes after it.
			res, err := a.Reload(t.Context(), nil)
			require.NoError(t, err)
			require.Equal(t, uint64(1), res.Seq)
			require.Equal(t, a.Generation(), res.Generation)
			_, err = commitPages(t.Context(), a, 2, 1, 2)
			require.NoError(t, err)
		})
	}
}

func TestCommitThatNeverLeftIsATimeout(t *testing.T) {
	w := newStore(t)
	_, addr := startServer(t, server.Config{Store: w})
	p := newProxy(t, addr)
	c, events := dial(t, p.addr())
	a := open(t, c, "actor")
	p.setRefuse(true)
	p.cut()
	events.next(t, channel.Disconnect)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := commitPages(ctx, a, 1, 1, 1)
	require.ErrorIs(t, err, channel.ErrTimeout)
	require.NotErrorIs(t, err, channel.ErrIndeterminate)
	require.Equal(t, "timeout", channel.Code(err))
	require.Contains(t, err.Error(), "there is no connection")
	p.setRefuse(false)
	_, err = commitPages(t.Context(), a, 1, 1, 2)
	require.NoError(t, err)
	requirePages(t, a, 1, 2)
	require.Equal(t, uint64(1), <-w.applied)
	require.Empty(t, w.applied)
}

// A commit that is abandoned between its stages leaves nothing behind: neither pages in the store nor at the server.
func TestCommitAbandonedBetweenStages(t *testing.T) {
	w := newStore(t)
	_, addr := startServer(t, server.Config{Store: w})
	p := newProxy(t, addr)
	c, _ := dial(t, p.addr())
	a, other := open(t, c, "actor"), open(t, c, "other")
	held := p.stall(true, false)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan outcome, 1)
	go func() {
		res, err := commitPages(ctx, a, 1, 16_000, 1)
		done <- outcome{res, err}
	}()
	receive(t, held, "the stages to be held")
	cancel()
	got := receive(t, done, "the commit to be abandoned")
	require.Equal(t, "aborted", channel.Code(got.err), "its last frame was not sent")
	p.stall(false, false)
	_, err := commitPages(t.Context(), a, 1, 16_000, 2)
	require.NoError(t, err)
	requirePages(t, a, 16_000, 2)
	_, err = commitPages(t.Context(), other, 1, 1, 3)
	require.NoError(t, err)
}

// However large, a commit is one round trip: the server has all of it before the client hears anything.
func TestLargeCommitIsOneRoundTrip(t *testing.T) {
	w := newStore(t)
	_, addr := startServer(t, server.Config{Store: w})
	p := newProxy(t, addr)
	c, _ := dial(t, p.addr())
	a := open(t, c, "actor")
	const pages = 64 << 20 / protocol.PageSize
	before := c.Metrics()
	p.stall(false, true)
	done := make(chan outcome, 1)
	go func() {
		res, err := commitPages(context.Background(), a, 1, pages, 9)
		done <- outcome{res, err}
	}()
	require.Equal(t, uint64(1), receive(t, w.applied, "the commit to be applied"))
	require.Empty(t, done)
	p.stall(false, false)
	got := receive(t, done, "the answer")
	require.NoError(t, got.err)
	after := c.Metrics()
	require.Equal(t, before.RoundTrips+1, after.RoundTrips)
	require.Greater(t, after.BytesSent-before.BytesSent, uint64(64<<20))
	require.Less(t, after.BytesSent-before.BytesSent, uint64(65<<20))
	require.Equal(t, uint64(1), after.Ops["commit"].Count)
	requirePages(t, a, pages, 9)
}

// A commit is sent by who begins it; but a socket that takes no more does not hold them up, and the writer sends the rest.
func TestFullSocketDoesNotHoldUpCommits(t *testing.T) {
	_, addr := startServer(t, server.Config{Store: newStore(t)})
	p := newProxy(t, addr)
	c, _ := dial(t, p.addr())
	const actors, pages = 40, 250 // 39 MiB, more than any socket takes
	open := func(id int) *channel.Actor { return open(t, c, fmt.Sprint(id)) }
	all := make([]*channel.Actor, actors)
	for i := range all {
		all[i] = open(i)
	}
	p.stall(true, false)
	m := &protocol.Commit{Seq: 1, Count: 1, Size: pages * protocol.PageSize}
	data := make([][]byte, pages)
	for i := range data {
		m.Pages.Indexes = append(m.Pages.Indexes, uint32(i))
		data[i] = page(7)
	}
	begun, done := make(chan struct{}), make(chan error, actors)
	go func() {
		defer close(begun)
		for _, a := range all {
			a.BeginCommit(context.Background(), m, data, func(_ *protocol.CommitResult, err error) { done <- err })
		}
	}()
	receive(t, begun, "the commits to begin")
	require.Empty(t, done)
	p.stall(false, false)
	for range actors {
		require.NoError(t, receive(t, done, "a commit"))
	}
	for _, a := range all {
		requirePages(t, a, pages, 7)
	}
}

// Several commits that together are more than a server keeps for one connection take turns.
func TestLargeCommitsTakeTurns(t *testing.T) {
	_, addr := startServer(t, server.Config{Store: newStore(t), Limits: protocol.Limits{CommitBytes: 4 << 20}})
	c, _ := dial(t, addr)
	done := make(chan outcome)
	const actors = 8
	for i := range actors {
		a := open(t, c, string(rune('a'+i)))
		go func() {
			res, err := commitPages(context.Background(), a, 1, 1000, 1)
			done <- outcome{res, err}
		}()
	}
	for range actors {
		require.NoError(t, receive(t, done, "a commit").err)
	}
	a := open(t, c, "too large")
	_, err := commitPages(t.Context(), a, 1, 1025, 1)
	require.Equal(t, "payload_too_large", channel.Code(err))
}

func TestCommitChecksItsArguments(t *testing.T) {
	_, addr := startServer(t, server.Config{Store: newStore(t)})
	c, _ := dial(t, addr)
	a := open(t, c, "actor")
	before := c.Metrics().Requests
	for _, test := range []struct {
		name  string
		m     protocol.Commit
		pages [][]byte
	}{
		{"fewer pages than indexes", protocol.Commit{Seq: 1, Count: 1, Pages: protocol.Pages{Indexes: []uint32{0}}}, nil},
		{"data", protocol.Commit{Seq: 1, Count: 1, Pages: protocol.Pages{Data: []byte{1}}}, nil},
		{"short page", protocol.Commit{Seq: 1, Count: 1, Pages: protocol.Pages{Indexes: []uint32{0}}}, [][]byte{{1}}},
		{"no count", protocol.Commit{Seq: 1}, nil},
		{"count over seq", protocol.Commit{Seq: 1, Count: 2}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := a.Commit(t.Context(), &test.m, test.pages)
			require.Equal(t, "bad_request", channel.Code(err))
		})
	}
	require.Equal(t, before, c.Metrics().Requests)
}
