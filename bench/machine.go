//go:build linux

package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"app2wxapp/store/bolt/bare"
)

// machine tells what the figures depend on.
func machine(folder string) (string, error) {
	fsync, err := fdatasync(filepath.Join(folder, "fdatasync"), 300)
	if err != nil {
		return "", err
	}
	name, err := filesystem(folder)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, %d cores, %s; %s on %s, fdatasync of one page %s (p99 %s)",
		processor(), runtime.NumCPU(), runtime.Version(), folder, name, ms(quantile(fsync, .5)), ms(quantile(fsync, .99))), nil
}

// filesystem names what the folder lies on.
func filesystem(folder string) (string, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(folder, &s); err != nil {
		return "", err
	}
	switch uint32(s.Type) {
	case 0xef53:
		return "ext4", nil
	case 0x58465342:
		return "xfs", nil
	case 0x9123683e:
		return "btrfs", nil
	case 0x794c7630:
		return "overlayfs", nil
	case 0x01021994, 0x858458f6:
		return "TMPFS: NO DISK, THE FIGURES MEAN NOTHING", nil
	}
	return fmt.Sprintf("filesystem %#x", uint32(s.Type)), nil
}

// fdatasync returns how long each of n flushes of one changed page of a file
// took.
func fdatasync(path string, n int) (took []time.Duration, err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(path)) }()
	const pages = 256
	page := make([]byte, 4096)
	if _, err := f.Write(make([]byte, pages*len(page))); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	for i := range n {
		rand.Read(page)
		if _, err := f.WriteAt(page, int64(i*37%pages*len(page))); err != nil {
			return nil, err
		}
		start := time.Now()
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return nil, err
		}
		took = append(took, time.Since(start))
	}
	return took, nil
}

// bareCommit returns the median of n commits of a lone caller to a bbolt file
// with nothing around it.
func bareCommit(folder string, n int) (_ time.Duration, err error) {
	path := filepath.Join(folder, "bare.db")
	f, err := bare.Create(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(path)) }()
	took := make([]time.Duration, n)
	for i := range took {
		start := time.Now()
		if err := f.Commit(); err != nil {
			return 0, err
		}
		took[i] = time.Since(start)
	}
	return quantile(took, .5), nil
}

// processor returns what the processor calls itself.
func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(info)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// ticks is what the machine's processors did, in ticks since it started.
type ticks struct{ all, stolen float64 }

// readTicks reads /proc/stat.
func readTicks() (t ticks, err error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return t, err
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	for i, field := range strings.Fields(line) {
		n, _ := strconv.ParseFloat(field, 64)
		if i == 8 {
			t.stolen = n
		}
		if i >= 1 && i <= 8 { // guest time is in user time
			t.all += n
		}
	}
	return t, nil
}

// since returns the share of the time from then to now in which the hypervisor
// gave the processors to others.
func (now ticks) since(then ticks) float64 {
	return (now.stolen - then.stolen) / max(1, now.all-then.all)
}
