package main_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/version"
)

func TestVersion(t *testing.T) {
	out, err := command(t, nil, "version").Output()
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(out), "pagewire "+version.Version+" "), string(out))

	content, err := os.ReadFile("../../package.json")
	require.NoError(t, err)
	var manifest struct{ Version string }
	require.NoError(t, json.Unmarshal(content, &manifest))
	require.Equal(t, manifest.Version, version.Version, "package.json is of another version")
}

func TestHelp(t *testing.T) {
	out, err := command(t, nil, "serve", "--help").Output()
	require.NoError(t, err)
	for _, want := range []string{
		"Examples:", "127.0.0.1:6420", "--max-actor-bytes size", "(default 10GiB)", "(default 1000)", "(default 64)",
		"(default 256MiB)", "(default 1MiB)", "--token-file", "PAGEWIRE_TOKEN", "--exit-with-stdin",
	} {
		require.Contains(t, string(out), want)
	}
}

func TestSignalDrains(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows sends no signals")
	}
	for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(s.String(), func(t *testing.T) {
			p := start(t, nil, "--data", t.TempDir())
			resp, err := http.Get(strings.Replace(p.url, "ws://", "http://", 1) + "/healthz")
			require.NoError(t, err)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, http.StatusOK, resp.StatusCode)
			require.Contains(t, string(body), version.Version)
			c, _ := connect(t, p.url, "")

			p.signal(s)
			require.EqualValues(t, 10_000, receive[*protocol.Drain](c).GraceMillis)
			require.NoError(t, c.ws.Close()) // the last client leaves, so the grace period need not pass
			require.Zero(t, p.wait(), p.stderr.String())
			require.Empty(t, p.stdout, "standard output is for one line")
			require.NotContains(t, p.stderr.String(), "pebble", "the store's messages are for --log-level debug")
		})
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows sends no signals")
	}
	p := start(t, nil, "--data", t.TempDir(), "--drain-grace", "1h")
	c, _ := connect(t, p.url, "")
	p.signal(syscall.SIGTERM)
	receive[*protocol.Drain](c)
	p.signal(syscall.SIGTERM)
	require.Equal(t, 1, p.wait(), p.stderr.String())
	require.Contains(t, p.stderr.String(), "ending without draining")
}

func TestGraceEnds(t *testing.T) {
	p := start(t, nil, "--data", t.TempDir(), "--drain-grace", "20ms", "--exit-with-stdin")
	c, _ := connect(t, p.url, "")
	require.NoError(t, p.stdin.Close())
	receive[*protocol.Drain](c)
	require.Zero(t, p.wait(), p.stderr.String())
}

func TestStdinEnd(t *testing.T) {
	p := start(t, nil, "--data", t.TempDir(), "--exit-with-stdin")
	require.NoError(t, p.stdin.Close())
	require.Zero(t, p.wait(), p.stderr.String())
	require.Contains(t, p.stderr.String(), "standard input ended")

	if runtime.GOOS == "windows" {
		return
	}
	// Who ends the input may send a signal with it: the server still drains.
	p = start(t, nil, "--data", t.TempDir(), "--exit-with-stdin", "--drain-grace", "1h")
	c, _ := connect(t, p.url, "")
	require.NoError(t, p.stdin.Close())
	receive[*protocol.Drain](c)
	p.signal(syscall.SIGTERM)
	require.NoError(t, c.ws.Close())
	require.Zero(t, p.wait(), p.stderr.String())
}

// TestStdinEndAlone checks that the end of standard input means nothing unless asked for: servers run with none.
func TestStdinEndAlone(t *testing.T) {
	p := start(t, nil, "--data", t.TempDir())
	require.NoError(t, p.stdin.Close())
	connect(t, p.url, "")
	select {
	case <-p.read:
		t.Fatal("the server ended with standard input")
	default:
	}
}

func TestDirectoryInUse(t *testing.T) {
	dir := t.TempDir()
	start(t, nil, "--data", dir)
	said := fails(t, nil, "serve", "--data", dir, "--listen", "127.0.0.1:0")
	require.Contains(t, said, "in use by another process")
	require.Contains(t, said, dir)
}

