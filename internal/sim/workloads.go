package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/sqlite"
)

// program is the program of one client on one actor.
type program struct {
	w     *World
	c     *Client
	actor int
	h     *Handle
	r     *rand.Rand // for this round
	marks int64
	known []*Txn // acknowledged on this handle
}

// workloads are what a program does in one round. To add one, add a row.
var workloads = map[string]func(d *program){
	"write": func(d *program) { <-d.write(d.some()...) },
	"read": func(d *program) {
		d.points()
		<-d.read()
	},
	"pipeline": func(d *program) { // commits that overlap and are merged, with reads between them
		var replies []<-chan Reply
		for range 2 + d.r.IntN(6) {
			if d.r.IntN(4) == 0 {
				d.points()
				replies = append(replies, d.read())
			} else {
				replies = append(replies, d.write(d.some()...))
			}
			time.Sleep(between(d.r, 1, time.Duration(1)<<(10+d.r.IntN(14))))
		}
		await(replies)
	},
	"burst": func(d *program) { // single statements all at once, whose commits wait for each other
		var replies []<-chan Reply
		for range 2 + d.r.IntN(20) {
			switch d.r.IntN(12) {
			case 0:
				d.points()
				replies = append(replies, d.read())
			case 1:
				replies = append(replies, d.write(d.some()...))
			case 2:
				reply, s := d.attempt(nil)
				if s != nil && d.r.IntN(2) == 0 {
					s.Cancel("aborted")
				}
				replies = append(replies, reply)
			case 3, 4: // one that always fails: no number is a key
				wrong := sqlite.Statement{SQL: "INSERT INTO slot (k) VALUES (?)", Args: []any{"no number"}}
				replies = append(replies, d.submit(sqlite.Call{Statements: []sqlite.Statement{wrong}}, nil))
			default:
				replies = append(replies, d.write())
			}
			if d.r.IntN(10) == 0 {
				time.Sleep(between(d.r, 1, time.Millisecond))
			}
		}
		await(replies)
	},
	"large": func(d *program) { <-d.write(change{"blob", 20_000 + d.r.Int64N(60_000)}) },
	"huge":  func(d *program) { <-d.write(change{"blob", 100_000 + d.r.Int64N(1_200_000)}) },
	"giant": func(d *program) { <-d.write(change{"blob", 20_000 * protocol.PageSize}) }, // for sweeps: seconds each
	"shrink": func(d *program) {
		<-d.write(change{"unblob", 0}, change{"unblob", 0})
		<-d.submit(sqlite.Call{Script: "VACUUM"}, nil)
	},
	"shrink and grow": func(d *program) { // the file is cut and grows again before either is acknowledged
		replies := []<-chan Reply{d.write(change{"unblob", 0}), d.submit(sqlite.Call{Script: "VACUUM"}, nil), d.write(change{"blob", 9_000})}
		await(replies)
	},
	"schema": func(d *program) {
		<-d.write(change{[]string{"create", "drop"}[d.r.IntN(2)], d.r.Int64N(4)}, change{"put", d.r.Int64N(40)})
	},
	"transaction": func(d *program) { d.transaction(false) },
	"rollback":    func(d *program) { d.transaction(true) },
	"abort": func(d *program) {
		reply, s := d.attempt(d.some())
		time.Sleep(between(d.r, 1, time.Duration(1)<<(10+d.r.IntN(16))))
		if s != nil {
			s.Cancel("aborted")
		}
		<-reply
	},
	"iterate": func(d *program) { d.iterate() },
	"kv":      func(d *program) { d.kv() },
	"integrity": func(d *program) {
		<-d.submit(sqlite.Call{Statements: []sqlite.Statement{{SQL: "PRAGMA integrity_check"}}}, func(r Reply) {
			if r.Err == nil && (len(r.Rows) != 1 || r.Rows[0][0] != "ok") {
				d.w.Fail("I3", "%s: integrity_check in %s: %v", actorName(d.actor), d.c.Name, r.Rows)
			}
		})
	},
	"reopen": func(d *program) { d.close() },
	"idle":   func(d *program) { time.Sleep(between(d.r, time.Millisecond, 20*time.Second)) },
}

// drive runs the program of a client on an actor.
func (w *World) drive(c *Client, actor int) {
	d := &program{w: w, c: c, actor: actor}
	var names []string
	var weights []float64
	for _, name := range sortedKeys(workloads) {
		if n := w.Work[name]; n > 0 {
			names, weights = append(names, name), append(weights, float64(n))
		}
	}
	for round := range w.Rounds {
		w.pause("round"+c.Name, uint64(actor), 20*time.Millisecond)
		d.r = w.Rand("work"+c.Name, uint64(actor), uint64(round))
		if d.h == nil && !d.open() {
			continue
		}
		name := names[pick(d.r, weights)]
		w.Event("work", "%s %s %s", c.Name, actorID(actor), name)
		workloads[name](d)
		if d.h != nil && d.h.over() {
			d.points()
			<-d.read() // what its cache holds must not be had any more
			d.close()
		}
	}
	d.close()
}

