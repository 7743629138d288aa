// Package pages stands between SQLite's VFS and the KV channel for one open database. It fetches the pages that SQLite
// misses, and those it will miss next, and it writes what SQLite committed, in order, in as few round trips as the wire
// allows.
//
// It keeps no page cache: fetched pages are handed to the [Sink] at once, and the pages of unacknowledged commits are the
// sink's own memory, looked at here only to know what storage does not hold yet. Two rules follow, and everything in this
// package serves them:
//
//   - A page is never handed over in a version older than the last batch that wrote it, whenever that batch was handed
//     over, sent or acknowledged (pending.go).
//   - Batches reach storage in the order of their tokens, each whole, and the first that fails takes all later ones with
//     it (commit.go, merge.go).
//
// Readahead follows the B-trees that pass through (tree.go, readahead.go, lookup.go, chains.go). Wrong guesses cost bandwidth, never
// correctness.
package pages

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/pagewire/pagewire/internal/protocol"
)

// ErrClosed is returned by calls after Close.
var ErrClosed = errors.New("pages: the database is closed")

// Remote is one actor on the channel; *channel.Actor implements it. BeginCommit returns at once, and done is called
// when the commit is resolved; pages are not used after that.
type Remote interface {
	Fetch(ctx context.Context, f *protocol.Fetch) (*protocol.FetchResult, error)
	BeginCommit(ctx context.Context, c *protocol.Commit, pages [][]byte, done func(*protocol.CommitResult, error))
	Reload(ctx context.Context, p *protocol.Preload) (*protocol.OpenResult, error)
	Close(ctx context.Context, hints []uint32) error
}

// Sink is the database that pages are handed to. Its methods must not call the File back. Stage runs inside New, Fetch and
// Reload with a lock held that Commit takes too, so a lock that Stage takes must not be held across Commit. Committed and
// Failed run on the goroutine that reads the channel, and must not wait for anything that it brings, or within Commit.
type Sink interface {
	// Stage hands over a page: PageSize bytes that are valid during the call, nil for zeros. asked is false for readahead
	// and for pages that came with an open.
	Stage(file uint8, index uint32, page []byte, asked bool)
	// Committed says that every batch up to token is durable.
	Committed(token uint64)
	// Failed says that the batch token, the oldest unresolved one, and all after it were not acknowledged. It is called
	// once until Reload; batches handed over in between are covered by it, so the sink looks at its own failure mark
	// before it waits for one.
	Failed(token uint64, err error)
}

// Batch is one committed transaction of SQLite.
type Batch struct {
	Token     uint64   // rises by one a batch
	Size      uint64   // of the main file after the batch, in bytes
	Indexes   []uint32 // pages of the main file that it wrote
	Pages     [][]byte // their contents, PageSize bytes each, valid and unchanged until Committed or Failed covers Token
	DropFiles []uint8  // tags of files that it removed
	More      bool     // another one will follow at once, or Release: wait for it if nothing is under way

	alone bool // it is not merged with those before it
}

// Defaults of Config.
const (
	DefaultMaxReadahead = 1000      // pages: a round trip brings as much as a frame holds
	DefaultExpandDepth  = 4         // levels: deeper trees are beyond 10 GiB
	DefaultExpandBudget = 128 << 10 // bytes
	DefaultMaxChildren  = 1 << 18   // child pointers: those to 1 GiB of pages, about 6 MiB of memory
)

// Config tunes a File. The zero value means the defaults and no limits.
type Config struct {
	Limits       protocol.Limits // the server's; CommitBytes, FetchPages and FrameBytes are used, 0 means none
	MaxReadahead int             // pages of one fetch at most
	ExpandDepth  uint64          // levels that the server follows from a page whose subtree is unknown
	ExpandBudget uint64          // bytes of pages that it adds at most
	// MaxChildren bounds the child pointers remembered; the interior pages used least recently are forgotten. It should
	// hold those of all interior pages that one open or fetch can bring (about 450 a page), since SQLite does not ask for
	// such a page again and its children would be scanned without readahead.
	MaxChildren int

	DisableReadahead bool // fetch only the pages asked for
	DisableLookups   bool // do not follow an index to the leaves of its table
	DisableChains    bool // do not follow rows to their overflow chains
	DisableExpand    bool // never ask the server to follow pointers
	DisableMerge     bool // write one batch a commit
	DisableHold      bool // let no batch wait for those that follow it

	// Pace, if set, is called before a commit is put together: internal/sim decides there when that happens.
	Pace func()
}

// Metrics counts what a File did since New.
type Metrics struct {
	Fetches         uint64        // round trips for pages
	FetchTime       time.Duration // spent in them
	PagesFetched    uint64        // pages received, absent ones included
	PagesPrefetched uint64        // staged without having been asked for, those of an open included
	PagesDropped    uint64        // received but not staged: a batch wrote or truncated them meanwhile
	Expansions      uint64        // fetches that asked the server to follow pointers
	Commits         uint64        // commit round trips acknowledged
	CommitTime      time.Duration // spent in them, failed ones included
	Batches         uint64        // batches acknowledged
	PagesCommitted  uint64        // pages sent in acknowledged commits
	Failures        uint64        // times that Failed was called
	Reloads         uint64        // reloads that succeeded
	PendingBatches  int           // now: handed over, not resolved
	PendingBytes    uint64        // now: page bytes in them, pages written twice counted twice
	UsedBytes       uint64        // of the actor's storage, as last announced by the server
	KnownChildren   int           // now: child pointers remembered
	KnownChains     int           // now: overflow chains whose first pages are remembered
}

