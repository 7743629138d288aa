package pebble

import (
	"bytes"
	"fmt"
)

// Keys in Pebble, in plain byte order. A and K are the escaped actor name and the escaped key: every byte 00 becomes
// 00 FF, and 00 01 ends the whole. No escaped name is a prefix of another one, so decoding is unambiguous; and since
// 00 01 sorts before 00 FF and before every other byte, escaped names sort as the names themselves do, the shorter one
// first.
//
//	| key            | bytes              | value                                                        |
//	|----------------|--------------------|--------------------------------------------------------------|
//	| format marker  | 00 "format"        | "pagewire store N", N the version of this table, now 1       |
//	| head           | 01 A               | u8 version = 1, u64 generation, u64 seq, u64 bytes used (BE) |
//	| preload hints  | 02 A               | u32 BE a page; absent when there are none                    |
//	| current value  | 03 A K             | the value                                                    |
//	| older versions | 03 A K + 8 bytes   | reserved: u64 BE complement of the commit sequence           |
//
// All data of an actor lies together, in key order, and no key that a client chooses can reach a head. The reserved
// versions of a value would follow the current one, newest first.
const (
	kindMeta  = 0x00
	kindHead  = 0x01
	kindHints = 0x02
	kindData  = 0x03
)

const (
	escape     = 0x00
	escapedNul = 0xFF // after escape: the byte 00
	terminator = 0x01 // after escape: the end
)

var (
	markerKey   = []byte("\x00format")
	markerName  = "pagewire store "
	markerValue = markerName + "1"
)

// appendEscaped appends the escaped and terminated name.
func appendEscaped[T string | []byte](dst []byte, name T) []byte {
	for i := 0; i < len(name); i++ {
		dst = append(dst, name[i])
		if name[i] == escape {
			dst = append(dst, escapedNul)
		}
	}
	return append(dst, escape, terminator)
}

// decodeEscaped appends the escaped name at the start of src to dst, and returns it with the bytes that follow.
func decodeEscaped(dst, src []byte) (name, rest []byte, err error) {
	for {
		i := bytes.IndexByte(src, escape)
		if i < 0 || i+1 == len(src) {
			return nil, nil, fmt.Errorf("key without an end")
		}
		dst = append(dst, src[:i]...)
		switch next := src[i+1]; next {
		case terminator:
			return dst, src[i+2:], nil
		case escapedNul:
			dst = append(dst, escape)
		default:
			return nil, nil, fmt.Errorf("key with the unknown escape %#02x", next)
		}
		src = src[i+2:]
	}
}

func headKey(actor string) []byte  { return appendEscaped([]byte{kindHead}, actor) }
func hintsKey(actor string) []byte { return appendEscaped([]byte{kindHints}, actor) }

// dataPrefix is what all data keys of the actor begin with.
func dataPrefix(actor string) []byte { return appendEscaped([]byte{kindData}, actor) }

// dataEnd is the exclusive end of the keys with the prefix, a value of dataPrefix.
func dataEnd(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	end[len(end)-1] = terminator + 1
	return end
}
