package pebble

import (
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// fillBytes is how much of a new log is written with zeros at once, ahead of its records.
const fillBytes = 256 << 10

var zeros [fillBytes]byte

// logFile is a log that is filled with zeros a piece ahead of its records. To sync what overwrites bytes that are there
// costs one write of them; where the file grows, even into blocks that were reserved for it, the file system must sync
// what it knows about the file as well, which takes about twice as long. Logs that Pebble writes anew have their bytes
// already, but the first ones of a process are all new.
//
// To its readers the zeros are what is left in a log that was written anew: no record. Its writer is one goroutine.
type logFile struct {
	diskFile
	end    int64 // of what was written
	filled int64 // bytes that the file has
	synced int64 // end at the last sync
}

func isLog(file string) bool { return strings.HasSuffix(file, ".log") }

// newLogFile makes a logFile of f, which has bytes already if it is written anew. If the file does not tell how many, it is
// left as it is: Pebble could not go on after an error.
func newLogFile(f diskFile) vfs.File {
	info, err := f.Stat()
	if err != nil {
		return &f
	}
	return &logFile{diskFile: f, filled: info.Size()}
}

// Write implements vfs.File. What is too large for one sync to care about is written without zeros before it.
func (f *logFile) Write(p []byte) (n int, err error) {
	if end := f.end + int64(len(p)); end > f.filled && end-f.synced <= fillBytes {
		if _, err := f.WriteAt(zeros[:], f.filled); err != nil {
			return 0, err
		}
		f.filled += fillBytes
	}
	n, err = f.diskFile.Write(p)
	f.end += int64(n)
	f.filled = max(f.filled, f.end)
	return n, err
}

// Sync implements vfs.File.
func (f *logFile) Sync() error {
	f.synced = f.end
	return f.diskFile.Sync()
}

// SyncData implements vfs.File.
func (f *logFile) SyncData() error {
	f.synced = f.end
	return f.diskFile.SyncData()
}
