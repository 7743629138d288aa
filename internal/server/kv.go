package server

import (
	"bytes"
	"context"

	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/store"
)

// entryOverhead is what an entry takes in a frame besides its bytes: the lengths of key and value in CBOR.
const entryOverhead = 10

// close ends the session and keeps its hints, as many as a preload can use.
func (q *queue) close(ctx context.Context, s *session, it item) (*protocol.Empty, error) {
	var b protocol.Close
	if err := protocol.DecodeBody(it.Body, &b); err != nil {
		return nil, err
	}
	if err := s.claims(b.Generation); err != nil {
		return nil, err
	}
	// Whatever the store says, the session is over.
	defer func() {
		s.release()
		q.setSession(nil)
	}()
	if s.isLost() {
		return nil, s.errLost()
	}
	if len(b.Hints) == 0 {
		return &protocol.Empty{}, nil
	}
	most := int(q.conn.server.cfg.Limits.PreloadBytes / protocol.PageSize)
	_, err := q.apply(ctx, s, &store.Batch{Hints: b.Hints[:min(len(b.Hints), most)]})
	return &protocol.Empty{}, err
}

// get answers values as they are at one moment.
func (q *queue) get(ctx context.Context, s *session, it item) (*protocol.GetResult, error) {
	var b protocol.Get
	if err := protocol.DecodeBody(it.Body, &b); err != nil {
		return nil, err
	}
	if err := checkKeys(&q.conn.server.cfg.Limits, b.Keys); err != nil {
		return nil, err
	}
	values, err := q.conn.server.cfg.Store.Get(ctx, q.name, b.Keys)
	if err != nil {
		return nil, err
	}
	return &protocol.GetResult{Values: values}, q.current(ctx, s)
}

// put writes entries; the last one counts where a key comes twice.
func (q *queue) put(ctx context.Context, s *session, it item) (*protocol.Empty, error) {
	var b protocol.Put
	if err := protocol.DecodeBody(it.Body, &b); err != nil {
		return nil, err
	}
	if err := s.claims(b.Generation); err != nil {
		return nil, err
	}
	limits := &q.conn.server.cfg.Limits
	if len(b.Keys) != len(b.Values) {
		return nil, protocol.Errorf(protocol.CodeKeysValuesLengthMismatch, "%d keys, but %d values", len(b.Keys), len(b.Values))
	}
	if err := checkKeys(limits, b.Keys); err != nil {
		return nil, err
	}
	total := uint64(0)
	for i, v := range b.Values {
		if uint64(len(v)) > limits.ValueBytes {
			return nil, protocol.Errorf(protocol.CodeValueTooLarge, "value %d has %d bytes, the limit is %d", i, len(v), limits.ValueBytes)
		}
		total += uint64(len(b.Keys[i]) + len(v))
	}
	if total > limits.PutBytes {
		return nil, protocol.Errorf(protocol.CodePayloadTooLarge, "the keys and values have %d bytes, the limit is %d", total, limits.PutBytes)
	}
	puts := make([]store.Entry, len(b.Keys))
	for i, k := range b.Keys {
		puts[i] = store.Entry{Key: k, Value: b.Values[i]}
	}
	s.fileEnd = unknownEnd
	_, err := q.apply(ctx, s, &store.Batch{Puts: puts, MaxBytes: limits.ActorBytes})
	return &protocol.Empty{}, err
}

func (q *queue) delete(ctx context.Context, s *session, it item) (*protocol.Empty, error) {
	var b protocol.Delete
	if err := protocol.DecodeBody(it.Body, &b); err != nil {
		return nil, err
	}
	if err := s.claims(b.Generation); err != nil {
		return nil, err
	}
	if err := checkKeys(&q.conn.server.cfg.Limits, b.Keys); err != nil {
		return nil, err
	}
	s.fileEnd = unknownEnd
	_, err := q.apply(ctx, s, &store.Batch{Deletes: b.Keys})
	return &protocol.Empty{}, err
}

