package protocol_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write testdata/vectors.json")

const vectorsFile = "testdata/vectors.json"

// vectorFile is testdata/vectors.json, which tests in every language read.
type vectorFile struct {
	About     string      `json:"about"`
	Frames    []vector    `json:"frames"`
	Malformed []malformed `json:"malformed"`
}

// vector is a frame with its encoding.
type vector struct {
	Name      string `json:"name"`
	Direction string `json:"direction"` // "client" or "server": who sends it
	Hex       string `json:"hex"`
	Value     any    `json:"value"`
}

// malformed is a frame that must be refused.
type malformed struct {
	Name      string  `json:"name"`
	Direction string  `json:"direction"`
	Hex       string  `json:"hex"`
	ID        *uint64 `json:"id"` // the id to answer on, null if there is none
}

const about = "Messages of the Pagewire KV channel, version 1: a frame in CBOR and its CRC-32C, 4 bytes big-endian. value renders the CBOR: a map is an object whose names are " +
	"its keys in decimal, a byte string is {\"$hex\": \"...\"}, an integer beyond 2^53-1 is {\"$int\": \"...\"}."

func vectorPages(indexes ...uint32) protocol.Pages {
	p := protocol.Pages{Indexes: indexes}
	for _, i := range indexes {
		p.Data = append(p.Data, bytes.Repeat([]byte{byte(i), 0xA5}, protocol.PageSize/2)...)
	}
	return p
}

// vectorCase is a frame; body is its body or result, to be decoded on its own.
type vectorCase struct {
	name, direction string
	frame, body     any
}

func request(name string, op protocol.Op, body any) vectorCase {
	return vectorCase{name, "client", protocol.Request[any]{
		Type: protocol.FrameRequest, ID: 41, Actor: "actor-1", Op: op, Body: body,
	}, body}
}

func response(name string, result any) vectorCase {
	return vectorCase{name, "server", protocol.Response[any]{Type: protocol.FrameResponse, ID: 41, Result: result}, result}
}

