package server

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pagewire/pagewire/internal/buffers"
	"github.com/pagewire/pagewire/internal/protocol"
)

// outboxBytes is how many bytes of frames may wait for the peer before requests wait for it too.
const outboxBytes = 8 * mib

// keepBytes is the size from which on the memory of an answer is used again, rather than left to the garbage collector.
const keepBytes = 64 * kib

// takeBuffer returns memory for an answer of n bytes, nil if any will do.
func takeBuffer(n uint64) []byte {
	if n < keepBytes {
		return nil
	}
	return buffers.New(int(n))
}

// outMessage is a message with the buffer that it lies in, if that may be used again.
type outMessage struct{ bytes, buffer []byte }

// corkedBytes is the size from which on a message is written together with its header, which costs a copy of it.
const corkedBytes = 8 * kib

// outbox holds the messages that wait to be written. Whoever finds nothing waiting and nobody writing may write its message
// itself, which saves waking the connection's writer.
type outbox struct {
	mu      sync.Mutex
	frames  []outMessage
	bytes   int           // of frames, and of those being written
	writing bool          // somebody writes
	more    chan struct{} // has an element when frames may have become non-empty while nobody writes
	room    chan struct{} // closed, and forgotten, when bytes went down; nil while nobody waits for it
}

func (o *outbox) init() { o.more = make(chan struct{}, 1) }

// add adds a message, for the writer to write.
func (o *outbox) add(m outMessage) {
	o.mu.Lock()
	o.frames = append(o.frames, m)
	o.bytes += len(m.bytes)
	writing := o.writing
	o.mu.Unlock()
	if !writing {
		o.wake()
	}
}

// addOrWrite adds a message, or says that the caller is to write it, and to call done then.
func (o *outbox) addOrWrite(m outMessage) (write bool) {
	o.mu.Lock()
	if !o.writing && len(o.frames) == 0 {
		o.writing = true
		o.bytes += len(m.bytes)
		o.mu.Unlock()
		return true
	}
	o.mu.Unlock()
	o.add(m)
	return false
}

// take returns all frames for the caller to write, which is to call done then. It returns none if somebody else writes, who
// wakes the writer if need be.
func (o *outbox) take() []outMessage {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.writing || len(o.frames) == 0 {
		return nil
	}
	o.writing = true
	frames := o.frames
	o.frames = nil
	return frames
}

// done ends the writing of the caller.
func (o *outbox) done() {
	o.mu.Lock()
	o.writing = false
	more := len(o.frames) > 0
	o.mu.Unlock()
	if more {
		o.wake()
	}
}

func (o *outbox) wake() {
	select {
	case o.more <- struct{}{}:
	default:
	}
}

// written says that a message has left.
func (o *outbox) written(m outMessage) {
	buffers.Keep(m.buffer)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes -= len(m.bytes)
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}

// full returns a channel to wait on if no more frames should be added now, else nil.
func (o *outbox) full() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.bytes < outboxBytes {
		return nil
	}
	if o.room == nil {
		o.room = make(chan struct{})
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
		if len(m.bytes) < cap(m.buffer)/3 { // pages were absent: what waits takes what it needs
			whole := m.buffer
			m = outMessage{bytes: bytes.Clone(m.bytes)}
			buffers.Keep(whole)
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

// send writes a message, or queues it if others are on their way, once there is room for it.
func (c *conn) send(m outMessage) {
	for {
		room := c.out.full()
		if room == nil {
			if c.out.addOrWrite(m) {
				_ = c.writeMessages(m) // its error has ended the connection
			}
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
		if frames := c.out.take(); frames != nil && c.writeMessages(frames...) != nil {
			return
		}
	}
}

// writeMessages writes messages, small ones together, for whoever has the outbox's turn to write. Its error ends the connection.
func (c *conn) writeMessages(messages ...outMessage) (err error) {
	defer c.out.done()
	cork := len(messages) > 1 || len(messages[0].bytes) >= corkedBytes
	if cork {
		c.net.cork()
	}
	for _, m := range messages {
		if c.ctx.Err() != nil {
			break
		}
		_ = c.ws.SetWriteDeadline(time.Now().Add(c.server.cfg.PingTimeout))
		if err = c.ws.WriteMessage(websocket.BinaryMessage, m.bytes); err != nil {
			break
		}
		c.server.metrics.framesOut.Add(1)
		c.server.metrics.bytesOut.Add(uint64(len(m.bytes)))
		c.out.written(m)
	}
	if cork && err == nil {
		err = c.net.uncork()
	}
	if err != nil {
		c.writeFailed(err)
	}
	return err
}

// writeFailed ends the connection because a write has failed.
func (c *conn) writeFailed(err error) {
	var timeout net.Error
	if c.ctx.Err() == nil && errors.As(err, &timeout) && timeout.Timeout() {
		c.server.metrics.slowReaders.Add(1)
		c.close(closePolicy, "the client does not read its answers")
	} else {
		c.close(websocket.CloseAbnormalClosure, "the connection broke")
	}
	_ = c.ws.Close()
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
