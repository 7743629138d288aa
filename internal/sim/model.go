package sim

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/pagewire/pagewire/internal/channel"
	"github.com/pagewire/pagewire/internal/sqlite"
	"github.com/pagewire/pagewire/internal/store"
)

// Model knows what was done to every actor and what was told about it, and holds the store against that.
type Model struct {
	w      *World
	mu     sync.Mutex
	actors map[string]*actorModel
}

// actorModel is one actor.
type actorModel struct {
	name       string
	txns       map[int64]*Txn
	generation uint64 // handed out last
	seq        uint64 // applied last
	version    uint64 // applies
	read       uint64 // version of state, if known
	state      *state
	kv         map[string][]*kvPut // by key, the values that may be stored
	kvValue    uint64              // put last
}

// fate is what the caller of a transaction was told.
type fate int

const (
	pending fate = iota // nothing yet, or its client crashed
	acked               // it is durable (I2)
	failed              // it changed nothing (I3, I6)
	unknown             // it may or may not be durable
)

// Txn is one transaction. Its mark is unique and rises with the submissions of one handle.
type Txn struct {
	Mark    int64
	Handle  *Handle
	Changes []change
	fate    fate
}

// state is what an actor's database holds.
type state struct {
	log   []int64
	slots map[int64]row
	blobs []blobRow
	ddl   []string
	at    map[int64]int // positions in log
}

type row struct {
	mark int64
	pad  string
}

type blobRow struct {
	mark   int64
	length int64
	tail   string
}

func newModel(w *World) *Model { return &Model{w: w, actors: make(map[string]*actorModel)} }

func (m *Model) actor(name string) *actorModel {
	a := m.actors[name]
	if a == nil {
		a = &actorModel{name: name, txns: make(map[int64]*Txn)}
		m.actors[name] = a
	}
	return a
}

// begin notes a transaction before it is submitted.
func (m *Model) begin(t *Txn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.actor(actorName(t.Handle.Actor)).txns[t.Mark] = t
}

// fenced notes that the store has handed out a generation (I1: it rises by one).
func (m *Model) fenced(name string, h store.Head) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.actor(name)
	if h.Generation != a.generation+1 || h.Seq != a.seq {
		m.w.Fail("I1", "%s: generation %d and commit %d follow generation %d and commit %d", name, h.Generation, h.Seq,
			a.generation, a.seq)
	}
	a.generation = h.Generation
}

// applied notes that the store has applied a batch, and checks that it was right to (I1, I4), and what there is now.
func (m *Model) applied(name string, b *store.Batch, h store.Head) {
	m.mu.Lock()
	a := m.actor(name)
	if b.Generation != a.generation {
		m.w.Fail("I1", "%s: a write of generation %d was applied under %d", name, b.Generation, a.generation)
	}
	if b.Seq != 0 {
		if b.Expect != a.seq || h.Seq != b.Seq || b.Seq <= b.Expect {
			m.w.Fail("I4", "%s: commit %d after %d was applied to %d and made %d", name, b.Seq, b.Expect, a.seq, h.Seq)
		}
		a.seq = b.Seq
	}
	a.version++
	m.mu.Unlock()
	if m.w.Rand("audit", a.version).IntN(4) == 0 {
		m.stored(name)
	}
}

// logLength is how many transactions an actor's log holds.
func (m *Model) logLength(actor int) int {
	if s := m.stored(actorName(actor)); s != nil {
		return len(s.log)
	}
	return 0
}

// stored returns what the store holds, after checking it (I2, I3, I4): every transaction whole and once, in the order of
// its handle, none that failed, all that were acknowledged. It is nil if a violation was found.
func (m *Model) stored(name string) *state {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.actor(name)
	if a.state == nil || a.read != a.version {
		s, err := readStore(m.w.Store, name)
		if err != nil {
			m.w.Fail("I3", "%s: the stored database: %v", name, err)
			return nil
		}
		if s.at = a.checkLog(m.w, s.log); s.at == nil {
			return nil
		}
		if diff := a.replay(s.log).differs(s); diff != "" {
			m.w.Fail("I3", "%s: stored after %d transactions: %s", name, len(s.log), diff)
			return nil
		}
		a.state, a.read = s, a.version
		for _, t := range a.txns {
			m.w.check(a, t)
		}
	}
	return a.state
}