func vectorCases() []vectorCase {
	meta, chunk := protocol.MetaKey(0), protocol.ChunkKey(0, 7)
	start, end := protocol.ChunkRange(protocol.FileJournal)
	budget := uint64(0)
	cases := []vectorCase{
		request("open fail", protocol.OpOpen, protocol.Open{}),
		request("open wait", protocol.OpOpen, protocol.Open{Mode: protocol.ModeWait, WaitMillis: 5000}),
		request("open takeover, resume, preload", protocol.OpOpen, protocol.Open{
			Mode: protocol.ModeTakeover, Resume: &protocol.Resume{Generation: 3, Seq: 1 << 40},
			Preload: &protocol.Preload{
				Keys: [][]byte{meta, {}}, Pages: true,
				Prefixes: []protocol.PreloadPrefix{{Prefix: []byte{8, 1}, MaxBytes: 65536, Partial: true}, {Prefix: []byte{}}},
			},
		}),
		request("open without preload", protocol.OpOpen, protocol.Open{Preload: &protocol.Preload{Budget: &budget}}),
		request("close", protocol.OpClose, protocol.Close{Generation: 4, Hints: []uint32{0, 6, 70000}}),
		request("get", protocol.OpGet, protocol.Get{Keys: [][]byte{meta, chunk}}),
		request("put", protocol.OpPut, protocol.Put{
			Generation: 4, Keys: [][]byte{meta, chunk}, Values: [][]byte{protocol.EncodeMeta(4096), {}},
		}),
		request("delete", protocol.OpDelete, protocol.Delete{Generation: 4, Keys: [][]byte{chunk}}),
		request("delete_range", protocol.OpDeleteRange, protocol.DeleteRange{Generation: 4, Start: start, End: end}),
		request("delete_range to the end", protocol.OpDeleteRange, protocol.DeleteRange{Generation: 4, Start: []byte{}}),
		request("list", protocol.OpList, protocol.List{Prefix: []byte{8}, Start: start, End: end, Reverse: true, Limit: 10}),
		request("list all", protocol.OpList, protocol.List{}),
		request("fetch", protocol.OpFetch, protocol.Fetch{
			Pages: []uint32{0, 23, 24, 255, 256, 65536, 4294967295}, Expand: &protocol.Expand{Depth: 2, Budget: 1 << 20},
		}),
		request("fetch journal", protocol.OpFetch, protocol.Fetch{File: protocol.FileJournal, Pages: []uint32{0}}),
		request("commit", protocol.OpCommit, protocol.Commit{
			Generation: 4, Seq: 10, Count: 1, Size: 12288, Pages: vectorPages(2),
		}),
		request("commit merged and staged", protocol.OpCommit, protocol.Commit{
			Generation: 4, Seq: 12, Count: 2, Size: 1 << 30, Staged: 3, DropFiles: []uint8{protocol.FileJournal},
		}),
		{"stage", "client", protocol.Stage{Type: protocol.FrameStage, Commit: 41, Actor: "actor-1", Pages: vectorPages(300)}, nil},
		{"pong", "client", protocol.Pong{Type: protocol.FramePong, Nonce: 1<<64 - 1}, nil},
		{"welcome", "server", protocol.Welcome{
			Type: protocol.FrameWelcome, Version: protocol.Version, Server: "pagewire/1.0.0", Session: "s1",
			Limits: protocol.Limits{
				KeyBytes: 2048, ValueBytes: 131072, BatchKeys: 128, PutBytes: 999424, ActorBytes: 10 << 30, ConnectionActors: 1000,
				ActorQueue: 64, CommitBytes: 256 << 20, FrameBytes: 4 << 20, PreloadBytes: 1 << 20, FetchPages: 512, PingMillis: 10000,
			},
			Namespace: "default",
		}, nil},
		response("open result", protocol.OpenResult{
			Generation: 4, Seq: 9, Files: []protocol.File{{Tag: 0, Size: 12288}},
			Entries:     protocol.Entries{Keys: [][]byte{meta}, Values: [][]byte{protocol.EncodeMeta(12288)}},
			ScannedKeys: [][]byte{meta, {}},
			ScannedPrefixes: []protocol.ScannedPrefix{
				{Prefix: []byte{8, 1}, Through: meta}, {Prefix: []byte{}, Complete: true},
			},
			Pages: protocol.Pages{Indexes: []uint32{0}, Data: vectorPages(0).Data, Absent: []uint32{2}}, UsedBytes: 4118,
		}),
		response("open result, resumed", protocol.OpenResult{Generation: 3, Seq: 9, Resumed: true}),
		response("get result", protocol.GetResult{Values: [][]byte{nil, {}, {0, 255}}}),
		response("empty result", protocol.Empty{}),
		response("list result", protocol.ListResult{
			Entries: protocol.Entries{Keys: [][]byte{{1}, {2}}, Values: [][]byte{{}, {3}}}, More: true,
		}),
		response("fetch result", protocol.FetchResult{
			Pages: protocol.Pages{Indexes: []uint32{23}, Data: vectorPages(23).Data, Absent: []uint32{24, 256}},
		}),
		response("commit result", protocol.CommitResult{Seq: 12, UsedBytes: 1 << 53}),
		response("commit result, already", protocol.CommitResult{Seq: 12, UsedBytes: 4118, Already: true}),
		{"error", "server", protocol.Response[any]{
			Type: protocol.FrameResponse, ID: 41, Error: protocol.Errorf(protocol.CodeLockLost, "generation 4 is stale: %s", "žluťoučký"),
		}, nil},
		{"ping", "server", protocol.Ping{Type: protocol.FramePing, Nonce: 77}, nil},
		{"lock_lost", "server", protocol.LockLost{
			Type: protocol.FrameLockLost, Actor: "actor-1", Generation: 4, Reason: "taken over by another session",
		}, nil},
		{"drain", "server", protocol.Drain{Type: protocol.FrameDrain, GraceMillis: 30000}, nil},
	}
	return cases
}

