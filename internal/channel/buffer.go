package channel

import (
	"io"
	"sync"
)

// keepBytes is the size up to which a connection keeps its buffers between frames. Larger ones hold pages, which stay where
// they were received until they are staged, and are used again after that.
const keepBytes = 64 << 10

// buffers holds *[]byte of more than keepBytes.
var buffers sync.Pool

// readMessage reads all of r into buf, or into a larger buffer if that is too small.
func readMessage(r io.Reader, buf []byte) ([]byte, error) {
	buf = buf[:0]
	for {
		if len(buf) == cap(buf) {
			buf = enlarge(buf)
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}

// enlarge copies a full buffer into a larger one.
func enlarge(buf []byte) []byte { return append(newBuffer(max(2*cap(buf), 4<<10)), buf...) }

// newBuffer returns an empty buffer of capacity n or more, one that was given up if that is large enough.
func newBuffer(n int) []byte {
	if n > keepBytes {
		if b, ok := buffers.Get().(*[]byte); ok && cap(*b) >= n {
			return (*b)[:0]
		}
	}
	return make([]byte, 0, n)
}

// recycle gives up a buffer.
func recycle(buf []byte) {
	if cap(buf) > keepBytes {
		buffers.Put(&buf)
	}
}
