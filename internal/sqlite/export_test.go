package sqlite

import "context"

// Settle waits until no commit is under way.
func (db *DB) Settle() error { return db.file.Settle(context.Background()) }

// HoldsRead tells whether a read transaction is kept open between point reads.
func (db *DB) HoldsRead() bool { return db.holdsRead() }
