package sqlite

/*
#include "internal.h"
*/
import "C"

// Budget is the memory that the pages of all open databases of the process take together: SQLite's caches and what is
// staged for them.
type Budget struct {
	LimitBytes     uint64 `json:"limitBytes"`
	UsedBytes      uint64 `json:"usedBytes"`      // now
	HeldBytes      uint64 `json:"heldBytes"`      // that the system has given for pages, those on their way and some spare ones too; 0 on Windows
	GivenBackBytes uint64 `json:"givenBackBytes"` // by databases that had more than their share, since the process began
}

// SetBudget sets the limit; 0 means the default of 256 MiB.
func SetBudget(bytes uint64) { C.pw_budget_set(C.uint64_t(bytes)) }

// CurrentBudget returns the limit and what is used of it.
func CurrentBudget() Budget {
	var b C.pw_budget
	C.pw_budget_get(&b)
	return Budget{
		LimitBytes: uint64(b.limit), UsedBytes: uint64(b.used), HeldBytes: uint64(b.held), GivenBackBytes: uint64(b.given_back),
	}
}
