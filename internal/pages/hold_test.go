package pages_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/pages"
	"github.com/pagewire/pagewire/internal/protocol"
)

// A batch that others follow waits for them, and is sent by whatever may not be kept waiting. I5: it is told as durable
// like any other.
func TestI5BatchesThatOthersFollowAreHeld(t *testing.T) {
	ctx := context.Background()
	for name, send := range map[string]func(db *database) uint64{
		"the last one": func(db *database) uint64 { return db.commit(pageSize, map[uint32][]byte{0: filled(9)}) },
		"Release":      func(db *database) uint64 { db.f.Release(); return 2 },
		"Flush": func(db *database) uint64 {
			require.NoError(db.t, db.f.Flush(ctx))
			return 2
		},
		"Fetch": func(db *database) uint64 {
			require.NoError(db.t, db.f.Fetch(ctx, protocol.FileMain, 5))
			return 2
		},
		"Close": func(db *database) uint64 { db.close(); return 2 },
	} {
		t.Run(name, func(t *testing.T) {
			sent := make(chan uint64, 10)
			g := &gate{onCommit: func(_ context.Context, c *protocol.Commit, _ int) error {
				sent <- c.Count
				return nil
			}}
			c := dial(t, serve(t, protocol.Limits{}))
			db := open(t, c, "a", protocol.Open{Preload: noPreload()}, pages.Config{}, g)
			db.more = true
			db.commit(pageSize, map[uint32][]byte{0: filled(1)})
			db.commit(pageSize, map[uint32][]byte{0: filled(2)})
			db.more = false
			require.Equal(t, 2, db.f.Metrics().PendingBatches)
			require.Empty(t, sent)
			token := send(db)
			db.await(func() bool { return db.done == token })
			require.Equal(t, token, <-sent, "all in one commit")
			if name != "Close" {
				db.f.Release() // of nothing
				db.close()
			}
			require.Empty(t, sent)
		})
	}
}

func TestHoldingCanBeSwitchedOff(t *testing.T) {
	c := dial(t, serve(t, protocol.Limits{}))
	db := open(t, c, "a", protocol.Open{Preload: noPreload()}, pages.Config{DisableHold: true}, &gate{})
	db.more = true
	token := db.commit(pageSize, map[uint32][]byte{0: filled(1)})
	db.await(func() bool { return db.done == token })
	db.close()
}
