package protocol_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/stretchr/testify/require"
)

// benchPages are so many whole pages.
func benchPages(n int) protocol.Pages {
	p := protocol.Pages{Data: bytes.Repeat([]byte{0xA5}, n*protocol.PageSize)}
	for i := range n {
		p.Indexes = append(p.Indexes, uint32(i))
	}
	return p
}

// BenchmarkCommitFrame encodes and decodes a commit: what client and server do for every transaction.
func BenchmarkCommitFrame(b *testing.B) {
	for _, pages := range []int{1, 16, 256} {
		request := protocol.Request[any]{
			ID: 1, Actor: "actor-1", Op: protocol.OpCommit,
			Body: protocol.Commit{Generation: 1, Seq: 2, Count: 1, Size: uint64(pages) * protocol.PageSize, Pages: benchPages(pages)},
		}
		b.Run(fmt.Sprintf("encode/pages=%d", pages), func(b *testing.B) {
			b.SetBytes(int64(pages) * protocol.PageSize)
			b.ReportAllocs()
			for b.Loop() {
				_, err := protocol.Encode(request)
				require.NoError(b, err)
			}
		})
		frame, err := protocol.Encode(request)
		require.NoError(b, err)
		b.Run(fmt.Sprintf("decode/pages=%d", pages), func(b *testing.B) {
			b.SetBytes(int64(pages) * protocol.PageSize)
			b.ReportAllocs()
			for b.Loop() {
				decoded, err := protocol.DecodeClientFrame(frame)
				require.NoError(b, err)
				var commit protocol.Commit
				require.NoError(b, protocol.DecodeBody(decoded.(*protocol.RawRequest).Body, &commit))
			}
		})
	}
}

// BenchmarkFetchFrame encodes and decodes the answer to a fetch.
func BenchmarkFetchFrame(b *testing.B) {
	for _, pages := range []int{1, 256} {
		response := protocol.Response[protocol.FetchResult]{ID: 1, Result: protocol.FetchResult{Pages: benchPages(pages)}}
		b.Run(fmt.Sprintf("encode/pages=%d", pages), func(b *testing.B) {
			b.SetBytes(int64(pages) * protocol.PageSize)
			b.ReportAllocs()
			for b.Loop() {
				_, err := protocol.Encode(response)
				require.NoError(b, err)
			}
		})
		frame, err := protocol.Encode(response)
		require.NoError(b, err)
		b.Run(fmt.Sprintf("decode/pages=%d", pages), func(b *testing.B) {
			b.SetBytes(int64(pages) * protocol.PageSize)
			b.ReportAllocs()
			for b.Loop() {
				decoded, err := protocol.DecodeServerFrame(frame)
				require.NoError(b, err)
				var result protocol.FetchResult
				require.NoError(b, protocol.DecodeBody(decoded.(*protocol.RawResponse).Result, &result))
			}
		})
	}
}
