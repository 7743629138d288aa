package channel_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/channel"
	"github.com/pagewire/pagewire/internal/protocol"
)

// page returns a page filled with b.
func page(b byte) []byte { return bytes.Repeat([]byte{b}, protocol.PageSize) }

func TestFramesEqualTheCodec(t *testing.T) {
	for _, test := range []struct {
		name    string
		actor   string
		commit  protocol.Commit
		indexes []uint32
	}{
		{"no pages", "a", protocol.Commit{Generation: 1, Seq: 1, Count: 1, Size: 0}, nil},
		{"one page", "actor-1", protocol.Commit{Generation: 23, Seq: 24, Count: 1, Size: 4096}, []uint32{0}},
		{"every width", strings.Repeat("x", 300), protocol.Commit{Generation: 1 << 40, Seq: 1 << 33, Count: 300, Size: 1 << 44, Staged: 70000, DropFiles: []uint8{1, 2}},
			[]uint32{0, 23, 24, 255, 256, 65535, 65536, 1<<32 - 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			pages := make([][]byte, len(test.indexes))
			for i := range pages {
				pages[i] = page(byte(i))
			}
			all := protocol.Pages{Indexes: test.indexes, Data: bytes.Join(pages, nil)}
			full := test.commit
			full.Pages = all
			want, err := protocol.Encode(protocol.Request[*protocol.Commit]{ID: 70001, Actor: test.actor, Op: protocol.OpCommit, Body: &full})
			require.NoError(t, err)
			require.Equal(t, want, protocol.Seal(channel.AppendCommit(nil, 70001, test.actor, &test.commit, test.indexes, pages)))

			want, err = protocol.Encode(protocol.Stage{Commit: 70001, Actor: test.actor, Pages: all})
			require.NoError(t, err)
			require.Equal(t, want, protocol.Seal(channel.AppendStage(nil, 70001, test.actor, test.indexes, pages)))
		})
	}
}

func TestPagesPerFrameFit(t *testing.T) {
	actor := strings.Repeat("x", 1000)
	for _, limit := range []int{16 << 10, 64 << 10, 1 << 20, 4 << 20, 64 << 20} {
		n := channel.PagesPerFrame(limit, channel.StageBytes, actor)
		indexes, pages := make([]uint32, n), make([][]byte, n)
		for i := range indexes {
			indexes[i], pages[i] = 1<<32-1, page(1)
		}
		head := protocol.Commit{Generation: 1 << 62, Seq: 1 << 62, Count: 1 << 62, Size: 1 << 44, Staged: 1 << 32, DropFiles: []byte{1, 2, 3}}
		require.LessOrEqual(t, len(protocol.Seal(channel.AppendCommit(nil, 1<<62, actor, &head, indexes, pages))), limit)
		require.LessOrEqual(t, len(protocol.Seal(channel.AppendStage(nil, 1<<62, actor, indexes, pages))), limit)
	}
	require.Equal(t, 255, channel.PagesPerFrame(4<<20, channel.StageBytes, "actor-1"), "a stage is about 1 MiB")
}