// TestKilled kills the server and checks that an acknowledged write is there when it runs again (I2), and that the
// directory is not left locked.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	p := start(t, nil, "--data", dir)
	c, _ := connect(t, p.url, "")
	opened := call[protocol.OpenResult](c, 1, protocol.OpOpen, protocol.Open{})
	call[protocol.Empty](c, 2, protocol.OpPut, protocol.Put{
		Generation: opened.Generation, Keys: [][]byte{[]byte("k")}, Values: [][]byte{[]byte("acknowledged")},
	})
	require.NoError(t, p.cmd.Process.Kill())
	p.wait()

	p = start(t, nil, "--data", dir)
	c, _ = connect(t, p.url, "")
	again := call[protocol.OpenResult](c, 1, protocol.OpOpen, protocol.Open{})
	require.Greater(t, again.Generation, opened.Generation, "I1: a generation was handed out twice")
	got := call[protocol.GetResult](c, 2, protocol.OpGet, protocol.Get{Keys: [][]byte{[]byte("k")}})
	require.Equal(t, [][]byte{[]byte("acknowledged")}, got.Values)
}

func TestTokens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(file, []byte("from-file\nsecond-from-file\n"), 0o600))
	for _, c := range []struct {
		name   string
		env    []string
		args   []string
		accept []string
	}{
		{"flags", nil, []string{"--token", "one", "--token", "two"}, []string{"one", "two"}},
		{"environment", []string{"PAGEWIRE_TOKEN=from-env"}, nil, []string{"from-env"}},
		{"several in the environment", []string{"PAGEWIRE_TOKENS=a b"}, nil, []string{"a", "b"}},
		{"file", nil, []string{"--token-file", file}, []string{"from-file", "second-from-file"}},
		{"file named in the environment", []string{"PAGEWIRE_TOKEN_FILE=" + file}, nil, []string{"from-file"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := start(t, c.env, append([]string{"--data", t.TempDir(), "--log-level", "debug"}, c.args...)...)
			for _, token := range c.accept {
				connect(t, p.url, token)
			}
			for _, token := range []string{"", "wrong"} {
				dialer := websocket.Dialer{Subprotocols: []string{protocol.Subprotocol()}}
				_, resp, err := dialer.Dial(p.url+protocol.ChannelPath, http.Header{"Authorization": {"Bearer " + token}})
				require.Error(t, err)
				require.NotNil(t, resp)
				require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
			}
			require.NoError(t, p.cmd.Process.Kill())
			p.wait()
			for _, token := range c.accept {
				if len(token) > 1 {
					require.NotContains(t, p.stderr.String(), token+" ", "a token was logged")
					require.NotContains(t, p.stderr.String(), "token="+token, "a token was logged")
				}
			}
		})
	}
}

func TestLimits(t *testing.T) {
	p := start(t, []string{"PAGEWIRE_MAX_ACTOR_QUEUE=7", "PAGEWIRE_MAX_COMMIT_BYTES=1MiB"},
		"--data", t.TempDir(), "--max-actor-bytes", "1GiB", "--max-connection-actors", "5", "--max-commit-bytes", "2MiB",
		"--preload-bytes", "64KiB", "--ping-interval", "1500ms", "--log-format", "json")
	_, welcome := connect(t, p.url, "")
	require.Contains(t, welcome.Server, version.Version)
	limits := welcome.Limits
	require.EqualValues(t, 1<<30, limits.ActorBytes)
	require.EqualValues(t, 5, limits.ConnectionActors)
	require.EqualValues(t, 7, limits.ActorQueue, "set in the environment")
	require.EqualValues(t, 2<<20, limits.CommitBytes, "a flag wins over the environment")
	require.EqualValues(t, 64<<10, limits.PreloadBytes)
	require.EqualValues(t, 1500, limits.PingMillis)
	require.EqualValues(t, 2<<10, limits.KeyBytes, "the default of what is not set")
	require.NoError(t, p.cmd.Process.Kill())
	p.wait()
	for _, line := range strings.Split(strings.TrimSpace(p.stderr.String()), "\n") {
		require.True(t, json.Valid([]byte(line)), line)
	}
}

