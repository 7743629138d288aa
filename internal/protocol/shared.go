package protocol

import "errors"

// Raw is an item that is not decoded yet. It shares memory with what it was decoded from.
type Raw []byte

// UnmarshalCBOR implements cbor.Unmarshaler.
func (r *Raw) UnmarshalCBOR(item []byte) error {
	*r = item[:len(item):len(item)]
	return nil
}

// MarshalCBOR implements cbor.Marshaler.
func (r Raw) MarshalCBOR() ([]byte, error) {
	if len(r) == 0 {
		return []byte{cborNull}, nil
	}
	return r, nil
}

// Bytes is a byte string that shares memory with what it was decoded from: those of pages are nearly all of a frame, and
// are copied from it to where they are used.
type Bytes []byte

// UnmarshalCBOR implements cbor.Unmarshaler.
func (b *Bytes) UnmarshalCBOR(item []byte) error {
	if len(item) == 1 && item[0] == cborNull {
		*b = nil
		return nil
	}
	major, n, rest, ok := readHead(item)
	if !ok || major != majorBytes || n != uint64(len(rest)) {
		return errors.New("not a byte string")
	}
	*b = rest[:len(rest):len(rest)]
	return nil
}

// cborNull is the item null.
const cborNull = 0xf6
