package pebble

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/pagewire/pagewire/internal/store"
)

// translate gives Pebble's errors the names of package store. The cause stays in the chain.
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrCorrupt):
		return err
	case isNoSpace(err):
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	case pebble.IsCorruptionError(err):
		return fmt.Errorf("%w: %w", store.ErrCorrupt, err)
	}
	return fmt.Errorf("pebble: %w", err)
}

// isNoSpace says whether err means a full disk or an exhausted quota of one.
func isNoSpace(err error) bool {
	for _, no := range noSpace {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

// isLocked says whether err, of taking the directory's lock, means that somebody holds it.
func isLocked(err error) bool {
	// Within one process Pebble and its in-memory file system answer errors that have no value to compare with.
	switch err.Error() {
	case "lock held by current process", "resource temporarily unavailable":
		return true
	}
	for _, held := range lockHeld {
		if errors.Is(err, held) {
			return true
		}
	}
	return false
}
