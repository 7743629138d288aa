package sqlite

/*
#include "internal.h"
*/
import "C"

// For tests, while nobody uses the database.

// residentPages returns how many pages of the file SQLite's cache holds.
func (db *DB) residentPages() uint64 { return uint64(C.pw_resident_pages(db.c)) }

// isResident tells whether the writes of the open transaction do without a savepoint, as all pages are cached.
func (db *DB) isResident() bool { return db.c.resident != 0 }

// believeResident makes the engine take all pages for cached until the transaction ends.
func (db *DB) believeResident() { db.c.resident = 1 }
