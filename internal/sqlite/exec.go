package sqlite

/*
#include <stdlib.h>
#include "internal.h"
*/
import "C"

import (
	"fmt"
	"math"
	"unicode/utf16"
	"unsafe"
)

// Error is why an operation failed. Code is the stable Pagewire code, empty where SQLite's own code says it all.
type Error struct {
	Code    string
	SQLite  int // extended result code, 0 if SQLite took no part
	Offset  int // byte offset in the SQL text, -1 if unknown
	Message string
}

// Error implements error.
func (e *Error) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("SQLite error %d: %s", e.SQLite, e.Message)
	}
	return e.Code + ": " + e.Message
}

var errNoMemory = &Error{Code: "out_of_memory", SQLite: C.SQLITE_NOMEM, Offset: -1, Message: "no memory for the statement"}

func newError(e *C.pw_error) *Error {
	return &Error{C.GoString(&e.code[0]), int(e.sqlite), int(e.offset), C.GoString(e.message)}
}

// Result is what a statement answered. Values are nil, int64, float64, string and []byte.
type Result struct {
	Columns      []string
	Rows         [][]any
	Changes      int64
	LastInsertID int64
	Inline       bool   // answered without a worker
	Autocommit   bool   // no transaction is open afterwards
	More         bool   // of a cursor: it has not ended
	Epoch        uint32 // rises when a failed commit made the database reload
}

// Exec runs all statements of a script and drops their rows.
func (db *DB) Exec(script string) error {
	_, err := db.operate(C.PW_EXEC, script, nil)
	return err
}

// Query runs one statement with its parameters (nil, int64, int, float64, string, []byte) and returns all rows. It
// first tries to answer inline, as the JavaScript side does, then waits for its turn.
func (db *DB) Query(sql string, args ...any) (*Result, error) {
	return db.operate(C.PW_ALL, sql, args)
}

func (db *DB) operate(kind C.int, sql string, args []any) (*Result, error) {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return nil, ErrClosed
	}
	C.pw_db_ref(db.c)
	db.mu.Unlock()
	defer C.pw_db_unref(db.c)
	stmt := db.statement(sql)
	if stmt == nil {
		return nil, errNoMemory
	}
	defer C.pw_stmt_free(stmt)
	op := C.pw_op_new(db.c, kind, 1)
	if op == nil {
		return nil, errNoMemory
	}
	defer C.pw_op_free(op)
	C.pw_op_item(op, 0, stmt, 0)
	if err := bind(op, 0, args); err != nil {
		return nil, err
	}
	if C.pw_op_try(op) == C.PW_DEFER {
		C.pw_op_wait(op)
	}
	if op.failed != 0 {
		return nil, newError(&op.error)
	}
	return newResult(op), nil
}

func bind(op *C.pw_op, item int, args []any) error {
	if len(args) == 0 {
		return nil
	}
	values, free, err := convert(args)
	if err != nil {
		return err
	}
	defer free()
	C.pw_op_bind(op, C.uint32_t(item), &values[0], C.uint32_t(len(values)))
	return nil
}

// convert makes parameters. Texts and blobs are in memory of C's until free is called.
func convert(args []any) (values []C.pw_value, free func(), err error) {
	values = make([]C.pw_value, len(args))
	free = func() {
		for _, v := range values {
			C.free(unsafe.Pointer(v.p))
		}
	}
	for i, arg := range args {
		v := &values[i]
		switch arg := arg.(type) {
		case nil:
			v._type = C.PW_NULL
		case int:
			v._type, v.i = C.PW_INT, C.int64_t(arg)
		case int64:
			v._type, v.i = C.PW_INT, C.int64_t(arg)
		case float64:
			v._type, v.r = C.PW_REAL, C.double(arg)
		case string:
			v._type, v.p, v.n = C.PW_TEXT, C.CBytes([]byte(arg)), C.size_t(len(arg))
		case []byte:
			v._type, v.p, v.n = C.PW_BLOB, C.CBytes(arg), C.size_t(len(arg))
		default:
			free()
			return nil, nil, fmt.Errorf("sqlite: parameter %d: a %T cannot be bound", i+1, arg)
		}
	}
	return values, free, nil
}

func newResult(op *C.pw_op) *Result {
	item := op.items
	r := &Result{
		Changes: int64(item.changes), LastInsertID: int64(item.last_rowid), Inline: op.ran_inline != 0,
		Autocommit: op.autocommit != 0, More: op.more != 0, Epoch: uint32(op.epoch),
	}
	at := uintptr(0)
	for at < uintptr(item.n_names) {
		name := C.GoString((*C.char)(unsafe.Add(unsafe.Pointer(item.names), at)))
		r.Columns = append(r.Columns, name)
		at += uintptr(len(name)) + 1
	}
	r.Rows = unpack(&item.rows)
	return r
}

// unpack is the decoder of pw_rows for Go, the counterpart of js/rows.ts.
func unpack(rows *C.pw_rows) [][]any {
	n := int(rows.nrow) * int(rows.ncol)
	if n == 0 {
		return nil
	}
	tags := unsafe.Slice((*uint8)(unsafe.Pointer(rows.tags)), n)
	cells := unsafe.Slice((*float64)(unsafe.Pointer(rows.cells)), n)
	text, blob := 0, 0
	out := make([][]any, rows.nrow)
	for i := range n {
		var v any
		switch tags[i] {
		case C.PW_INT:
			v = int64(cells[i])
		case C.PW_REAL:
			v = cells[i]
		case C.PW_BIGINT:
			v = int64(math.Float64bits(cells[i]))
		case C.PW_TEXT:
			v = textAt(rows, text, int(cells[i]))
			text += int(cells[i])
		case C.PW_BLOB:
			v = C.GoBytes(unsafe.Add(unsafe.Pointer(rows.blob), blob), C.int(cells[i]))
			blob += int(cells[i])
		}
		r := i / int(rows.ncol)
		out[r] = append(out[r], v)
	}
	return out
}

func textAt(rows *C.pw_rows, at, n int) string {
	if n == 0 {
		return ""
	}
	if rows.wide != 0 {
		return string(utf16.Decode(unsafe.Slice((*uint16)(unsafe.Add(rows.text, at*2)), n)))
	}
	return string(unsafe.Slice((*byte)(unsafe.Add(rows.text, at)), n))
}
