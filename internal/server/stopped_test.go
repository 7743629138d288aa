package server_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/server"
	"github.com/pagewire/pagewire/internal/store"
	"github.com/pagewire/pagewire/internal/store/memory"
)

// TestStoppedStore checks I4 where the store cannot say whether it has applied a commit: no answer is given, since every
// answer could be false, and whoever resumes finds out.
func TestStoppedStore(t *testing.T) {
	backend := memory.New()
	var stopped atomic.Bool
	st := &hookedStore{Store: backend}
	st.apply = func(actor string, b *store.Batch) error {
		if !stopped.Load() {
			return nil
		}
		if _, err := backend.Apply(t.Context(), actor, b); err != nil {
			return err
		}
		return fmt.Errorf("%w: the sync failed", store.ErrStopped)
	}
	_, url := serve(t, server.Config{Store: st})
	c := dial(t, url)
	gen := c.open("x", protocol.ModeFail).Generation
	stopped.Store(true)
	commit := protocol.Commit{Generation: gen, Seq: 1, Count: 1, Size: protocol.PageSize, Pages: protocol.Pages{
		Indexes: []uint32{0}, Data: make([]byte, protocol.PageSize),
	}}
	id := c.start("x", protocol.OpCommit, commit)
	c.closes(websocket.CloseInternalServerErr)
	require.Empty(t, c.wait[id], "a commit of unknown outcome was answered")

	stopped.Store(false)
	c = dial(t, url)
	resumed := call[protocol.OpenResult](c, "x", protocol.OpOpen, protocol.Open{Resume: &protocol.Resume{Generation: gen}})
	require.EqualValues(t, 1, resumed.Seq)
	require.True(t, call[protocol.CommitResult](c, "x", protocol.OpCommit, commit).Already)
}
