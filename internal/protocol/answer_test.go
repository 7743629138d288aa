package protocol_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/protocol"
)

// An answer made in place is the one that the encoder makes, whatever is absent and wherever its memory comes from.
func TestFetchAnswerIsWhatEncodeMakes(t *testing.T) {
	page := func(b byte) []byte { return bytes.Repeat([]byte{b}, protocol.PageSize) }
	short := append([]byte("short"), make([]byte, protocol.PageSize-5)...)
	for _, test := range []struct {
		name  string
		asked []uint32
		put   map[int][]byte
		added map[uint32][]byte
		want  protocol.Pages
	}{
		{name: "nothing"},
		{"one", []uint32{7}, map[int][]byte{0: page(1)}, nil, protocol.Pages{Indexes: []uint32{7}, Data: page(1)}},
		{"absent", []uint32{7, 70000}, nil, nil, protocol.Pages{Absent: []uint32{7, 70000}}},
		{"short and long", []uint32{300, 3}, map[int][]byte{1: []byte("short"), 0: append(page(9), 1)}, nil,
			protocol.Pages{Indexes: []uint32{300, 3}, Data: append(page(9), short...)}},
		{"gaps and more", []uint32{1, 2, 3, 4}, map[int][]byte{1: page(2), 3: page(4)}, map[uint32][]byte{9: page(9)},
			protocol.Pages{Indexes: []uint32{2, 4, 9}, Data: append(append(page(2), page(4)...), page(9)...), Absent: []uint32{1, 3}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var buf []byte
			for range 2 {
				a := protocol.NewFetchAnswer(buf, test.asked, len(test.added))
				for i, chunk := range test.put {
					a.Put(i, chunk)
					require.Len(t, a.Page(i), protocol.PageSize)
				}
				for index, p := range test.added {
					a.Add(index, p)
				}
				require.Equal(t, len(test.want.Indexes), a.Len())
				want := encode(t, protocol.Response[protocol.FetchResult]{ID: 1 << 40, Result: protocol.FetchResult{Pages: test.want}})
				var got []byte
				got, buf = a.Message(1 << 40)
				require.Equal(t, want, got)
				for i := range buf[:cap(buf)] {
					buf[:cap(buf)][i] = 0xEE
				}
			}
		})
	}
}
