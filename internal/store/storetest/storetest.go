// Package storetest is the conformance suite of package store: what every backend must do, run against each of them.
package storetest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/store"
)

// Run runs the suite. open returns a new, empty store, which the suite closes.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s store.Store)
	}{
		{"Fence", testFence},
		{"Generation", testGeneration},
		{"Epoch", testEpoch},
		{"Sequence", testSequence},
		{"OrderInBatch", testOrderInBatch},
		{"DuplicateKeys", testDuplicateKeys},
		{"NewKeys", testNewKeys},
		{"RangeDeletes", testRangeDeletes},
		{"Hints", testHints},
		{"Quota", testQuota},
		{"EmptyAndAbsent", testEmptyAndAbsent},
		{"GetOrder", testGetOrder},
		{"ScanBounds", testScanBounds},
		{"ScanStopsAndNests", testScanStopsAndNests},
		{"ScanOneMoment", testScanOneMoment},
		{"BinaryNames", testBinaryNames},
		{"NotAliased", testNotAliased},
		{"RandomBatches", testRandomBatches},
		{"LargeBatch", testLargeBatch},
		{"ConcurrentOnOneActor", testConcurrentOnOneActor},
		{"ConcurrentRetries", testConcurrentRetries},
		{"ConcurrentOnManyActors", testConcurrentOnManyActors},
		{"ConcurrentLargeReads", testConcurrentLargeReads},
		{"Cancelled", testCancelled},
		{"Close", testClose},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			t.Cleanup(func() { require.NoError(t, s.Close()) })
			c.run(t, s)
		})
	}
}

// fence opens the actor and returns its generation.
func fence(t testing.TB, s store.Store, actor string) uint64 {
	t.Helper()
	head, err := s.Fence(context.Background(), actor)
	require.NoError(t, err)
	return head.Generation
}

// apply applies b, which must succeed.
func apply(t testing.TB, s store.Store, actor string, b store.Batch) store.Head {
	t.Helper()
	head, err := s.Apply(context.Background(), actor, &b)
	require.NoError(t, err)
	return head
}

// entry is an entry of strings.
func entry(key, value string) store.Entry { return store.Entry{Key: []byte(key), Value: []byte(value)} }

// keys are keys of strings.
func keys(names ...string) [][]byte {
	list := make([][]byte, len(names))
	for i, name := range names {
		list[i] = []byte(name)
	}
	return list
}

// span is the range [start, end).
func span(start, end string) store.Range { return store.Range{Start: []byte(start), End: []byte(end)} }

// dump returns the keys and values in the range, in the order of the scan, as "key=value".
func dump(t testing.TB, s store.Store, actor string, r store.Range, reverse bool) []string {
	t.Helper()
	list := []string{}
	require.NoError(t, s.Scan(context.Background(), actor, r, reverse, func(key, value []byte) bool {
		list = append(list, string(key)+"="+string(value))
		return true
	}))
	return list
}

// all returns the actor's entries in key order.
func all(t testing.TB, s store.Store, actor string) []string {
	t.Helper()
	return dump(t, s, actor, store.Range{}, false)
}

// requireExact checks that the head's bytes used are what a recount finds.
func requireExact(t testing.TB, s store.Store, actor string) {
	t.Helper()
	var counted uint64
	require.NoError(t, s.Scan(context.Background(), actor, store.Range{}, false, func(key, value []byte) bool {
		counted += uint64(len(key) + len(value))
		return true
	}))
	head, err := s.Head(context.Background(), actor)
	require.NoError(t, err)
	require.Equal(t, counted, head.UsedBytes, "bytes used and a recount differ")
}
