package sqlite_test

import (
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Both watches hold the process to nothing but memory, clocks and the descriptors that are open already: no call may name
// a file, make a socket or connect one, or write to a file, from any thread. seccomp kills the process at the first such
// call; strace lists the calls.

const beginMark, endMark = "/pagewire-reach-begin", "/pagewire-reach-end"

// reaching are the system calls that name a file, make one, write to one, or open the network, for seccomp.
func reaching() []uintptr {
	calls := []uintptr{
		unix.SYS_OPENAT, unix.SYS_OPENAT2, unix.SYS_UNLINKAT, unix.SYS_MKDIRAT, unix.SYS_MKNODAT, unix.SYS_RENAMEAT2, unix.SYS_LINKAT,
		unix.SYS_SYMLINKAT, unix.SYS_FACCESSAT, unix.SYS_FACCESSAT2, unix.SYS_STATX, unix.SYS_READLINKAT, unix.SYS_TRUNCATE, unix.SYS_CHDIR,
		unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_MEMFD_CREATE, unix.SYS_STATFS, unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_CONNECT,
		unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_PWRITE64, unix.SYS_PWRITEV, unix.SYS_FTRUNCATE, unix.SYS_FALLOCATE, unix.SYS_FSYNC,
		unix.SYS_FDATASYNC, unix.SYS_SENDFILE, unix.SYS_IO_URING_SETUP, unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_OPEN_BY_HANDLE_AT,
	}
	// fstatat, then what other processors never had: open, stat, lstat, access, creat, unlink, rename, mkdir, rmdir, link,
	// symlink, readlink, chmod, mknod.
	return append(calls, map[string][]uintptr{
		"amd64": {262, 2, 4, 6, 21, 85, 87, 82, 83, 84, 86, 88, 89, 90, 133},
		"arm64": {79},
	}[runtime.GOARCH]...)
}

// seal makes every thread of this process die at a reaching call, for good.
func seal() error {
	load := unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS} // the number of the call
	program := []unix.SockFilter{load}
	for _, nr := range reaching() {
		program = append(program,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: uint32(nr)},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_TRAP})
	}
	program = append(program, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	p := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&p)))
	runtime.KeepAlive(program)
	if errno != 0 {
		return errno
	}
	return nil
}

// TestI7Watched is the process that the other tests watch.
func TestI7Watched(t *testing.T) {
	mode := os.Getenv(reachEnv)
	if mode == "" {
		t.Skip("the tests of the watches run it")
	}
	f := newFixture(t)
	file := evilFile(t)
	put(t, f.store, "default/evil", uint64(len(file)), file)
	// Connections are made, the server's threads run; SQLite has run nothing.
	db, evil := f.open("reach"), f.open("evil")
	if strings.HasPrefix(mode, "seccomp") {
		if err := seal(); err != nil {
			fmt.Println("no seccomp:", err)
			os.Exit(0)
		}
	} else {
		_ = unix.Access(beginMark, 0)
	}
	seed(t, db)
	if strings.HasSuffix(mode, "control") {
		_ = os.WriteFile(filepath.Join(os.TempDir(), "pagewire-reach-control"), nil, 0o600)
	}
	n := 0
	if !strings.HasSuffix(mode, "control") {
		n = attack(t, db, evil)
	}
	if !strings.HasPrefix(mode, "seccomp") {
		_ = unix.Access(endMark, 0)
	}
	if t.Failed() {
		os.Exit(1)
	}
	fmt.Printf("reach: %d attempts reached nothing\n", n)
	os.Exit(0) // what is left to tidy up would be killed
}

var reachedNothing = regexp.MustCompile(`(?m)^reach: (\d+) attempts reached nothing$`)

// I7: a process that may open, name and connect nothing lives through every attempt.
func TestI7AttemptsUnderSeccomp(t *testing.T) {
	out, err := watched(t, "seccomp-control")
	if strings.Contains(out, "no seccomp:") {
		t.Skip("this system permits no seccomp filter: " + out)
	}
	require.Error(t, err, "the watch sees nothing: %s", out)
	require.Contains(t, out, "SIGSYS")

	out, err = watched(t, "seccomp")
	require.NoError(t, err, "an attempt reached out of the process:\n%s", out)
	require.Regexp(t, reachedNothing, out)
}

// permitted are files that the C library looks at by itself, whatever the SQL says.
var permitted = regexp.MustCompile(`"/(proc/sys/vm/overcommit_memory|sys/devices/system/cpu/online)"`)

// I7: strace sees no file named or opened, none written, no socket made.
func TestI7AttemptsUnderStrace(t *testing.T) {
	strace, err := osexec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed; TestI7AttemptsUnderSeccomp watches alone")
	}
	for _, mode := range []string{"strace-control", "strace"} {
		trace := filepath.Join(t.TempDir(), "trace")
		out, err := watched(t, mode, strace, "-f", "--seccomp-bpf", "-qq", "-o", trace, "-e",
			"trace=%file,socket,socketpair,connect,bind,listen,memfd_create,pwrite64,pwritev,ftruncate,fallocate,fsync,fdatasync,io_uring_setup")
		if strings.Contains(out, "PTRACE") || strings.Contains(out, "ptrace") {
			t.Skip("ptrace is not permitted here; TestI7AttemptsUnderSeccomp watches alone: " + out)
		}
		require.NoError(t, err, out)
		require.Regexp(t, reachedNothing, out)
		b, err := os.ReadFile(trace)
		require.NoError(t, err)
		_, after, begun := strings.Cut(string(b), beginMark)
		within, _, ended := strings.Cut(after, endMark)
		require.True(t, begun && ended, "the trace lacks its marks")
		var reached []string
		for _, line := range strings.Split(within, "\n")[1:] { // the first is the rest of the mark's
			// A process line without a call: signals, exits, and the beginning of the end's mark.
			if strings.Contains(line, "(") && !permitted.MatchString(line) && !strings.Contains(line, "--- SIG") && !strings.HasSuffix(line, `"`) {
				reached = append(reached, line)
			}
		}
		if mode == "strace" {
			require.Empty(t, reached, "attempts reached out of the process")
		} else {
			require.NotEmpty(t, reached, "the watch sees nothing")
		}
	}
}