// over says whether a handle is of no use any more.
func (h *Handle) over() bool { return h.Lost() || h.r.ctx.Err() != nil }

// open opens the database and sees to its tables.
func (d *program) open() bool {
	mode := []protocol.OpenMode{protocol.ModeFail, protocol.ModeWait, protocol.ModeTakeover, protocol.ModeTakeover}[d.r.IntN(4)]
	h, err := d.c.Open(d.actor, mode)
	if err != nil {
		d.w.Event("no open", "%s %s mode %d: %v", d.c.Name, actorID(d.actor), mode, codeOf(err))
		d.w.pause("reopen"+d.c.Name, uint64(d.actor), 2*time.Second)
		return false
	}
	d.h, d.known = h, nil
	if r := <-d.submit(sqlite.Call{Statements: setup}, nil); r.Err != nil {
		d.close()
		return false
	}
	return true
}

func (d *program) close() {
	if d.h != nil {
		_ = d.h.Close()
		d.h = nil
	}
}

func (d *program) submit(call sqlite.Call, judge func(Reply)) <-chan Reply {
	reply, _ := d.h.Submit(call, judge)
	return reply
}

// some are a few changes.
func (d *program) some() []change {
	ops := []string{"put", "put", "put", "update", "delete"}
	out := make([]change, 1+d.r.IntN(3))
	for i := range out {
		out[i] = change{ops[d.r.IntN(len(ops))], d.r.Int64N(40)}
	}
	if d.r.IntN(8) == 0 {
		out = append(out, change{"blob", 100 + d.r.Int64N(9_000)})
	}
	if d.r.IntN(8) == 0 {
		out = append(out, change{"unblob", 0})
	}
	return out
}

// begin makes a transaction.
func (d *program) begin(changes []change) *Txn {
	d.marks++
	t := &Txn{
		Mark:   int64(d.c.Name[1]-'0'+1)<<32 | int64(d.actor)<<24 | d.marks,
		Handle: d.h, Changes: changes,
	}
	d.w.Model.begin(t)
	return t
}

func (t *Txn) statements() []sqlite.Statement {
	out := []sqlite.Statement{logged(t.Mark)}
	for _, c := range t.Changes {
		out = append(out, changes[c.op].sql(t.Mark, c.n))
	}
	return out
}

// judge notes what became of a transaction.
func (d *program) judge(t *Txn, r Reply) {
	if r.Stale && r.Err == nil {
		d.w.Fail("I1", "%s: %s wrote %x after it was told that the lock is lost", actorName(d.actor), d.c.Name, t.Mark)
	}
	d.w.Model.told(t, r.Err)
}

// await waits for all replies.
func await(replies []<-chan Reply) {
	for _, reply := range replies {
		<-reply
	}
}

// attempt submits a transaction that may be cancelled; what is known does not grow by it.
func (d *program) attempt(changes []change) (<-chan Reply, *sqlite.Submitted) {
	t := d.begin(changes)
	return d.h.Submit(sqlite.Call{Statements: t.statements()}, func(r Reply) { d.judge(t, r) })
}

// write submits a transaction as a batch.
func (d *program) write(changes ...change) <-chan Reply {
	t := d.begin(changes)
	h := d.h
	return d.submit(sqlite.Call{Statements: t.statements()}, func(r Reply) {
		d.judge(t, r)
		if r.Err == nil {
			h.mu.Lock()
			d.known = append(d.known, t)
			h.mu.Unlock()
		}
	})
}

// read submits a read of everything.
func (d *program) read() <-chan Reply {
	h := d.h
	h.mu.Lock()
	needed := d.known
	h.mu.Unlock()
	return d.submit(sqlite.Call{Statements: []sqlite.Statement{{SQL: snapshot}}}, func(r Reply) {
		if r.Err == nil {
			d.w.Model.seen(h, toState(r.Rows), needed, r.Stale)
		}
	})
}

// points reads some times at once, after two of which in a row the engine keeps its read transaction open.
func (d *program) points() {
	for range d.r.IntN(6) {
		d.point()
	}
}

// point reads everything at once, if that can be.
func (d *program) point() {
	h := d.h
	h.mu.Lock()
	needed, stale := d.known, h.lost
	h.mu.Unlock()
	if h.r.ctx.Err() != nil {
		return
	}
	row, ok, err := h.db.Point(sqlite.Statement{SQL: snapshotRow})
	if !ok || err != nil {
		return
	}
	d.w.Event("point", "%s %s %t", d.c.Name, actorID(d.actor), row.Point)
	rows, err := rowsOf(row.Values)
	if err != nil {
		d.w.Fail("I3", "%s: %s read %q: %v", actorName(d.actor), d.c.Name, row.Values, err)
		return
	}
	d.w.Model.seen(h, toState(rows), needed, stale)
}

