//go:build linux

package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The rival is what people build: echo in front of Redis (folder redis), with
// everything as it comes. It is measured once more with all that helps it: a
// Unix socket, the bridge's setting of the garbage collector, users that need no
// decoding; and so in one round trip. For all of them Redis writes no snapshots
// and leaves its log as it is while it is measured.

// redis is a Redis server with users in it, and the program in front of it.
type redis struct {
	cmd     *exec.Cmd
	said    bytes.Buffer // read when it has ended
	socket  string
	addr    string
	program string
	users   int
	trial   *trial // whose path and body its requests have
}

// startRedis starts Redis in the folder and fills it. Each user is the answer
// without what a redemption adds.
func startRedis(folder string, t *trial, answer []byte, users int) (r *redis, err error) {
	r = &redis{socket: filepath.Join(folder, "redis.sock"), program: filepath.Join(folder, "redis"), users: users, trial: t}
	if err := buildRival(r.program); err != nil {
		return nil, err
	}
	if r.addr, _, err = freeAddrs(); err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(r.addr)
	r.cmd = exec.Command("redis-server", "--bind", "127.0.0.1", "--port", port, "--unixsocket", r.socket, "--dir", folder, "--loglevel", "warning",
		"--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--auto-aof-rewrite-percentage", "0")
	r.cmd.Stdout, r.cmd.Stderr = &r.said, &r.said
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w; apt-get install redis-server", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start redis-server: %w", err), r.stop())
		}
	}()
	for end := time.Now().Add(10 * time.Second); r.put(1, func(int) []string { return []string{"PING"} }) != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			return nil, errors.New("it does not get ready")
		}
	}
	user, err := withoutLogin(answer)
	if err != nil {
		return nil, err
	}
	return r, r.put(users, func(i int) []string { return []string{"SET", fmt.Sprint("user:", i), user} })
}

// buildRival builds the program in the folder redis, a module of its own: what
// it needs is none of the program's.
func buildRival(path string) error {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "app2wxapp").Output()
	if err != nil {
		return fmt.Errorf("go list: %w", err)
	}
	build := exec.Command("go", "build", "-o", path, ".")
	build.Dir = filepath.Join(strings.TrimSpace(string(root)), "bench", "redis")
	if said, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, said)
	}
	return nil
}

// withoutLogin returns the answer without what each redemption makes anew.
func withoutLogin(answer []byte) (string, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(answer, &members); err != nil {
		return "", err
	}
	for _, name := range []string{"loginsCount", "lastLogin", "token", "tokenExpiredAt"} {
		delete(members, name)
	}
	user, err := json.Marshal(members)
	return string(user), err
}

// rivals are the ways. The first is the one that the floor speaks of.
func (r *redis) rivals() []rival {
	way := func(name, network, addr string, helped, lua bool) rival {
		return rival{name: name, mint: r.tickets, start: func() (*process, error) {
			return startWith(r.program, map[string]any{
				"Network": network, "Redis": addr, "Secret": r.trial.world.secret, "Helped": helped, "Lua": lua,
			})
		}}
	}
	return []rival{
		way("echo + Redis", "tcp", r.addr, false, false),
		way("echo + Redis, helped", "unix", r.socket, true, false),
		way("echo + Redis, helped, Lua", "unix", r.socket, true, true),
	}
}

// tickets puts n tickets of users in turn into Redis.
func (r *redis) tickets(n int) (shots, error) {
	list := make([]string, n)
	err := r.put(n, func(i int) []string {
		var raw [38]byte
		rand.Read(raw[:])
		list[i] = base64.RawURLEncoding.EncodeToString(raw[:])
		return []string{"SET", "ticket:" + list[i], fmt.Sprint(i % r.users), "EX", "600"}
	})
	return newShots(r.trial.path, r.trial.body, list), err
}

// put sends n commands, each to be answered by a line that is no error.
func (r *redis) put(n int, command func(i int) []string) error {
	conn, err := net.Dial("unix", r.socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	sent := make(chan error, 1)
	go func() {
		w := bufio.NewWriter(conn)
		for i := range n {
			words := command(i)
			fmt.Fprintf(w, "*%d\r\n", len(words))
			for _, word := range words {
				fmt.Fprintf(w, "$%d\r\n%s\r\n", len(word), word)
			}
		}
		sent <- w.Flush()
	}()
	answers := bufio.NewScanner(conn)
	for range n {
		if !answers.Scan() || answers.Bytes()[0] != '+' {
			return errors.Join(fmt.Errorf("redis-server says %q", answers.Text()), answers.Err())
		}
	}
	return <-sent
}

func (r *redis) stop() error {
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := r.cmd.Wait(); err != nil {
		return fmt.Errorf("redis-server: %w: %s", err, r.said.Bytes())
	}
	return nil
}
