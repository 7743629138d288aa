package channel_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/channel"
	"github.com/pagewire/pagewire/internal/protocol"
)

// FuzzServer is a server that says whatever frames before each right answer: every call of the client ends, with an error
// that has a code if with one, a read that succeeds has pages of the right size (I9), and the channel can be closed.
func FuzzServer(f *testing.F) {
	page := make([]byte, protocol.PageSize)
	for _, s := range [][]any{
		{protocol.Response[any]{ID: 2, Result: protocol.FetchResult{Pages: protocol.Pages{Indexes: []uint32{1}, Data: page}}}, &protocol.Ping{Nonce: 1}},
		{protocol.Response[any]{ID: 1, Result: protocol.OpenResult{Generation: 5, Seq: 7, Files: []protocol.File{{Size: 4096}}}}, &protocol.Drain{GraceMillis: 1}},
		{&protocol.LockLost{Actor: "a", Generation: 5, Reason: "r"}, protocol.Response[any]{ID: 3, Error: protocol.Errorf(protocol.CodeInternal, "x")}},
		{protocol.Response[any]{ID: 3, Result: protocol.CommitResult{Seq: 8}}, protocol.Response[any]{ID: 4, Result: protocol.GetResult{Values: keys("v")}}},
	} {
		var b []byte
		for _, m := range s {
			frame := message(m)
			frame = frame[:len(frame)-protocol.ChecksumBytes]
			b = append(binary.LittleEndian.AppendUint16(b, uint16(len(frame))), frame...)
		}
		f.Add(b, uint8(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, each uint8) {
		// Some of the frames, each behind its length (u16 LE), are said before each of the first answers.
		var frames [][]byte
		for len(b) >= 2 && len(frames) < 64 {
			n := min(int(binary.LittleEndian.Uint16(b)), len(b)-2)
			frames = append(frames, protocol.Seal(bytes.Clone(b[2:2+n])))
			b = b[2+n:]
		}
		said := make(chan []byte, len(frames)) // connections follow each other and may overlap
		for _, m := range frames {
			said <- m
		}
		addr := impostor(t, nil, func(r *protocol.RawRequest) (say [][]byte) {
			for range each%4 + 1 {
				select {
				case m := <-said:
					say = append(say, m)
				default:
				}
			}
			switch r.Op {
			case protocol.OpOpen:
				return append(say, openAnswer(r))
			case protocol.OpCommit:
				var c protocol.Commit
				_ = protocol.DecodeBody(r.Body, &c)
				return append(say, answer(r.ID, protocol.CommitResult{Seq: c.Seq}))
			case protocol.OpGet:
				return append(say, answer(r.ID, protocol.GetResult{Values: keys("v")}))
			case protocol.OpFetch:
				return append(say, answer(r.ID, protocol.FetchResult{Pages: protocol.Pages{Absent: []uint32{1}}}))
			}
			return append(say, answer(r.ID, protocol.Empty{}))
		})
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		ch, err := channel.Dial(ctx, channel.Config{URL: "ws://" + addr, BackoffMin: time.Microsecond, BackoffMax: time.Millisecond})
		require.NoError(t, err)
		coded := func(err error) {
			if err != nil {
				require.NotEmpty(t, channel.Code(err), "%v", err)
				require.NoError(t, ctx.Err(), "the call did not end: %v", err)
			}
		}
		a, opened, err := ch.Open(ctx, "a", protocol.Open{}, nil)
		coded(err)
		if err == nil {
			require.NotZero(t, opened.Generation)
			res, err := a.Fetch(ctx, &protocol.Fetch{Pages: []uint32{1}})
			coded(err)
			if err == nil {
				require.Len(t, res.Pages.Data, len(res.Pages.Indexes)*protocol.PageSize)
			}
			values, err := a.Get(ctx, &protocol.Get{Keys: keys("k")})
			coded(err)
			if err == nil {
				require.Len(t, values.Values, 1)
			}
			_, err = commitPages(ctx, a, opened.Seq+1, 1, 1)
			coded(err)
			coded(a.Close(ctx, nil))
		}
		require.NoError(t, ch.Close(ctx))
	})
}
