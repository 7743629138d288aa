package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/fxamacker/cbor/v2"
)

// Limits of the decoder, beside the frame size that the transport enforces. What a frame decodes to takes at most a
// small multiple of the frame's own size: an array element of one byte becomes at most one PreloadPrefix.
const (
	MaxNesting       = 16      // levels of arrays and maps; the messages here need 5
	MaxArrayElements = 1 << 17 // elements of one array: keys, entries, page indexes
	MaxMapPairs      = 64      // fields of one message, unknown ones included
)

// encoding and decoding are the two CBOR modes of the protocol. They are immutable and safe for concurrent use. They are
// made when first needed: it took longer than the initialisation of any other package when the library is loaded.
var (
	encoding = sync.OnceValue(func() cbor.UserBufferEncMode {
		o := cbor.CoreDetEncOptions()
		o.TagsMd = cbor.TagsForbidden
		return must(o.UserBufferEncMode())
	})
	decoding = sync.OnceValue(func() cbor.DecMode {
		return must(cbor.DecOptions{
			DupMapKey:        cbor.DupMapKeyEnforcedAPF,
			IndefLength:      cbor.IndefLengthForbidden,
			TagsMd:           cbor.TagsForbidden,
			MaxNestedLevels:  MaxNesting,
			MaxArrayElements: MaxArrayElements,
			MaxMapPairs:      MaxMapPairs,
		}.DecMode())
	})
)

// must returns a mode whose options are constants of this package.
func must[M any](mode M, err error) M {
	if err != nil {
		panic(err)
	}
	return mode
}

// FrameError says why a frame could not be decoded. With an id the server answers it with Code; without one the
// connection cannot go on and is closed with status 1007.
type FrameError struct {
	ID    uint64 // id of the request or response, if HasID
	HasID bool
	Err   error
}

// Error implements error.
func (e *FrameError) Error() string {
	if e.HasID {
		return fmt.Sprintf("malformed frame, id %d: %v", e.ID, e.Err)
	}
	return fmt.Sprintf("malformed frame: %v", e.Err)
}

// Unwrap returns Err.
func (e *FrameError) Unwrap() error { return e.Err }

// UnknownFrameError says that a frame is of a type that this side does not take. It arrives within a [FrameError].
type UnknownFrameError struct{ Type uint64 }

// Error implements error.
func (e *UnknownFrameError) Error() string {
	return fmt.Sprintf("frame type %d is unknown here", e.Type)
}

// buffers holds *bytes.Buffer for Encode to encode frames into.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// Encode returns a frame as a message, checksum included, or the deterministic encoding of a body or a result. It sets
// the type of a frame, and encodes a response with an error without its result.
func Encode(v any) ([]byte, error) {
	f, ok := v.(frame)
	if !ok {
		return encoding().Marshal(v)
	}
	buf := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(buf)
	buf.Reset()
	if err := encoding().MarshalToBuffer(f.wire(), buf); err != nil {
		return nil, err
	}
	return Seal(append(slices.Grow([]byte(nil), buf.Len()+ChecksumBytes), buf.Bytes()...)), nil
}

// DecodeClientFrame decodes a message that a client sent, once its checksum has been verified: *[RawRequest], *[Stage] or *[Pong]. The error is a
// *[FrameError]. Of what is returned, the bytes of [Pages] and
// [RawRequest] share memory with message.
func DecodeClientFrame(message []byte) (any, error) {
	b, err := unseal(message)
	if err != nil {
		return nil, &FrameError{Err: err}
	}
	t, id, hasID, err := readHeader(b)
	if err != nil {
		return nil, &FrameError{Err: err}
	}
	switch FrameType(t) {
	case FrameRequest:
		if !hasID {
			return nil, &FrameError{Err: errors.New("request without id")}
		}
		return decodeFrame(b, new(RawRequest), id, true)
	case FrameStage:
		return decodeFrame(b, new(Stage), 0, false)
	case FramePong:
		return decodeFrame(b, new(Pong), 0, false)
	}
	return nil, &FrameError{Err: &UnknownFrameError{Type: t}}
}