func TestRefusals(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, []byte(" \n"), 0o600))
	const free = "127.0.0.1:0"
	for _, c := range []struct {
		name string
		env  []string
		args []string
		want []string
	}{
		{"no directory", nil, []string{"--listen", free}, []string{"--data"}},
		{"a file as directory", nil, []string{"--listen", free, "--data", file}, []string{"directory", file}},
		{"no token on all addresses", nil, []string{"--data", dir, "--listen", "0.0.0.0:0"}, []string{"without a token", "0.0.0.0:0"}},
		{"no token on no host", nil, []string{"--data", dir, "--listen", ":0"}, []string{"without a token"}},
		{"no token on IPv6", nil, []string{"--data", dir, "--listen", "[::]:0"}, []string{"without a token"}},
		{"an empty token", nil, []string{"--data", dir, "--listen", free, "--token", ""}, []string{"--token is empty"}},
		{"an empty variable", []string{"PAGEWIRE_TOKEN="}, []string{"--data", dir, "--listen", free}, []string{"PAGEWIRE_TOKEN ", "empty"}},
		{"an empty token file", nil, []string{"--data", dir, "--listen", free, "--token-file", file}, []string{"holds no token", file}},
		{"a missing token file", nil, []string{"--data", dir, "--listen", free, "--token-file", file + "2"}, []string{file + "2"}},
		{"a taken port", nil, []string{"--data", dir, "--listen", taken.Addr().String()}, []string{"is taken", taken.Addr().String(), "--listen"}},
		{"no address", nil, []string{"--data", dir, "--listen", "here"}, []string{"--listen", "here"}},
		{"an unknown log level", nil, []string{"--data", dir, "--log-level", "loud"}, []string{"loud", "debug, info, warn or error"}},
		{"an unknown log format", nil, []string{"--data", dir, "--log-format", "xml"}, []string{"xml", "text or json"}},
		{"a size with a wrong unit", nil, []string{"--data", dir, "--max-actor-bytes", "1GB"}, []string{"--max-actor-bytes", "MiB"}},
		{"a limit of nothing", nil, []string{"--data", dir, "--max-actor-queue", "0"}, []string{"--max-actor-queue", "at least 1"}},
		{"a wrong variable", []string{"PAGEWIRE_PING_INTERVAL=often"}, []string{"--data", dir}, []string{"PAGEWIRE_PING_INTERVAL", "often"}},
		{"limits that contradict", nil, []string{"--data", dir, "--listen", free, "--max-frame-bytes", "64KiB"}, []string{"frame limit"}},
		{"an unknown argument", nil, []string{"--data", dir, "more"}, []string{"more"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			said := fails(t, c.env, append([]string{"serve"}, c.args...)...)
			for _, want := range c.want {
				require.Contains(t, said, want)
			}
			require.NotContains(t, said, "Usage:", "the reason must not drown in the help")
		})
	}
}

func TestNotWritable(t *testing.T) {
	if runtime.GOOS == "windows" || os.Geteuid() == 0 {
		t.Skip("permissions do not bind this user")
	}
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o500))
	said := fails(t, nil, "serve", "--listen", "127.0.0.1:0", "--data", dir)
	require.Contains(t, said, "not writable")
	require.Contains(t, said, dir)
}

// TestStdoutGone checks that a server whose starter does not listen ends with a reason rather than run unnoticed.
func TestStdoutGone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs a device that is always full")
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("needs a device that is always full")
	}
	defer full.Close()
	cmd := command(t, nil, "serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0")
	cmd.Stdout = full
	var said strings.Builder
	cmd.Stderr = &said
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Run(), &exit)
	require.Equal(t, 1, exit.ExitCode())
	require.Contains(t, said.String(), "standard output")
}

func TestEphemeral(t *testing.T) {
	temporary := t.TempDir()
	p := start(t, []string{"TMPDIR=" + temporary, "TMP=" + temporary}, "--ephemeral", "--exit-with-stdin")
	entries, err := os.ReadDir(temporary)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.NoError(t, p.stdin.Close())
	require.Zero(t, p.wait())
	entries, err = os.ReadDir(temporary)
	require.NoError(t, err)
	require.Empty(t, entries, "the data stayed behind")
	require.Contains(t, fails(t, nil, "serve", "--ephemeral", "--data", "here"), "--ephemeral")
}
