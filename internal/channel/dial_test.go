package channel_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/channel"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/server"
)

const token = "s3cret-bearer-token"

func TestDialRefusesURLs(t *testing.T) {
	for _, test := range []struct{ url, says string }{
		{"", "scheme"},
		{"ftp://127.0.0.1", "scheme"},
		{"127.0.0.1:6420", "cannot be parsed"},
		{"ws://", "no host"},
		{"ws://user:pass@127.0.0.1", "user information"},
		{"ws://127.0.0.1/?token=abc", "token"},
		{"ws://127.0.0.1/?access_token=abc", "token"},
		{"ws://127.0.0.1/" + token, "token"},
		{"ws://127.0.0.1/#x", "fragment"},
		{"ws://127.0.0.1/?a=%zz", "query"},
		{"ws://127.0.0.1:port/" + token, "cannot be parsed"},
	} {
		t.Run(test.url, func(t *testing.T) {
			_, err := channel.Dial(t.Context(), channel.Config{URL: test.url, Token: token})
			require.ErrorIs(t, err, channel.ErrInvalidURL)
			require.Contains(t, err.Error(), test.says)
			require.NotContains(t, err.Error(), token)
			require.Equal(t, "invalid_url", channel.Code(err))
		})
	}
	_, err := channel.Dial(t.Context(), channel.Config{URL: "ws://127.0.0.1", Token: "a\r\nb"})
	require.ErrorIs(t, err, channel.ErrInvalidURL)
}

func TestDialURLs(t *testing.T) {
	_, addr := startServer(t, server.Config{Store: newStore(t)})
	for _, url := range []string{"ws://" + addr, "http://" + addr + "/", "WS://" + addr + protocol.ChannelPath} {
		c, err := channel.Dial(t.Context(), channel.Config{URL: url, Namespace: "other"})
		require.NoError(t, err, url)
		require.Equal(t, uint64(64), c.Limits().ActorQueue)
		require.NoError(t, c.Close(t.Context()))
	}
}

func TestDialSaysWhyItFailed(t *testing.T) {
	_, guarded := startServer(t, server.Config{Store: newStore(t), Tokens: []string{"another-token-of-the-server"}})
	_, open := startServer(t, server.Config{Store: newStore(t)})
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, free.Close())
	serve := func(h http.HandlerFunc) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	status := func(code int, body string) string {
		return serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); fmt.Fprint(w, body) })
	}
	welcome := func(subprotocol string, frame any) string {
		return serve(func(w http.ResponseWriter, r *http.Request) {
			u := websocket.Upgrader{Subprotocols: []string{subprotocol}}
			ws, err := u.Upgrade(w, r, nil)
			if err != nil {
				return
			}
			defer ws.Close()
			if frame != nil {
				b, err := protocol.Encode(frame)
				if err != nil {
					return
				}
				_ = ws.WriteMessage(websocket.BinaryMessage, b)
			}
			_, _, _ = ws.ReadMessage()
		})
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { silent.Close() })
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	t.Cleanup(secure.Close)

	for _, test := range []struct {
		name, url, namespace string
		is                   error
		code, says           string
	}{
		{"nobody listens", "ws://" + free.Addr().String(), "", channel.ErrUnreachable, "unreachable", "refused"},
		{"wrong token", "ws://" + guarded, "", channel.ErrUnauthorized, "unauthorized", "not one of this server's"},
		{"bad namespace", "ws://" + open, "a/b", nil, "bad_request", "namespace"},
		{"no such path", "ws://" + status(404, "page not found"), "", channel.ErrUnreachable, "unreachable", "404"},
		{"a web page", "ws://" + status(200, "<html>"), "", channel.ErrUnreachable, "unreachable", "is this a Pagewire server"},
		{"draining", "ws://" + status(503, `{"code":"draining","message":"shutting down"}`), "", channel.ErrUnreachable, "unreachable", "draining: shutting down"},
		{"a server that tells tokens", "ws://" + status(400, `{"code":"bad_request","message":"what is `+token+`?"}`), "", nil, "bad_request", "what is [token]?"},
		{"forbidden", "ws://" + status(403, ""), "", channel.ErrUnauthorized, "unauthorized", "403"},
		{"version refused", "ws://" + status(400, `{"code":"version_mismatch","message":"use 2"}`), "", channel.ErrVersion, "version_mismatch", "use 2"},
		{"no subprotocol", "ws://" + welcome("other", nil), "", channel.ErrVersion, "version_mismatch", "subprotocol"},
		{"another version", "ws://" + welcome(protocol.Subprotocol(), protocol.Welcome{Namespace: protocol.DefaultNamespace, Version: protocol.Version + 1}), "", channel.ErrVersion, "version_mismatch", "version 2"},
		{"no welcome", "ws://" + welcome(protocol.Subprotocol(), nil), "", channel.ErrUnreachable, "unreachable", "deadline"},
		{"a ping for a welcome", "ws://" + welcome(protocol.Subprotocol(), protocol.Ping{}), "", channel.ErrUnreachable, "unreachable", "no welcome"},
		{"another namespace", "ws://" + welcome(protocol.Subprotocol(), protocol.Welcome{Version: protocol.Version, Namespace: "dEfault"}), "", channel.ErrUnreachable, "unreachable", `"dEfault", "default" was asked for`},
		{"absurd limits", "ws://" + welcome(protocol.Subprotocol(), protocol.Welcome{Namespace: protocol.DefaultNamespace, Version: protocol.Version}), "", channel.ErrUnreachable, "unreachable", "frame limit"},
		{"silence", "ws://" + silent.Addr().String(), "", channel.ErrUnreachable, "unreachable", "i/o timeout|deadline"},
		{"unknown authority", "wss://" + secure.Listener.Addr().String(), "", channel.ErrUnreachable, "unreachable", "certificate"},
		{"TLS to a plain server", "wss://" + open, "", channel.ErrUnreachable, "unreachable", "tls"},
	} {
		t.Run(test.name, func(t *testing.T) {
			limit := patience
			if strings.Contains(test.says, "deadline") {
				limit = 300 * time.Millisecond // it has to run out
			}
			_, err := channel.Dial(t.Context(), channel.Config{URL: test.url, Token: token, Namespace: test.namespace, ConnectTimeout: limit})
			require.Error(t, err)
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
			require.Equal(t, test.code, channel.Code(err), "%v", err)
			require.True(t, slices.ContainsFunc(strings.Split(test.says, "|"), func(s string) bool { return strings.Contains(err.Error(), s) }), "%v", err)
			require.NotContains(t, err.Error(), token)
		})
	}
	requireNoGoroutines(t)
}

