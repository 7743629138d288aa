package buffers_test

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/buffers"
)

// A buffer holds what was asked for, in the next power of two where such are kept.
func TestSizes(t *testing.T) {
	for size, capacity := range map[int]int{
		0: 0, 1: 1, 64 << 10: 64 << 10, 64<<10 + 1: 128 << 10, 128 << 10: 128 << 10, 128<<10 + 1: 256 << 10, 1_046_011: 1 << 20, 1 << 20: 1 << 20,
		1<<20 + 1: 2 << 20, 4 << 20: 4 << 20, 4<<20 + 1: 4<<20 + 1, 10 << 20: 10 << 20,
	} {
		b := buffers.New(size)
		require.Empty(t, b)
		require.Equal(t, capacity, cap(b), "%d bytes", size)
		buffers.Keep(b)
	}
}

func start(b []byte) *byte { return unsafe.SliceData(b) }

// What is given back is used again, from any goroutine and by one user at a time, however often the collector runs.
func TestBuffersAreUsedAgain(t *testing.T) {
	drain()
	b := buffers.New(300_000)
	buffers.Keep(append(b, 1, 2, 3))
	again := make(chan []byte)
	go func() { again <- buffers.New(400_000) }()
	same := <-again
	require.Same(t, start(b), start(same))
	require.Empty(t, same)
	require.NotSame(t, start(b), start(buffers.New(400_000)))
}

// What is kept is bounded, and buffers of other sizes are not kept at all.
func TestKeptIsBounded(t *testing.T) {
	drain()
	most := map[*byte]bool{}
	for range 6 {
		b := make([]byte, 0, buffers.Most)
		most[start(b)] = true
		buffers.Keep(b)
	}
	buffers.Keep(make([]byte, 0, 3<<20))
	used := 0
	for range 6 {
		if most[start(buffers.New(buffers.Most))] {
			used++
		}
	}
	require.Equal(t, 4, used)
}

// What nobody needs for a while is not kept; what is needed stays.
func TestUnneededBuffersAreGivenUp(t *testing.T) {
	drain()
	for range 3 {
		buffers.Keep(make([]byte, 0, buffers.Least))
	}
	buffers.Unneeded() // all three came since the last look
	require.Equal(t, 3*buffers.Least, buffers.KeptBytes())
	buffers.Keep(buffers.New(buffers.Least))
	buffers.Unneeded()
	require.Equal(t, buffers.Least, buffers.KeptBytes())
	buffers.Unneeded()
	require.Zero(t, buffers.KeptBytes())
}

// drain takes what earlier tests have left.
func drain() {
	for buffers.KeptBytes() > 0 {
		buffers.Unneeded()
	}
}
