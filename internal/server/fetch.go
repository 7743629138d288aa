package server

import (
	"context"

	"github.com/pagewire/pagewire/internal/btree"
	"github.com/pagewire/pagewire/internal/protocol"
)

// fetch answers pages of a file and, if asked to, those that they lead to. Absent pages are named, so that they differ
// from pages that were not fetched (I9).
func (q *queue) fetch(ctx context.Context, s *session, it item) (*protocol.FetchAnswer, error) {
	var b protocol.Fetch
	if err := protocol.DecodeBody(it.Body, &b); err != nil {
		return nil, err
	}
	limits := &q.conn.server.cfg.Limits
	asked := uint64(len(b.Pages))
	if asked > limits.FetchPages {
		return nil, protocol.Errorf(protocol.CodeBatchTooLarge, "%d pages, the limit is %d", asked, limits.FetchPages)
	}
	more := uint64(0) // pages that the answer has room for besides
	if room := asked*(protocol.PageSize+pageOverhead) + frameSlack; b.Expand != nil && room < limits.FrameBytes {
		more = min(b.Expand.Budget/protocol.PageSize, (limits.FrameBytes-room)/(protocol.PageSize+pageOverhead))
	}
	res := protocol.NewFetchAnswer(takeBuffer((asked+more+1)*(protocol.PageSize+pageOverhead)), b.Pages, int(more))
	if err := q.conn.server.cfg.Store.Read(ctx, q.name, chunkKeys(b.File, b.Pages), res.Put); err != nil {
		return nil, err
	}
	q.conn.server.metrics.pagesFetched.Add(uint64(res.Len()))
	if b.Expand != nil {
		if err := q.expand(ctx, &b, res, more*protocol.PageSize); err != nil {
			return nil, err
		}
	}
	return res, q.current(ctx, s)
}

// expand adds the pages that those of b lead to, within a budget of bytes.
func (q *queue) expand(ctx context.Context, b *protocol.Fetch, res *protocol.FetchAnswer, budget uint64) error {
	file, err := q.mainFile(ctx)
	if err != nil || file.pages == 0 {
		return err
	}
	from := make([]btree.Page, 0, len(b.Pages))
	for i, index := range b.Pages {
		if page := res.Page(i); page != nil {
			from = append(from, btree.Page{No: index + 1, Data: page})
		}
	}
	walk := q.walk(ctx, file, budget)
	found, err := walk.Expand(from, int(min(b.Expand.Depth, maxExpandDepth)))
	if err != nil {
		return err
	}
	for _, p := range found {
		res.Add(p.No-1, p.Data)
	}
	q.conn.server.metrics.pagesExpanded.Add(uint64(len(found)))
	return nil
}

// maxExpandDepth is more levels than a B-tree of SQLite has.
const maxExpandDepth = 20

// mainFile is what the server must know of the main file to follow its pages.
type mainFile struct {
	pages  uint32 // 0 if there is no readable file
	usable int    // usable bytes a page, 0 if page 1 is no database header
	page1  []byte // nil if absent
}

// mainFile reads the main file's size and page 1.
func (q *queue) mainFile(ctx context.Context) (f mainFile, err error) {
	values, err := q.conn.server.cfg.Store.Get(ctx, q.name,
		[][]byte{protocol.MetaKey(protocol.FileMain), protocol.ChunkKey(protocol.FileMain, 0)})
	if err != nil {
		return f, err
	}
	size, err := protocol.DecodeMeta(values[0])
	if err != nil {
		return f, nil // absent or corrupt: nothing to follow, and not for a fetch to judge
	}
	f.pages = uint32(min(protocol.ChunkCount(size), protocol.MaxPages-1))
	f.page1 = wholePage(values[1])
	f.usable = btree.UsableSize(f.page1)
	return f, nil
}

// walk prepares a walk over the main file that returns at most budget bytes of pages.
func (q *queue) walk(ctx context.Context, f mainFile, budget uint64) *btree.Walk {
	return &btree.Walk{
		PageCount: f.pages,
		Usable:    f.usable,
		Budget:    int(budget),
		Read: func(pgnos []uint32) ([][]byte, error) {
			indexes := make([]uint32, len(pgnos))
			for i, no := range pgnos {
				indexes[i] = no - 1
			}
			return q.readPages(ctx, protocol.FileMain, indexes)
		},
	}
}

func chunkKeys(tag uint8, indexes []uint32) [][]byte {
	keys := make([][]byte, len(indexes))
	for i, index := range indexes {
		keys[i] = protocol.ChunkKey(tag, index)
	}
	return keys
}

// readPages returns the pages of a file with the indexes, each protocol.PageSize bytes, nil where there is no chunk.
func (q *queue) readPages(ctx context.Context, tag uint8, indexes []uint32) ([][]byte, error) {
	values, err := q.conn.server.cfg.Store.Get(ctx, q.name, chunkKeys(tag, indexes))
	if err != nil {
		return nil, err
	}
	for i, v := range values {
		values[i] = wholePage(v)
	}
	return values, nil
}

// wholePage pads a chunk with zeros. A longer one, which no client of ours writes, is cut.
func wholePage(chunk []byte) []byte {
	switch {
	case chunk == nil || len(chunk) == protocol.PageSize:
		return chunk
	case len(chunk) > protocol.PageSize:
		return chunk[:protocol.PageSize]
	}
	page := make([]byte, protocol.PageSize)
	copy(page, chunk)
	return page
}

// addPage adds a page, or its absence.
func addPage(out *protocol.Pages, index uint32, page []byte) {
	if page == nil {
		out.Absent = append(out.Absent, index)
		return
	}
	out.Indexes = append(out.Indexes, index)
	out.Data = append(out.Data, page...)
}
