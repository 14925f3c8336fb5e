//go:build linux

package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Bouncer is a PgBouncer in transaction mode: after each transaction a
// connection to the server goes to whoever is next. It has few of them.
type Bouncer struct {
	folder string
	port   int
	server *url.URL
	as     *syscall.SysProcAttr
	bin    string

	process *exec.Cmd
	out     *bytes.Buffer
	ended   chan error
}

// bouncerConns is how many connections to the server a database has: fewer than
// two stores ask for.
// two stores ask for. They are closed after an idle second, as a test may make a
// hundred databases, which all have them of the same server.
const bouncerConns = 20

// StartBouncer starts a PgBouncer in front of the server at that URL. It ends
// with the test.
func StartBouncer(t testing.TB, server string) *Bouncer {
	t.Helper()
	b := &Bouncer{}
	fatal := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	var err error
	if b.bin, err = bouncerProgram(); err != nil {
		t.Fatal(err)
	}
	b.server, err = url.Parse(server)
	fatal(err)
	b.as, err = asServer()
	fatal(err)
	b.port, err = Port()
	fatal(err)
	b.folder, err = os.MkdirTemp("", fmt.Sprint(prefix, os.Getpid(), "-"))
	fatal(err)
	t.Cleanup(func() {
		b.Stop()
		if err := os.RemoveAll(b.folder); err != nil {
			t.Error(err)
		}
	})
	to := fmt.Sprintf("host=%s port=%s user=%s", b.server.Hostname(), b.server.Port(), b.server.User.Username())
	if password, ok := b.server.User.Password(); ok {
		to += " password='" + strings.ReplaceAll(password, "'", "''") + "'"
	}
	fatal(os.WriteFile(b.settings(), fmt.Appendf(nil, `[databases]
* = %s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = %d
server_idle_timeout = 1
max_client_conn = 500
`, to, b.port, bouncerConns), 0o600))
	if c := b.as.Credential; c != nil {
		fatal(os.Chown(b.folder, int(c.Uid), int(c.Gid)))
		fatal(os.Chown(b.settings(), int(c.Uid), int(c.Gid)))
	}
	b.Restart(t)
	return b
}

func bouncerProgram() (string, error) {
	for _, path := range []string{"/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"} {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		err = errors.New("this test needs PgBouncer, and it is not installed: apt-get install pgbouncer (make tools does)")
	}
	return path, err
}

func (b *Bouncer) settings() string { return filepath.Join(b.folder, "pgbouncer.ini") }

// URL is that of the database through the pooler, and around it where the store
// needs that.
func (b *Bouncer) URL(t testing.TB, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("pooler", "transaction")
	q.Set("direct", u.Host)
	q.Set("sslmode", "disable")
	u.Host, u.RawQuery = fmt.Sprint("127.0.0.1:", b.port), q.Encode()
	return u.String()
}

// Stop ends the pooler at once, with all connections.
func (b *Bouncer) Stop() {
	if b.process == nil {
		return
	}
	_ = b.process.Process.Kill() // it may have ended
	<-b.ended
	b.process = nil
}

// Restart starts a pooler that was stopped, and returns when it passes on what
// it is asked.
func (b *Bouncer) Restart(t testing.TB) {
	t.Helper()
	cmd := exec.Command(b.bin, "-q", b.settings()) // #nosec G204 -- the installed PgBouncer
	b.out = &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr, cmd.Dir = b.out, b.out, b.as, "/"
	ended, started := make(chan error, 1), make(chan error)
	go func() {
		runtime.LockOSThread() // see Server.run
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	b.process, b.ended = cmd, ended
	at := *b.server
	at.Host, at.Path, at.RawQuery = fmt.Sprint("127.0.0.1:", b.port), "/postgres", "sslmode=disable"
	for end := time.Now().Add(patience); ; {
		err := pingAt(at.String())
		if err == nil {
			return
		}
		select {
		case err := <-ended:
			b.process = nil
			t.Fatalf("pgbouncer: %v\n%s", err, strings.TrimSpace(b.out.String()))
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			t.Fatalf("pgbouncer does not answer: %v\n%s", err, b.out)
		}
	}
}

func pingAt(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return err
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	_, err = c.Exec(ctx, "SELECT 1")
	return err
}

// Only is URL without the way around.
func (b *Bouncer) Only(t testing.TB, database string) string {
	t.Helper()
	u, err := url.Parse(b.URL(t, database))
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Del("direct")
	u.RawQuery = q.Encode()
	return u.String()
}
