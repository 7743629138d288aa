// Command client is the Go half of bench/echo-go.c, a c-shared library as Pagewire's is: C hands it a request, which it
// writes to the server on the thread that it is called on, and a goroutine reads the answers and tells C.
package main

/*
typedef void (*echo_answered)(void *);
static inline void echo_tell(echo_answered answered, void *ctx) { answered(ctx); }

// The repository's flags hide what is not marked.
#define EXPORTED __attribute__((visibility("default")))
EXPORTED int echoConnect(int port, int core, echo_answered answered, void *ctx);
EXPORTED int echoSend(int pages);
EXPORTED void echoClose(void);
*/
import "C"

import (
	"fmt"
	"net"
	"unsafe"

	_ "github.com/pagewire/pagewire/internal/sysmon" // for a monitor of Go's as calm as Pagewire's
)

const (
	pageSize = 4096
	maxPages = 64
)

// connection is one to a server, plain or core.
type connection interface {
	send(pages int) error // a request of so many pages, at most maxPages
	await() error         // its answer
	close()
}

// One connection at a time; nil before the first one.
var current connection

func dial(port int, core bool) (connection, error) {
	if core {
		return dialCore(fmt.Sprintf("ws://127.0.0.1:%d/", port))
	}
	return dialPlain(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
}

//export echoConnect
func echoConnect(port, core C.int, answered C.echo_answered, ctx unsafe.Pointer) C.int {
	c, err := dial(int(port), core != 0)
	if err != nil {
		return 0
	}
	current = c
	go func() {
		for c.await() == nil {
			C.echo_tell(answered, ctx)
		}
	}()
	return 1
}

//export echoSend
func echoSend(pages C.int) C.int {
	if current.send(int(pages)) != nil {
		return 0
	}
	return 1
}

//export echoClose
func echoClose() {
	if current != nil {
		current.close()
	}
}

func main() {}
