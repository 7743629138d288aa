package server

import (
	"errors"
	"io"
	"math/bits"
	"sync"

	"github.com/gorilla/websocket"
	"github.com/pagewire/pagewire/internal/buffers"
	"github.com/pagewire/pagewire/internal/protocol"
)

// firstRead is the size of the buffer that a message is first read into: it holds a commit of a few pages. leastRead is that of
// the smallest buffer that is used again.
const (
	firstRead = 32 * kib
	leastRead = 4 * kib
)

// readBuffers hold *[]byte that messages are read into and wait in: those of leastRead bytes, of twice as many, and so on;
// package buffers has the large ones. A connection has one only while a message arrives, so that idle ones have none.
var readBuffers [5]sync.Pool

// readClass returns which of readBuffers has buffers of size bytes, leastRead times a power of two; none if it is out of range.
func readClass(size int) int {
	if size < leastRead || size >= buffers.Least {
		return -1
	}
	return bits.Len(uint(size / (2 * leastRead)))
}

func newReadBuffer(size int) *[]byte {
	if class := readClass(size); class >= 0 {
		if b, ok := readBuffers[class].Get().(*[]byte); ok {
			return b
		}
	}
	b := buffers.New(size)
	return &b
}

// incoming is a message with the buffer that it was read into, which whoever handles the message gives back.
type incoming struct {
	bytes  []byte
	buffer *[]byte
}

// receive reads the rest of r.
func receive(r io.Reader) (incoming, error) {
	in := incoming{buffer: newReadBuffer(firstRead)}
	var err error
	for err == nil {
		if len(in.bytes) == cap(*in.buffer) {
			in.move(grown(len(in.bytes)))
		}
		var n int
		n, err = r.Read((*in.buffer)[len(in.bytes):cap(*in.buffer)])
		in.bytes = (*in.buffer)[:len(in.bytes)+n]
	}
	if err != io.EOF {
		in.done()
		return incoming{}, err
	}
	in.fit()
	return in, nil
}

// grown returns the size of the buffer that follows one of size bytes, for a message that has filled it. Each step is a copy;
// the fourth buffer is the size of the largest stage.
func grown(size int) int {
	if 4*size <= mib/2 {
		return 4 * size
	}
	return 2 * size
}

// fit moves a message that fills less than half of its buffer: what waits takes what it needs.
func (in *incoming) fit() {
	size := len(in.bytes)
	if 2*size >= cap(*in.buffer) {
		return
	}
	if 2*size > leastRead {
		size = max(leastRead, 1<<bits.Len(uint(size-1)))
	}
	in.move(size)
}

// move moves what there is of a message into a buffer of size bytes.
func (in *incoming) move(size int) {
	to := newReadBuffer(size)
	moved := incoming{append((*to)[:0], in.bytes...), to}
	in.done()
	*in = moved
}

// done gives the buffer back. The zero incoming has none.
func (in *incoming) done() {
	if in.buffer != nil {
		if class := readClass(cap(*in.buffer)); class >= 0 {
			readBuffers[class].Put(in.buffer)
		} else {
			buffers.Keep(*in.buffer)
		}
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
		c.request(m, in)
		return
	case *protocol.Stage:
		c.stage(m, in)
		return
	case *protocol.Pong: // that it came is all that counts
	}
	in.done()
}

// malformed closes the connection because of a frame that cannot be answered.
func (c *conn) malformed(err error) {
	c.server.metrics.badFrames.Add(1)
	c.close(closeMalformed, err.Error())
}
