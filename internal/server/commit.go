package server

import (
	"context"
	"errors"

	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/store"
)

// commit writes pages, size and file removals of one commit, or of several merged into one, in one atomic step. A commit
// whose sequence number is the actor's last one already is answered so, and nothing is written.
func (q *queue) commit(ctx context.Context, s *session, it item) (*protocol.CommitResult, error) {
	srv := q.conn.server
	var b protocol.Commit
	if err := protocol.DecodeBody(it.Body, &b); err != nil {
		return nil, err
	}
	if err := s.claims(b.Generation); err != nil {
		return nil, err
	}
	parts, err := commitPages(srv.cfg.Limits.CommitBytes, it.staged, &b)
	if err != nil {
		return nil, err
	}
	batch, pages, err := commitBatch(&b, parts, s.fileEnd)
	if err != nil {
		return nil, err
	}
	s.fileEnd = unknownEnd // until the commit is known to have succeeded
	batch.MaxBytes = srv.cfg.Limits.ActorBytes
	head, err := q.apply(ctx, s, batch)
	switch {
	case errors.Is(err, store.ErrApplied):
		srv.metrics.commitsAlready.Add(1)
		return &protocol.CommitResult{Seq: head.Seq, UsedBytes: head.UsedBytes, Already: true}, nil
	case err != nil:
		return nil, err
	}
	s.fileEnd = protocol.ChunkCount(b.Size)
	srv.metrics.commits.Add(1)
	srv.metrics.pagesCommitted.Add(uint64(pages))
	return &protocol.CommitResult{Seq: head.Seq, UsedBytes: head.UsedBytes}, nil
}

// commitPages returns what was staged for a commit and what it brings itself.
func commitPages(limit uint64, staged *stageSet, b *protocol.Commit) ([]protocol.Pages, error) {
	if staged == nil {
		staged = &stageSet{}
	}
	if staged.refuse != nil {
		return nil, staged.refuse
	}
	if staged.frames != b.Staged {
		return nil, protocol.Errorf(protocol.CodeBadRequest, "the commit has %d stages, but %d came: send it again with its stages",
			b.Staged, staged.frames)
	}
	if staged.bytes+uint64(len(b.Pages.Data)) > limit {
		return nil, errCommitTooLarge(limit)
	}
	return append(staged.pages, b.Pages), nil
}

// commitBatch makes the write of a commit to a file that has no chunk from end on.
func commitBatch(b *protocol.Commit, parts []protocol.Pages, end uint64) (batch *store.Batch, pages int, err error) {
	batch = &store.Batch{Seq: b.Seq, Expect: b.Seq - b.Count}
	for _, p := range parts {
		pages += len(p.Indexes)
	}
	seen := make(map[uint32]struct{}, pages)
	keys := make([]byte, 0, pages*protocol.ChunkKeyLen)
	batch.Puts = make([]store.Entry, 0, pages+1)
	for _, p := range parts {
		for i, index := range p.Indexes {
			if _, twice := seen[index]; twice {
				return nil, 0, protocol.Errorf(protocol.CodeBadRequest, "page %d is in the commit twice", index)
			}
			seen[index] = struct{}{}
			at := uint64(index) * protocol.PageSize
			if at >= b.Size {
				return nil, 0, protocol.Errorf(protocol.CodeBadRequest, "page %d lies past the file's %d bytes", index, b.Size)
			}
			// A chunk is stored whole, its zeros included, but never beyond the end of the file.
			data := p.Data[i*protocol.PageSize:]
			data = data[:min(protocol.PageSize, b.Size-at)]
			keys = protocol.AppendChunkKey(keys, protocol.FileMain, index)
			batch.Puts = append(batch.Puts, store.Entry{
				Key: keys[len(keys)-protocol.ChunkKeyLen:], Value: data, New: uint64(index) >= end,
			})
		}
	}
	batch.Puts = append(batch.Puts, store.Entry{Key: protocol.MetaKey(protocol.FileMain), Value: protocol.EncodeMeta(b.Size)})
	if chunks := protocol.ChunkCount(b.Size); chunks < end {
		_, last := protocol.ChunkRange(protocol.FileMain)
		start := protocol.ChunkKey(protocol.FileMain, uint32(chunks))
		batch.DeleteRanges = append(batch.DeleteRanges, store.Range{Start: start, End: last})
	}
	for _, tag := range b.DropFiles {
		start, end := protocol.ChunkRange(tag)
		batch.DeleteRanges = append(batch.DeleteRanges, store.Range{Start: start, End: end})
		batch.Deletes = append(batch.Deletes, protocol.MetaKey(tag))
	}
	return batch, pages, nil
}
