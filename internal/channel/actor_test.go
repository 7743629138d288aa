package channel_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/channel"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/server"
)

func keys(names ...string) (out [][]byte) {
	for _, name := range names {
		out = append(out, []byte(name))
	}
	return out
}

func TestOperations(t *testing.T) {
	w := newStore(t)
	_, addr := startServer(t, server.Config{Store: w})
	c, _ := dial(t, addr)
	ctx := t.Context()
	a, res, err := c.Open(ctx, "actor", protocol.Open{}, nil)
	require.NoError(t, err)
	require.Equal(t, "actor", a.ID())
	require.Equal(t, res.Generation, a.Generation())
	require.NotZero(t, a.Generation())

	require.NoError(t, a.Put(ctx, &protocol.Put{Keys: keys("a", "b", "c"), Values: keys("1", "", "3")}))
	got, err := a.Get(ctx, &protocol.Get{Keys: keys("a", "b", "x")})
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte("1"), {}, nil}, got.Values, "empty and absent differ")
	require.NoError(t, a.Delete(ctx, &protocol.Delete{Keys: keys("a", "x")}))
	list, err := a.List(ctx, &protocol.List{})
	require.NoError(t, err)
	require.Equal(t, keys("b", "c"), list.Entries.Keys)
	require.NoError(t, a.DeleteRange(ctx, &protocol.DeleteRange{Start: []byte("b")}))
	list, err = a.List(ctx, &protocol.List{Reverse: true, Limit: 1})
	require.NoError(t, err)
	require.Empty(t, list.Entries.Keys)

	commit, err := commitPages(ctx, a, 1, 3, 5)
	require.NoError(t, err)
	require.Equal(t, uint64(1), commit.Seq)
	requirePages(t, a, 3, 5)
	_, err = commitPages(ctx, a, 7, 3, 5)
	require.Equal(t, "commit_out_of_order", channel.Code(err))
	again, err := commitPages(ctx, a, 1, 3, 5)
	require.NoError(t, err)
	require.True(t, again.Already)

	err = a.Put(ctx, &protocol.Put{Keys: keys("a", "b"), Values: keys("1")})
	require.Equal(t, "keys_values_length_mismatch", channel.Code(err))

	reloaded, err := a.Reload(ctx, &protocol.Preload{Pages: true})
	require.NoError(t, err)
	require.True(t, reloaded.Resumed)
	require.Equal(t, a.Generation(), reloaded.Generation)
	require.Equal(t, uint64(1), reloaded.Seq)
	require.Contains(t, reloaded.Pages.Indexes, uint32(0))

	require.NoError(t, a.Close(ctx, []uint32{2}))
	require.NoError(t, a.Close(ctx, nil), "closing twice does nothing")
	_, err = a.Get(ctx, &protocol.Get{Keys: keys("a")})
	require.ErrorIs(t, err, channel.ErrActorClosed)
	b, next, err := c.Open(ctx, "actor", protocol.Open{Preload: &protocol.Preload{Pages: true}}, nil)
	require.NoError(t, err)
	require.Greater(t, b.Generation(), a.Generation())
	require.Contains(t, next.Pages.Indexes, uint32(2), "the hint of the last session")

	m := c.Metrics()
	require.Equal(t, uint64(3), m.Ops["commit"].Count)
	require.Equal(t, uint64(1), m.Ops["commit"].Errors)
	require.Equal(t, uint64(3), m.Ops["open"].Count)
	require.Zero(t, m.Pending)
	require.Equal(t, m.Requests, m.RoundTrips)
	require.Positive(t, m.BytesReceived)
	require.Zero(t, m.Resends)
}

func TestOpenErrorsComeAsTheyAre(t *testing.T) {
	_, addr := startServer(t, server.Config{Store: newStore(t), Limits: protocol.Limits{ConnectionActors: 1}})
	c, _ := dial(t, addr)
	open(t, c, "one")
	for _, test := range []struct{ actor, code string }{
		{"one", "actor_locked"}, {"two", "too_many_actors"}, {"", "invalid_actor"},
	} {
		_, _, err := c.Open(t.Context(), test.actor, protocol.Open{}, nil)
		require.Equal(t, test.code, channel.Code(err))
		var e *protocol.Error
		require.ErrorAs(t, err, &e)
	}
	_, _, err := c.Open(t.Context(), "one", protocol.Open{Mode: protocol.ModeWait, WaitMillis: 1}, nil)
	require.Equal(t, "actor_locked", channel.Code(err))
}

