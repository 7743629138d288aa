package channel

import (
	"io"

	"github.com/pagewire/pagewire/internal/buffers"
)

// keepBytes is the size up to which a connection keeps its buffers between frames. Larger ones hold pages, which stay where
// they were received until they are staged, and are used again after that.
const keepBytes = 64 << 10

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

// enlarge copies a full buffer into a larger one, and gives up the full one.
func enlarge(buf []byte) []byte {
	larger := append(buffers.New(max(2*cap(buf), 4<<10)), buf...)
	buffers.Keep(buf)
	return larger
}
