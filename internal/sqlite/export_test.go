package sqlite

import "context"

// Settle waits until no commit is under way.
func (db *DB) Settle() error { return db.file.Settle(context.Background()) }
