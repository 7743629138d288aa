package channel

import (
	"fmt"
	"time"

	"github.com/pagewire/pagewire/internal/protocol"
)

// How an actor comes to a connection: the answers to its open and to its resumes. The channel's mutex is held by
// everything in this file.

// attached reacts to the answer to the open or resume cl on k.
func (a *Actor) attached(k *conn, cl *call, err error) {
	c := a.c
	a.attach = nil
	res := cl.result.(*protocol.OpenResult)
	if code := serverCode(err); code == protocol.CodeDraining {
		// The next connection will do. This one says so itself, or else is treated as if it had.
		c.drain(k, defaultPing)
		if a.state != opening {
			a.move()
		} else if cl.over {
			a.leave()
		} else {
			a.attach = cl
		}
		return
	}
	if a.state == opening {
		a.opened(k, cl, res, err)
		return
	}
	switch code := serverCode(err); {
	case code == protocol.CodeLockLost:
		a.lose(err)
	case transient(code):
		a.retryResume()
	case err != nil:
		a.lose(fmt.Errorf("the server refuses to resume: %w", err))
	case res.Generation != a.generation:
		a.lose(fmt.Errorf("%w: it resumed generation %d as %d", errProtocol, a.generation, res.Generation))
	case res.Seq < a.seq:
		a.lose(protocol.Errorf(protocol.CodeOutOfOrder, "commit %d was acknowledged, but commit %d is the last one stored", a.seq, res.Seq))
	default:
		a.conn, a.next, a.retries = k, 0, 0
		a.reconcile(res)
		a.move()
	}
}

// opened reacts to the answer to the actor's first open.
func (a *Actor) opened(k *conn, cl *call, res *protocol.OpenResult, err error) {
	c := a.c
	if err != nil {
		c.finish(cl, err)
		a.leave()
		return
	}
	a.generation, a.seq, a.conn, a.state = res.Generation, res.Seq, k, opened
	if before := c.actors[a.id]; before != nil {
		before.lose(protocol.Errorf(protocol.CodeLockLost, "opened again on the same channel"))
	}
	c.actors[a.id] = a
	if cl.over {
		// Nobody waits for it any more: release it.
		a.queueClose()
	}
	c.finish(cl, nil)
	a.move()
}

// queueClose makes the actor close itself after the calls before.
func (a *Actor) queueClose() {
	c := a.c
	id := c.lastID.Add(1)
	frame, err := encode(id, a.id, protocol.OpClose, &protocol.Close{Generation: a.generation})
	if err != nil {
		a.abort(err)
		return
	}
	a.state = closing
	a.pending = append(a.pending, &call{
		id: id, actor: a, op: protocol.OpClose, frame: frame, result: &protocol.Empty{}, done: make(chan struct{}),
	})
}

// reconcile settles what the resume's answer tells about calls that were sent on earlier connections (I4). The calls of
// an actor are executed in order, so the last stored commit settles all writes before it.
func (a *Actor) reconcile(res *protocol.OpenResult) {
	c := a.c
	a.seq = res.Seq
	calls := append([]*call(nil), a.pending...)
	applied := -1
	for i, cl := range calls {
		if cl.commit != nil && cl.written && cl.commit.m.Seq == res.Seq {
			applied = i
		}
	}
	for i, cl := range calls {
		switch m := cl.commit; {
		case !cl.written || !writes(cl.op):
			// It is sent again, or for the first time.
		case i > applied && m == nil:
			// Sent again: by itself, or after what stood before it, a write gives the same state once more.
		case i > applied:
			if m.m.Seq-m.m.Count != res.Seq {
				c.finish(cl, protocol.Errorf(protocol.CodeOutOfOrder, "commit %d follows commit %d, but commit %d is the last one stored",
					m.m.Seq, m.m.Seq-m.m.Count, res.Seq))
			}
			// What follows it is the server's to judge.
			return
		case m != nil:
			*cl.result.(*protocol.CommitResult) = protocol.CommitResult{Seq: m.m.Seq, UsedBytes: res.UsedBytes, Already: true}
			c.finish(cl, nil)
		default:
			// It was executed, but whether it was refused is not known, and once more would be out of order.
			c.finish(cl, fmt.Errorf("%w: %s was executed and its answer was lost", ErrIndeterminate, opNames[cl.op]))
		}
	}
}

// retryResume resumes again after a while: one actor that the server cannot serve does not hold up the others.
func (a *Actor) retryResume() {
	c := a.c
	a.retries++
	time.AfterFunc(max(firstRetry, c.backoff(a.retries+1)), func() {
		c.mu.Lock()
		defer c.unlock()
		a.move()
	})
}

// transient tells whether what the server answered may pass.
func transient(code protocol.Code) bool {
	switch code {
	case protocol.CodeInternal, protocol.CodeBackpressure, protocol.CodeActorLocked:
		return true
	}
	return false
}
