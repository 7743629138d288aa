// Command server is the least that a server in Go can do for a durable commit: a goroutine reads a request of 20 KiB and
// hands it to another one, which writes it over a part of a file, syncs, and answers 64 bytes. A disk that hangs must not
// keep the reader from other requests. Its argument is the path of the file; it prints its port, and ends with its
// standard input.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"syscall"
)

const (
	requestSize = 20 << 10
	answerSize  = 64
	requests    = 400 // the file is as long as it gets, as that of echo-server.mjs
)

// answer syncs and answers one connection's requests; done gives their memory back.
func answer(file *os.File, conn net.Conn, taken <-chan []byte, done chan<- []byte) {
	defer conn.Close()
	bytes := make([]byte, answerSize)
	at := int64(0)
	for request := range taken {
		if _, err := file.WriteAt(request, at%requests*requestSize); err != nil {
			log.Fatal(err)
		}
		at++
		if err := syscall.Fdatasync(int(file.Fd())); err != nil {
			log.Fatal(err)
		}
		done <- request
		if _, err := conn.Write(bytes); err != nil {
			return
		}
	}
}

// read takes the requests of a connection, whose client waits for each answer.
func read(file *os.File, conn net.Conn) {
	taken, done := make(chan []byte, 1), make(chan []byte, 1)
	defer close(taken)
	done <- make([]byte, requestSize)
	go answer(file, conn, taken, done)
	for request := range done {
		if _, err := io.ReadFull(conn, request); err != nil {
			return
		}
		taken <- request
	}
}

func main() {
	file, err := os.Create(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	if _, err := file.Write(make([]byte, requests*requestSize)); err != nil {
		log.Fatal(err)
	}
	if err := file.Sync(); err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go read(file, conn)
	}
}
