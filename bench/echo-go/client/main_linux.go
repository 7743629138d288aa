// Command client is the Go half of bench/echo-go.c, a c-shared library as Pagewire's is: C hands it a request, which it
// writes to the server on the thread that it is called on, and a goroutine reads the answers and tells C.
package main

/*
typedef void (*echo_answered)(void *);
static inline void echo_tell(echo_answered answered, void *ctx) { answered(ctx); }

// The repository's flags hide what is not marked.
#define EXPORTED __attribute__((visibility("default")))
EXPORTED int echoConnect(int port, echo_answered answered, void *ctx);
EXPORTED int echoSend(void);
EXPORTED void echoClose(void);
*/
import "C"

import (
	"io"
	"net"
	"unsafe"
)

// One connection at a time.
var (
	conn    *net.TCPConn
	request = make([]byte, 20<<10)
)

//export echoConnect
func echoConnect(port C.int, answered C.echo_answered, ctx unsafe.Pointer) C.int {
	c, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)})
	if err != nil {
		return 0
	}
	conn = c
	go func() {
		answer := make([]byte, 64)
		for {
			if _, err := io.ReadFull(c, answer); err != nil {
				return
			}
			C.echo_tell(answered, ctx)
		}
	}()
	return 1
}

//export echoSend
func echoSend() C.int {
	if _, err := conn.Write(request); err != nil {
		return 0
	}
	return 1
}

//export echoClose
func echoClose() { _ = conn.Close() }

func main() {}
