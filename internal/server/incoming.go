package server

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/gorilla/websocket"
	"github.com/pagewire/pagewire/internal/protocol"
)

// firstRead is the size of a new buffer for a message, and keptRead the largest that is used again.
const (
	firstRead = 4 * kib
	keptRead  = 2 * mib
)

// readBuffers holds *[]byte that messages are read into. A connection has one only while a message arrives, so that idle ones have
// none.
var readBuffers = sync.Pool{New: func() any {
	b := make([]byte, 0, firstRead)
	return &b
}}

// incoming is a message with the buffer that it was read into, which whoever handles the message gives back.
type incoming struct {
	bytes  []byte
	buffer *[]byte
}

// receive reads the rest of r.
func receive(r io.Reader) (in incoming, err error) {
	in.buffer = readBuffers.Get().(*[]byte)
	b := (*in.buffer)[:0]
	for err == nil {
		if len(b) == cap(b) {
			b = append(make([]byte, 0, 2*cap(b)), b...)
		}
		var n int
		n, err = r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
	}
	*in.buffer, in.bytes = b, b
	if err != io.EOF {
		in.done()
		return incoming{}, err
	}
	return in, nil
}

// done gives the buffer back. The zero incoming has none.
func (in *incoming) done() {
	if in.buffer != nil && cap(*in.buffer) <= keptRead {
		readBuffers.Put(in.buffer)
	}
	*in = incoming{}
}

// message handles one message.
func (c *conn) message(kind int, in incoming) {
	c.server.metrics.framesIn.Add(1)
	c.server.metrics.bytesIn.Add(uint64(len(in.bytes)))
	if kind != websocket.BinaryMessage {
		in.done()
		c.malformed(errors.New("text message; frames are binary"))
		return
	}
	msg, err := protocol.DecodeClientFrame(in.bytes)
	if err != nil {
		in.done()
		var bad *protocol.FrameError
		if errors.As(err, &bad) && bad.HasID {
			c.server.metrics.badFrames.Add(1)
			c.fail(bad.ID, protocol.Errorf(protocol.CodeBadRequest, "malformed frame: %v", bad.Err))
			return
		}
		c.malformed(err)
		return
	}
	switch m := msg.(type) {
	case *protocol.RawRequest:
		// What waits takes what it needs.
		if cap(*in.buffer) > 2*len(in.bytes) {
			m.Body = bytes.Clone(m.Body)
			in.done()
		}
		c.request(m, in)
		return
	case *protocol.Stage:
		m.Pages.Data = bytes.Clone(m.Pages.Data)
		c.stage(m)
	case *protocol.Pong: // that it came is all that counts
	}
	in.done()
}

// malformed closes the connection because of a frame that cannot be answered.
func (c *conn) malformed(err error) {
	c.server.metrics.badFrames.Add(1)
	c.close(closeMalformed, err.Error())
}
