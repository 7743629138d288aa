package pebble

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// An edit of the manifest is a row of tags, each with its fields; the oldest log is among the first.
const (
	tagComparator = 1 // a string: its length and its bytes
	tagOldestLog  = 2 // a number
)

// oldestReplayed reads the number of the oldest log that Pebble replays when it opens dir, 0 if there is no manifest.
// A manifest that cannot be read is left to Pebble, which refuses it with a better reason.
func oldestReplayed(fs vfs.FS, dir string) (uint64, error) {
	desc, err := pebble.Peek(dir, fs)
	if err != nil || !desc.Exists {
		return 0, nil
	}
	file, err := fs.Open(desc.ManifestFilename)
	if err != nil {
		return 0, fmt.Errorf("pebble: cannot read the manifest %s: %w", desc.ManifestFilename, err)
	}
	defer file.Close()
	oldest := uint64(0)
	edits := record.NewReader(file, 0)
	for {
		edit, err := edits.Next()
		if err != nil {
			return oldest, nil
		}
		if n := oldestLogOf(bufio.NewReader(edit)); n != 0 {
			oldest = n
		}
	}
}

// oldestLogOf reads the oldest log that an edit sets, 0 if it sets none.
func oldestLogOf(edit *bufio.Reader) uint64 {
	for {
		tag, err := binary.ReadUvarint(edit)
		if err != nil {
			return 0
		}
		n, err := binary.ReadUvarint(edit)
		if err != nil {
			return 0
		}
		switch tag {
		case tagOldestLog:
			return n
		case tagComparator:
			if _, err := io.CopyN(io.Discard, edit, int64(n)); err != nil {
				return 0
			}
		default:
			return 0
		}
	}
}
