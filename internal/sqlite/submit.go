package sqlite

/*
#include <stdlib.h>
#include "internal.h"

static void submitted(pw_op *op, void *handle) {
  goDone(op, (uintptr_t)handle);
}

static void submit(pw_op *op, uintptr_t handle) {
  pw_op_submit(op, submitted, (void *)handle);
}
*/
import "C"

import (
	"errors"
	"runtime/cgo"
	"sync"
	"unsafe"
)

// Statement is SQL text with its parameters: nil, int, int64, float64, string and []byte.
type Statement struct {
	SQL  string
	Args []any
}

// Call is an operation to be submitted.
type Call struct {
	Script     string      // statements without parameters whose rows are dropped; or
	Statements []Statement // one statement, or several that make a batch: one transaction; or
	Cursor     *Cursor     // the next rows of a cursor
	Epoch      uint32      // not 0: fail with transaction_lost unless it is the database's, and a transaction is open
	NoInline   bool        // do not try to answer a read on the calling goroutine
	// Feed, if set, has a batch submitted with its first statement alone. The others follow one by one, as JavaScript's do
	// in pieces, each after a call of this. If that fails, so does the batch, and done is told the error.
	Feed func() error
}

// Cursor is a statement that is run some rows at a time, by a Call each, as JavaScript's iterate() does.
type Cursor struct {
	stmt  *C.pw_stmt
	args  []any // to be bound by the first call
	chunk int   // rows a call at most; 0 means 1,000
}

// Cursor makes a cursor. Close it, when no call on it is under way.
func (db *DB) Cursor(st Statement, chunk int) (*Cursor, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil, ErrClosed
	}
	stmt := db.statement(st.SQL)
	if stmt == nil {
		return nil, errNoMemory
	}
	return &Cursor{stmt: stmt, args: st.Args, chunk: chunk}, nil
}

// Close ends the statement, wherever it stands.
func (c *Cursor) Close() {
	C.pw_cursor_reset(c.stmt)
	C.pw_stmt_free(c.stmt)
}

// statement makes a statement, which holds a reference to the database; nil if there is no memory.
func (db *DB) statement(sql string) *C.pw_stmt {
	text := C.CString(sql)
	defer C.free(unsafe.Pointer(text))
	return C.pw_stmt_new(db.c, text, C.size_t(len(sql)))
}

// maxKept is how many statements a database keeps.
const maxKept = 32

// prepared returns a statement, to be freed by the caller; nil if there is no memory. One with parameters is kept, as
// JavaScript keeps it, so that the engine knows what it writes when it is run again.
func (db *DB) prepared(st Statement) *C.pw_stmt {
	if len(st.Args) == 0 {
		return db.statement(st.SQL)
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	stmt := db.kept[st.SQL]
	if stmt == nil {
		stmt = db.statement(st.SQL)
		if stmt == nil || db.closed || len(db.kept) == maxKept {
			return stmt
		}
		if db.kept == nil {
			db.kept = make(map[string]*C.pw_stmt)
		}
		db.kept[st.SQL] = stmt
	}
	return C.pw_stmt_ref(stmt)
}

// Submitted is an operation under way.
type Submitted struct {
	op    *C.pw_op
	stmts []*C.pw_stmt
	done  func(*Result, error)

	mu    sync.Mutex
	users int   // of op: one until it is done, one for each Cancel, one while it is fed
	over  bool  // it is done
	cause error // why it was given up
}

// Submit runs a call as the JavaScript side does: a read inline if nothing stands in the way, anything else on a worker,
// in the order of submission. done is called once, on any goroutine and perhaps before Submit returns, when every commit
// before is durable (I5). An error means that done is not called.
func (db *DB) Submit(call Call, done func(*Result, error)) (*Submitted, error) {
	kind, statements := C.int(C.PW_ALL), call.Statements
	switch {
	case call.Cursor != nil:
		kind, statements = C.PW_STEP, []Statement{{Args: call.Cursor.args}}
	case call.Script != "":
		kind, statements = C.PW_EXEC, []Statement{{SQL: call.Script}}
	case len(statements) > 1:
		kind = C.PW_BATCH
	case len(statements) == 0:
		return nil, errors.New("sqlite: a call without statements")
	}
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return nil, ErrClosed
	}
	op := C.pw_op_new(db.c, kind, C.uint32_t(len(statements)))
	db.mu.Unlock()
	if op == nil {
		return nil, errNoMemory
	}
	s := &Submitted{op: op, done: done, users: 1}
	op.need_epoch = C.uint32_t(call.Epoch)
	first := statements
	if call.Feed != nil {
		first = statements[:1]
		C.pw_op_give(op, 1)
	}
	for i, st := range first {
		if err := s.set(db, i, st, call.Cursor); err != nil {
			s.release()
			return nil, err
		}
	}
	if !call.NoInline && C.pw_op_try(op) == C.PW_DONE {
		s.finish()
		return s, nil
	}
	s.users++
	defer s.release()
	C.submit(op, C.uintptr_t(cgo.NewHandle(s)))
	for i := len(first); i < len(statements); i++ {
		err := call.Feed()
		if err == nil {
			err = s.set(db, i, statements[i], nil)
		}
		if err != nil {
			s.giveUp(err)
			break
		}
		C.pw_op_give(op, C.uint32_t(i+1))
	}
	return s, nil
}

// set makes a statement, or a cursor's next step, an item of the operation.
func (s *Submitted) set(db *DB, i int, st Statement, c *Cursor) error {
	var stmt *C.pw_stmt
	if c != nil {
		stmt, c.args = c.stmt, nil
		s.op.max_rows = C.uint32_t(c.chunk)
	} else {
		if stmt = db.prepared(st); stmt == nil {
			return errNoMemory
		}
		s.stmts = append(s.stmts, stmt)
	}
	C.pw_op_item(s.op, C.uint32_t(i), stmt, 0)
	return bind(s.op, i, st.Args)
}

// Cancel makes the operation finish soon with the code. What it has handed over may still become durable.
func (s *Submitted) Cancel(code string) {
	s.mu.Lock()
	over := s.over
	if !over {
		s.users++
	}
	s.mu.Unlock()
	if over {
		return
	}
	defer s.release()
	text := C.CString(code)
	defer C.free(unsafe.Pointer(text))
	C.pw_op_cancel(s.op, text)
}

// giveUp has an operation fail that is not given all its items.
func (s *Submitted) giveUp(cause error) {
	s.mu.Lock()
	s.cause = cause
	s.mu.Unlock()
	C.pw_op_give(s.op, 0)
}

// finish tells the submitter.
func (s *Submitted) finish() {
	var result *Result
	var err error
	if s.op.failed != 0 {
		err = newError(&s.op.error)
	} else {
		result = newResult(s.op)
	}
	s.mu.Lock()
	s.over = true
	if s.cause != nil {
		result, err = nil, s.cause
	}
	s.mu.Unlock()
	s.release()
	s.done(result, err)
}

// release ends a use of the operation, and frees it after the last one.
func (s *Submitted) release() {
	s.mu.Lock()
	s.users--
	last := s.users == 0
	s.mu.Unlock()
	if !last {
		return
	}
	C.pw_op_free(s.op)
	for _, stmt := range s.stmts {
		C.pw_stmt_free(stmt)
	}
}

// ranStatements is for tests: how many statements have been run?
func (db *DB) ranStatements() uint64 {
	var m C.pw_metrics
	C.pw_db_metrics(db.c, &m)
	return uint64(m.statements)
}
