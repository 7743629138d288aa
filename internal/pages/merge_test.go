package pages_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/pages"
	"github.com/pagewire/pagewire/internal/protocol"
)

// stored reads the main file as the server has it.
func stored(t *testing.T, db *database) [][]byte {
	res, err := db.actor.Actor.List(context.Background(), &protocol.List{Prefix: []byte{0x08, 0x01}})
	require.NoError(t, err)
	require.False(t, res.More)
	var file [][]byte
	chunks := map[uint32][]byte{}
	for i, key := range res.Entries.Keys {
		if tag, index, ok := protocol.ParseChunkKey(key); ok && tag == protocol.FileMain {
			chunks[index] = res.Entries.Values[i]
		}
		if bytes.Equal(key, protocol.MetaKey(protocol.FileMain)) {
			size, err := protocol.DecodeMeta(res.Entries.Values[i])
			require.NoError(t, err)
			require.Zero(t, size%pageSize)
			file = make([][]byte, size/pageSize)
		}
	}
	for i := range file {
		file[i] = make([]byte, pageSize)
		copy(file[i], chunks[uint32(i)])
		delete(chunks, uint32(i))
	}
	require.Empty(t, chunks, "chunks past the end of the file")
	return file
}

// resized returns a copy of a file with n pages: cut, or grown by zeros.
func resized(file [][]byte, n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		if i < len(file) {
			out[i] = file[i]
		} else {
			out[i] = make([]byte, pageSize)
		}
	}
	return out
}

// I3, I5: random batches that write, shrink and regrow the file, handed over faster than they are acknowledged, so that
// they merge, while pages are read. After every acknowledgement the stored file is the one after that batch, and every
// read sees all batches handed over before it.
func TestI3I5MergedBatchesLeaveTheFileOfTheLast(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			const most = 24 // pages
			alone := seed%4 == 3
			rnd := rand.New(rand.NewPCG(seed, 7))
			limit := 0
			if seed%2 == 1 {
				limit = most + 6
			}
			g := &gate{}
			g.onCommit = func(_ context.Context, c *protocol.Commit, n int) error {
				if limit > 0 && n > limit {
					t.Errorf("a merge of %d batches has %d pages, the limit is %d", c.Count, n, limit)
				}
				return nil
			}
			c := dial(t, serve(t, protocol.Limits{}))
			cfg := pages.Config{Limits: c.Limits(), DisableMerge: alone}
			if limit > 0 {
				cfg.Limits.CommitBytes = uint64(limit) * pageSize
			}
			db := open(t, c, "a", protocol.Open{Preload: noPreload()}, cfg, g)
			models := map[uint64][][]byte{}
			var checked int
			db.committed = func(token uint64) {
				db.mu.Lock()
				model := models[token]
				db.mu.Unlock()
				for i, page := range stored(t, db) {
					if i >= len(model) || !bytes.Equal(page, model[i]) {
						t.Errorf("after batch %d: page %d of %d is not the model's", token, i, len(model))
						break
					}
				}
				checked++
			}
			var file [][]byte
			for i := range 400 {
				size := len(file)
				switch rnd.IntN(4) {
				case 0:
					size = rnd.IntN(len(file) + 1)
				case 1:
					size = rnd.IntN(most + 1)
				}
				size = max(size, 1)
				file = resized(file, size)
				write := map[uint32][]byte{}
				for range rnd.IntN(6) {
					p := rnd.IntN(size)
					file[p] = bytes.Repeat([]byte{byte(i), byte(i >> 8), byte(p), 0xA5}, pageSize/4)
					write[uint32(p)] = file[p]
				}
				if rnd.IntN(3) == 0 {
					write[uint32(size+rnd.IntN(3))] = filled(0xEE) // past the end: to be dropped
				}
				db.mu.Lock()
				models[db.token+1] = file
				db.mu.Unlock()
				db.commit(uint64(size)*pageSize, write)
				for range rnd.IntN(3) {
					p := uint32(rnd.IntN(size))
					if rnd.IntN(2) == 0 {
						db.forget(p)
					}
					if got := db.read(p); !bytes.Equal(got, file[p]) {
						require.FailNow(t, "a read is wrong", "page %d after batch %d begins %x, not %x", p, db.token, got[:4], file[p][:4])
					}
				}
				if rnd.IntN(50) == 0 {
					require.NoError(t, db.f.Flush(context.Background()))
				}
			}
			require.NoError(t, db.f.Flush(context.Background()))
			require.Equal(t, file, stored(t, db))
			m := db.f.Metrics()
			require.EqualValues(t, 400, m.Batches)
			require.EqualValues(t, checked, m.Commits)
			require.Equal(t, alone, m.Commits == m.Batches, "merged, or not, as it is switched")
			require.Zero(t, m.PendingBatches)
			require.Zero(t, m.PendingBytes)
			require.EqualValues(t, db.token, db.done)
			db.close()
		})
	}
}

// Batches that wait behind a commit in flight become one commit with the last one's sequence number.
func TestBatchesMergeBehindTheOneInFlight(t *testing.T) {
	sent, release := make(chan *protocol.Commit, 8), make(chan struct{})
	g := &gate{onCommit: func(_ context.Context, c *protocol.Commit, _ int) error {
		sent <- c
		<-release
		return nil
	}}
	db := open(t, dial(t, serve(t, protocol.Limits{})), "a", protocol.Open{}, pages.Config{}, g)
	db.commit(4*pageSize, map[uint32][]byte{0: filled(1), 1: filled(1), 2: filled(1), 3: filled(1)})
	first := <-sent
	require.EqualValues(t, 1, first.Seq)
	require.EqualValues(t, 1, first.Count)

	db.commit(4*pageSize, map[uint32][]byte{1: filled(2), 3: filled(2)})
	db.commit(2*pageSize, map[uint32][]byte{0: filled(3)})
	db.commit(4*pageSize, map[uint32][]byte{2: filled(4), 3: filled(4)}) // writes all it brings back
	db.commit(1*pageSize, map[uint32][]byte{0: filled(5)})
	db.commit(4*pageSize, map[uint32][]byte{3: filled(6)}) // leaves holes where stored pages are
	release <- struct{}{}
	second := <-sent
	require.EqualValues(t, 5, second.Seq)
	require.EqualValues(t, 4, second.Count)
	require.Equal(t, []uint32{0}, second.Pages.Indexes)
	require.EqualValues(t, pageSize, second.Size)
	release <- struct{}{}
	third := <-sent
	require.EqualValues(t, 6, third.Seq)
	require.EqualValues(t, 1, third.Count)
	require.Equal(t, []uint32{3}, third.Pages.Indexes)
	close(release)
	require.NoError(t, db.f.Flush(context.Background()))
	require.Equal(t, [][]byte{filled(5), filled(0), filled(0), filled(6)}, stored(t, db))
	db.close()
}