// iterate reads everything, some rows at a time. Now and then it leaves early, or writes between two chunks, after which
// the rows may be of two states.
func (d *program) iterate() {
	h := d.h
	h.mu.Lock()
	needed := d.known
	h.mu.Unlock()
	// Until the cursor's reset is through, which the database's close waits for outside of the virtual time.
	if h.r.ctx.Err() != nil || !h.enter() {
		return
	}
	c, err := h.db.Cursor(sqlite.Statement{SQL: snapshot}, 1+d.r.IntN(20))
	if err != nil {
		h.calls.Done()
		return
	}
	defer func() {
		c.Close()
		behind := sqlite.Call{NoInline: true, Statements: []sqlite.Statement{{SQL: "SELECT 1"}}}
		if _, err := h.db.Submit(behind, func(*sqlite.Result, error) { h.calls.Done() }); err != nil {
			h.calls.Done()
		}
	}()
	var rows [][]any
	mixed := false
	for more := true; more && d.r.IntN(30) > 0; {
		r := <-d.submit(sqlite.Call{Cursor: c}, func(r Reply) {
			if r.Err != nil {
				return
			}
			if rows = append(rows, r.Rows...); !r.More && !mixed {
				d.w.Model.seen(h, toState(rows), needed, r.Stale)
			}
		})
		more = r.Err == nil && r.More
		if more && d.r.IntN(8) == 0 {
			<-d.write(d.some()...)
			mixed = true
		}
	}
}

// transaction is one of several calls, with a savepoint that is rolled back.
func (d *program) transaction(rollback bool) {
	begun := <-d.submit(sqlite.Call{Statements: []sqlite.Statement{{SQL: "BEGIN IMMEDIATE"}}}, nil)
	if begun.Err != nil {
		return
	}
	t := d.begin(d.some())
	never := d.begin([]change{{"put", 3}, {"delete", 4}}) // in the savepoint
	list := t.statements()
	list = append(list, sqlite.Statement{SQL: "SAVEPOINT s"})
	list = append(list, never.statements()...)
	list = append(list, sqlite.Statement{SQL: "ROLLBACK TO s"}, sqlite.Statement{SQL: "RELEASE s"})
	for _, st := range list {
		r := <-d.submit(sqlite.Call{Statements: []sqlite.Statement{st}, Epoch: begun.Epoch}, nil)
		if r.Err != nil {
			rollback = true
			break
		}
	}
	d.w.Model.told(never, errRolledBack)
	if !rollback {
		r := <-d.submit(sqlite.Call{Statements: []sqlite.Statement{{SQL: "COMMIT"}}, Epoch: begun.Epoch}, func(r Reply) { d.judge(t, r) })
		if rollback = r.Err != nil; !rollback {
			return
		}
	} else {
		d.w.Model.told(t, errRolledBack)
	}
	r := <-d.submit(sqlite.Call{Statements: []sqlite.Statement{{SQL: "ROLLBACK"}}, Epoch: begun.Epoch}, nil)
	if r.Err != nil && codeOf(r.Err) != "transaction_lost" {
		d.close()
	}
}

var errRolledBack = &sqlite.Error{Code: "rolled_back"}

// finalCheck opens every actor in a new process and compares all it holds with the store.
func (w *World) finalCheck() {
	for _, c := range w.Clients {
		c.Crash()
	}
	w.checker.Start()
	for actor := range w.Actors {
		if err := w.checkActor(actor); err != nil {
			w.Fail("liveness", "%s: after all is healed: %v", actorName(actor), err)
		}
	}
}

func (w *World) checkActor(actor int) error {
	var err error
	// A store that stalls may hold up the first ones for a minute.
	for try, begun := 0, w.Now(); w.Now() < begun+3*time.Minute; try++ {
		d := &program{w: w, c: w.checker, actor: actor, r: w.Rand("check", uint64(actor), uint64(try)), marks: int64(try) * 100}
		if d.h, err = w.checker.Open(actor, protocol.ModeTakeover); err != nil {
			w.pause("check", uint64(actor), time.Second)
			continue
		}
		if r := <-d.submit(sqlite.Call{Statements: setup}, nil); r.Err != nil {
			if codeOf(r.Err) == string(protocol.CodeStorageQuotaExceeded) {
				d.close()
				return nil
			}
			err = r.Err
			d.close()
			continue
		}
		workloads["integrity"](d)
		r := <-d.read()
		if err = r.Err; err == nil {
			want := w.Model.stored(actorName(actor))
			if got := toState(r.Rows); want != nil && len(got.log) != len(want.log) {
				err = fmt.Errorf("%d transactions read, %d stored", len(got.log), len(want.log))
			}
		}
		d.close()
		if err == nil {
			return nil
		}
	}
	return err
}

func callOf(statements []sqlite.Statement) sqlite.Call { return sqlite.Call{Statements: statements} }
