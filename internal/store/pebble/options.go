package pebble

import (
	"fmt"
	"log/slog"
	"runtime"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options say how much memory and disk a store may take. The zero value has defaults for a small server.
type Options struct {
	CacheBytes    int64        // block cache; 0 means DefaultCacheBytes
	MemTableBytes uint64       // one memtable, of which there are a few; 0 means DefaultMemTableBytes
	ReserveBytes  uint64       // free disk space below which writes that grow fail; 0 means DefaultReserveBytes
	FS            vfs.FS       // nil means the disk
	Logger        *slog.Logger // nil means slog.Default
}

// Defaults of Options, in bytes.
const (
	DefaultCacheBytes    = 12 << 20
	DefaultMemTableBytes = 32 << 20
	DefaultReserveBytes  = 64 << 20
)

const (
	// blockBytes holds a few pages: random reads of single pages are more frequent than long scans.
	blockBytes = 16 << 10
	// memTables is how many memtables may wait for their flush before writes stall.
	memTables = 4
	// bloomBits a key make about one in a hundred needless block reads for an absent key.
	bloomBits = 10
	// formatVersion of the files is pinned, so that an upgrade of Pebble changes files only when we say so.
	formatVersion = pebble.FormatTableFormatV6
)

func (o Options) withDefaults() Options {
	if o.CacheBytes == 0 {
		o.CacheBytes = DefaultCacheBytes
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = DefaultMemTableBytes
	}
	if o.ReserveBytes == 0 {
		o.ReserveBytes = DefaultReserveBytes
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

func (o Options) pebble(d *disk) *pebble.Options {
	p := &pebble.Options{
		CacheSize:                   o.CacheBytes,
		MemTableSize:                o.MemTableBytes,
		MemTableStopWritesThreshold: memTables,
		FormatMajorVersion:          formatVersion,
		FS:                          d,
		Logger:                      logger{o.Logger, d},
		CompactionConcurrencyRange:  func() (lower, upper int) { return 1, max(1, runtime.GOMAXPROCS(0)/2) },
		EventListener: &pebble.EventListener{
			// The call that met the corruption answers ErrCorrupt; the other actors go on.
			DataCorruption: func(info pebble.DataCorruptionInfo) { o.Logger.Error("store: corrupt data", "what", info.String()) },
		},
	}
	for i := range p.Levels {
		p.Levels[i].BlockSize = blockBytes
		p.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBits)
		// A block that the cache does not have costs more for being decompressed than for being read.
		p.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.FastestCompression }
	}
	return p
}

// logger hands Pebble's messages to slog.
type logger struct {
	log  *slog.Logger
	disk *disk
}

func (l logger) Infof(format string, args ...any) {
	l.log.Debug("store: pebble", "message", fmt.Sprintf(format, args...))
}

func (l logger) Errorf(format string, args ...any) {
	l.log.Error("store: pebble", "message", fmt.Sprintf(format, args...))
}

// Fatalf may not return: Pebble calls it when it cannot go on without endangering what it has acknowledged.
func (l logger) Fatalf(format string, args ...any) {
	l.disk.fail(fmt.Errorf("pebble cannot go on: "+format, args...))
	park()
}
