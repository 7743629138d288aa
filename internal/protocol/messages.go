package protocol

// Limits are the server's limits, announced in the welcome message. Sizes are in bytes.
type Limits struct {
	KeyBytes         uint64 `cbor:"1,keyasint"`  // longest key
	ValueBytes       uint64 `cbor:"2,keyasint"`  // longest value of a generic put
	BatchKeys        uint64 `cbor:"3,keyasint"`  // keys in one generic request
	PutBytes         uint64 `cbor:"4,keyasint"`  // keys and values of one generic put
	ActorBytes       uint64 `cbor:"5,keyasint"`  // storage quota of one actor
	ConnectionActors uint64 `cbor:"6,keyasint"`  // actors open on one connection
	ActorQueue       uint64 `cbor:"7,keyasint"`  // queued requests of one actor
	CommitBytes      uint64 `cbor:"8,keyasint"`  // page bytes of one commit
	FrameBytes       uint64 `cbor:"9,keyasint"`  // one WebSocket message, either direction
	PreloadBytes     uint64 `cbor:"10,keyasint"` // preload budget of one open; also its default
	FetchPages       uint64 `cbor:"11,keyasint"` // pages asked for in one fetch
	PingMillis       uint64 `cbor:"12,keyasint"` // interval of the server's pings
}

// Welcome is the first frame that a server sends.
type Welcome struct {
	Type      FrameType `cbor:"0,keyasint"`
	Version   uint64    `cbor:"1,keyasint"` // protocol version, equal to the subprotocol's
	Server    string    `cbor:"2,keyasint"` // server name and version, for people
	Session   string    `cbor:"3,keyasint"` // names this connection in logs
	Limits    Limits    `cbor:"4,keyasint"`
	Namespace string    `cbor:"5,keyasint"` // that the connection is in: a damaged URL must not lead to another one
}

// Request asks for one operation on one actor. B is the body type of the operation, or [Raw] when decoding.
type Request[B any] struct {
	Type  FrameType `cbor:"0,keyasint"`
	ID    uint64    `cbor:"1,keyasint"` // chosen by the client, unique among its unanswered requests
	Actor string    `cbor:"2,keyasint"`
	Op    Op        `cbor:"3,keyasint"`
	Body  B         `cbor:"4,keyasint"`
}

// Response answers the request with the same id: either Result (key 2) or Error (key 3) is present. B is the result type
// of the operation, or [Raw] when decoding. [Encode] leaves Result out if Error is set, and never otherwise.
type Response[B any] struct {
	Type   FrameType `cbor:"0,keyasint"`
	ID     uint64    `cbor:"1,keyasint"`
	Result B         `cbor:"2,keyasint,omitempty"`
	Error  *Error    `cbor:"3,keyasint,omitempty"`
}

// RawRequest is a request whose body is not decoded yet, and shares memory with the message.
type RawRequest = Request[Raw]

// RawResponse is a response whose result is not decoded yet, and shares memory with the message.
type RawResponse = Response[Raw]

// Stage carries pages of the commit Commit of one actor. Stages precede their commit on the same connection; a commit
// consumes all stages that bear its request id.
type Stage struct {
	Type   FrameType `cbor:"0,keyasint"`
	Commit uint64    `cbor:"1,keyasint"` // id of the commit request to come
	Actor  string    `cbor:"2,keyasint"`
	Pages  Pages     `cbor:"3,keyasint"`
}

// Ping asks the client for a pong with the same nonce.
type Ping struct {
	Type  FrameType `cbor:"0,keyasint"`
	Nonce uint64    `cbor:"1,keyasint"`
}

// Pong answers a ping.
type Pong struct {
	Type  FrameType `cbor:"0,keyasint"`
	Nonce uint64    `cbor:"1,keyasint"`
}

// LockLost tells the evicted holder of an actor that its generation is stale.
type LockLost struct {
	Type       FrameType `cbor:"0,keyasint"`
	Actor      string    `cbor:"1,keyasint"`
	Generation uint64    `cbor:"2,keyasint"` // the generation that was lost
	Reason     string    `cbor:"3,keyasint"` // for people: "taken over by another session"
}

