// Command server is the least that a server in Go can do for a durable commit: a goroutine reads a request and
// hands it to another one, which has it synced and answers. A disk that hangs must not keep the reader from other requests.
//
//	server plain FILE      20 KiB on a TCP connection, written over a part of a file
//	server core DIRECTORY  CBOR in WebSocket frames, pages in Pebble: what Pagewire is made of
//
// It prints its port, and ends with its standard input.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"

	_ "github.com/pagewire/pagewire/internal/sysmon" // as in the client
)

const maxRequest = 512 << 10 // twice the pages that echo-go.c sends at most

// pass reads requests with read, into a buffer that it gets, and has answer run for each on another goroutine, until one of them
// fails.
func pass(read func([]byte) ([]byte, error), answer func([]byte) error) {
	taken, done := make(chan []byte, 1), make(chan []byte, 1)
	defer close(taken)
	done <- make([]byte, maxRequest)
	go func() {
		defer close(done)
		for request := range taken {
			if answer(request) != nil {
				return
			}
			done <- request
		}
	}()
	for buffer := range done {
		request, err := read(buffer[:maxRequest])
		if err != nil {
			return
		}
		taken <- request
	}
}

func main() {
	serve := map[string]func(net.Listener, string) error{"plain": servePlain, "core": serveCore}[os.Args[1]]
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	log.Fatal(serve(listener, os.Args[2]))
}