func (q *queue) deleteRange(ctx context.Context, s *session, it item) (*protocol.Empty, error) {
	var b protocol.DeleteRange
	if err := protocol.DecodeBody(it.Body, &b); err != nil {
		return nil, err
	}
	if err := s.claims(b.Generation); err != nil {
		return nil, err
	}
	r, err := makeRange(&q.conn.server.cfg.Limits, b.Start, b.End)
	if err != nil {
		return nil, err
	}
	s.fileEnd = unknownEnd
	_, err = q.apply(ctx, s, &store.Batch{DeleteRanges: []store.Range{r}})
	return &protocol.Empty{}, err
}

// list answers entries in order, as many as were asked for and fit half a frame.
func (q *queue) list(ctx context.Context, s *session, it item) (*protocol.ListResult, error) {
	var b protocol.List
	if err := protocol.DecodeBody(it.Body, &b); err != nil {
		return nil, err
	}
	limits := &q.conn.server.cfg.Limits
	r, err := makeRange(limits, b.Start, b.End)
	if err != nil {
		return nil, err
	}
	if err := checkKeyBytes(limits, "the prefix", b.Prefix); err != nil {
		return nil, err
	}
	if bytes.Compare(b.Prefix, r.Start) > 0 {
		r.Start = b.Prefix
	}
	if end := store.PrefixEnd(b.Prefix); end != nil && (r.End == nil || bytes.Compare(end, r.End) < 0) {
		r.End = end
	}
	res := &protocol.ListResult{}
	if r.End != nil && bytes.Compare(r.Start, r.End) >= 0 {
		return res, q.current(ctx, s)
	}
	most := uint64(maxEntries)
	if b.Limit != 0 {
		most = min(most, b.Limit)
	}
	room := max(limits.FrameBytes/2, limits.KeyBytes+limits.ValueBytes+entryOverhead)
	used := uint64(0)
	err = q.conn.server.cfg.Store.Scan(ctx, q.name, r, b.Reverse, func(k, v []byte) bool {
		used += uint64(len(k)+len(v)) + entryOverhead
		if uint64(len(res.Entries.Keys)) == most || used > room {
			res.More = true
			return false
		}
		res.Entries.Keys = append(res.Entries.Keys, bytes.Clone(k))
		res.Entries.Values = append(res.Entries.Values, cloneValue(v))
		return true
	})
	if err != nil {
		return nil, err
	}
	return res, q.current(ctx, s)
}

// maxEntries is how many entries one answer holds, well below what the other side decodes.
const maxEntries = protocol.MaxArrayElements / 2

// cloneValue copies a value; an empty one stays distinct from null.
func cloneValue(v []byte) []byte { return append(make([]byte, 0, len(v)), v...) }

// checkKeys checks number and lengths of the keys of one request.
func checkKeys(limits *protocol.Limits, keys [][]byte) error {
	if uint64(len(keys)) > limits.BatchKeys {
		return protocol.Errorf(protocol.CodeBatchTooLarge, "%d keys, the limit is %d", len(keys), limits.BatchKeys)
	}
	for i, k := range keys {
		if len(k) == 0 {
			return protocol.Errorf(protocol.CodeBadRequest, "key %d is empty", i)
		}
		if uint64(len(k)) > limits.KeyBytes {
			return protocol.Errorf(protocol.CodeKeyTooLarge, "key %d has %d bytes, the limit is %d", i, len(k), limits.KeyBytes)
		}
	}
	return nil
}

func checkKeyBytes(limits *protocol.Limits, what string, k []byte) error {
	if uint64(len(k)) > limits.KeyBytes {
		return protocol.Errorf(protocol.CodeKeyTooLarge, "%s has %d bytes, the limit for keys is %d", what, len(k), limits.KeyBytes)
	}
	return nil
}

// makeRange makes a range of bounds as they travel, where an empty end stands for none.
func makeRange(limits *protocol.Limits, start, end []byte) (store.Range, error) {
	if err := checkKeyBytes(limits, "the start of the range", start); err != nil {
		return store.Range{}, err
	}
	if err := checkKeyBytes(limits, "the end of the range", end); err != nil {
		return store.Range{}, err
	}
	if len(end) == 0 {
		return store.Range{Start: start}, nil
	}
	if bytes.Compare(start, end) > 0 {
		return store.Range{}, protocol.Errorf(protocol.CodeBadRequest, "the range ends before it starts")
	}
	return store.Range{Start: start, End: end}, nil
}
