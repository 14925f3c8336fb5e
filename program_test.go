package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"app2wxapp/store/postgres/pgtest"
	"app2wxapp/store/storetest/place"
	"app2wxapp/wechat/sandbox"
)

// TestMain lets the test binary be the program: the tests below start it as a
// process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_AS_PROGRAM") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(pgtest.Main(m))
}

const (
	testAppID     = "wx0123456789abcdef"
	testAppSecret = "planted-app-secret"
	testAdmin     = "planted-admin-token-0123456789abcdef"
)

// program is the server as a process, on a folder that outlives it.
type program struct {
	t      *testing.T
	folder string
	wechat *sandbox.Server
	env    []string

	cmd           *exec.Cmd
	log           *bytes.Buffer // read it after stop
	logged        chan struct{}
	public, admin string
}

// newProgram prepares the server's folder, its WeChat and its store: the kind
// that place.Env names, which is how make test runs these tests on
// either.
func newProgram(t *testing.T) *program {
	t.Helper()
	p := newProgramOnFile(t)
	switch kind := os.Getenv(place.Env); kind {
	case "", "bolt":
	case "postgres":
		p.env = append(p.env, "APP2WXAPP_STORE_URL="+pgtest.New(t), "APP2WXAPP_ENCRYPTION_KEY="+plantedKey)
	default:
		t.Fatalf("%s=%s: there are bolt and postgres", place.Env, kind)
	}
	return p
}

// newProgramOnFile is newProgram for what is about the file, its lock, or the
// keys beside it: its store is a file whatever the environment says.
func newProgramOnFile(t *testing.T) *program {
	t.Helper()
	p := &program{t: t, folder: t.TempDir(), wechat: sandbox.New(sandbox.Config{})}
	p.wechat.AddApp(sandbox.App{ID: testAppID, Secret: testAppSecret, Platform: "platform"})
	weixin := httptest.NewServer(p.wechat)
	t.Cleanup(weixin.Close)
	p.env = append(os.Environ(), "TEST_AS_PROGRAM=1",
		"APP2WXAPP_LISTEN_PUBLIC=127.0.0.1:0", "APP2WXAPP_LISTEN_ADMIN=127.0.0.1:0",
		"APP2WXAPP_STORE_URL=bolt:"+filepath.Join(p.folder, "data", "app2wxapp.db"),
		"APP2WXAPP_WECHAT_BASE_URL="+weixin.URL, "APP2WXAPP_ADMIN_TOKEN="+testAdmin, "APP2WXAPP_LOG_FORMAT=json")
	t.Cleanup(func() {
		if p.cmd != nil {
			p.kill()
		}
	})
	return p
}

// command returns the program with these arguments, in its folder.
func (p *program) command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Dir, cmd.Env = p.folder, p.env
	return cmd
}

// start starts the server and waits until it says that it is ready.
func (p *program) start() {
	p.t.Helper()
	p.cmd = p.command("serve")
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.log, p.logged = &bytes.Buffer{}, make(chan struct{})
	ready := make(chan [2]string, 1)
	go func(log *bytes.Buffer, logged chan struct{}) {
		defer close(logged)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			log.Write(append(lines.Bytes(), '\n'))
			var line struct{ Msg, Public, Admin string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "ready" {
				ready <- [2]string{line.Public, line.Admin}
			}
		}
	}(p.log, p.logged)
	select {
	case at := <-ready:
		p.public, p.admin = at[0], at[1]
	case <-p.logged:
		p.t.Fatalf("the server ended at its start:\n%s", p.log)
	case <-time.After(20 * time.Second):
		p.t.Fatal("the server is not ready after 20 s")
	}
}

// stop sends the signal, waits for the end and returns it.
func (p *program) stop(sig os.Signal) error {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.logged:
	case <-time.After(time.Minute):
		p.t.Fatalf("the server goes on a minute after %v", sig)
	}
	err := p.cmd.Wait()
	p.cmd = nil
	return err
}

func (p *program) kill() { _ = p.stop(syscall.SIGKILL) } // its error is the signal

// post posts JSON and returns the status and the answer; the error is that of a
// broken connection.
func post(url, body string, headers ...string) (int, string, error) {
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

// newPool creates a pool at the running server.
func (p *program) newPool(settings ...string) (id, secret string) {
	p.t.Helper()
	members := append([]string{`"name":"Demo"`, `"appId":"` + testAppID + `"`, `"appSecret":"` + testAppSecret + `"`}, settings...)
	status, body, err := post(p.admin+"/admin/v1/pools", "{"+strings.Join(members, ",")+"}", "Authorization", "Bearer "+testAdmin)
	var out struct {
		Pool   struct{ ID string }
		Secret string
	}
	if err != nil || status != http.StatusCreated || json.Unmarshal([]byte(body), &out) != nil {
		p.t.Fatalf("create pool: %d %s %v", status, body, err)
	}
	return out.Pool.ID, out.Secret
}

// issue asks for a ticket; "" if it was not answered.
func (p *program) issue(pool, user string) string {
	status, body, err := post(p.public+"/oauth/app2wxapp/ticket/"+pool, fmt.Sprintf(`{"code":%q}`, p.wechat.LoginCode(testAppID, user)))
	var out struct{ Ticket string }
	if err != nil || status != http.StatusOK || json.Unmarshal([]byte(body), &out) != nil {
		return ""
	}
	return out.Ticket
}

func (p *program) redeem(pool, secret, ticket string) (int, string, error) {
	return post(p.public+"/oauth/app2wxapp/auth/"+pool, fmt.Sprintf(`{"ticket":%q,"secret":%q}`, ticket, secret))
}
