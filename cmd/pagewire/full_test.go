//go:build linux

package main_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pagewire/pagewire/internal/channel"
	"github.com/pagewire/pagewire/internal/protocol"
)

// TestDiskFull fills a real file system of its own under a running server, once its blocks, which the server sees coming,
// and once its inodes, so that the store cannot make its next log amid a commit. Commits answer storage_full, the server
// stays; when there is room again the same process commits, and no acknowledged commit is missing (I2) or there in part (I3).
func TestDiskFull(t *testing.T) {
	for name, c := range map[string]struct {
		options string
		fill    func(t *testing.T, dir string)
		log     string // says so
	}{
		"blocks": {"size=24m", fillBlocks, ""},
		"inodes": {"size=64m,nr_inodes=64", fillInodes, "the disk is full"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, dir := launchOn(t, c.options)
			testFull(t, p, dir, func() { c.fill(t, dir) })
			require.Contains(t, p.stderr.String(), c.log)
		})
	}
}

// launchOn starts a server on a file system of its own, which nobody else sees but through the path returned.
func launchOn(t *testing.T, options string) (p *process, dir string) {
	t.Helper()
	mount := t.TempDir()
	path, err := program()
	require.NoError(t, err)
	run := func(args ...string) *exec.Cmd {
		script := fmt.Sprintf(`mount -t tmpfs -o %s pagewire %s && exec "$@"`, options, mount)
		return exec.Command("unshare", append([]string{"-rm", "sh", "-c", script, "sh"}, args...)...)
	}
	if out, err := run("true").CombinedOutput(); err != nil {
		t.Skipf("no file system can be mounted here: %v: %s", err, out)
	}
	p = launch(t, run(path, "serve", "--listen", "127.0.0.1:0", "--reserve-bytes", "1", "--memtable-bytes", "1MiB", "--data", mount))
	return p, filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "root", mount)
}

func testFull(t *testing.T, p *process, dir string, fill func()) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	ch, err := channel.Dial(ctx, channel.Config{URL: p.url})
	require.NoError(t, err)
	w := &diskWriter{t: t, ctx: ctx, ch: ch}
	w.open("actor")
	for range 10 {
		require.NoError(t, w.commit())
	}
	fill()
	var refused error
	for n := 0; refused == nil; n++ {
		require.Less(t, n, 1000, "the disk is full and commits go on")
		short, stop := context.WithTimeout(ctx, time.Second)
		w.ctx = short
		refused = w.commit()
		w.ctx = ctx
		stop()
	}
	if code := channel.Code(refused); code == "commit_indeterminate" || code == "timeout" {
		// It was under way when the space ended, or the machine is slow. Whoever comes when there is none is refused at once.
		for n := 0; channel.Code(refused) != string(protocol.CodeStorageFull); n++ {
			require.Less(t, n, 10_000, "the disk is full and opens go on: %v", refused)
			short, stop := context.WithTimeout(ctx, time.Second)
			_, _, refused = ch.Open(short, fmt.Sprint("refused", n), protocol.Open{}, nil)
			stop()
		}
	}
	require.Equal(t, string(protocol.CodeStorageFull), channel.Code(refused), "%v", refused)

	ballast, err := filepath.Glob(filepath.Join(dir, "ballast*"))
	require.NoError(t, err)
	for _, file := range ballast {
		require.NoError(t, os.Remove(file))
	}
	w.reload()
	for range 30 {
		require.Eventually(t, func() bool { return w.commit() == nil }, patience, time.Millisecond)
	}
	w.check()
	w.open("other")
	require.NoError(t, w.commit())
	require.NoError(t, ch.Close(ctx))
	p.signal(os.Interrupt)
	require.Zero(t, p.wait(), p.stderr.String())
}

// fillBlocks leaves no byte.
func fillBlocks(t *testing.T, dir string) {
	f, err := os.Create(filepath.Join(dir, "ballast"))
	require.NoError(t, err)
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			require.ErrorIs(t, err, syscall.ENOSPC)
			size /= 2
		}
	}
	require.NoError(t, f.Close())
}

// fillInodes leaves no room for another file.
func fillInodes(t *testing.T, dir string) {
	for n := 0; ; n++ {
		f, err := os.Create(filepath.Join(dir, "ballast"+strconv.Itoa(n)))
		if err != nil {
			require.ErrorIs(t, err, syscall.ENOSPC)
			return
		}
		require.NoError(t, f.Close())
	}
}

// diskWriter commits pages that say which commit wrote them.
type diskWriter struct {
	t     *testing.T
	ctx   context.Context
	ch    *channel.Channel
	actor *channel.Actor
	gen   uint64
	seq   uint64 // last commit known to be stored
}

const commitPages = 16

func (w *diskWriter) open(actor string) {
	w.t.Helper()
	a, opened, err := w.ch.Open(w.ctx, actor, protocol.Open{}, nil)
	require.NoError(w.t, err)
	w.actor, w.gen, w.seq = a, opened.Generation, opened.Seq
}

// commit makes the next commit of commitPages pages.
func (w *diskWriter) commit() error {
	pages := protocol.Pages{}
	var data [][]byte
	for i := range uint32(commitPages) {
		pages.Indexes = append(pages.Indexes, i)
		data = append(data, contents(w.seq+1))
	}
	_, err := w.actor.Commit(w.ctx, &protocol.Commit{
		Generation: w.gen, Seq: w.seq + 1, Count: 1, Size: commitPages * protocol.PageSize, Pages: pages,
	}, data)
	if err == nil {
		w.seq++
	}
	return err
}

// reload asks which commit was the last: I4, one of unknown outcome is there whole or not at all.
func (w *diskWriter) reload() {
	w.t.Helper()
	opened, err := w.actor.Reload(w.ctx, &protocol.Preload{})
	require.NoError(w.t, err)
	require.True(w.t, opened.Seq == w.seq || opened.Seq == w.seq+1, "I2: commit %d was acknowledged, %d is stored", w.seq, opened.Seq)
	w.seq = opened.Seq
	w.check()
}

// check reads all pages.
func (w *diskWriter) check() {
	w.t.Helper()
	fetch := protocol.Fetch{File: protocol.FileMain}
	for i := range uint32(commitPages) {
		fetch.Pages = append(fetch.Pages, i)
	}
	got, err := w.actor.Fetch(w.ctx, &fetch)
	require.NoError(w.t, err)
	require.True(w.t, bytes.Equal(bytes.Repeat(contents(w.seq), commitPages), got.Pages.Data), "I3: the pages are not those of commit %d", w.seq)
}

// contents does not compress.
func contents(seq uint64) []byte {
	page := make([]byte, 0, protocol.PageSize)
	for x := seq; len(page) < protocol.PageSize; {
		x = x*6364136223846793005 + 1442695040888963407
		page = append(page, byte(x>>56))
	}
	return page
}
