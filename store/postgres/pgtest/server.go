//go:build linux

package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a PostgreSQL in a temporary folder. It listens on loopback, trusts
// whoever connects, and is as durable as one that is installed.
type Server struct {
	folder   string // of the data
	port     int
	bin      string
	as       *syscall.SysProcAttr
	settings []string

	mu      sync.Mutex
	process *exec.Cmd
	out     *bytes.Buffer
	ended   chan error
}

// Start starts a server that ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	s, err := Run()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Remove(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// URL is that of a database in the server.
func (s *Server) URL(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", s.port, database)
}

// Addr is where the server listens.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// Stop ends the server at once, as a crash of it would: what clients were told
// is on disk, all else is lost. It returns when the server is gone.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}

func (s *Server) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil
	}
	err := s.process.Process.Signal(syscall.SIGQUIT)
	<-s.ended
	s.process = nil
	if errors.Is(err, os.ErrProcessDone) { // by itself, before
		return nil
	}
	return err
}

// Remove ends the server and removes what it kept.
func (s *Server) Remove() error { return errors.Join(s.stop(), os.RemoveAll(s.folder)) }

// Restart starts a server that was stopped, and returns when it answers.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if err := s.run(); err != nil {
		t.Fatal(err)
	}
}

// binaries returns the folder of the newest installed server programs.
func binaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if path, err := exec.LookPath("initdb"); err == nil && len(found) == 0 {
		found = []string{path}
	}
	if len(found) == 0 {
		return "", errors.New("these tests need PostgreSQL, and it is not installed: apt-get install postgresql (make tools does), or set " + Env + " to the URL of a server")
	}
	slices.SortFunc(found, func(a, b string) int {
		version := func(p string) int { n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(p)))); return n }
		return version(a) - version(b)
	})
	return filepath.Dir(found[len(found)-1]), nil
}

// asServer says as whom the server runs: it refuses to be root.
func asServer() (*syscall.SysProcAttr, error) {
	// The server must not outlive a test that is killed.
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Getuid() != 0 {
		return attr, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return attr, errors.Join(err1, err2)
	}
	return nil, errors.New("PostgreSQL refuses to run as root, and there is no user postgres or nobody")
}

// Run is Start for what is no test, of a server with these settings, name=value;
// Remove ends the server.
func Run(settings ...string) (s *Server, err error) {
	if err := removeOld(); err != nil {
		return nil, err
	}
	s = &Server{settings: append([]string{"max_connections=200", "log_min_messages=fatal"}, settings...)}
	if s.bin, err = binaries(); err != nil {
		return nil, err
	}
	if s.as, err = asServer(); err != nil {
		return nil, err
	}
	// Not t.TempDir: the server's user must be able to reach it.
	if s.folder, err = os.MkdirTemp("", fmt.Sprint(prefix, os.Getpid(), "-")); err != nil {
		return nil, err
	}
	if c := s.as.Credential; c != nil {
		if err := os.Chown(s.folder, int(c.Uid), int(c.Gid)); err != nil {
			return nil, err
		}
	}
	if s.port, err = Port(); err != nil {
		return nil, err
	}
	cmd := s.command("initdb", "-D", s.folder, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-k", "-N")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return s, s.run()
}

// Port returns a free port below those that the system hands out to others, who
// could take it while a server is down.
func Port() (port int, err error) {
	for range 100 {
		port = 20_000 + rand.IntN(12_000) // #nosec G404 -- no secret
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprint("127.0.0.1:", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, err
}

// prefix begins the names of our folders; the process that made one follows.
const prefix = "pgtest-"

// removeOld removes what processes left that are no more: a cluster that is
// shared by the tests of a process ends with it, and cannot tidy up.
func removeOld() error {
	folders, err := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*-*"))
	for _, folder := range folders {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(folder), prefix), "-")
		if _, gone := os.Stat("/proc/" + pid); errors.Is(gone, os.ErrNotExist) {
			err = errors.Join(err, os.RemoveAll(folder))
		}
	}
	return err
}

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...) // #nosec G204 -- the installed PostgreSQL
	cmd.SysProcAttr, cmd.Dir = s.as, "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	return cmd
}

// run starts the server and waits until it answers.
func (s *Server) run() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	args := []string{"-D", s.folder, "-k", s.folder, "-p", strconv.Itoa(s.port), "-h", "127.0.0.1"}
	for _, setting := range s.settings {
		args = append(args, "-c", setting)
	}
	cmd := s.command("postgres", args...)
	out := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	ended, started := make(chan error, 1), make(chan error)
	go func() {
		// Pdeathsig comes when the thread ends that started the process.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	for end := time.Now().Add(patience); ; {
		err := s.ping()
		if err == nil {
			break
		}
		select {
		case err := <-ended:
			return fmt.Errorf("postgres: %w\n%s", err, out)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			return errors.Join(fmt.Errorf("postgres does not answer: %w", err), cmd.Process.Kill())
		}
	}
	s.process, s.out, s.ended = cmd, out, ended
	return nil
}

func (s *Server) ping() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return err
	}
	return c.Close(ctx)
}