func TestDialEndsWithItsContext(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		if conn, err := silent.Accept(); err == nil {
			cancel()
			defer conn.Close()
			<-t.Context().Done()
		}
	}()
	begin := time.Now()
	_, err = channel.Dial(ctx, channel.Config{URL: "ws://" + silent.Addr().String(), ConnectTimeout: patience})
	require.Equal(t, "aborted", channel.Code(err))
	require.Less(t, time.Since(begin), patience, "it waited for the timeout of the attempt")
}

func TestDialWithTLSAndToken(t *testing.T) {
	s, err := server.New(server.Config{Store: newStore(t), Tokens: []string{token}, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	h := httptest.NewTLSServer(s)
	defer h.Close()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(h.Certificate())
	c, err := channel.Dial(t.Context(), channel.Config{
		URL: strings.Replace(h.URL, "https", "wss", 1), Token: token, TLS: &tls.Config{RootCAs: roots},
	})
	require.NoError(t, err)
	a := open(t, c, "actor")
	_, err = commitPages(t.Context(), a, 1, 300, 1)
	require.NoError(t, err)
	require.NoError(t, c.Close(t.Context()))
}

func TestCode(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{errors.New("?"), "internal_error"},
		{protocol.Errorf(protocol.CodeStorageQuotaExceeded, "full"), "storage_quota_exceeded"},
		{fmt.Errorf("commit: %w", protocol.Errorf(protocol.CodeOutOfOrder, "x")), "commit_out_of_order"},
		{fmt.Errorf("%w: %w", channel.ErrLockLost, protocol.Errorf(protocol.CodeLockLost, "x")), "lock_lost"},
		{fmt.Errorf("%w: %w", channel.ErrIndeterminate, context.Canceled), "commit_indeterminate"},
		{context.Canceled, "aborted"},
		{context.DeadlineExceeded, "timeout"},
		{channel.ErrTimeout, "timeout"},
		{fmt.Errorf("%w: %w", channel.ErrUnreachable, context.DeadlineExceeded), "unreachable"},
		{channel.ErrClosed, "channel_closed"},
		{channel.ErrActorClosed, "closed"},
		{channel.ErrUnauthorized, "unauthorized"},
		{channel.ErrVersion, "version_mismatch"},
	} {
		require.Equal(t, test.want, channel.Code(test.err))
	}
}
