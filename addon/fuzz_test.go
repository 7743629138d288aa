package main

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/channel"
)

// FuzzCalls holds that whatever crosses from JavaScript is answered: byte strings come back as they were packed, and a
// request of any method that names nothing open is refused with a code.
func FuzzCalls(f *testing.F) {
	names := slices.Sorted(maps.Keys(methods))
	for i := range names {
		f.Add(uint8(i), []byte(`{"callId":1,"kv":1,"channel":1,"target":1,"keys":1,"prefixes":[{"maxBytes":1}],"limit":3}`), pack([][]byte{{1}, nil, {}}))
	}
	f.Add(uint8(0), []byte(`{"callId":-1}`), []byte{255, 255, 255, 254})
	f.Fuzz(func(t *testing.T, method uint8, request, attached []byte) {
		if in, err := unpack(attached); err == nil {
			require.Equal(t, string(attached), string(pack(in)))
		}
		name := names[int(method)%len(names)]
		if name == "connect" { // would dial what the request says; FuzzTarget has its URLs
			return
		}
		e := &env{
			channels: make(map[uint64]*channel.Channel), kvs: make(map[uint64]*channel.Actor),
			handles: make(map[uint64]bool), calls: make(map[uint64]*call),
		}
		run, err := e.start(name, request, attached)
		if err == nil {
			_, _, err = run()
			require.True(t, err != nil || name == "cancel", "%s succeeded with nothing open", name)
		}
		if err != nil {
			require.True(t, json.Valid(failure(err)))
			require.NotEmpty(t, channel.Code(err))
		}
		require.Empty(t, e.calls)
	})
}
