package protocol_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/stretchr/testify/require"
)

// I9: a message with any one bit turned, or cut anywhere, is refused and not believed in any part, its id included.
func TestI9DamagedFramesAreRefused(t *testing.T) {
	for _, c := range vectorCases() {
		t.Run(c.name, func(t *testing.T) {
			message := encode(t, c.frame)
			requireRefused := func(b []byte, what string, at int) {
				_, err := decodeSide(c.direction, b)
				var fe *protocol.FrameError
				if !errors.As(err, &fe) || !errors.Is(err, protocol.ErrChecksum) || fe.HasID {
					t.Fatalf("%s %d: %v", what, at, err)
				}
			}
			for i := range message {
				for bit := range 8 {
					message[i] ^= 1 << bit
					requireRefused(message, "byte", i)
					message[i] ^= 1 << bit
				}
				requireRefused(message[:i], "cut at", i)
			}
			// Two messages that a damaged header of the transport has joined.
			requireRefused(append(bytes.Clone(message), message...), "twice", 2)
			_, err := decodeSide(c.direction, message)
			require.NoError(t, err)
		})
	}
}

// BenchmarkChecksum measures what sealing and verifying cost, beside the encoding and decoding of the same frame.
func BenchmarkChecksum(b *testing.B) {
	for _, n := range []int{1, 16, 255} {
		indexes := make([]uint32, n)
		for i := range indexes {
			indexes[i] = uint32(i)
		}
		stage := protocol.Stage{Commit: 1, Actor: "actor-1", Pages: vectorPages(indexes...)}
		message, err := protocol.Encode(stage)
		require.NoError(b, err)
		frame := message[:len(message)-protocol.ChecksumBytes]
		for _, c := range []struct {
			name string
			run  func() error
		}{
			{"seal", func() error { protocol.Seal(frame); return nil }},
			{"encode", func() error { _, err := protocol.Encode(stage); return err }},
			{"decode", func() error { _, err := protocol.DecodeClientFrame(message); return err }},
		} {
			b.Run(fmt.Sprintf("%s/pages=%d", c.name, n), func(b *testing.B) {
				b.SetBytes(int64(len(message)))
				for b.Loop() {
					if err := c.run(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
