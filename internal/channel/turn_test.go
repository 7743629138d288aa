package channel_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/channel"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/server"
)

// Requests made by goroutines that come in the opposite order are sent in that of their turns. Every third turn is given up
// without a request.
func TestRequestsAreSentInTheOrderOfTheirTurns(t *testing.T) {
	_, addr := startServer(t, server.Config{Store: newStore(t)})
	c, _ := dial(t, addr)
	a := open(t, c, "actor")

	var calls []func()
	for i := range 100 {
		ctx, end := a.Turn(t.Context())
		calls = append(calls, func() {
			defer end()
			if i%3 == 2 {
				return
			}
			value := fmt.Sprint(i)
			if i%3 == 0 {
				assert.NoError(t, a.Put(ctx, &protocol.Put{Keys: keys("k"), Values: keys(value)}))
				return
			}
			got, err := a.Get(ctx, &protocol.Get{Keys: keys("k")})
			if assert.NoError(t, err) {
				assert.Equal(t, keys(fmt.Sprint(i-1)), got.Values, "what the turn before has put")
			}
		})
	}
	fromTheLast(calls)
	require.NoError(t, a.Close(t.Context(), nil))
}

// A close has its turn like any other request: what comes before it is answered.
func TestCloseWaitsForItsTurn(t *testing.T) {
	_, addr := startServer(t, server.Config{Store: newStore(t)})
	c, _ := dial(t, addr)
	a := open(t, c, "actor")

	putCtx, endPut := a.Turn(t.Context())
	closeCtx, endClose := a.Turn(t.Context())
	lateCtx, endLate := a.Turn(t.Context())
	fromTheLast([]func(){
		func() {
			defer endPut()
			assert.NoError(t, a.Put(putCtx, &protocol.Put{Keys: keys("k"), Values: keys("v")}))
		},
		func() {
			defer endClose()
			assert.NoError(t, a.Close(closeCtx, nil))
		},
		func() {
			defer endLate()
			_, err := a.Get(lateCtx, &protocol.Get{Keys: keys("k")})
			assert.ErrorIs(t, err, channel.ErrActorClosed)
		},
	})
}

// fromTheLast runs calls, each in a goroutine, the last one first.
func fromTheLast(calls []func()) {
	var all sync.WaitGroup
	for _, call := range slices.Backward(calls) {
		all.Go(call)
	}
	all.Wait()
}
