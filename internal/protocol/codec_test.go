package protocol_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/stretchr/testify/require"
)

func encode(t *testing.T, v any) []byte {
	t.Helper()
	b, err := protocol.Encode(v)
	require.NoError(t, err)
	return b
}

func fromHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	require.NoError(t, err)
	return b
}

// sealed returns a frame given in hex as a message.
func sealed(t *testing.T, s string) []byte {
	t.Helper()
	return protocol.Seal(fromHex(t, s))
}

func TestResponseHasResultOrError(t *testing.T) {
	cases := []struct {
		name string
		v    any
		hex  string
	}{
		{"empty result", protocol.Response[protocol.Empty]{ID: 7}, "a3 0005 0107 02a0"},
		{"zero result", protocol.Response[protocol.CommitResult]{ID: 7}, "a3 0005 0107 02a201000200"},
		{"pointer", &protocol.Response[protocol.Empty]{ID: 7}, "a3 0005 0107 02a0"},
		{
			"error hides the result",
			protocol.Response[protocol.CommitResult]{ID: 7, Error: protocol.Errorf("x", "y")},
			"a3 0005 0107 03a2016178026179",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := encode(t, c.v)
			require.Equal(t, sealed(t, c.hex), b)
			v, err := protocol.DecodeServerFrame(b)
			require.NoError(t, err)
			require.IsType(t, (*protocol.RawResponse)(nil), v)
			require.Equal(t, uint64(7), v.(*protocol.RawResponse).ID)
		})
	}
	for _, bad := range []string{"a2 0005 0107", "a4 0005 0107 02a0 03a2016178026179"} {
		_, err := protocol.DecodeServerFrame(sealed(t, bad))
		var fe *protocol.FrameError
		require.ErrorAs(t, err, &fe)
		require.True(t, fe.HasID)
	}
}

// I9: absent and empty stay apart on the wire.
func TestI9NullIsNotEmpty(t *testing.T) {
	b := encode(t, protocol.GetResult{Values: [][]byte{nil, {}, {1}}})
	require.Equal(t, fromHex(t, "a1 01 83 f6 40 4101"), b)
	var got protocol.GetResult
	require.NoError(t, protocol.DecodeBody(b, &got))
	require.Equal(t, [][]byte{nil, {}, {1}}, got.Values)

	for _, end := range [][]byte{nil, {}, {9}} {
		var got protocol.DeleteRange
		require.NoError(t, protocol.DecodeBody(encode(t, protocol.DeleteRange{Start: []byte{}, End: end}), &got))
		require.Equal(t, end == nil, got.End == nil)
		require.True(t, bytes.Equal(end, got.End))
	}

	var put protocol.Put
	require.Error(t, protocol.DecodeBody(encode(t, protocol.Put{Keys: [][]byte{{1}}, Values: [][]byte{nil}}), &put))
}

func TestMalformedFrames(t *testing.T) {
	cases := []struct {
		name  string
		hex   string
		hasID bool
	}{
		{"empty", "", false},
		{"not a map", "80", false},
		{"indefinite map", "bf 0001 0105 ff", false},
		{"no type", "a1 0105", false},
		{"type is text", "a1 006131", false},
		{"no id", "a1 0001", false},
		{"id is text", "a5 0001 016131 026161 0303 04a0", false},
		{"id cut short", "a5 0001 0119ff", false},
		{"cut after the id", "a5 0001 0105 02", true},
		{"trailing bytes", "a5 0001 0105 026161 0303 04a0 00", true},
		{"duplicate key", "a6 0001 0105 026161 0303 04a0 0303", true},
		{"duplicate unknown key", "a7 0001 0105 026161 0303 04a0 182000 182000", true},
		{"tag", "a5 0001 0105 02c06161 0303 04a0", true},
		{"indefinite string", "a5 0001 0105 027f6161ff 0303 04a0", true},
		{"actor is bytes", "a5 0001 0105 024161 0303 04a0", true},
		{"actor is not UTF-8", "a5 0001 0105 0261ff 0303 04a0", true},
		{"nested too deep", "a5 0001 0105 026161 0303 04" + strings.Repeat("81", 20) + "00", true},
		{"huge array", "a5 0001 0105 026161 0303 04a1 01 9bffffffffffffffff", true},
		{"huge map", "a5 0001 0105 026161 0303 04ba00ffffff", true},
		{"stage without its pages", "a2 0002 0105 039a", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v, err := protocol.DecodeClientFrame(sealed(t, c.hex))
			require.Nil(t, v)
			var fe *protocol.FrameError
			require.ErrorAs(t, err, &fe)
			require.Equal(t, c.hasID, fe.HasID)
			if c.hasID {
				require.Equal(t, uint64(5), fe.ID)
			}
		})
	}
}

