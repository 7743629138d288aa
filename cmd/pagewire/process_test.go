package main_test

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/protocol"
)

// patience bounds every wait of these tests; nothing takes that long unless it hangs.
const patience = time.Minute

var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "pagewire-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "pagewire")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", &buildError{string(out), err}
	}
	return path, nil
})

type buildError struct {
	output string
	err    error
}

func (e *buildError) Error() string { return e.err.Error() + "\n" + e.output }

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := program(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// command is the built program with arguments, in an environment without settings but env.
func command(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := program()
	require.NoError(t, err)
	cmd := exec.Command(path, args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "PAGEWIRE_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// process is a running server.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	url    string // ws://127.0.0.1:PORT
	stdin  io.Closer
	stdout []string     // the rest of standard output, complete after wait
	stderr bytes.Buffer // complete after wait
	read   chan struct{}
}

var readyLine = regexp.MustCompile(`^pagewire: listening on (ws://127\.0\.0\.1:[1-9][0-9]*)$`)

// start starts a server on a free port of loopback and waits for its line.
func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	return launch(t, command(t, env, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...))
}

// launch starts a command that becomes a server and waits for its line.
func launch(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, read: make(chan struct{})}
	p.cmd.Stderr = &p.stderr
	stdin, err := p.cmd.StdinPipe()
	require.NoError(t, err)
	p.stdin = stdin
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // no harm to one that has ended
		<-p.read
	})
	lines := bufio.NewScanner(stdout)
	first := make(chan string, 1)
	go func() {
		defer close(p.read)
		defer close(first)
		for n := 0; lines.Scan(); n++ {
			if n == 0 {
				first <- lines.Text()
			} else {
				p.stdout = append(p.stdout, lines.Text())
			}
		}
	}()
	select {
	case line := <-first:
		found := readyLine.FindStringSubmatch(line)
		if found == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
			t.Fatalf("the first line is %q; standard error:\n%s", line, p.stderr.String())
		}
		p.url = found[1]
	case <-time.After(patience):
		t.Fatal("the server did not become ready")
	}
	return p
}

// wait waits for the end of the process and returns its exit code.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.read:
	case <-time.After(patience):
		p.t.Fatal("the server did not end")
	}
	_ = p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(s))
}

// fails runs the program, which must end with code 1, and returns what it says on standard error.
func fails(t *testing.T, env []string, args ...string) string {
	t.Helper()
	cmd := command(t, env, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	require.Error(t, cmd.Run())
	require.Equal(t, 1, cmd.ProcessState.ExitCode(), stderr.String())
	require.Empty(t, stdout.String())
	return stderr.String()
}

// client is a raw connection to the channel.
type client struct {
	t  *testing.T
	ws *websocket.Conn
}

// connect dials the channel and returns the client with the welcome message.
func connect(t *testing.T, url, token string) (*client, protocol.Welcome) {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{protocol.Subprotocol()}, HandshakeTimeout: patience}
	header := map[string][]string{}
	if token != "" {
		header["Authorization"] = []string{"Bearer " + token}
	}
	ws, _, err := dialer.Dial(url+protocol.ChannelPath+"?namespace=default", header)
	require.NoError(t, err)
	t.Cleanup(func() { _ = ws.Close() })
	require.NoError(t, ws.SetReadDeadline(time.Now().Add(patience)))
	c := &client{t, ws}
	return c, *receive[*protocol.Welcome](c)
}

// receive returns the next frame of type F and drops others.
func receive[F any](c *client) F {
	c.t.Helper()
	for {
		_, b, err := c.ws.ReadMessage()
		require.NoError(c.t, err)
		frame, err := protocol.DecodeServerFrame(b)
		require.NoError(c.t, err)
		if f, ok := frame.(F); ok {
			return f
		}
	}
}

// call sends a request and returns its result.
func call[R, B any](c *client, id uint64, op protocol.Op, body B) (result R) {
	c.t.Helper()
	b, err := protocol.Encode(protocol.Request[B]{ID: id, Actor: "actor", Op: op, Body: body})
	require.NoError(c.t, err)
	require.NoError(c.t, c.ws.WriteMessage(websocket.BinaryMessage, b))
	response := receive[*protocol.RawResponse](c)
	require.Equal(c.t, id, response.ID)
	require.Nil(c.t, response.Error)
	require.NoError(c.t, protocol.DecodeBody(response.Result, &result))
	return result
}
