package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/pagewire/pagewire/internal/channel"
	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/sqlite"
)

// A method takes a JSON request with byte strings beside it, and answers likewise. Durations are in milliseconds.
type method func(ctx context.Context, e *env, request []byte, in [][]byte) (result any, out [][]byte, err error)

// methods are what js/ can call. Every request may carry a callId, by which "cancel" ends the call.
var methods = map[string]method{
	"connect":         connect,
	"channel.close":   channelClose,
	"channel.metrics": channelMetrics,
	"open":            databaseOpen,
	"close":           databaseClose,
	"db.metrics":      databaseMetrics,
	"kv.open":         kvOpen,
	"kv.get":          kvGet,
	"kv.put":          kvPut,
	"kv.delete":       kvDelete,
	"kv.deleteRange":  kvDeleteRange,
	"kv.list":         kvList,
	"kv.close":        kvClose,
	"cancel":          cancelCall,
}

func badRequest(format string, args ...any) error {
	return protocol.Errorf(protocol.CodeBadRequest, format, args...)
}

func millis(n float64) time.Duration { return time.Duration(n * float64(time.Millisecond)) }

func decode[T any](request []byte) (T, error) {
	var r T
	if err := json.Unmarshal(request, &r); err != nil {
		return r, badRequest("request: %v", err)
	}
	return r, nil
}

// start makes a call known, so that a cancel that comes after it finds it, and returns what runs it to its end.
func (e *env) start(name string, request, attached []byte) (func() (any, []byte, error), error) {
	if e == nil {
		return nil, channel.ErrClosed
	}
	run, ok := methods[name]
	if !ok {
		return nil, badRequest("there is no method %q", name)
	}
	in, err := unpack(attached)
	if err != nil {
		return nil, err
	}
	common, err := decode[struct {
		CallID uint64 `json:"callId"`
		kvRequest
	}](request)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &call{cancel: cancel}
	if !e.begin(common.CallID, c) {
		cancel()
		return nil, channel.ErrClosed
	}
	ctx, end := e.turn(ctx, common.KV)
	return func() (any, []byte, error) {
		defer cancel()
		defer end()
		result, out, err := run(ctx, e, request, in)
		if code := e.end(common.CallID, c); err != nil && code != "" {
			err = &protocol.Error{Code: protocol.Code(code), Message: "the call was cancelled"}
		}
		return result, pack(out), err
	}, nil
}

func (e *env) begin(id uint64, c *call) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	if id != 0 {
		e.calls[id] = c
	}
	return true
}

func (e *env) end(id uint64, c *call) (code string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.calls, id)
	return c.code
}

