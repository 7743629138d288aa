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

// refuse answers every request with lock_lost, after the news of it if told is set.
func refuse(ws *websocket.Conn, told bool) {
	for r := nextRequest(ws); r != nil; r = nextRequest(ws) {
		if told {
			send(ws, protocol.LockLost{Actor: "actor", Generation: 1, Reason: "taken over"})
		}
		send(ws, protocol.Response[any]{ID: r.ID, Error: protocol.Errorf(protocol.CodeLockLost, "taken over")})
	}
}

// I6: a write that is not a commit is sent again after a reconnect, since that gives the same state once more. If it is
// refused then, it may have been applied all the same before the first connection broke.
func TestI6WriteRefusedWhenSentAgainIsIndeterminate(t *testing.T) {
	for _, told := range []bool{false, true} {
		c, events := dial(t, misbehave(t, func(ws *websocket.Conn) {
			respond(ws, protocol.OpenResult{Generation: 1})
			_, _, _ = ws.ReadMessage() // the put
			ws.Close()
		}, func(ws *websocket.Conn) {
			respond(ws, protocol.OpenResult{Generation: 1})
			refuse(ws, told)
		}))
		a := open(t, c, "actor")
		put := &protocol.Put{Keys: [][]byte{[]byte("k")}, Values: [][]byte{[]byte("v")}}
		err := a.Put(t.Context(), put)
		events.next(t, channel.LockLost)
		require.ErrorContains(t, err, "refused when it was sent again")
		require.Equal(t, "commit_indeterminate", channel.Code(err))
		require.True(t, channel.IsLockLost(err))
		require.Equal(t, "lock_lost", channel.Code(a.Put(t.Context(), put)), "what was not sent is not stored")
	}
}

// I6: whoever is answered that the lock is lost knows that the commit is not stored, be it the first to hear of it.
func TestI6CommitRefusedForTheLockIsNotStored(t *testing.T) {
	for _, told := range []bool{false, true} {
		c, events := dial(t, misbehave(t, func(ws *websocket.Conn) {
			respond(ws, protocol.OpenResult{Generation: 1})
			refuse(ws, told)
		}))
		a := open(t, c, "actor")
		_, err := commitPages(t.Context(), a, 1, 1, 1)
		events.next(t, channel.LockLost)
		require.NotErrorIs(t, err, channel.ErrIndeterminate)
		require.Equal(t, "lock_lost", channel.Code(err))
	}
}
