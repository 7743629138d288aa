package channel_test

import (
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/channel"
	"github.com/pagewire/pagewire/internal/protocol"
)

// I6: who was sent a commit and has broken off before it answered may have stored it, although the lock is lost since.
func TestI6CommitInFlightOfALostActorIsIndeterminate(t *testing.T) {
	c, events := dial(t, misbehave(t, func(ws *websocket.Conn) {
		respond(ws, protocol.OpenResult{Generation: 1})
		_, _, _ = ws.ReadMessage() // the commit
		send(ws, protocol.LockLost{Actor: "actor", Generation: 1, Reason: "taken over"})
		ws.Close()
	}))
	a := open(t, c, "actor")
	_, err := commitPages(t.Context(), a, 1, 1, 1)
	events.next(t, channel.LockLost)
	require.ErrorIs(t, err, channel.ErrIndeterminate)
	require.True(t, channel.IsLockLost(err))
	require.Equal(t, "commit_indeterminate", channel.Code(err))
	_, err = commitPages(t.Context(), a, 2, 1, 1)
	require.Equal(t, "lock_lost", channel.Code(err), "what was not sent is not stored")
}
