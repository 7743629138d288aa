package main

import (
	"encoding/binary"
	"io"
	"log"
	"net"
	"net/http"

	"github.com/cockroachdb/pebble/v2"
	"github.com/fxamacker/cbor/v2"
	"github.com/gorilla/websocket"
)

const pageSize = 4096

// request is a commit without what makes it safe: no actor, generation, sequence, checksum.
type request struct {
	ID      uint64   `cbor:"1,keyasint"`
	Indexes []uint32 `cbor:"2,keyasint"`
	Pages   []byte   `cbor:"3,keyasint"`
}

type quiet struct{ pebble.Logger }

func (quiet) Infof(string, ...any) {}

func serveCore(listener net.Listener, dir string) error {
	db, err := pebble.Open(dir, &pebble.Options{
		MemTableSize: 16 << 20, MemTableStopWritesThreshold: 4, Logger: quiet{pebble.DefaultLogger}, // as Pagewire's
	})
	if err != nil {
		return err
	}
	// From here on logs are written anew, instead of growing, which takes a sync longer.
	old := request{Indexes: make([]uint32, 5), Pages: make([]byte, 5*pageSize)}
	for i := range 8000 {
		for k := range old.Indexes {
			old.Indexes[k] = uint32(i*k) % 1000
		}
		if err := store(db, &old, pebble.NoSync); err != nil {
			return err
		}
	}
	upgrader := websocket.Upgrader{}
	return http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		echoCore(db, ws)
	}))
}

// store writes pages, and as many other keys as Pagewire does: what it knows of the actor, and the file's size.
func store(db *pebble.DB, r *request, options *pebble.WriteOptions) error {
	batch := db.NewBatch()
	key := make([]byte, 0, 32)
	for i, index := range r.Indexes {
		key = binary.BigEndian.AppendUint32(append(key[:0], "actor/pages/"...), index)
		if err := batch.Set(key, r.Pages[i*pageSize:(i+1)*pageSize], nil); err != nil {
			return err
		}
	}
	for _, name := range []string{"actor/head", "actor/size"} {
		if err := batch.Set([]byte(name), make([]byte, 40), nil); err != nil {
			return err
		}
	}
	if err := batch.Commit(options); err != nil {
		return err
	}
	return batch.Close()
}

func echoCore(db *pebble.DB, ws *websocket.Conn) {
	pass(func(buffer []byte) ([]byte, error) {
		_, message, err := ws.NextReader()
		if err != nil {
			return nil, err
		}
		n := 0
		for err == nil {
			var read int
			read, err = message.Read(buffer[n:])
			n += read
		}
		if err != io.EOF {
			return nil, err
		}
		return buffer[:n], nil
	}, func(message []byte) error {
		var r request
		if err := cbor.Unmarshal(message, &r); err != nil {
			return err
		}
		if err := store(db, &r, pebble.Sync); err != nil {
			log.Print(err)
			return err
		}
		answer, err := cbor.Marshal(r.ID)
		if err != nil {
			return err
		}
		return ws.WriteMessage(websocket.BinaryMessage, answer)
	})
}
