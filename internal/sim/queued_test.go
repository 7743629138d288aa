package sim

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/protocol"
)

// I8, I4: a commit that one server has queued when its client goes on at another one is never applied behind that one's
// back: the client has reloaded and would take it for its next commit.
func TestI8CommitQueuedOnAnotherServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(Config{
			Seed: 1, Servers: 2, Clients: 1, Actors: 1, Latency: time.Millisecond, Pings: time.Second, Timeout: 2 * time.Second,
			Preload: 1 << 20, Cache: 1 << 20,
		})
		defer w.Close()
		c, stalled := w.Clients[0], false
		w.Hooks.Store = func(_ uint64, op *StoreOp) (f StoreFault) {
			if op.Kind == "apply" && op.Batch.Seq == 2 && !stalled {
				stalled, f.Delay = true, time.Minute
				w.Net.Cut(c.Name, op.Server.Name)
				w.Net.Cut(op.Server.Name, c.Name)
			}
			return f
		}
		for _, s := range w.Servers {
			s.Start()
		}
		c.Start()
		d := &program{w: w, c: c}
		var err error
		d.h, err = c.Open(0, protocol.ModeTakeover)
		require.NoError(t, err)
		require.NoError(t, (<-d.submit(callOf(setup), nil)).Err)
		require.Equal(t, "commit_indeterminate", codeOf((<-d.write(change{"put", 1})).Err))
		require.Eventually(t, func() bool { return (<-d.read()).Err == nil }, 50*time.Second, time.Second)
		time.Sleep(time.Minute) // the other server's store gets to it
		reply := <-d.write(change{"put", 2})
		require.NoError(t, reply.Err)
		require.NoError(t, w.Err())
		d.close()
	})
}
