package main

import (
	"context"

	"github.com/pagewire/pagewire/internal/channel"
	"github.com/pagewire/pagewire/internal/protocol"
)

type kvRequest struct {
	KV uint64 `json:"kv"`
}

func (e *env) kv(request []byte) (*channel.Actor, error) {
	r, err := decode[kvRequest](request)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if actor := e.kvs[r.KV]; actor != nil {
		return actor, nil
	}
	return nil, errUnknownHandle
}

// turn gives a call of a key-value handle its place among those of the handle: the order in which JavaScript made them, which
// their goroutines would lose. end must be called when the call is over.
func (e *env) turn(ctx context.Context, kv uint64) (_ context.Context, end func()) {
	e.mu.Lock()
	actor := e.kvs[kv]
	e.mu.Unlock()
	if actor == nil {
		return ctx, func() {}
	}
	return actor.Turn(ctx)
}

// orEmpty keeps an empty byte string apart from an absent one.
func orEmpty(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

type fileJSON struct {
	Tag  uint8  `json:"tag"`
	Size uint64 `json:"size"`
}

type scannedJSON struct {
	Complete bool `json:"complete"`
}

func kvOpen(ctx context.Context, e *env, request []byte, in [][]byte) (any, [][]byte, error) {
	r, err := decode[struct {
		openRequest
		Budget   *uint64 `json:"budget"`
		Keys     int     `json:"keys"`
		Prefixes []struct {
			MaxBytes uint64 `json:"maxBytes"`
			Partial  bool   `json:"partial"`
		} `json:"prefixes"`
	}](request)
	if err != nil {
		return nil, nil, err
	}
	open, err := r.message()
	if err != nil {
		return nil, nil, err
	}
	if r.Keys < 0 || len(in) != r.Keys+len(r.Prefixes) {
		return nil, nil, badRequest("preload: %d keys and %d prefixes, but %d byte strings", r.Keys, len(r.Prefixes), len(in))
	}
	open.Preload = &protocol.Preload{Keys: in[:r.Keys], Budget: r.Budget}
	for i, p := range r.Prefixes {
		open.Preload.Prefixes = append(open.Preload.Prefixes, protocol.PreloadPrefix{
			Prefix: orEmpty(in[r.Keys+i]), MaxBytes: p.MaxBytes, Partial: p.Partial,
		})
	}
	ch, err := e.channel(r.Channel)
	if err != nil {
		return nil, nil, err
	}
	actor, opened, err := ch.Open(ctx, r.Actor, open, func(error) {})
	if err != nil {
		return nil, nil, err
	}
	result := struct {
		KV              uint64        `json:"kv"`
		Generation      uint64        `json:"generation"`
		Seq             uint64        `json:"seq"`
		Files           []fileJSON    `json:"files"`
		ScannedKeys     int           `json:"scannedKeys"`
		ScannedPrefixes []scannedJSON `json:"scannedPrefixes"`
	}{Generation: opened.Generation, Seq: opened.Seq, ScannedKeys: len(opened.ScannedKeys)}
	for _, f := range opened.Files {
		result.Files = append(result.Files, fileJSON(f))
	}
	out := append([][]byte{}, opened.ScannedKeys...)
	for _, p := range opened.ScannedPrefixes {
		result.ScannedPrefixes = append(result.ScannedPrefixes, scannedJSON{p.Complete})
		out = append(out, orEmpty(p.Prefix), p.Through)
	}
	if !e.add(func(id uint64) { result.KV = id; e.kvs[id] = actor }) {
		_ = actor.Close(ctx, nil)
		return nil, nil, channel.ErrClosed
	}
	return result, append(out, flatten(opened.Entries)...), nil
}

func flatten(entries protocol.Entries) [][]byte {
	var out [][]byte
	for i, key := range entries.Keys {
		out = append(out, orEmpty(key), orEmpty(entries.Values[i]))
	}
	return out
}

func kvGet(ctx context.Context, e *env, request []byte, in [][]byte) (any, [][]byte, error) {
	actor, err := e.kv(request)
	if err != nil {
		return nil, nil, err
	}
	r, err := actor.Get(ctx, &protocol.Get{Keys: in})
	if err != nil {
		return nil, nil, err
	}
	return struct{}{}, r.Values, nil
}

func kvPut(ctx context.Context, e *env, request []byte, in [][]byte) (any, [][]byte, error) {
	actor, err := e.kv(request)
	if err != nil {
		return nil, nil, err
	}
	if len(in)%2 != 0 {
		return nil, nil, badRequest("put: %d byte strings are no pairs of key and value", len(in))
	}
	put := &protocol.Put{}
	for i := 0; i < len(in); i += 2 {
		put.Keys = append(put.Keys, orEmpty(in[i]))
		put.Values = append(put.Values, orEmpty(in[i+1]))
	}
	return struct{}{}, nil, actor.Put(ctx, put)
}

func kvDelete(ctx context.Context, e *env, request []byte, in [][]byte) (any, [][]byte, error) {
	actor, err := e.kv(request)
	if err != nil {
		return nil, nil, err
	}
	return struct{}{}, nil, actor.Delete(ctx, &protocol.Delete{Keys: in})
}

func kvDeleteRange(ctx context.Context, e *env, request []byte, in [][]byte) (any, [][]byte, error) {
	actor, err := e.kv(request)
	if err != nil {
		return nil, nil, err
	}
	if len(in) != 2 {
		return nil, nil, badRequest("deleteRange: start and end are wanted, %d byte strings were given", len(in))
	}
	return struct{}{}, nil, actor.DeleteRange(ctx, &protocol.DeleteRange{Start: orEmpty(in[0]), End: in[1]})
}

func kvList(ctx context.Context, e *env, request []byte, in [][]byte) (any, [][]byte, error) {
	actor, err := e.kv(request)
	if err != nil {
		return nil, nil, err
	}
	r, err := decode[struct {
		Reverse bool   `json:"reverse"`
		Limit   uint64 `json:"limit"`
	}](request)
	if err != nil {
		return nil, nil, err
	}
	if len(in) != 3 {
		return nil, nil, badRequest("list: prefix, start and end are wanted, %d byte strings were given", len(in))
	}
	l, err := actor.List(ctx, &protocol.List{Prefix: in[0], Start: in[1], End: in[2], Reverse: r.Reverse, Limit: r.Limit})
	if err != nil {
		return nil, nil, err
	}
	return struct {
		More bool `json:"more"`
	}{l.More}, flatten(l.Entries), nil
}

func kvClose(ctx context.Context, e *env, request []byte, _ [][]byte) (any, [][]byte, error) {
	actor, err := e.kv(request)
	if err != nil {
		return nil, nil, err
	}
	r, err := decode[kvRequest](request)
	if err != nil {
		return nil, nil, err
	}
	err = actor.Close(ctx, nil) // after the calls before it, which still look for the handle
	e.mu.Lock()
	delete(e.kvs, r.KV)
	e.mu.Unlock()
	return struct{}{}, nil, err
}
