package memfault_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/pages"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/sqlite"
	"github.com/pagewire/pagewire/internal/sqlite/memfault"
)

// held keeps the commits of an actor from the server while it holds, for its user to refuse.
type held struct {
	pages.Remote
	holds   bool
	commits chan heldCommit
}

type heldCommit struct {
	data [][]byte
	was  []byte // what the pages held when they were handed over
	done func(*protocol.CommitResult, error)
}

func (h *held) BeginCommit(ctx context.Context, c *protocol.Commit, data [][]byte, done func(*protocol.CommitResult, error)) {
	if !h.holds {
		h.Remote.BeginCommit(ctx, c, data, done)
		return
	}
	h.commits <- heldCommit{data, slices.Concat(data...), done}
}

// A commit is on its way when the next one has no memory, for every allocation of its end; a third operation has the
// database reload. Then the first is refused: its pages are whole until then, and its caller is told of that (I4, I6).
func TestI4CommitIsRefusedAfterTheNextHadNoMemory(t *testing.T) {
	const last = 16
	ch := dial(t)
	refusal := errors.New("refused")
	allocations := 0
	visit := func(at int) (failed bool) {
		what := fmt.Sprintf("allocation %d of %d", at, allocations)
		h := &held{commits: make(chan heldCommit, 1)}
		db := open(t, ch, fmt.Sprintf("in-flight %d", at), func(r pages.Remote) pages.Remote { h.Remote = r; return h })
		defer func() { require.NoError(t, db.Close(t.Context())) }()
		require.NoError(t, db.Exec(setup))
		before := dump(t, db)

		told := make([]chan error, 3)
		submitTo := func(i int, sql string) {
			told[i] = make(chan error, 1)
			call := sqlite.Call{Statements: []sqlite.Statement{{SQL: sql}}, NoInline: true}
			if _, err := db.Submit(call, func(_ *sqlite.Result, err error) { told[i] <- err }); err != nil {
				told[i] <- err
			}
		}
		h.holds = true
		submitTo(0, "INSERT INTO t (v) VALUES ('first')")
		first := <-h.commits
		h.holds = false
		memfault.Arm(at, true)
		submitTo(1, "UPDATE t SET b = zeroblob(3000)")
		ran := func() bool { return db.PagesMetrics().PendingBatches == 2 || at > 0 && memfault.Seen() >= at }
		require.Eventually(t, ran, time.Minute, time.Millisecond)
		if at < 0 {
			allocations = memfault.Seen()
		}
		submitTo(2, "SELECT count(*) FROM t")
		require.Never(t, func() bool { return len(told[0])+len(told[2]) > 0 }, 30*time.Millisecond, time.Millisecond)
		failed = memfault.Disarm() > 0
		require.True(t, slices.Equal(first.was, slices.Concat(first.data...)), "%s: pages changed while they were on their way", what)
		first.done(nil, refusal)

		require.ErrorContains(t, <-told[0], refusal.Error(), what)
		require.Error(t, <-told[1], what)
		<-told[2] // told of the reason, or run after the reload
		require.Equal(t, before, dump(t, db), what)
		check, err := db.Query("PRAGMA integrity_check")
		require.NoError(t, err)
		require.Equal(t, [][]any{{"ok"}}, check.Rows, what)
		return failed
	}
	require.False(t, visit(-1))
	failed := 0
	for at := allocations - last + 1; at <= allocations; at++ {
		if visit(at) {
			failed++
		}
	}
	require.Positive(t, failed)
	t.Logf("%d allocations, of which the last %d were to fail and %d did", allocations, last, failed)
}
