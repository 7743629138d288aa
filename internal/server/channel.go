package server

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/gorilla/websocket"
	"github.com/pagewire/pagewire/internal/protocol"
)

var upgrader = websocket.Upgrader{
	Subprotocols:    []string{protocol.Subprotocol()},
	ReadBufferSize:  32 * kib,
	WriteBufferSize: 16 * kib,
	WriteBufferPool: &sync.Pool{},
	CheckOrigin:     func(*http.Request) bool { return true }, // admit has checked it
	Error: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
		refuse(w, status, protocol.CodeBadRequest, "%v", reason)
	},
}

// refusal is why a connection is not accepted.
type refusal struct {
	status int
	*protocol.Error
}

// serveChannel accepts a connection and serves it to its end.
func (s *Server) serveChannel(w http.ResponseWriter, r *http.Request) {
	namespace, no := s.admit(r)
	if no != nil {
		s.metrics.refused.Add(1)
		if no.status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		if no.status == http.StatusUpgradeRequired {
			w.Header().Set("Upgrade", "websocket")
		}
		s.cfg.Logger.Info("connection refused", "remote", r.RemoteAddr, "status", no.status, "code", no.Code)
		refuse(w, no.status, no.Code, "%s", no.Message)
		return
	}
	h := &corkingHijacker{ResponseWriter: w}
	ws, err := upgrader.Upgrade(h, r, nil)
	if err != nil {
		s.metrics.refused.Add(1)
		s.cfg.Logger.Info("connection refused", "remote", r.RemoteAddr, "error", err)
		return
	}
	c := newConn(s, ws, h.conn, namespace)
	if !s.register(c) {
		_ = ws.Close()
		return
	}
	defer s.unregister(c)
	log := s.cfg.Logger.With("session", c.id)
	log.Info("connected", "remote", r.RemoteAddr, "namespace", namespace)
	c.serve()
	code, reason := c.closed()
	log.Info("disconnected", "status", code, "reason", reason)
}

// admit checks a request for the channel, all but its WebSocket handshake.
func (s *Server) admit(r *http.Request) (namespace string, no *refusal) {
	deny := func(status int, code protocol.Code, format string, args ...any) (string, *refusal) {
		return "", &refusal{status, protocol.Errorf(code, format, args...)}
	}
	if _, err := url.ParseQuery(r.URL.RawQuery); err != nil {
		return deny(http.StatusBadRequest, protocol.CodeBadRequest, "the URL's query is malformed")
	}
	if s.tokens.credentialInURL(r.URL) {
		return deny(http.StatusBadRequest, protocol.CodeBadRequest,
			"the URL carries a credential, which ends up in logs: send it in the Authorization header (Bearer), or as a %s subprotocol; and replace it, it is known now",
			protocol.TokenSubprotocolPrefix)
	}
	if !websocket.IsWebSocketUpgrade(r) {
		return deny(http.StatusUpgradeRequired, protocol.CodeBadRequest, "this is a WebSocket endpoint: connect with the subprotocol %s",
			protocol.Subprotocol())
	}
	token, isBearer := bearer(r.Header)
	if !isBearer {
		return deny(http.StatusUnauthorized, protocol.CodeUnauthorized, "the Authorization header is not of the Bearer scheme")
	}
	_, subprotocolToken, err := protocol.ParseSubprotocols(r.Header.Values("Sec-WebSocket-Protocol"))
	var perr *protocol.Error
	if errors.As(err, &perr) {
		if perr.Code == protocol.CodeUnauthorized {
			return "", &refusal{http.StatusUnauthorized, perr}
		}
		return "", &refusal{http.StatusBadRequest, perr}
	}
	if token == "" {
		token = subprotocolToken
	}
	switch {
	case len(s.tokens) == 0:
		// A page from elsewhere, in a browser of this machine, must not reach a server without tokens.
		if !sameOrigin(r) {
			return deny(http.StatusForbidden, protocol.CodeUnauthorized,
				"the page's origin is not this server, which has no tokens configured: configure one and send it")
		}
	case token == "":
		return deny(http.StatusUnauthorized, protocol.CodeUnauthorized,
			"no token: send it in the Authorization header (Bearer), or as a %s subprotocol", protocol.TokenSubprotocolPrefix)
	case !s.tokens.accept(token):
		return deny(http.StatusUnauthorized, protocol.CodeUnauthorized, "the token is not one of this server's")
	}
	namespace = protocol.DefaultNamespace
	if values, ok := r.URL.Query()["namespace"]; ok {
		namespace = values[0]
	}
	if errors.As(protocol.ValidateNamespace(namespace), &perr) {
		return "", &refusal{http.StatusBadRequest, perr}
	}
	if s.isDraining() {
		return deny(http.StatusServiceUnavailable, protocol.CodeDraining, "the server is shutting down: connect to another one, or later")
	}
	if s.crowded() {
		return deny(http.StatusServiceUnavailable, protocol.CodeBackpressure,
			"the server has %d connections, its limit: connect to another one, or later", s.cfg.MaxConnections)
	}
	return namespace, nil
}

// sameOrigin says whether a request comes from no web page, or from one of this very host.
func sameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}

// corkingHijacker hands out the connection of a request as a corkedConn.
type corkingHijacker struct {
	http.ResponseWriter
	conn *corkedConn
}

// Hijack implements http.Hijacker.
func (h *corkingHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.conn = newCorkedConn(conn)
	return h.conn, rw, nil
}

// sessionID names a connection in logs.
func sessionID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