// File is the files of one database: the main one, which grows and changes, and auxiliary ones that another
// implementation left behind, which can only be read and dropped. All methods may be called from any goroutine, but
// Commit, Reload and Close one at a time.
type File struct {
	remote Remote
	sink   Sink
	cfg    Config

	commits context.Context // ends when Close gives up on what is pending
	cancel  context.CancelFunc
	turn    chan struct{} // holds one item while a Fetch or Reload is under way

	mu         sync.Mutex
	generation uint64
	seq        uint64           // last acknowledged commit
	opened     uint64           // size of the main file at open or at the last reload
	stored     uint64           // size of the main file after the last acknowledged commit
	current    uint64           // size after the last batch handed over
	aux        map[uint8]uint64 // sizes of the other files
	pending    pending
	flushing   chan struct{} // not nil while batches are being written; closed when none is left
	failed     error         // why batches are refused until Reload
	lost       bool          // failed for good
	closed     bool
	tree       tree
	streams    streams
	lookups    lookups
	spilled    spilled
	chains     int // recent misses on overflow pages, 0 to maxChains
	metrics    Metrics
}

// New returns the File of an actor that was opened with the result given, and stages the pages that came with it.
func New(remote Remote, sink Sink, opened *protocol.OpenResult, cfg Config) *File {
	if cfg.MaxReadahead <= 0 {
		cfg.MaxReadahead = DefaultMaxReadahead
	}
	if n := cfg.Limits.FetchPages; n > 0 && n < uint64(cfg.MaxReadahead) {
		cfg.MaxReadahead = int(n)
	}
	if n := cfg.Limits.FrameBytes / (protocol.PageSize + 16); n > 1 && n < uint64(cfg.MaxReadahead) {
		cfg.MaxReadahead = int(n)
	}
	if cfg.ExpandDepth == 0 {
		cfg.ExpandDepth = DefaultExpandDepth
	}
	if cfg.ExpandBudget == 0 {
		cfg.ExpandBudget = DefaultExpandBudget
	}
	if cfg.MaxChildren <= 0 {
		cfg.MaxChildren = DefaultMaxChildren
	}
	f := &File{remote: remote, sink: sink, cfg: cfg, turn: make(chan struct{}, 1)}
	f.pending.alone = cfg.DisableMerge
	f.commits, f.cancel = context.WithCancel(context.Background())
	f.mu.Lock()
	defer f.mu.Unlock()
	f.adopt(opened)
	return f
}

// adopt makes the stored state that r announces the current one, and stages its pages. f.mu is held.
func (f *File) adopt(r *protocol.OpenResult) {
	f.generation, f.seq = r.Generation, r.Seq
	f.opened, f.aux = 0, make(map[uint8]uint64)
	for _, file := range r.Files {
		if file.Tag == protocol.FileMain {
			f.opened = file.Size
		} else {
			f.aux[file.Tag] = file.Size
		}
	}
	f.stored, f.current = f.opened, f.opened
	f.pending.reset()
	f.tree.reset(f.cfg.MaxChildren)
	f.streams, f.lookups, f.spilled = streams{}, lookups{}, spilled{}
	f.metrics.UsedBytes = r.UsedBytes
	eachPage(&r.Pages, func(index uint32, page []byte) {
		if offset(index) < f.current {
			f.stageMain(index, page, false)
		}
	})
}

// Size returns the size of the main file in bytes at open or at the last reload.
func (f *File) Size() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.opened
}

// FileSize returns the size in bytes of the file with the tag, and whether it exists. Batches handed over count.
func (f *File) FileSize(tag uint8) (size uint64, exists bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if tag == protocol.FileMain {
		return f.current, f.current > 0
	}
	size, exists = f.aux[tag]
	return size, exists
}

// Metrics returns the counters.
func (f *File) Metrics() Metrics {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.metrics
	m.PendingBatches = len(f.pending.batches)
	m.PendingBytes = f.pending.bytes
	m.KnownChildren = f.tree.size
	m.KnownChains = len(f.spilled.heads)
	return m
}

// usable returns why neither a fetch nor a batch can be served, nil if they can. f.mu is held.
func (f *File) usable() error {
	if f.closed {
		return ErrClosed
	}
	return f.failed
}

// stageMain hands a page of the main file to the sink and learns from it. f.mu is held.
func (f *File) stageMain(index uint32, page []byte, asked bool) {
	f.sink.Stage(protocol.FileMain, index, page, asked)
	f.tree.learn(index, page)
	f.lookups.learn(index, page)
	f.spilled.learn(index, page)
	if !asked {
		f.metrics.PagesPrefetched++
	}
}

// offset is where a page begins in its file.
func offset(index uint32) uint64 { return uint64(index) * protocol.PageSize }

// eachPage calls fn for every page that p holds or names as absent (nil). A page whose data is missing is left out.
func eachPage(p *protocol.Pages, fn func(index uint32, page []byte)) {
	for i, index := range p.Indexes {
		end := (i + 1) * protocol.PageSize
		if end > len(p.Data) {
			break
		}
		fn(index, p.Data[end-protocol.PageSize:end])
	}
	for _, index := range p.Absent {
		fn(index, nil)
	}
}
