package main

import "encoding/binary"

// Byte strings cross as {u32 little endian length, bytes}, with this length for an absent one.
const absent = 0xFFFFFFFF

func unpack(b []byte) ([][]byte, error) {
	var out [][]byte
	for len(b) > 0 {
		if len(b) < 4 {
			return nil, badRequest("byte strings: %d bytes are left, a length has 4", len(b))
		}
		n := binary.LittleEndian.Uint32(b)
		b = b[4:]
		if n == absent {
			out = append(out, nil)
			continue
		}
		if uint64(n) > uint64(len(b)) {
			return nil, badRequest("byte strings: one has %d bytes, %d are left", n, len(b))
		}
		out = append(out, b[:n:n])
		b = b[n:]
	}
	return out, nil
}

func pack(in [][]byte) []byte {
	var out []byte
	for _, b := range in {
		if b == nil {
			out = binary.LittleEndian.AppendUint32(out, absent)
			continue
		}
		out = binary.LittleEndian.AppendUint32(out, uint32(len(b)))
		out = append(out, b...)
	}
	return out
}
