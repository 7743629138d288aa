// Package protocol is the wire format of the Pagewire KV channel: the messages that a client and a server exchange as
// binary WebSocket frames, their limits and their error codes.
//
// Every frame is one CBOR map with integer keys (RFC 8949, core deterministic encoding), followed by its CRC-32C. Key 0 of
// a frame is its [FrameType]. Unknown keys are ignored, so that fields can be added within one version. docs/protocol.md is the
// specification; protocol.cddl and testdata hold the schema and the golden bytes that both languages check.
package protocol

// Version is the protocol version that this build speaks. It is the only place that names it: the subprotocol, the
// welcome message and the checks on both sides derive from it.
const Version = 1

// SubprotocolPrefix precedes the version number in the WebSocket subprotocol ("pagewire.v1").
const SubprotocolPrefix = "pagewire.v"

// TokenSubprotocolPrefix precedes a bearer token, base64url without padding, in a second subprotocol entry, for clients
// that cannot set an Authorization header.
const TokenSubprotocolPrefix = "pagewire.token."

// ChannelPath is the HTTP path of the KV channel. The query parameter "namespace" selects the namespace.
const ChannelPath = "/v1/channel"

// DefaultNamespace is the namespace of connections that name none.
const DefaultNamespace = "default"

// PageSize is the size in bytes of a database page and of a file chunk.
const PageSize = 4096

// MaxPages bounds a file: page indexes are 32 bit.
const MaxPages = 1 << 32

// FrameType says what a frame is (key 0).
type FrameType uint8

// Frame types. Requests, stages and pongs go from client to server, the others from server to client.
const (
	FrameRequest  FrameType = 1 // asks for one operation, answered by one response with the same id
	FrameStage    FrameType = 2 // carries part of a large commit; has no answer of its own
	FramePong     FrameType = 3 // answers a ping
	FrameWelcome  FrameType = 4 // first frame of a server: version and limits
	FrameResponse FrameType = 5 // answers a request
	FramePing     FrameType = 6 // asks for a pong
	FrameLockLost FrameType = 7 // tells an evicted holder that its generation is stale
	FrameDrain    FrameType = 8 // asks the client to open nothing more here and to reconnect elsewhere
)

// Op is the operation that a request asks for. It is as wide as the wire allows: an unknown operation still decodes, and
// is answered unsupported.
type Op uint64

// Operations.
const (
	OpOpen        Op = 1
	OpClose       Op = 2
	OpGet         Op = 3
	OpPut         Op = 4
	OpDelete      Op = 5
	OpDeleteRange Op = 6
	OpList        Op = 7
	OpFetch       Op = 8
	OpCommit      Op = 9
)

// File tags of the storage layout (docs/storage-layout.md).
const (
	FileMain    uint8 = 0
	FileJournal uint8 = 1
	FileWAL     uint8 = 2
	FileSHM     uint8 = 3
)

// OpenMode says what open does when another session holds the actor.
type OpenMode uint8

// Open modes.
const (
	ModeFail     OpenMode = 0 // answer actor_locked at once
	ModeWait     OpenMode = 1 // wait until the holder closes or its lease ends, at most WaitMillis
	ModeTakeover OpenMode = 2 // take a new generation; the holder is told lock_lost
)
