package main

import (
	"io"
	"net"
)

// plain is a bare TCP connection, whose server knows requests of five pages.
type plain struct {
	conn    *net.TCPConn
	request []byte
	answer  []byte
}

func dialPlain(to *net.TCPAddr) (connection, error) {
	conn, err := net.DialTCP("tcp", nil, to)
	if err != nil {
		return nil, err
	}
	return &plain{conn, make([]byte, maxPages*pageSize), make([]byte, 64)}, nil
}

func (p *plain) send(pages int) error {
	_, err := p.conn.Write(p.request[:pages*pageSize])
	return err
}

func (p *plain) await() error {
	_, err := io.ReadFull(p.conn, p.answer)
	return err
}

func (p *plain) close() { _ = p.conn.Close() }
