package main

import (
	"io"
	"net"
	"os"
	"syscall"
)

const (
	requestSize = 5 * pageSize
	answerSize  = 64
	requests    = 400 // the file is as long as it gets, as that of echo-server.mjs
)

func servePlain(listener net.Listener, path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := file.Write(make([]byte, requests*requestSize)); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go echoPlain(file, conn)
	}
}

func echoPlain(file *os.File, conn net.Conn) {
	defer conn.Close()
	bytes := make([]byte, answerSize)
	at := int64(0)
	pass(func(buffer []byte) ([]byte, error) {
		n, err := io.ReadFull(conn, buffer[:requestSize])
		return buffer[:n], err
	}, func(request []byte) error {
		if _, err := file.WriteAt(request, at%requests*requestSize); err != nil {
			return err
		}
		at++
		if err := syscall.Fdatasync(int(file.Fd())); err != nil {
			return err
		}
		_, err := conn.Write(bytes)
		return err
	})
}