func malformedCases() []malformed {
	id := uint64(5)
	cases := []malformed{
		{"empty frame", "client", "", nil},
		{"not a map", "client", "80", nil},
		{"request without id", "client", "a10001", nil},
		{"request cut short", "client", "a50001010502", &id},
		{"duplicate key", "client", "a6000101050261610303" + "04a00303", &id},
		{"indefinite length", "client", "a500010105027f6161ff030304a0", &id},
		{"tag", "client", "a50001010502c06161030304a0", &id},
		{"array of 2^64-1", "client", "a5000101050261610303" + "04a1019bffffffffffffffff", &id},
		{"stage with half a page", "client", "a40002010502616103a20181000240", nil},
		{"unknown type", "client", "a10009", nil},
		{"response with neither result nor error", "server", "a200050105", &id},
		{"response with result and error", "server", "a40005010502a003a2016178026179", &id},
	}
	for i := range cases {
		b, _ := hex.DecodeString(cases[i].Hex)
		cases[i].Hex = hex.EncodeToString(protocol.Seal(b))
	}
	return append(cases,
		malformed{"nothing", "client", "", nil},
		malformed{"shorter than a checksum", "client", "a20003", nil},
		malformed{"pong without checksum", "client", "a200030105", nil},
		malformed{"pong with a bit turned", "client", "a200030104" + "a4bc7d9d", nil},
		malformed{"ping with the checksum of another", "server", "a200060104" + "a4bc7d9d", nil},
	)
}

// render gives CBOR as JSON, as the file's about text says.
func render(t *testing.T, v any) any {
	switch v := v.(type) {
	case map[any]any:
		m := map[string]any{}
		for k, e := range v {
			m[fmt.Sprint(k)] = render(t, e)
		}
		return m
	case []any:
		a := make([]any, len(v))
		for i, e := range v {
			a[i] = render(t, e)
		}
		return a
	case []byte:
		return map[string]any{"$hex": hex.EncodeToString(v)}
	case uint64:
		if v > 1<<53-1 {
			return map[string]any{"$int": fmt.Sprint(v)}
		}
		return float64(v)
	case nil, string, bool:
		return v
	}
	t.Fatalf("no rendering for %T", v)
	return nil
}

func decodeSide(direction string, b []byte) (any, error) {
	if direction == "client" {
		return protocol.DecodeClientFrame(b)
	}
	return protocol.DecodeServerFrame(b)
}

func TestVectors(t *testing.T) {
	made := vectorFile{About: about, Malformed: malformedCases()}
	for _, c := range vectorCases() {
		b := encode(t, c.frame)
		var generic any
		require.NoError(t, cbor.Unmarshal(b[:len(b)-protocol.ChecksumBytes], &generic))
		made.Frames = append(made.Frames, vector{c.name, c.direction, hex.EncodeToString(b), render(t, generic)})
	}
	if *update {
		b, err := json.MarshalIndent(made, "", " ")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(vectorsFile, append(b, '\n'), 0o644))
	}
	var stored vectorFile
	b, err := os.ReadFile(vectorsFile)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &stored))
	require.Equal(t, made, stored, "the wire format has changed: if that is meant, run the test with -update")
}

// TestVectorsDecode decodes the stored bytes to the values that they were made of.
func TestVectorsDecode(t *testing.T) {
	var stored vectorFile
	b, err := os.ReadFile(vectorsFile)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &stored))
	cases := vectorCases()
	require.Len(t, stored.Frames, len(cases))
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v, err := decodeSide(c.direction, fromHex(t, stored.Frames[i].Hex))
			require.NoError(t, err)
			var raw []byte
			switch v := v.(type) {
			case *protocol.RawRequest:
				want := c.frame.(protocol.Request[any])
				require.Equal(t, []any{want.ID, want.Actor, want.Op}, []any{v.ID, v.Actor, v.Op})
				raw = v.Body
			case *protocol.RawResponse:
				want := c.frame.(protocol.Response[any])
				require.Equal(t, want.ID, v.ID)
				require.Equal(t, want.Error, v.Error)
				raw = v.Result
			default:
				require.Equal(t, c.frame, reflect.ValueOf(v).Elem().Interface())
			}
			if c.body != nil {
				into := reflect.New(reflect.TypeOf(c.body))
				require.NoError(t, protocol.DecodeBody(raw, into.Interface()))
				require.Equal(t, c.body, into.Elem().Interface())
			}
		})
	}
	for _, m := range stored.Malformed {
		t.Run("malformed/"+m.Name, func(t *testing.T) {
			_, err := decodeSide(m.Direction, fromHex(t, m.Hex))
			var fe *protocol.FrameError
			require.ErrorAs(t, err, &fe)
			require.Equal(t, m.ID != nil, fe.HasID)
			if m.ID != nil {
				require.Equal(t, *m.ID, fe.ID)
			}
		})
	}
}