// Drain asks the client to open no more actors on this connection, finish what is under way and reconnect.
type Drain struct {
	Type        FrameType `cbor:"0,keyasint"`
	GraceMillis uint64    `cbor:"1,keyasint"` // the server closes the connection after this long
}

// Pages is a set of whole pages of one file. Data holds len(Indexes)*PageSize bytes, page after page, in the order of
// Indexes; a chunk that is stored short arrives padded with zeros. Absent names pages that were asked for and have no
// chunk: they read as zeros. A page in neither list was not fetched.
type Pages struct {
	Indexes []uint32 `cbor:"1,keyasint,omitempty"`
	Data    Bytes    `cbor:"2,keyasint,omitempty"`
	Absent  []uint32 `cbor:"3,keyasint,omitempty"`
}

// File is a stored file of an actor.
type File struct {
	Tag  uint8  `cbor:"1,keyasint"`
	Size uint64 `cbor:"2,keyasint"` // bytes, from the file's metadata
}

// Entries are keys with their values, pairwise.
type Entries struct {
	Keys   [][]byte `cbor:"1,keyasint,omitempty"`
	Values [][]byte `cbor:"2,keyasint,omitempty"`
}

// Resume names the generation and the last acknowledged commit of a session that lost its connection.
type Resume struct {
	Generation uint64 `cbor:"1,keyasint"`
	Seq        uint64 `cbor:"2,keyasint"`
}

// PreloadPrefix asks for the entries below a prefix.
type PreloadPrefix struct {
	Prefix   []byte `cbor:"1,keyasint"`
	MaxBytes uint64 `cbor:"2,keyasint,omitempty"` // keys and values; 0 means what the budget leaves
	Partial  bool   `cbor:"3,keyasint,omitempty"` // take what fits; otherwise all or nothing
}

// Preload asks for entries in the open reply, in priority order: keys, prefixes, then pages.
type Preload struct {
	Keys     [][]byte        `cbor:"1,keyasint,omitempty"`
	Prefixes []PreloadPrefix `cbor:"2,keyasint,omitempty"`
	Budget   *uint64         `cbor:"3,keyasint,omitempty"` // bytes; absent means the server's, 0 disables
	Pages    bool            `cbor:"4,keyasint,omitempty"` // page 1, hinted pages and interior pages of the main file
}

// Open locks an actor and fences earlier holders.
type Open struct {
	Mode       OpenMode `cbor:"1,keyasint"`
	WaitMillis uint64   `cbor:"2,keyasint,omitempty"` // for ModeWait; 0 means the server's maximum
	Resume     *Resume  `cbor:"3,keyasint,omitempty"`
	Preload    *Preload `cbor:"4,keyasint,omitempty"`
}

// ScannedPrefix says how much of a prefix the open reply holds.
type ScannedPrefix struct {
	Prefix   []byte `cbor:"1,keyasint"`
	Complete bool   `cbor:"2,keyasint,omitempty"` // every entry below the prefix is in the reply
	Through  []byte `cbor:"3,keyasint,omitempty"` // else the last key scanned; keys up to it are known
}

// OpenResult answers an open.
type OpenResult struct {
	Generation      uint64          `cbor:"1,keyasint"`
	Seq             uint64          `cbor:"2,keyasint"` // the actor's last commit
	Files           []File          `cbor:"3,keyasint,omitempty"`
	Entries         Entries         `cbor:"4,keyasint"`
	ScannedKeys     [][]byte        `cbor:"5,keyasint,omitempty"`
	ScannedPrefixes []ScannedPrefix `cbor:"6,keyasint,omitempty"`
	Pages           Pages           `cbor:"7,keyasint"` // of the main file
	UsedBytes       uint64          `cbor:"8,keyasint"`
	Resumed         bool            `cbor:"9,keyasint,omitempty"` // the generation is the one named in Resume
}

