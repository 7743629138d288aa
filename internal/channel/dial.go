package channel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/pagewire/pagewire/internal/protocol"
)

const (
	// welcomeBytes bounds the first frame, before the server's own limit is known.
	welcomeBytes = 64 << 10
	// The frame limit that a server announces is believed within these bounds. The lower one holds a page with its
	// envelope and the longest actor id; the upper one bounds what a broken server can make this process allocate.
	minFrameBytes, maxFrameBytes = 16 << 10, 64 << 20
	// The interval of pings that a server announces is believed within these bounds.
	minPing, maxPing, defaultPing = 10 * time.Millisecond, 10 * time.Minute, 30 * time.Second
	// bufferBytes is the size of a WebSocket's read and of its write buffer.
	bufferBytes = 32 << 10
)

// target makes the WebSocket URL of a configuration, without any secret in it.
func target(cfg *Config) (string, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil {
		// The parser's message quotes the URL, which may hold a secret.
		return "", fmt.Errorf("%w: it cannot be parsed; it should look like ws://127.0.0.1:6420", ErrInvalidURL)
	}
	switch strings.ToLower(u.Scheme) {
	case "ws", "http":
		u.Scheme = "ws"
	case "wss", "https":
		u.Scheme = "wss"
	default:
		return "", fmt.Errorf("%w: the scheme is %q; use ws, wss, http or https", ErrInvalidURL, u.Scheme)
	}
	if u.Hostname() == "" {
		return "", fmt.Errorf("%w: it names no host", ErrInvalidURL)
	}
	if port := u.Port(); port != "" {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return "", fmt.Errorf("%w: the port is %s; it must be below 65536", ErrInvalidURL, port)
		}
	}
	if u.User != nil {
		return "", fmt.Errorf("%w: it holds user information; pass the token by itself", ErrInvalidURL)
	}
	if u.Fragment != "" {
		return "", fmt.Errorf("%w: it has a fragment (#...); remove it", ErrInvalidURL)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return "", fmt.Errorf("%w: its query cannot be parsed", ErrInvalidURL)
	}
	for name := range query {
		if lower := strings.ToLower(name); strings.Contains(lower, "token") || lower == "authorization" {
			return "", fmt.Errorf("%w: its query holds a token (%s); pass the token by itself, URLs reach logs", ErrInvalidURL, name)
		}
	}
	// A short token may well be part of a host's name.
	if len(cfg.Token) >= 8 && strings.Contains(cfg.URL, cfg.Token) {
		return "", fmt.Errorf("%w: it holds the token; pass the token by itself, URLs reach logs", ErrInvalidURL)
	}
	for _, r := range cfg.Token {
		if r <= ' ' || r > '~' {
			return "", fmt.Errorf("%w: the token holds a character that is no printable ASCII", ErrInvalidURL)
		}
	}
	if cfg.Namespace != "" {
		query.Set("namespace", cfg.Namespace)
	}
	u.RawQuery = query.Encode()
	// A path is kept as the prefix that a reverse proxy serves the channel under.
	path := strings.TrimSuffix(strings.TrimRight(u.Path, "/"), protocol.ChannelPath) + protocol.ChannelPath
	if path != u.Path {
		u.Path, u.RawPath = path, ""
	}
	return u.String(), nil
}

// namespace returns the one that the URL of the channel names.
func (c *Channel) namespace() string {
	u, err := url.Parse(c.url)
	if err != nil {
		return ""
	}
	if name := u.Query().Get("namespace"); name != "" {
		return name
	}
	return protocol.DefaultNamespace
}

// connect makes one connection: TCP, TLS, the WebSocket handshake and the welcome. It does not start it.
func (c *Channel) connect(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.ConnectTimeout)
	defer cancel()
	header := http.Header{}
	if c.cfg.Token != "" {
		header.Set("Authorization", "Bearer "+c.cfg.Token)
	}
	var sock *socket
	// The WebSocket library looks at the context's deadline only: its end closes the socket under the handshake.
	watch := func() bool { return true }
	defer func() { watch() }()
	dialer := websocket.Dialer{
		NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			raw, err := c.cfg.NetDial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			sock = &socket{Conn: raw, sent: &c.sent, received: &c.received, try: tryWriterOf(raw), turn: make(chan struct{}, 1)}
			watch = context.AfterFunc(ctx, func() { raw.Close() })
			return sock, nil
		},
		TLSClientConfig: c.cfg.TLS,
		Subprotocols:    []string{protocol.Subprotocol()},
		ReadBufferSize:  bufferBytes,
		WriteBufferSize: bufferBytes,
	}
	ws, resp, err := dialer.DialContext(ctx, c.url, header)
	if err != nil {
		if errors.Is(err, websocket.ErrBadHandshake) && resp != nil {
			return nil, c.refused(resp)
		}
		return nil, unreachable(ctx, err)
	}
	k, err := c.greet(ws)
	if err == nil && !watch() {
		err = fmt.Errorf("%w: no welcome in time", ErrUnreachable)
	}
	if err != nil {
		ws.Close()
		return nil, unreachable(ctx, err)
	}
	// Nothing else uses the connection yet, so its patience can be set without a lock. It is set on every read and write
	// that makes progress: a slow large frame is no dead peer.
	sock.patience = k.ping*5/2 + time.Millisecond
	k.socket = sock
	return k, nil
}

