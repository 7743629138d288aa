package sqlite

import "context"

// Settle waits until no commit is under way.
func (db *DB) Settle() error { return db.file.Settle(context.Background()) }

// HoldsRead tells whether a read transaction is kept open between point reads.
func (db *DB) HoldsRead() bool { return db.holdsRead() }

// ResidentPages returns how many pages of the file SQLite's cache holds.
func (db *DB) ResidentPages() uint64 { return db.residentPages() }

// IsResident tells whether the writes of the open transaction do without a savepoint, as all pages are cached.
func (db *DB) IsResident() bool { return db.isResident() }

// BelieveResident makes the engine take all pages for cached until the transaction ends.
func (db *DB) BelieveResident() { db.believeResident() }

// RanStatements returns how many statements have been run.
func (db *DB) RanStatements() uint64 { return db.ranStatements() }