// Close releases an actor. Hints are page indexes of the main file that the next open should preload first.
type Close struct {
	Generation uint64   `cbor:"1,keyasint"`
	Hints      []uint32 `cbor:"2,keyasint,omitempty"`
}

// Get asks for the values of keys.
type Get struct {
	Keys [][]byte `cbor:"1,keyasint"`
}

// GetResult has one value a key, null where the key is absent.
type GetResult struct {
	Values [][]byte `cbor:"1,keyasint"`
}

// Put writes entries atomically.
type Put struct {
	Generation uint64   `cbor:"1,keyasint"`
	Keys       [][]byte `cbor:"2,keyasint"`
	Values     [][]byte `cbor:"3,keyasint"`
}

// Delete removes keys atomically; absent keys are no error.
type Delete struct {
	Generation uint64   `cbor:"1,keyasint"`
	Keys       [][]byte `cbor:"2,keyasint"`
}

// DeleteRange removes the keys in [Start, End). A null or empty End means the end of the actor's keys.
type DeleteRange struct {
	Generation uint64 `cbor:"1,keyasint"`
	Start      []byte `cbor:"2,keyasint"`
	End        []byte `cbor:"3,keyasint"`
}

// List asks for entries in key order.
type List struct {
	Prefix  []byte `cbor:"1,keyasint,omitempty"` // only keys below it
	Start   []byte `cbor:"2,keyasint,omitempty"` // inclusive
	End     []byte `cbor:"3,keyasint,omitempty"` // exclusive
	Reverse bool   `cbor:"4,keyasint,omitempty"`
	Limit   uint64 `cbor:"5,keyasint,omitempty"` // entries; 0 means as many as a frame holds
}

// ListResult answers a list. More says that entries remain past the last one.
type ListResult struct {
	Entries Entries `cbor:"1,keyasint"`
	More    bool    `cbor:"2,keyasint,omitempty"`
}

// Expand asks the server to follow child pointers of interior B-tree pages and overflow chains.
type Expand struct {
	Depth  uint64 `cbor:"1,keyasint"` // levels to follow
	Budget uint64 `cbor:"2,keyasint"` // bytes of pages to add at most
}

// Fetch asks for pages of a file.
type Fetch struct {
	File   uint8    `cbor:"1,keyasint"`
	Pages  []uint32 `cbor:"2,keyasint"`
	Expand *Expand  `cbor:"3,keyasint,omitempty"` // main file only
}

// FetchResult has the pages asked for, then those found by expansion.
type FetchResult struct {
	Pages Pages `cbor:"1,keyasint"`

	// Release, if not nil, takes back the memory of Pages, which are not to be used afterwards.
	Release func() `cbor:"-"`
}

// Commit writes pages of the main file, sets its size and removes auxiliary files, in one atomic durable step.
type Commit struct {
	Generation uint64  `cbor:"1,keyasint"`
	Seq        uint64  `cbor:"2,keyasint"`           // of this commit; the actor's last one must be Seq-Count
	Count      uint64  `cbor:"3,keyasint"`           // commits merged into this one, at least 1
	Size       uint64  `cbor:"4,keyasint"`           // of the main file afterwards, in bytes; chunks past it are removed
	Pages      Pages   `cbor:"5,keyasint"`           // besides those that were staged
	Staged     uint64  `cbor:"6,keyasint,omitempty"` // stage frames that belong to this commit
	DropFiles  []uint8 `cbor:"7,keyasint,omitempty"` // tags of files to remove (a rolled back hot journal)
}

// CommitResult answers a commit.
type CommitResult struct {
	Seq       uint64 `cbor:"1,keyasint"` // the actor's last commit
	UsedBytes uint64 `cbor:"2,keyasint"`
	Already   bool   `cbor:"3,keyasint,omitempty"` // the commit had been applied before
}

// Empty is the body or result of operations that have none.
type Empty struct{}
