package main

import (
	"github.com/fxamacker/cbor/v2"
	"github.com/gorilla/websocket"
)

// core is a WebSocket that carries CBOR, a request in one frame and one write.
type core struct {
	ws      *websocket.Conn
	request struct {
		ID      uint64   `cbor:"1,keyasint"`
		Indexes []uint32 `cbor:"2,keyasint"`
		Pages   []byte   `cbor:"3,keyasint"`
	}
}

func dialCore(url string) (connection, error) {
	ws, _, err := (&websocket.Dialer{WriteBufferSize: 32 << 10}).Dial(url, nil)
	if err != nil {
		return nil, err
	}
	c := &core{ws: ws}
	c.request.Indexes = []uint32{0, 3, 17, 40, 55}
	c.request.Pages = make([]byte, 20<<10)
	return c, nil
}

func (c *core) send() error {
	c.request.ID++
	b, err := cbor.Marshal(&c.request)
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
