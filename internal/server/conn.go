package server

import (
	"context"
	"errors"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pagewire/pagewire/internal/protocol"
)

// WebSocket close codes that the server uses.
const (
	closeGoingAway = websocket.CloseGoingAway               // 1001: drain, shutdown
	closeMalformed = websocket.CloseInvalidFramePayloadData // 1007: a frame that cannot be answered
	closePolicy    = websocket.ClosePolicyViolation         // 1008: silent or slow
	closeInternal  = websocket.CloseInternalServerErr       // 1011: the server failed
)

// closeWait is how long a closing connection waits for its peer to see why.
const closeWait = time.Second

// runSlots is how many requests of one connection run at once. It bounds the answers in memory that wait for a slow peer.
const runSlots = 64

// readSlots is how many of them may be reads, whose answers can be a frame long.
const readSlots = 16

var errGone = errors.New("the connection is closed")

// conn is one connection: its reader is the goroutine in serve, its writer the one in write.
type conn struct {
	server    *Server
	ws        *websocket.Conn
	net       *corkedConn
	id        string
	namespace string
	out       outbox
	slots     chan struct{} // one element a running request
	reads     chan struct{} // one element a running fetch, get or list

	ctx    context.Context // ends when the connection does
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	status  int    // close code, 0 while open
	reason  string // why it was closed
	queues  map[string]*queue
	held    uint64         // bytes of queued requests and staged pages
	running sync.WaitGroup // active queues and the writer
}

func newConn(s *Server, ws *websocket.Conn, nc *corkedConn, namespace string) *conn {
	c := &conn{
		server: s, ws: ws, net: nc, id: sessionID(), namespace: namespace,
		slots:  make(chan struct{}, runSlots),
		reads:  make(chan struct{}, readSlots),
		queues: make(map[string]*queue),
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.out.init()
	// Before the server knows the connection, so that no other frame can be the first.
	c.push(&protocol.Welcome{
		Version: protocol.Version, Server: "pagewire " + s.cfg.Version, Session: c.id, Limits: s.cfg.Limits, Namespace: namespace,
	})
	return c
}

// serve reads frames until the connection ends, then ends all that it holds.
func (c *conn) serve() {
	c.running.Add(1)
	go c.write()
	defer c.teardown()
	defer func() {
		if p := recover(); p != nil {
			c.server.metrics.panics.Add(1)
			c.server.cfg.Logger.Error("panic in a reader", "session", c.id, "panic", p, "stack", string(debug.Stack()))
			c.close(closeInternal, "the server failed; its log says why")
		}
	}()
	c.ws.SetReadLimit(int64(c.server.cfg.Limits.FrameBytes))
	patience := c.server.cfg.PingInterval + c.server.cfg.PingTimeout
	for {
		_ = c.ws.SetReadDeadline(time.Now().Add(patience))
		if c.ctx.Err() != nil {
			_ = c.ws.SetReadDeadline(time.Now().Add(closeWait))
		}
		kind, r, err := c.ws.NextReader()
		var in incoming
		if err == nil {
			in, err = receive(r)
		}
		if err != nil {
			c.readFailed(err)
			return
		}
		if c.ctx.Err() != nil {
			in.done()
			continue // until the peer answers the close frame
		}
		c.message(kind, in)
	}
}

// readFailed notes why the last read failed.
func (c *conn) readFailed(err error) {
	var closed *websocket.CloseError
	var timeout net.Error
	switch {
	case c.ctx.Err() != nil:
	case errors.As(err, &closed):
		c.close(closed.Code, "closed by the client")
	case errors.Is(err, websocket.ErrReadLimit):
		c.server.metrics.badFrames.Add(1)
		c.close(websocket.CloseMessageTooBig, "a frame over the limit")
	case errors.As(err, &timeout) && timeout.Timeout():
		c.server.metrics.pingTimeouts.Add(1)
		c.close(closePolicy, "nothing came, not even an answer to a ping")
	default:
		c.close(websocket.CloseAbnormalClosure, "the connection broke")
	}
}

// close ends the connection: its writer sends the close frame. Only the first call counts.
func (c *conn) close(code int, reason string) {
	c.mu.Lock()
	first := c.status == 0
	if first {
		c.status, c.reason = code, reason
	}
	c.mu.Unlock()
	if first {
		c.cancel(errGone)
		// A write that is stuck must not keep the connection.
		_ = c.net.SetWriteDeadline(time.Now().Add(closeWait))
	}
}

// closed returns why the connection was closed.
func (c *conn) closed() (code int, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status, c.reason
}

// teardown ends everything that belongs to the connection and waits for what is running.
func (c *conn) teardown() {
	c.mu.Lock()
	var idle []*session
	for _, q := range c.queues {
		if !q.active && q.session != nil {
			idle = append(idle, q.session)
		}
	}
	c.mu.Unlock()
	for _, s := range idle {
		s.release()
	}
	c.running.Wait()
	c.mu.Lock()
	c.release(c.held)
	c.mu.Unlock()
	_ = c.ws.Close()
}
