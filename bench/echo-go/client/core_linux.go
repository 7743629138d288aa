package main

import (
	"github.com/fxamacker/cbor/v2"
	"github.com/gorilla/websocket"
)

// core is a WebSocket that carries CBOR, a request in one frame and one write.
type core struct {
	ws      *websocket.Conn
	last    uint64
	indexes []uint32
	pages   []byte
}

type request struct {
	ID      uint64   `cbor:"1,keyasint"`
	Indexes []uint32 `cbor:"2,keyasint"`
	Pages   []byte   `cbor:"3,keyasint"`
}

func dialCore(url string) (connection, error) {
	ws, _, err := (&websocket.Dialer{WriteBufferSize: 2 * maxPages * pageSize}).Dial(url, nil)
	if err != nil {
		return nil, err
	}
	c := &core{ws: ws, pages: make([]byte, maxPages*pageSize)}
	for i := range uint32(maxPages) {
		c.indexes = append(c.indexes, i*i)
	}
	return c, nil
}

func (c *core) send(pages int) error {
	c.last++
	b, err := cbor.Marshal(&request{c.last, c.indexes[:pages], c.pages[:pages*pageSize]})
	if err != nil {
		return err
	}
	return c.ws.WriteMessage(websocket.BinaryMessage, b)
}

func (c *core) await() error {
	_, b, err := c.ws.ReadMessage()
	if err != nil {
		return err
	}
	var id uint64
	return cbor.Unmarshal(b, &id)
}

func (c *core) close() { _ = c.ws.Close() }