// unreachable makes the error of an attempt to connect: err, and the end of ctx if that is behind it.
func unreachable(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w: %w", ErrUnreachable, ctx.Err(), err)
	case errors.Is(err, ErrUnreachable), errors.Is(err, ErrVersion):
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

// greet checks the subprotocol and reads the welcome.
func (c *Channel) greet(ws *websocket.Conn) (*conn, error) {
	if got, want := ws.Subprotocol(), protocol.Subprotocol(); got != want {
		return nil, fmt.Errorf("%w: the server chose the subprotocol %q, this client speaks %q", ErrVersion, got, want)
	}
	ws.SetReadLimit(welcomeBytes)
	kind, frame, err := ws.ReadMessage()
	if err != nil {
		return nil, fmt.Errorf("%w: no welcome: %w", ErrUnreachable, err)
	}
	if kind != websocket.BinaryMessage {
		return nil, fmt.Errorf("%w: %w: the first frame is text", ErrUnreachable, errProtocol)
	}
	decoded, err := protocol.DecodeServerFrame(frame)
	if err != nil {
		return nil, fmt.Errorf("%w: %w: bad first frame: %w", ErrUnreachable, errProtocol, err)
	}
	w, ok := decoded.(*protocol.Welcome)
	if !ok {
		return nil, fmt.Errorf("%w: %w: the first frame is a %T, no welcome", ErrUnreachable, errProtocol, decoded)
	}
	if w.Version != protocol.Version {
		return nil, fmt.Errorf("%w: the server speaks version %d, this client %d", ErrVersion, w.Version, protocol.Version)
	}
	if want := c.namespace(); w.Namespace != want {
		return nil, fmt.Errorf("%w: %w: the server answers for the namespace %q, %q was asked for", ErrUnreachable, errProtocol,
			w.Namespace, want)
	}
	if w.Limits.FrameBytes < minFrameBytes {
		return nil, fmt.Errorf("%w: %w: a frame limit of %d bytes, less than %d", ErrUnreachable, errProtocol,
			w.Limits.FrameBytes, minFrameBytes)
	}
	frames := min(w.Limits.FrameBytes, maxFrameBytes)
	ws.SetReadLimit(int64(frames))
	ping := defaultPing
	if ms := w.Limits.PingMillis; ms > 0 {
		ping = max(minPing, time.Duration(min(ms, uint64(maxPing.Milliseconds())))*time.Millisecond)
	}
	return &conn{
		c: c, ws: ws, limits: w.Limits, server: w.Server, frameBytes: int(frames), ping: ping, born: time.Now(),
		inflight: make(map[uint64]*call), wake: make(chan struct{}, 1), stop: make(chan struct{}),
	}, nil
}

// refused makes an error of the HTTP answer that stands in place of the WebSocket handshake. A server that knows what is
// wrong says it as {"code", "message"}.
func (c *Channel) refused(resp *http.Response) error {
	defer resp.Body.Close()
	var said struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	// gorilla hands out at most 1 KiB of the body.
	body, _ := io.ReadAll(resp.Body)
	detail := fmt.Errorf("HTTP status %d", resp.StatusCode)
	if json.Unmarshal(body, &said) == nil && said.Code != "" {
		if c.cfg.Token != "" {
			said.Message = strings.ReplaceAll(said.Message, c.cfg.Token, "[token]")
		}
		detail = fmt.Errorf("HTTP status %d: %w", resp.StatusCode,
			&protocol.Error{Code: protocol.Code(said.Code), Message: said.Message})
	}
	switch {
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden,
		said.Code == string(protocol.CodeUnauthorized):
		return fmt.Errorf("%w: %w", ErrUnauthorized, detail)
	case said.Code == string(protocol.CodeVersionMismatch):
		return fmt.Errorf("%w: %w", ErrVersion, detail)
	case said.Code != "" && resp.StatusCode/100 == 4:
		// The server was reached and says what is wrong with the request.
		return fmt.Errorf("channel: the server refuses the connection: %w", detail)
	case resp.StatusCode == http.StatusOK:
		return fmt.Errorf("%w: %w: is this a Pagewire server?", ErrUnreachable, detail)
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, detail)
}
