package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/pagewire/pagewire/internal/store"
)

const (
	headVersion = 2
	headSize    = 1 + 4*8
	// Version 1 had no epoch.
	headVersion1, headSize1 = 1, 1 + 3*8
)

func encodeHead(h store.Head) []byte {
	b := make([]byte, 1, headSize)
	b[0] = headVersion
	b = binary.BigEndian.AppendUint64(b, h.Generation)
	b = binary.BigEndian.AppendUint64(b, h.Seq)
	b = binary.BigEndian.AppendUint64(b, h.UsedBytes)
	return binary.BigEndian.AppendUint64(b, h.Epoch)
}

func decodeHead(b []byte) (store.Head, error) {
	var epoch uint64
	switch {
	case len(b) == headSize && b[0] == headVersion:
		epoch = binary.BigEndian.Uint64(b[25:])
	case len(b) == headSize1 && b[0] == headVersion1:
	default:
		return store.Head{}, fmt.Errorf("%w: an actor's head of %d bytes is not one of version %d",
			store.ErrCorrupt, len(b), headVersion)
	}
	return store.Head{
		Generation: binary.BigEndian.Uint64(b[1:]),
		Seq:        binary.BigEndian.Uint64(b[9:]),
		UsedBytes:  binary.BigEndian.Uint64(b[17:]),
		Epoch:      epoch,
	}, nil
}

func encodeHints(hints []uint32) []byte {
	b := make([]byte, 0, 4*len(hints))
	for _, page := range hints {
		b = binary.BigEndian.AppendUint32(b, page)
	}
	return b
}

func decodeHints(b []byte) ([]uint32, error) {
	if len(b)%4 != 0 {
		return nil, fmt.Errorf("%w: preload hints of %d bytes", store.ErrCorrupt, len(b))
	}
	hints := make([]uint32, 0, len(b)/4)
	for ; len(b) > 0; b = b[4:] {
		hints = append(hints, binary.BigEndian.Uint32(b))
	}
	return hints, nil
}

// readHead reads the actor's head as of the reader's moment, the zero Head if there is none.
func readHead(r pebble.Reader, actor string) (store.Head, error) {
	var head store.Head
	err := read(r, headKey(actor), func(b []byte) (err error) {
		head, err = decodeHead(b)
		return err
	})
	if err != nil {
		return store.Head{}, err
	}
	err = read(r, hintsKey(actor), func(b []byte) (err error) {
		head.Hints, err = decodeHints(b)
		return err
	})
	if err != nil {
		return store.Head{}, err
	}
	return head, nil
}

// read hands the key's value, valid during the call only, to fn unless the key is absent.
func read(r pebble.Reader, key []byte, fn func(value []byte) error) error {
	value, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err != nil {
		return translate(err)
	}
	defer closer.Close()
	return fn(value)
}
