package main

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/pagewire/pagewire/internal/server"
	"github.com/pagewire/pagewire/internal/store/memory"
	"github.com/stretchr/testify/require"
)

// Clients that send their request a byte at a time, or never finish it, or keep the connection for nothing, are let go;
// others are answered meanwhile.
func TestSlowHTTPClientsAreLetGo(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	srv, err := server.New(server.Config{Store: memory.New(), Logger: log})
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	web := webServer(srv, 2*time.Second, log)
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	t.Cleanup(func() {
		require.NoError(t, web.Close())
		require.ErrorIs(t, <-served, http.ErrServerClosed)
	})
	const healthz = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
	for _, c := range []struct{ name, first, drip string }{
		{"silent", "", ""},
		{"header", "GET /healthz HTTP/1.1\r\nHost: x\r\nX: ", "x"},
		{"many header lines", "GET /v1/channel HTTP/1.1\r\nHost: x\r\n", "A: b\r\n"},
		{"body that does not come", "POST /v1/channel HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n", ""},
		{"body in drops", "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n", "x"},
		{"chunks", "POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"},
		{"idle", healthz, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", listener.Addr().String())
			require.NoError(t, err)
			defer conn.Close()
			_, err = conn.Write([]byte(c.first))
			require.NoError(t, err)
			closed := make(chan struct{})
			go func() {
				defer close(closed)
				_, _ = io.Copy(io.Discard, conn)
			}()
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			limit := time.After(time.Minute)
			for {
				select {
				case <-tick.C:
					_, _ = conn.Write([]byte(c.drip))
					resp, err := http.Get("http://" + listener.Addr().String() + "/readyz")
					require.NoError(t, err, "others are answered")
					require.Equal(t, http.StatusOK, resp.StatusCode)
					require.NoError(t, resp.Body.Close())
					continue
				case <-closed:
				case <-limit:
					require.FailNow(t, "the connection is kept")
				}
				return
			}
		})
	}
	t.Run("endless header", func(t *testing.T) {
		conn, err := net.Dial("tcp", listener.Addr().String())
		require.NoError(t, err)
		defer conn.Close()
		_, _ = conn.Write(append([]byte(healthz[:len(healthz)-2]+"X: "), bytes.Repeat([]byte{'x'}, 1<<20)...))
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err == nil { // the answer may be lost with the connection
			require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, resp.StatusCode)
		}
	})
}
