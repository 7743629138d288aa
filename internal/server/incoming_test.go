package server_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/server"
	"github.com/pagewire/pagewire/internal/store"
	"github.com/pagewire/pagewire/internal/store/memory"
)

// TestMessagesDoNotMix holds that the memory of a message is used again only when the message was handled: pages that wait for
// the store, or for their commit, stay what they are whatever arrives after them.
func TestMessagesDoNotMix(t *testing.T) {
	for _, pages := range []int{7, 64} { // the buffers of small and of large messages
		t.Run(fmt.Sprintf("pages=%d", pages), func(t *testing.T) { testMessagesDoNotMix(t, pages) })
	}
}

func testMessagesDoNotMix(t *testing.T, n int) {
	waiting, release := make(chan struct{}), make(chan struct{})
	st := &hookedStore{Store: memory.New(), apply: func(actor string, _ *store.Batch) error {
		if actor == "default/slow" {
			waiting <- struct{}{}
			<-release
		}
		return nil
	}}
	_, url := serve(t, server.Config{Store: st})
	c := dial(t, url)
	actors := []string{"slow", "staged", "other"}
	generation := map[string]uint64{}
	for _, actor := range actors {
		generation[actor] = c.open(actor, protocol.ModeFail).Generation
	}
	indexes := make([]uint32, n)
	for i := range indexes {
		indexes[i] = uint32(i)
	}
	pages := func(fill byte) protocol.Pages { return pagesOf(indexes, bytes.Repeat([]byte{fill}, n)...) }
	commit := func(actor string, seq, staged uint64, p protocol.Pages) protocol.Commit {
		return protocol.Commit{
			Generation: generation[actor], Seq: seq, Count: 1, Size: uint64(len(indexes)) * protocol.PageSize, Staged: staged, Pages: p,
		}
	}

	slow := c.start("slow", protocol.OpCommit, commit("slow", 1, 0, pages(1)))
	<-waiting
	staged := c.id()
	c.frame(protocol.Stage{Commit: staged, Actor: "staged", Pages: pages(2)})
	for seq := uint64(1); seq <= 50; seq++ {
		call[protocol.CommitResult](c, "other", protocol.OpCommit, commit("other", seq, 0, pages(3)))
	}
	c.frame(protocol.Request[any]{ID: staged, Actor: "staged", Op: protocol.OpCommit, Body: commit("staged", 1, 1, protocol.Pages{})})
	result[protocol.CommitResult](c, staged)
	close(release)
	result[protocol.CommitResult](c, slow)

	for i, actor := range actors {
		f := call[protocol.FetchResult](c, actor, protocol.OpFetch, protocol.Fetch{Pages: indexes})
		for _, index := range indexes {
			require.True(t, bytes.Equal(page(byte(i+1)), pageAt(f.Pages, index)), "page %d of %s", index, actor)
		}
	}
}

// A message waits in a buffer of its own size, whatever sizes were read before.
func TestMessagesTakeWhatTheyNeed(t *testing.T) {
	sizes := []int{0, 1, 100, 2049, 4095, 4096, 4097, 12_000, 20_600, 32 << 10, 32<<10 + 1, 100_000, 1 << 20, 2<<20 + 1, 5 << 20}
	for range 3 {
		for _, size := range sizes {
			message := bytes.Repeat([]byte{byte(size)}, size)
			in, capacity, done, err := server.Receive(iotest.HalfReader(bytes.NewReader(message)))
			require.NoError(t, err)
			require.True(t, bytes.Equal(message, in), "%d bytes", size)
			require.LessOrEqual(t, capacity, max(2*size, 4<<10), "%d bytes", size)
			done()
		}
	}
	broken := errors.New("broken")
	_, _, _, err := server.Receive(io.MultiReader(bytes.NewReader(make([]byte, 50_000)), iotest.ErrReader(broken)))
	require.ErrorIs(t, err, broken)
}

// BenchmarkReceive reads commits after larger messages: of five pages, of a transaction, of a large row.
func BenchmarkReceive(b *testing.B) {
	for _, size := range []int{20_600, 270_000, 1_060_000} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			_, _, done, err := server.Receive(bytes.NewReader(make([]byte, 2*size)))
			require.NoError(b, err)
			done()
			commit := make([]byte, size)
			reader := bytes.NewReader(commit)
			b.ReportAllocs()
			for b.Loop() {
				reader.Reset(commit)
				_, _, done, err := server.Receive(reader)
				require.NoError(b, err)
				done()
			}
		})
	}
}