// checkLog returns the positions of the marks of a log whose transactions are known, unique and in order, else nil.
func (a *actorModel) checkLog(w *World, log []int64) map[int64]int {
	at := make(map[int64]int, len(log))
	last := make(map[*Handle]int64)
	for i, mark := range log {
		t := a.txns[mark]
		if t == nil {
			w.Fail("I3", "%s: the log holds %x, which nobody wrote", a.name, mark)
			return nil
		}
		if _, twice := at[mark]; twice {
			w.Fail("I4", "%s: transaction %x was applied twice", a.name, mark)
			return nil
		}
		if last[t.Handle] > mark {
			w.Fail("I4", "%s: transaction %x stands behind %x of the same handle", a.name, mark, last[t.Handle])
			return nil
		}
		last[t.Handle], at[mark] = mark, i
	}
	return at
}

// check holds what was told about t against what is stored. m.mu is held.
func (w *World) check(a *actorModel, t *Txn) {
	_, present := a.state.at[t.Mark]
	switch {
	case t.fate == acked && !present:
		w.Fail("I2", "%s: transaction %x was acknowledged and is not stored", a.name, t.Mark)
	case t.fate == failed && present:
		w.Fail("I6", "%s: transaction %x was reported as failed and is stored", a.name, t.Mark)
	}
}

// told notes what the caller of t was told, at that moment.
func (m *Model) told(t *Txn, err error) {
	name := actorName(t.Handle.Actor)
	if m.stored(name) == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.actor(name)
	t.fate = m.w.fateOf(err)
	m.w.check(a, t)
}

// fateOf reads what the caller of a transaction, or of a put, was told.
func (w *World) fateOf(err error) fate {
	switch code := codeOf(err); {
	case err == nil:
		return acked
	case err == errCrashed:
		return pending
	case code == "commit_indeterminate":
		return unknown
	case code == "aborted" && strings.Contains(err.Error(), "may still become durable"):
		return unknown // as docs/api.md promises to say
	case code == "lock_lost" && w.Faults["twin"] > 0:
		return unknown // the twin's resume ended the session, and the twin's copy of the commit may have been applied
	}
	return failed
}

func codeOf(err error) string {
	if e, ok := err.(*sqlite.Error); ok {
		return e.Code
	}
	return channel.Code(err)
}

// seen checks what a read of a handle saw, at the moment at which its promise resolved: nothing that is not durable
// (I5), a state that there was (I3, I6), all that the handle knew to be there, and nothing at all once it knew that its
// lock was gone.
func (m *Model) seen(h *Handle, s *state, needed []*Txn, stale bool) {
	name := actorName(h.Actor)
	now := m.stored(name)
	if now == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.actor(name)
	if stale {
		m.w.Fail("I1", "%s: %s read after it was told that the lock is lost", name, h.r.c.Name)
	}
	if len(s.log) > len(now.log) || !slices.Equal(s.log, now.log[:len(s.log)]) {
		m.w.Fail("I5", "%s: %s saw the transactions %x, stored are %x", name, h.r.c.Name, s.log, now.log)
		return
	}
	if diff := a.replay(s.log).differs(s); diff != "" {
		m.w.Fail("I3", "%s: %s saw after %d transactions: %s", name, h.r.c.Name, len(s.log), diff)
	}
	if len(s.log) < h.opened {
		m.w.Fail("I2", "%s: %s saw %d transactions, there were %d when it opened", name, h.r.c.Name, len(s.log), h.opened)
	}
	for _, t := range needed {
		if now.at[t.Mark] >= len(s.log) {
			m.w.Fail("I2", "%s: %s did not see its transaction %x, which was acknowledged", name, h.r.c.Name, t.Mark)
			return
		}
	}
}

// replay makes the state that a log's transactions lead to.
func (a *actorModel) replay(log []int64) *state {
	s := &state{log: log, slots: make(map[int64]row)}
	for _, mark := range log {
		if t := a.txns[mark]; t != nil {
			for _, c := range t.Changes {
				c.apply(s, mark)
			}
		}
	}
	return s
}

// differs says what is other in got, "" if nothing is.
func (s *state) differs(got *state) string {
	for k, want := range s.slots {
		if have, ok := got.slots[k]; !ok || have != want {
			return fmt.Sprintf("slot %d is of %x (%d bytes), not of %x (%d bytes)", k, have.mark, len(have.pad), want.mark, len(want.pad))
		}
	}
	if len(s.slots) != len(got.slots) {
		return fmt.Sprintf("%d slots, not %d", len(got.slots), len(s.slots))
	}
	if !slices.Equal(s.blobs, got.blobs) {
		return fmt.Sprintf("blobs %x, not %x", got.blobs, s.blobs)
	}
	if slices.Sort(got.ddl); !slices.Equal(s.ddl, got.ddl) {
		return fmt.Sprintf("tables %v, not %v", got.ddl, s.ddl)
	}
	return ""
}