func cancelCall(_ context.Context, e *env, request []byte, _ [][]byte) (any, [][]byte, error) {
	r, err := decode[struct {
		Target uint64 `json:"target"`
		Code   string `json:"code"`
	}](request)
	if err != nil {
		return nil, nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.calls[r.Target]; c != nil {
		c.code = r.Code
		c.cancel()
	}
	return struct{}{}, nil, nil
}

func connect(ctx context.Context, e *env, request []byte, _ [][]byte) (any, [][]byte, error) {
	r, err := decode[struct {
		URL              string  `json:"url"`
		Token            string  `json:"token"`
		Namespace        string  `json:"namespace"`
		ConnectTimeoutMs float64 `json:"connectTimeoutMs"`
		TimeoutMs        float64 `json:"timeoutMs"`
		BackoffMinMs     float64 `json:"backoffMinMs"`
		BackoffMaxMs     float64 `json:"backoffMaxMs"`
		CacheBudget      uint64  `json:"cacheBudget"`
	}](request)
	if err != nil {
		return nil, nil, err
	}
	if r.CacheBudget > 0 {
		sqlite.SetBudget(r.CacheBudget)
	}
	spreadOut()
	var id uint64
	named := make(chan struct{}) // closed when id is known: an event may come first
	ch, err := channel.Dial(ctx, channel.Config{
		URL: r.URL, Token: r.Token, Namespace: r.Namespace, ConnectTimeout: millis(r.ConnectTimeoutMs),
		Timeout: millis(r.TimeoutMs), BackoffMin: millis(r.BackoffMinMs), BackoffMax: millis(r.BackoffMaxMs),
		OnEvent: func(event channel.Event) {
			<-named
			e.deliver(newEvent(id, event))
		},
	})
	if err != nil {
		return nil, nil, err
	}
	defer close(named)
	if !e.add(func(n uint64) { id = n; e.channels[n] = ch }) {
		go func() { _ = ch.Close(ctx) }() // the environment ended meanwhile
		return nil, nil, channel.ErrClosed
	}
	return struct {
		Channel  uint64     `json:"channel"`
		Server   string     `json:"server"`
		Protocol int        `json:"protocol"`
		Limits   limitsJSON `json:"limits"`
	}{id, ch.Server(), protocol.Version, limitsJSON(ch.Limits())}, nil, nil
}

// limitsJSON is protocol.Limits with names.
type limitsJSON struct {
	KeyBytes         uint64 `json:"keyBytes"`
	ValueBytes       uint64 `json:"valueBytes"`
	BatchKeys        uint64 `json:"batchKeys"`
	PutBytes         uint64 `json:"putBytes"`
	ActorBytes       uint64 `json:"actorBytes"`
	ConnectionActors uint64 `json:"connectionActors"`
	ActorQueue       uint64 `json:"actorQueue"`
	CommitBytes      uint64 `json:"commitBytes"`
	FrameBytes       uint64 `json:"frameBytes"`
	PreloadBytes     uint64 `json:"preloadBytes"`
	FetchPages       uint64 `json:"fetchPages"`
	PingMillis       uint64 `json:"pingMillis"`
}

type eventJSON struct {
	Channel uint64  `json:"channel"`
	Event   string  `json:"event"`
	Actor   string  `json:"actor,omitempty"`
	Code    string  `json:"code,omitempty"`
	Message string  `json:"message,omitempty"`
	Attempt int     `json:"attempt,omitempty"`
	GraceMs float64 `json:"graceMs,omitempty"`
}

func newEvent(id uint64, event channel.Event) eventJSON {
	out := eventJSON{
		Channel: id, Event: event.Kind.String(), Actor: event.Actor, Code: channel.Code(event.Err),
		Attempt: event.Attempt, GraceMs: float64(event.Grace) / float64(time.Millisecond),
	}
	if event.Err != nil {
		out.Message = event.Err.Error()
	}
	return out
}

func (e *env) channel(id uint64) (*channel.Channel, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if ch := e.channels[id]; ch != nil {
		return ch, nil
	}
	return nil, channel.ErrClosed
}

type channelRequest struct {
	Channel   uint64  `json:"channel"`
	TimeoutMs float64 `json:"timeoutMs"`
}

func channelClose(ctx context.Context, e *env, request []byte, _ [][]byte) (any, [][]byte, error) {
	r, err := decode[channelRequest](request)
	if err != nil {
		return nil, nil, err
	}
	ch, err := e.channel(r.Channel)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := withTimeout(ctx, r.TimeoutMs)
	defer cancel()
	err = ch.Close(ctx)
	e.mu.Lock()
	delete(e.channels, r.Channel)
	e.mu.Unlock()
	return struct{}{}, nil, err
}

func channelMetrics(_ context.Context, e *env, request []byte, _ [][]byte) (any, [][]byte, error) {
	r, err := decode[channelRequest](request)
	if err != nil {
		return nil, nil, err
	}
	ch, err := e.channel(r.Channel)
	if err != nil {
		return nil, nil, err
	}
	return struct {
		Channel channel.Metrics `json:"channel"`
		Cache   sqlite.Budget   `json:"cache"`
	}{ch.Metrics(), sqlite.CurrentBudget()}, nil, nil
}

func withTimeout(ctx context.Context, ms float64) (context.Context, context.CancelFunc) {
	if ms <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, millis(ms))
}

var openModes = map[string]protocol.OpenMode{
	"": protocol.ModeFail, "fail": protocol.ModeFail, "wait": protocol.ModeWait, "takeover": protocol.ModeTakeover,
}

type openRequest struct {
	Channel uint64  `json:"channel"`
	Actor   string  `json:"actor"`
	Mode    string  `json:"mode"`
	WaitMs  float64 `json:"waitMs"`
}

// message is the open of the protocol that the request asks for.
func (r *openRequest) message() (protocol.Open, error) {
	mode, ok := openModes[r.Mode]
	if !ok {
		return protocol.Open{}, badRequest("open mode %q is unknown: use fail, wait or takeover", r.Mode)
	}
	if r.WaitMs < 0 {
		return protocol.Open{}, badRequest("waitMs is %v: it cannot be negative", r.WaitMs)
	}
	return protocol.Open{Mode: mode, WaitMillis: uint64(r.WaitMs)}, nil
}

var errUnknownHandle = fmt.Errorf("the handle is not open: %w", channel.ErrActorClosed)
