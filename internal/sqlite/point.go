package sqlite

/*
#include <stdlib.h>
#include "internal.h"
*/
import "C"

import "unsafe"

// Row is the first row of a read that was answered at once.
type Row struct {
	Values []any // nil if there is none
	Point  bool  // read without an operation, as the engine does once it knows the statement
}

// point is a statement as point reads know it.
type point struct {
	stmt  *C.pw_stmt
	shape C.uint32_t // 0 until it has been run as an operation
	ncol  C.uint32_t
}

// pointOf returns how a statement is read, and adds a reference to the database.
func (db *DB) pointOf(sql string) (*point, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil, ErrClosed
	}
	p := db.points[sql]
	if p == nil {
		p = &point{stmt: db.statement(sql)}
		if p.stmt == nil {
			return nil, errNoMemory
		}
		if db.points == nil {
			db.points = make(map[string]*point)
		}
		db.points[sql] = p
	}
	C.pw_db_ref(db.c)
	return p, nil
}

// Point reads the first row of a statement on this goroutine, as JavaScript does for statements that are read often. ok
// is false if that would have to wait: nothing has happened then. Calls of Point must not overlap, nor Close begin in one.
func (db *DB) Point(st Statement) (row Row, ok bool, err error) {
	p, err := db.pointOf(st.SQL)
	if err != nil {
		return Row{}, false, err
	}
	defer C.pw_db_unref(db.c)
	if p.shape != 0 {
		if values, ok, err := p.read(st.Args); ok || err != nil {
			return Row{values, true}, ok, err
		}
	}
	op := C.pw_op_new(db.c, C.PW_GET, 1)
	if op == nil {
		return Row{}, false, errNoMemory
	}
	defer C.pw_op_free(op)
	C.pw_op_item(op, 0, p.stmt, 0)
	if err := bind(op, 0, st.Args); err != nil {
		return Row{}, false, err
	}
	if C.pw_op_try(op) != C.PW_DONE {
		return Row{}, false, nil
	}
	if op.failed != 0 {
		return Row{}, true, newError(&op.error)
	}
	p.shape, p.ncol = op.items.shape, op.items.ncol
	return Row{Values: firstOf(&op.items.rows)}, true, nil
}

// read reads the first row if that can be done without an operation.
func (p *point) read(args []any) (row []any, ok bool, err error) {
	values, free, err := convert(args)
	if err != nil {
		return nil, false, err
	}
	defer free()
	rows := C.pw_rows{ncol: p.ncol}
	defer C.pw_rows_free(&rows)
	if C.pw_stmt_read(p.stmt, unsafe.SliceData(values), C.uint32_t(len(values)), p.shape, &rows) != C.PW_DONE {
		return nil, false, nil
	}
	return firstOf(&rows), true, nil
}

func firstOf(rows *C.pw_rows) []any {
	if rows.nrow == 0 {
		return nil
	}
	return unpack(rows)[0]
}

// holdsRead is for tests: is a read transaction kept open between calls? Nobody may use the database meanwhile.
func (db *DB) holdsRead() bool { return db.c.holds != 0 }
