package crew_test

import (
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/crew"
)

// A bubble of synctest ends only when all its goroutines have.
func TestGoroutinesEndWithTheCrew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := crew.New(2)
		var ran sync.WaitGroup
		ran.Add(5)
		for range 5 {
			c.Go(ran.Done)
		}
		ran.Wait()
		synctest.Wait()
		c.End()
		c.End()
		after := make(chan struct{})
		c.Go(func() { close(after) })
		<-after
	})
}

// Whoever waits is taken before a goroutine is made, and no more wait than may.
func TestGoroutinesAreUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most, calls = 3, 10
		c := crew.New(most)
		defer c.End()
		for range 2 {
			hold := make(chan struct{})
			for range calls {
				c.Go(func() { <-hold })
			}
			synctest.Wait()
			require.Zero(t, c.Idle(), "all are busy")
			close(hold)
			synctest.Wait()
			require.EqualValues(t, most, c.Idle())
		}
		c.Go(func() { require.EqualValues(t, most-1, c.Idle()) })
		synctest.Wait()
	})
}

// What is given away while others hang is run all the same: nothing waits for a goroutine.
func TestNothingWaits(t *testing.T) {
	c := crew.New(1)
	defer c.End()
	hang := make(chan struct{})
	defer close(hang)
	for range 20 {
		done := make(chan struct{})
		c.Go(func() { <-hang })
		c.Go(func() { close(done) })
		<-done
	}
}
