package pebble

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/store"
)

// I1: the parts of a large read, which have a walker each, see the same moment, whatever is written between their beginnings.
func TestI1ClonedWalkersSeeOneMoment(t *testing.T) {
	ctx := context.Background()
	s, err := Open("dir", Options{FS: vfs.NewMem()})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	head, err := s.Fence(ctx, "a")
	require.NoError(t, err)
	keys := [][]byte{[]byte("k"), []byte("l"), []byte("m")}
	write := func(puts ...store.Entry) {
		_, err := s.Apply(ctx, "a", &store.Batch{Generation: head.Generation, Puts: puts})
		require.NoError(t, err)
	}
	write(store.Entry{Key: keys[0], Value: []byte("old")}, store.Entry{Key: keys[2], Value: []byte("old")})

	first, err := newWalker(s.db, dataPrefix("a"))
	require.NoError(t, err)
	write(store.Entry{Key: keys[0], Value: []byte("new")}, store.Entry{Key: keys[1], Value: []byte("new")})
	second, err := first.clone()
	require.NoError(t, err)
	for _, w := range []*walker{first, second} {
		found := make([]string, len(keys))
		require.NoError(t, w.read([]int{0, 1, 2}, keys, func(i int, value []byte) { found[i] = string(value) }))
		require.Equal(t, []string{"old", "", "old"}, found)
	}
}

// Reads that find the processors taken by others do without.
func TestReadersAreBounded(t *testing.T) {
	s := &Store{readers: make(chan struct{}, 3)}
	require.Equal(t, 0, s.takeReaders(-1))
	require.Equal(t, 2, s.takeReaders(2))
	require.Equal(t, 1, s.takeReaders(5))
	require.Equal(t, 0, s.takeReaders(1))
	s.giveReaders(3)
	require.Equal(t, 3, s.takeReaders(4))
}
