package server

import (
	"fmt"

	"github.com/pagewire/pagewire/internal/protocol"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// frameSlack is what the fields around the bytes of a frame may take.
const frameSlack = 64 * kib

// stageBytes is the size of page data that a client puts into one stage frame; every frame limit must hold it.
const stageBytes = 1 * mib

// pageOverhead is what a page takes in a frame besides its bytes: its index, at most five bytes in CBOR.
const pageOverhead = 5

// DefaultLimits are the limits of a server that is told nothing else. The frame limit of 4 MiB holds a stage of 1 MiB, a
// fetch of 512 pages (2 MiB) with as much expansion, and an open reply with its whole preload.
func DefaultLimits() protocol.Limits {
	return protocol.Limits{
		KeyBytes:         2 * kib,
		ValueBytes:       128 * kib,
		BatchKeys:        128,
		PutBytes:         976 * kib,
		ActorBytes:       10 * gib,
		ConnectionActors: 1000,
		ActorQueue:       64,
		CommitBytes:      256 * mib,
		FrameBytes:       4 * mib,
		PreloadBytes:     1 * mib,
		FetchPages:       1000,
	}
}

// completeLimits fills limits that are 0 with their defaults and refuses limits that contradict each other.
func completeLimits(l protocol.Limits) (protocol.Limits, error) {
	def := DefaultLimits()
	for _, f := range []struct{ have, def *uint64 }{
		{&l.KeyBytes, &def.KeyBytes}, {&l.ValueBytes, &def.ValueBytes}, {&l.BatchKeys, &def.BatchKeys},
		{&l.PutBytes, &def.PutBytes}, {&l.ActorBytes, &def.ActorBytes}, {&l.ConnectionActors, &def.ConnectionActors},
		{&l.ActorQueue, &def.ActorQueue}, {&l.CommitBytes, &def.CommitBytes}, {&l.FrameBytes, &def.FrameBytes},
		{&l.PreloadBytes, &def.PreloadBytes}, {&l.FetchPages, &def.FetchPages},
	} {
		if *f.have == 0 {
			*f.have = *f.def
		}
	}
	for _, n := range []struct {
		what string
		need uint64
	}{
		{"a stage of 1 MiB", stageBytes + frameSlack},
		{"the largest put", l.PutBytes + frameSlack},
		{"the longest value with its key", l.KeyBytes + l.ValueBytes + frameSlack},
		{"a full fetch", l.FetchPages*(protocol.PageSize+pageOverhead) + frameSlack},
		{"a full preload, its keys named twice", 2*l.PreloadBytes + frameSlack},
	} {
		if l.FrameBytes < n.need {
			return l, fmt.Errorf("server: the frame limit of %d bytes does not hold %s: it needs %d; raise it or lower the other",
				l.FrameBytes, n.what, n.need)
		}
	}
	return l, nil
}
