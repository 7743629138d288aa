package server

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pagewire/pagewire/internal/protocol"
)

// outboxBytes is how many bytes of frames may wait for the peer before requests wait for it too.
const outboxBytes = 8 * mib

// keepBytes is the size from which on the memory of an answer is used again, rather than left to the garbage collector.
const keepBytes = 64 * kib

// buffers holds *[]byte of answers that were written.
var buffers sync.Pool

// takeBuffer returns memory for an answer of n bytes, nil if any will do.
func takeBuffer(n uint64) []byte {
	if n < keepBytes {
		return nil
	}
	if b, ok := buffers.Get().(*[]byte); ok && uint64(cap(*b)) >= n {
		return *b
	}
	return nil
}

// recycle gives up the buffer of an answer.
func recycle(b []byte) {
	if cap(b) >= keepBytes {
		buffers.Put(&b)
	}
}

// outMessage is a message with the buffer that it lies in, if that may be used again.
type outMessage struct{ bytes, buffer []byte }

// outbox holds the messages that wait to be written.
type outbox struct {
	mu     sync.Mutex
	frames []outMessage
	bytes  int           // of frames, and of those being written
	more   chan struct{} // has an element when frames may have become non-empty
	room   chan struct{} // closed and replaced when bytes went down
}

func (o *outbox) init() {
	o.more = make(chan struct{}, 1)
	o.room = make(chan struct{})
}

func (o *outbox) add(m outMessage) {
	o.mu.Lock()
	o.frames = append(o.frames, m)
	o.bytes += len(m.bytes)
	o.mu.Unlock()
	select {
	case o.more <- struct{}{}:
	default:
	}
}

// take returns all frames.
func (o *outbox) take() []outMessage {
	o.mu.Lock()
	defer o.mu.Unlock()
	frames := o.frames
	o.frames = nil
	return frames
}

// written says that a message has left.
func (o *outbox) written(m outMessage) {
	recycle(m.buffer)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes -= len(m.bytes)
	close(o.room)
	o.room = make(chan struct{})
}

// full returns a channel to wait on if no more frames should be added now, else nil.
func (o *outbox) full() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.bytes < outboxBytes {
		return nil
	}
	return o.room
}

// push queues a frame without waiting.
func (c *conn) push(frame any) {
	b, err := protocol.Encode(frame)
	if err != nil {
		c.server.cfg.Logger.Error("a frame does not encode", "session", c.id, "error", err)
		c.close(closeInternal, "the server failed; its log says why")
		return
	}
	c.out.add(outMessage{bytes: b})
}

// answer queues a response, once the peer has read enough of those before.
func (c *conn) answer(id uint64, result any) {
	var m outMessage
	if pages, ok := result.(*protocol.FetchAnswer); ok {
		m.bytes, m.buffer = pages.Message(id)
		if len(m.bytes) < cap(m.buffer)/2 { // pages were absent, or the buffer is of another size: what waits takes what it needs
			whole := m.buffer
			m = outMessage{bytes: bytes.Clone(m.bytes)}
			recycle(whole)
		}
	} else {
		b, err := protocol.Encode(protocol.Response[any]{ID: id, Result: result})
		if err != nil {
			c.fail(id, c.internal("a result does not encode", err))
			return
		}
		m.bytes = b
	}
	if limit := c.server.cfg.Limits.FrameBytes; uint64(len(m.bytes)) > limit {
		c.fail(id, protocol.Errorf(protocol.CodePayloadTooLarge,
			"the answer has %d bytes, a frame holds %d: ask for less", len(m.bytes), limit))
		return
	}
	c.send(m)
}

// fail queues an error response and counts it.
func (c *conn) fail(id uint64, e *protocol.Error) {
	c.server.metrics.answered(e.Code)
	b, err := protocol.Encode(protocol.Response[any]{ID: id, Error: e})
	if err != nil {
		c.close(closeInternal, "an error does not encode")
		return
	}
	c.send(outMessage{bytes: b})
}

func (c *conn) send(m outMessage) {
	for {
		room := c.out.full()
		if room == nil {
			c.out.add(m)
			return
		}
		select {
		case <-room:
		case <-c.ctx.Done():
			return
		}
	}
}

// write writes what is queued, and pings, until the connection ends; then it sends the close frame.
func (c *conn) write() {
	defer c.running.Done()
	ping := time.NewTicker(c.server.cfg.PingInterval)
	defer ping.Stop()
	for nonce := uint64(1); ; {
		select {
		case <-c.out.more:
		case <-ping.C:
			c.dropStale(time.Now().Add(-c.server.cfg.PingInterval - c.server.cfg.PingTimeout))
			c.push(&protocol.Ping{Nonce: nonce})
			nonce++
		case <-c.ctx.Done():
			c.writeClose()
			return
		}
		if err := c.flush(); err != nil {
			c.writeFailed(err)
			_ = c.ws.Close()
			return
		}
	}
}

// flush writes the queued frames, small ones together.
func (c *conn) flush() error {
	frames := c.out.take()
	c.net.cork()
	for _, m := range frames {
		if c.ctx.Err() != nil {
			break
		}
		_ = c.ws.SetWriteDeadline(time.Now().Add(c.server.cfg.PingTimeout))
		if err := c.ws.WriteMessage(websocket.BinaryMessage, m.bytes); err != nil {
			return err
		}
		c.server.metrics.framesOut.Add(1)
		c.server.metrics.bytesOut.Add(uint64(len(m.bytes)))
		c.out.written(m)
	}
	return c.net.uncork()
}

func (c *conn) writeFailed(err error) {
	var timeout net.Error
	if c.ctx.Err() == nil && errors.As(err, &timeout) && timeout.Timeout() {
		c.server.metrics.slowReaders.Add(1)
		c.close(closePolicy, "the client does not read its answers")
		return
	}
	c.close(websocket.CloseAbnormalClosure, "the connection broke")
}

// writeClose tells the peer why the connection ends and lets the reader wait a moment for its acknowledgement.
func (c *conn) writeClose() {
	code, reason := c.closed()
	switch code {
	case websocket.CloseAbnormalClosure, websocket.CloseNoStatusReceived, websocket.CloseTLSHandshake:
		code = closeGoingAway // those never travel
	}
	const longest = 120 // bytes, below the 123 that a close frame holds
	if len(reason) > longest {
		reason = reason[:longest]
	}
	deadline := time.Now().Add(closeWait)
	_ = c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), deadline)
	_ = c.ws.SetReadDeadline(deadline)
}
