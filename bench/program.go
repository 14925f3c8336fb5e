//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	starts   = 10
	restTime = 3 * time.Second // from ready to rest
)

// program measures the built program: its size, how soon it is ready on an
// empty store, and the memory it holds when nothing happens.
func (c config) program(folder string, out io.Writer) error {
	path := c.binary
	if path == "" {
		path = filepath.Join(folder, "app2wxapp")
		if err := buildProgram(path); err != nil {
			return err
		}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	var ready []time.Duration
	var rss []float64
	for i := range starts {
		rest := time.Duration(0)
		if i < c.rounds { // resting takes long
			rest = restTime
		}
		took, mib, err := startProgram(path, filepath.Join(folder, fmt.Sprintf("start%d", i)), rest)
		if err != nil {
			return err
		}
		ready = append(ready, took)
		if rest > 0 {
			rss = append(rss, mib)
		}
	}
	printRows(out,
		row{what: "size", got: float64(info.Size()) / (1 << 20), form: "%.1f MiB", floor: 20, atMost: true},
		row{what: "start to ready on an empty store", got: milli(quantile(ready, .5)), form: "%.0f ms", floor: 300, atMost: true,
			because: fmt.Sprintf("slowest %s ms of %d", ms(quantile(ready, 1)), starts)},
		row{what: "memory at rest", got: median(rss, func(f float64) float64 { return f }), form: "%.1f MiB", floor: 30, atMost: true,
			because: "without mapped files, which are the store and the program itself"})
	return nil
}

// startProgram starts the program in a new folder and returns how long it took
// to be ready, and what it holds after a rest, in MiB.
func startProgram(path, folder string, rest time.Duration) (took time.Duration, mib float64, err error) {
	if err := os.Mkdir(folder, 0o700); err != nil {
		return 0, 0, err
	}
	public, admin, err := freeAddrs()
	if err != nil {
		return 0, 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), rest+30*time.Second)
	defer cancel()
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, path, "serve")
	cmd.Dir = folder // no config.yaml, all defaults
	cmd.Env = append(os.Environ(), "APP2WXAPP_LISTEN_PUBLIC="+public, "APP2WXAPP_LISTEN_ADMIN="+admin)
	cmd.Stdout, cmd.Stderr = &said, &said
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	defer func() {
		stopped := cmd.Process.Signal(syscall.SIGTERM)
		if err = errors.Join(err, stopped, cmd.Wait()); err != nil {
			err = fmt.Errorf("%w: %s", err, said.Bytes())
		}
	}()
	for !isReady(public) {
		if ctx.Err() != nil {
			return 0, 0, errors.New("the program does not get ready")
		}
		time.Sleep(200 * time.Microsecond)
	}
	took = time.Since(start)
	time.Sleep(rest)
	mib, err = anonymous(cmd.Process.Pid)
	return took, mib, err
}

func isReady(addr string) bool {
	r, err := http.Get("http://" + addr + "/readyz")
	if err != nil {
		return false
	}
	r.Body.Close()
	return r.StatusCode == http.StatusOK
}

// freeAddrs returns two addresses on loopback that nobody listens on.
func freeAddrs() (a, b string, err error) {
	var addrs [2]string
	for i := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", err
		}
		defer l.Close()
		addrs[i] = l.Addr().String()
	}
	return addrs[0], addrs[1], nil
}