func TestUnknownIsTold(t *testing.T) {
	for _, h := range []string{"a1 0009", "a1 00190123", "a1 0004"} {
		_, err := protocol.DecodeClientFrame(sealed(t, h))
		var unknown *protocol.UnknownFrameError
		require.ErrorAs(t, err, &unknown)
	}
	_, err := protocol.DecodeServerFrame(sealed(t, "a1 0001"))
	var unknown *protocol.UnknownFrameError
	require.True(t, errors.As(err, &unknown))
	require.Equal(t, uint64(1), unknown.Type)

	// An operation of a later version still decodes, so that it can be answered unsupported.
	v, err := protocol.DecodeClientFrame(sealed(t, "a5 0001 0105 026161 03190fff 04a0"))
	require.NoError(t, err)
	require.Equal(t, protocol.Op(0xfff), v.(*protocol.RawRequest).Op)

	// Unknown keys are ignored.
	_, err = protocol.DecodeClientFrame(sealed(t, "a6 0001 0105 026161 0303 04a0 1820 a1 6161 82 01 f6"))
	require.NoError(t, err)
}

func TestBodiesAreChecked(t *testing.T) {
	page := make([]byte, protocol.PageSize)
	cases := []struct {
		name string
		body any
		into any
		want string // "" if it decodes
	}{
		{"pages", protocol.FetchResult{Pages: protocol.Pages{Indexes: []uint32{3}, Data: page}}, &protocol.FetchResult{}, ""},
		{"pages short", protocol.FetchResult{Pages: protocol.Pages{Indexes: []uint32{3}, Data: page[1:]}}, &protocol.FetchResult{}, "pages"},
		{"pages without indexes", protocol.FetchResult{Pages: protocol.Pages{Data: page}}, &protocol.FetchResult{}, "pages"},
		{"entries", protocol.ListResult{Entries: protocol.Entries{Keys: [][]byte{{1}}}}, &protocol.ListResult{}, "1 keys, but 0 values"},
		{"put mismatch stays decodable", protocol.Put{Keys: [][]byte{{1}}}, &protocol.Put{}, ""},
		{"null key", protocol.Get{Keys: [][]byte{nil}}, &protocol.Get{}, "null"},
		{"null preload key", protocol.Open{Preload: &protocol.Preload{Keys: [][]byte{nil}}}, &protocol.Open{}, "null"},
		{"open mode", protocol.Open{Mode: 3}, &protocol.Open{}, "mode 3"},
		{"commit", protocol.Commit{Seq: 5, Count: 2, Size: 4096}, &protocol.Commit{}, ""},
		{"commit count 0", protocol.Commit{Seq: 5}, &protocol.Commit{}, "cannot stand for"},
		{"commit count over seq", protocol.Commit{Seq: 1, Count: 2}, &protocol.Commit{}, "cannot stand for"},
		{"commit size", protocol.Commit{Seq: 1, Count: 1, Size: protocol.MaxFileBytes + 1}, &protocol.Commit{}, "limit"},
		{"commit drops main", protocol.Commit{Seq: 1, Count: 1, DropFiles: []uint8{0}}, &protocol.Commit{}, "dropped"},
		{"commit absent", protocol.Commit{Seq: 1, Count: 1, Pages: protocol.Pages{Absent: []uint32{1}}}, &protocol.Commit{}, "absent"},
		{"fetch file", protocol.Fetch{File: 4}, &protocol.Fetch{}, "tag 4"},
		{"expand journal", protocol.Fetch{File: 1, Expand: &protocol.Expand{}}, &protocol.Fetch{}, "expanded"},
		{"null body", cbor.RawMessage{0xf6}, &protocol.Empty{}, "not a map"},
		{"absent body", cbor.RawMessage(nil), &protocol.Empty{}, "not a map"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := protocol.DecodeBody(encode(t, c.body), c.into)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			var e *protocol.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, protocol.CodeBadRequest, e.Code)
			require.Contains(t, e.Message, c.want)
		})
	}
}

// Pages stay where they were received; nothing else does.
func TestOnlyPagesShareMemoryWithTheirFrame(t *testing.T) {
	b := encode(t, protocol.Stage{Commit: 1, Actor: "actor", Pages: protocol.Pages{
		Indexes: []uint32{1}, Data: bytes.Repeat([]byte{0xAB}, protocol.PageSize),
	}})
	v, err := protocol.DecodeClientFrame(b)
	require.NoError(t, err)
	clear(b)
	stage := v.(*protocol.Stage)
	require.Equal(t, "actor", stage.Actor)
	require.Equal(t, []uint32{1}, stage.Pages.Indexes)
	require.Equal(t, make([]byte, protocol.PageSize), []byte(stage.Pages.Data))
	_ = append(stage.Pages.Data, 0xCD)
	require.NotContains(t, b, byte(0xCD), "what follows the pages is not theirs")
}
