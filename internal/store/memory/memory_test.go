package memory_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/store"
	"github.com/pagewire/pagewire/internal/store/memory"
	"github.com/pagewire/pagewire/internal/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return memory.New() })
}

// Whoever calls a key new that is there is wrong about what is stored.
func TestNewKeyThatIsThereIsRefused(t *testing.T) {
	s := memory.New()
	head, err := s.Fence(context.Background(), "a")
	require.NoError(t, err)
	b := store.Batch{Generation: head.Generation, Puts: []store.Entry{{Key: []byte("k"), Value: []byte("v"), New: true}}}
	before, err := s.Apply(context.Background(), "a", &b)
	require.NoError(t, err)
	b.Puts[0].Value = []byte("w")
	after, err := s.Apply(context.Background(), "a", &b)
	require.ErrorContains(t, err, "key 6b, said to be new, is there")
	require.Equal(t, before, after)
}