func TestManyRequestsAtOnce(t *testing.T) {
	_, addr := startServer(t, server.Config{Store: newStore(t)})
	c, _ := dial(t, addr)
	var wg sync.WaitGroup
	errs := make(chan error, 1100)
	for i := range 100 {
		wg.Go(func() {
			a, _, err := c.Open(t.Context(), fmt.Sprint("actor-", i), protocol.Open{}, nil)
			if err != nil {
				errs <- err
				return
			}
			var requests sync.WaitGroup
			for j := range 10 {
				requests.Go(func() {
					key, value := keys(fmt.Sprint(j)), keys(fmt.Sprint(i, j))
					if err := a.Put(t.Context(), &protocol.Put{Keys: key, Values: value}); err != nil {
						errs <- err
						return
					}
					got, err := a.Get(t.Context(), &protocol.Get{Keys: key})
					if err == nil && string(got.Values[0]) != string(value[0]) {
						err = fmt.Errorf("read %q, wrote %q", got.Values[0], value[0])
					}
					errs <- err
				})
			}
			requests.Wait()
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.Zero(t, c.Metrics().Pending)
}

// The channel holds back what the server would answer with backpressure.
func TestMoreRequestsThanTheServerQueues(t *testing.T) {
	_, addr := startServer(t, server.Config{Store: newStore(t), Limits: protocol.Limits{ActorQueue: 4}})
	c, _ := dial(t, addr)
	a := open(t, c, "actor")
	errs := make(chan error)
	for range 500 {
		go func() {
			_, err := a.Get(context.Background(), &protocol.Get{Keys: keys("a")})
			errs <- err
		}()
	}
	for range 500 {
		require.NoError(t, receive(t, errs, "an answer"))
	}
}

func TestRequestsOverTheFrameLimitAreRefusedHere(t *testing.T) {
	_, addr := startServer(t, server.Config{Store: newStore(t)})
	c, _ := dial(t, addr)
	a := open(t, c, "actor")
	err := a.Put(t.Context(), &protocol.Put{Keys: keys("a"), Values: [][]byte{make([]byte, 5<<20)}})
	require.Equal(t, "payload_too_large", channel.Code(err))
	_, _, err = c.Open(t.Context(), "b", protocol.Open{Preload: &protocol.Preload{Keys: [][]byte{make([]byte, 5<<20)}}}, nil)
	require.Equal(t, "payload_too_large", channel.Code(err))
	require.Zero(t, c.Metrics().Reconnects)
	require.NoError(t, a.Put(t.Context(), &protocol.Put{Keys: keys("a"), Values: keys("1")}))
}

// I1: the evicted holder learns of it at once, and nothing of it is written any more.
func TestI1TakeoverEndsTheHolder(t *testing.T) {
	w := newStore(t)
	_, addr := startServer(t, server.Config{Store: w})
	first, events := dial(t, addr)
	second, _ := dial(t, addr)
	gone := make(chan error, 2)
	a, _, err := first.Open(t.Context(), "actor", protocol.Open{}, func(err error) { gone <- err })
	require.NoError(t, err)
	bystander := open(t, first, "bystander")

	_, _, err = second.Open(t.Context(), "actor", protocol.Open{}, nil)
	require.Equal(t, "actor_locked", channel.Code(err))
	b, _, err := second.Open(t.Context(), "actor", protocol.Open{Mode: protocol.ModeTakeover}, nil)
	require.NoError(t, err)
	require.ErrorIs(t, receive(t, gone, "onLost"), channel.ErrLockLost)
	e := events.next(t, channel.LockLost)
	require.Equal(t, "actor", e.Actor)
	require.ErrorIs(t, e.Err, channel.ErrLockLost)

	_, err = commitPages(t.Context(), a, 1, 1, 1)
	require.ErrorIs(t, err, channel.ErrLockLost)
	require.Equal(t, "lock_lost", channel.Code(err))
	require.Contains(t, err.Error(), "taken")
	require.NoError(t, a.Close(t.Context(), nil))
	_, err = commitPages(t.Context(), b, 1, 1, 2)
	require.NoError(t, err)
	_, err = commitPages(t.Context(), bystander, 1, 1, 3)
	require.NoError(t, err)
	require.Empty(t, gone, "onLost is called once")
}

// The evicted holder's commit in flight fails with the reason, if it was not applied before.
func TestI1TakeoverDuringACommit(t *testing.T) {
	w := newStore(t)
	_, addr := startServer(t, server.Config{Store: w})
	first, _ := dial(t, addr)
	second, _ := dial(t, addr)
	a := open(t, first, "actor")
	release := w.holdCommits()
	defer release()
	done := make(chan outcome, 1)
	go func() {
		res, err := commitPages(context.Background(), a, 1, 1, 1)
		done <- outcome{res, err}
	}()
	receive(t, w.entered, "the commit to reach the store")
	_, _, err := second.Open(t.Context(), "actor", protocol.Open{Mode: protocol.ModeTakeover}, nil)
	require.NoError(t, err)
	release()
	require.ErrorIs(t, receive(t, done, "the commit").err, channel.ErrLockLost)
	require.Empty(t, w.applied)
}

func TestOpenAgainOnTheSameChannel(t *testing.T) {
	_, addr := startServer(t, server.Config{Store: newStore(t)})
	c, _ := dial(t, addr)
	gone := make(chan error, 1)
	_, _, err := c.Open(t.Context(), "actor", protocol.Open{}, func(err error) { gone <- err })
	require.NoError(t, err)
	b, _, err := c.Open(t.Context(), "actor", protocol.Open{Mode: protocol.ModeTakeover}, nil)
	require.NoError(t, err)
	require.ErrorIs(t, receive(t, gone, "onLost"), channel.ErrLockLost)
	_, err = commitPages(t.Context(), b, 1, 1, 1)
	require.NoError(t, err)
}

// An open whose caller has given up must not keep the lock when it comes.
func TestAbandonedOpenReleasesTheActor(t *testing.T) {
	_, addr := startServer(t, server.Config{Store: newStore(t)})
	first, _ := dial(t, addr)
	second, _ := dial(t, addr)
	a := open(t, first, "actor")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, _, err := second.Open(ctx, "actor", protocol.Open{Mode: protocol.ModeWait}, nil)
		done <- err
	}()
	// One answer more says that the waiting open, sent before on the same connection, is on its way.
	for second.Metrics().Pending == 0 {
		open(t, second, fmt.Sprint("other", second.Metrics().Requests))
	}
	open(t, second, "another")
	cancel()
	require.Equal(t, "aborted", channel.Code(receive(t, done, "the open")))
	require.NoError(t, a.Close(t.Context(), nil))
	b, _, err := first.Open(t.Context(), "actor", protocol.Open{Mode: protocol.ModeWait}, nil)
	require.NoError(t, err)
	_, err = commitPages(t.Context(), b, 1, 1, 1)
	require.NoError(t, err)
}