// DecodeServerFrame decodes a message that a server sent, once its checksum has been verified: *[Welcome], *[RawResponse], *[Ping], *[LockLost] or *[Drain].
// The error is a *[FrameError]. Of what is returned, the bytes of [Pages] and
// [RawResponse] share memory with message.
func DecodeServerFrame(message []byte) (any, error) {
	b, err := unseal(message)
	if err != nil {
		return nil, &FrameError{Err: err}
	}
	t, id, hasID, err := readHeader(b)
	if err != nil {
		return nil, &FrameError{Err: err}
	}
	switch FrameType(t) {
	case FrameWelcome:
		return decodeFrame(b, new(Welcome), 0, false)
	case FrameResponse:
		if !hasID {
			return nil, &FrameError{Err: errors.New("response without id")}
		}
		return decodeFrame(b, new(RawResponse), id, true)
	case FramePing:
		return decodeFrame(b, new(Ping), 0, false)
	case FrameLockLost:
		return decodeFrame(b, new(LockLost), 0, false)
	case FrameDrain:
		return decodeFrame(b, new(Drain), 0, false)
	}
	return nil, &FrameError{Err: &UnknownFrameError{Type: t}}
}

// DecodeBody decodes the body of a request or the result of a response into the struct that v points to, and checks
// what the wire demands of it. The bytes of [Pages] share memory with raw. The error is an *[Error] with CodeBadRequest.
func DecodeBody(raw []byte, v any) error {
	if len(raw) == 0 || raw[0]>>5 != majorMap {
		return Errorf(CodeBadRequest, "body is not a map")
	}
	if err := decoding().Unmarshal(raw, v); err != nil {
		return Errorf(CodeBadRequest, "body: %v", err)
	}
	if c, ok := v.(checker); ok {
		if err := c.check(); err != nil {
			return Errorf(CodeBadRequest, "body: %v", err)
		}
	}
	return nil
}

func decodeFrame(b []byte, v any, id uint64, hasID bool) (any, error) {
	err := decoding().Unmarshal(b, v)
	if err == nil {
		if c, ok := v.(checker); ok {
			err = c.check()
		}
	}
	if err != nil {
		return nil, &FrameError{ID: id, HasID: hasID, Err: err}
	}
	return v, nil
}

// CBOR major types (RFC 8949, section 3.1).
const (
	majorUint  = 0
	majorBytes = 2
	majorArray = 4
	majorMap   = 5
)

// readHeader reads the type and, if there is one, the id of a frame without looking at the rest, so that a frame broken
// further on can still be answered. Deterministic encoding puts keys 0 and 1 first.
func readHeader(b []byte) (frameType, id uint64, hasID bool, err error) {
	major, pairs, rest, ok := readHead(b)
	if !ok || major != majorMap || pairs == 0 {
		return 0, 0, false, errors.New("not a map of definite length with a frame type")
	}
	major, key, rest, ok := readHead(rest)
	if !ok || major != majorUint || key != 0 {
		return 0, 0, false, errors.New("the first key is not 0, the frame type")
	}
	major, frameType, rest, ok = readHead(rest)
	if !ok || major != majorUint {
		return 0, 0, false, errors.New("the frame type is not an unsigned integer")
	}
	if frameType > 255 {
		return 0, 0, false, &UnknownFrameError{Type: frameType}
	}
	if pairs == 1 {
		return frameType, 0, false, nil
	}
	major, key, rest, ok = readHead(rest)
	if !ok || major != majorUint || key != 1 {
		return frameType, 0, false, nil
	}
	major, id, _, ok = readHead(rest)
	return frameType, id, ok && major == majorUint, nil
}

// readHead reads the head of one data item: its major type and argument. Indefinite lengths are not ok.
func readHead(b []byte) (major byte, arg uint64, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, 0, nil, false
	}
	major, arg, b = b[0]>>5, uint64(b[0]&0x1f), b[1:]
	if arg < 24 {
		return major, arg, b, true
	}
	if arg > 27 {
		return 0, 0, nil, false
	}
	n := 1 << (arg - 24)
	if len(b) < n {
		return 0, 0, nil, false
	}
	arg = 0
	for _, c := range b[:n] {
		arg = arg<<8 | uint64(c)
	}
	return major, arg, b[n:], true
}
