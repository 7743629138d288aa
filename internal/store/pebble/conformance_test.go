package pebble_test

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/store"
	"github.com/pagewire/pagewire/internal/store/pebble"
	"github.com/pagewire/pagewire/internal/store/storetest"
)

var quiet = slog.New(slog.DiscardHandler)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		s, err := pebble.Open(t.TempDir(), pebble.Options{Logger: quiet})
		require.NoError(t, err)
		return s
	})
}
