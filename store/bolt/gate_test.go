//go:build linux

package bolt

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	bbolt "go.etcd.io/bbolt"
)

// gate stands between a thread and the system: it sees every call that changes
// a file, in order and with its data, before it happens, and can make it fail.
// It is a seccomp filter (SECCOMP_RET_USER_NOTIF, Linux 5.5) that this process
// answers itself, so that bbolt's own calls are seen and fail, nothing in
// between. What cannot be recorded fails the test.
type gate struct {
	t   testing.TB
	mem *os.File

	mu   sync.Mutex
	log  []event
	fail func(call) syscall.Errno // asked for each call; nil lets all pass
}

// call is a call that changes a file, or makes a change last.
type call struct {
	kind string // write, truncate, sync, create, mkdir, link or unlink
	path string // of the file, or the new name
	from string // of link
	data []byte
	off  int64 // of write; the new size of truncate
}

// event is a call, or a note of the workload.
type event struct {
	call
	err  syscall.Errno
	note any
}

func newGate(t testing.TB) *gate {
	mem, err := os.Open("/proc/self/mem")
	check(t, err)
	t.Cleanup(func() { check(t, mem.Close()) })
	return &gate{t: t, mem: mem}
}

func (g *gate) note(n any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.log = append(g.log, event{note: n})
}

// events returns what was seen so far.
func (g *gate) events() []event {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.log)
}

// failing sets what is asked for each call.
func (g *gate) failing(f func(call) syscall.Errno) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fail = f
}

// do runs f on a thread behind the gate, which ends with it.
func (g *gate) do(f func()) {
	var wg sync.WaitGroup
	wg.Go(func() { g.enter(); f() })
	wg.Wait()
}

// behind puts the store's writing goroutine behind the gate from its next
// commit on.
func (g *gate) behind(s *Store) {
	var once sync.Once
	s.commit = func(tx *bbolt.Tx) error {
		once.Do(g.enter)
		return tx.Commit()
	}
}

type (
	bpf struct {
		code, jump uint16
		k          uint32
	}
	notice struct {
		id         uint64
		pid, flags uint32
		nr         int32
		arch       uint32
		ip         uint64
		args       [6]uint64
	}
	answer struct {
		id    uint64
		val   int64
		err   int32
		flags uint32
	}
)

// enter puts the goroutine's thread behind the gate for good.
func (g *gate) enter() {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	seccomp := map[string]uintptr{"amd64": 317, "arm64": 277}[runtime.GOARCH]
	calls := []uint32{
		syscall.SYS_PWRITE64, syscall.SYS_FTRUNCATE, syscall.SYS_FDATASYNC, syscall.SYS_FSYNC,
		syscall.SYS_OPENAT, syscall.SYS_MKDIRAT, syscall.SYS_LINKAT, syscall.SYS_UNLINKAT,
	}
	f := []bpf{{0x20, 0, 0}} // load the call's number
	for _, nr := range calls {
		f = append(f, bpf{0x15, 1 << 8, nr}, bpf{6, 0, 0x7fc00000}) // if it is this one, notify
	}
	f = append(f, bpf{6, 0, 0x7fff0000}) // allow
	prog := struct {
		n uint16
		f *bpf
	}{uint16(len(f)), &f[0]}
	if _, _, e := syscall.RawSyscall6(syscall.SYS_PRCTL, 38 /* PR_SET_NO_NEW_PRIVS */, 1, 0, 0, 0, 0); e != 0 {
		panic(fmt.Sprint("PR_SET_NO_NEW_PRIVS: ", e))
	}
	fd, _, e := syscall.Syscall(seccomp, 1 /* SET_MODE_FILTER */, 8 /* NEW_LISTENER */, uintptr(unsafe.Pointer(&prog)))
	if e != 0 {
		panic(fmt.Sprint("this test needs a system that allows seccomp(SECCOMP_FILTER_FLAG_NEW_LISTENER): ", e))
	}
	go g.serve(fd)
}

// serve answers for one thread until it has ended.
func (g *gate) serve(fd uintptr) {
	defer syscall.Close(int(fd))
	for {
		p := struct {
			fd              int32
			events, revents int16
		}{int32(fd), 1, 0}
		_, _, e := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, 0, 0, 0, 0)
		if e == syscall.EINTR {
			continue
		}
		if e != 0 || p.revents&1 == 0 {
			return
		}
		var n notice
		if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, fd, 0xc0502100, uintptr(unsafe.Pointer(&n))); e != 0 {
			continue // a signal took the call back; it comes again
		}
		g.answer(fd, n)
	}
}

func (g *gate) answer(fd uintptr, n notice) {
	c := g.decode(n)
	a := answer{id: n.id, flags: 1} // go on with the call
	g.mu.Lock()
	defer g.mu.Unlock()
	var errno syscall.Errno
	if c.kind != "" && g.fail != nil {
		errno = g.fail(c)
	}
	if errno != 0 {
		a.flags, a.err = 0, -int32(errno)
	}
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, fd, 0xc0182101, uintptr(unsafe.Pointer(&a))); e == 0 && c.kind != "" {
		g.log = append(g.log, event{call: c, err: errno})
	}
}

func (g *gate) decode(n notice) (c call) {
	file := func() string {
		name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", int32(n.args[0])))
		if err != nil {
			g.t.Error(err)
		}
		return strings.TrimSuffix(name, " (deleted)")
	}
	read := func(at, size uint64) []byte {
		b := make([]byte, size)
		if k, err := g.mem.ReadAt(b, int64(at)); err != nil && k == 0 {
			g.t.Error(err)
		}
		return b
	}
	text := func(at uint64) string {
		b := read(at, min(512, 4096-at%4096))
		if !bytes.ContainsRune(b, 0) {
			b = append(b, read(at+uint64(len(b)), 512)...)
		}
		name, _, _ := bytes.Cut(b, []byte{0})
		return string(name)
	}
	switch n.nr {
	case syscall.SYS_PWRITE64:
		return call{kind: "write", path: file(), data: read(n.args[1], n.args[2]), off: int64(n.args[3])}
	case syscall.SYS_FTRUNCATE:
		return call{kind: "truncate", path: file(), off: int64(n.args[1])}
	case syscall.SYS_FSYNC, syscall.SYS_FDATASYNC:
		return call{kind: "sync", path: file()}
	case syscall.SYS_OPENAT:
		if n.args[2]&syscall.O_CREAT != 0 {
			return call{kind: "create", path: text(n.args[1])}
		}
	case syscall.SYS_MKDIRAT:
		return call{kind: "mkdir", path: text(n.args[1])}
	case syscall.SYS_LINKAT:
		return call{kind: "link", from: text(n.args[1]), path: text(n.args[3])}
	case syscall.SYS_UNLINKAT:
		return call{kind: "unlink", path: text(n.args[1])}
	}
	return c
}
