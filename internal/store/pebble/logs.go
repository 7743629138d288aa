package pebble

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/wal"

	"github.com/pagewire/pagewire/internal/store"
)

// A record of the log begins with the sequence number of its first entry and the number of its entries.
const (
	recordSeq    = 8
	recordHeader = recordSeq + 4
)

// checkLogs checks that the records of the logs in dir follow each other without a gap. Pebble, which replays the logs
// one by one, takes one that was cut short between two records for a whole one, and would let later commits stand on
// earlier ones that are gone. What else may be wrong with a log it finds itself.
//
// Logs that Pebble will not replay are left out. It keeps some of them, to write them anew, and deletes later ones.
func checkLogs(fs vfs.FS, dir string) error {
	logs, err := wal.Scan(wal.Dir{FS: fs, Dirname: dir})
	if err != nil {
		return fmt.Errorf("pebble: cannot list the logs in %s: %w", dir, err)
	}
	oldest, err := oldestReplayed(fs, dir)
	if err != nil {
		return err
	}
	next := uint64(0) // sequence number that the next record must have, 0 at the first
	for _, log := range logs {
		if uint64(log.Num) < oldest {
			continue
		}
		if err := checkLog(log, &next); err != nil {
			return err
		}
	}
	return nil
}

func checkLog(log wal.LogicalLog, next *uint64) error {
	r := log.OpenForRead()
	defer r.Close()
	header := make([]byte, recordHeader)
	for {
		record, at, err := r.NextRecord()
		if err != nil {
			return nil // its end, or damage, or a tail that was being written
		}
		if _, err := io.ReadFull(record, header); err != nil {
			return nil
		}
		seq, count := binary.LittleEndian.Uint64(header), binary.LittleEndian.Uint32(header[recordSeq:])
		if *next != 0 && seq != *next {
			return fmt.Errorf("%w: the record at %s has sequence number %d, the one before it ended at %d: a log was cut short",
				store.ErrCorrupt, at, seq, *next)
		}
		*next = seq + uint64(count)
	}
}
