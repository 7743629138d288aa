package server

import (
	"time"

	"github.com/pagewire/pagewire/internal/protocol"
)

// stageSet is the pages staged for one commit.
type stageSet struct {
	frames uint64
	pages  []protocol.Pages
	ins    []incoming      // what pages share memory with
	bytes  uint64          // of page data
	held   uint64          // counted in conn.held
	last   time.Time       // when the last frame came
	refuse *protocol.Error // what the commit will be answered
}

var errStaleStages = protocol.Errorf(protocol.CodeBackpressure,
	"the commit's staged pages were given up, as nothing more came for too long: send it again with its stages")

// stage keeps pages for a commit to come, and in, where they lie. Errors are answered to that commit.
func (c *conn) stage(st *protocol.Stage, in incoming) {
	c.server.metrics.stages.Add(1)
	c.mu.Lock()
	q := c.queues[st.Actor]
	if q == nil { // the commit will be told that the actor is not open
		c.mu.Unlock()
		in.done()
		return
	}
	limits := &c.server.cfg.Limits
	set := q.staged[st.Commit]
	if set == nil {
		if uint64(len(q.staged)) > limits.ActorQueue {
			c.mu.Unlock()
			in.done()
			c.close(closePolicy, "pages are staged for more commits than an actor may queue")
			return
		}
		set = &stageSet{}
		q.staged[st.Commit] = set
	}
	set.frames++
	set.last = time.Now()
	set.bytes += uint64(len(st.Pages.Data))
	size := uint64(len(st.Pages.Data) + itemOverhead)
	if set.refuse == nil && set.bytes > limits.CommitBytes {
		set.refuse = errCommitTooLarge(limits.CommitBytes)
	}
	if set.refuse == nil {
		set.refuse = c.hold(size)
	}
	if set.refuse == nil {
		set.pages = append(set.pages, st.Pages)
		set.ins = append(set.ins, in)
		set.held += size
	} else {
		in.done()
		c.drop(set)
	}
	c.mu.Unlock()
}

// drop frees the pages of a commit that will be refused. c.mu is held.
func (c *conn) drop(set *stageSet) {
	c.release(set.held)
	set.done()
	set.held = 0
}

// done gives back the memory of the pages. A nil stageSet has none.
func (set *stageSet) done() {
	if set == nil {
		return
	}
	for i := range set.ins {
		set.ins[i].done()
	}
	set.pages, set.ins = nil, nil
}

// dropStale gives up the pages staged for commits that nothing has come for since the time given.
func (c *conn) dropStale(since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, q := range c.queues {
		for _, set := range q.staged {
			if set.refuse == nil && set.last.Before(since) {
				set.refuse = errStaleStages
				c.drop(set)
			}
		}
	}
}

func errCommitTooLarge(limit uint64) *protocol.Error {
	return protocol.Errorf(protocol.CodePayloadTooLarge, "a commit holds %d bytes of pages at most: write in smaller transactions", limit)
}
