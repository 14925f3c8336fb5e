package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"app2wxapp/wechat/sandbox"
)

func TestServe(t *testing.T) {
	p := newProgram(t)
	p.start()
	pool, secret := p.newPool()
	ticket := p.issue(pool, "alice")
	if status, body, err := p.redeem(pool, secret, ticket); status != http.StatusOK || err != nil {
		t.Fatalf("redeem: %d %s %v", status, body, err)
	}
	out, err := p.command("healthcheck").CombinedOutput()
	if err == nil {
		t.Errorf("healthcheck of a server on another port: %s, want a failure", out)
	}
	if err := p.stop(syscall.SIGTERM); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, p.log)
	}
	for _, planted := range []string{testAppSecret, testAdmin, secret, ticket} {
		if strings.Contains(p.log.String(), planted) {
			t.Errorf("the log holds a secret:\n%s", p.log)
		}
	}

	// What was there is there again.
	p.start()
	if status, _, err := p.redeem(pool, secret, ticket); status != http.StatusBadRequest || err != nil {
		t.Errorf("the ticket after a restart: %d %v, want 400", status, err)
	}
}

// The first start makes a key beside the file, the next finds it there, and
// without it none starts.
func TestKeyBesideFile(t *testing.T) {
	p := newProgramOnFile(t)
	p.start()
	pool, secret := p.newPool()
	ticket := p.issue(pool, "alice")
	p.kill()
	p.start()
	if status, body, err := p.redeem(pool, secret, ticket); status != http.StatusOK || err != nil {
		t.Errorf("the ticket after a restart: %d %s %v, want 200", status, body, err)
	}
	p.kill()
	if err := os.Remove(filepath.Join(p.folder, "data", "encryption.key")); err != nil {
		t.Fatal(err)
	}
	if out, err := p.command("serve").CombinedOutput(); err == nil || !strings.Contains(string(out), "encryption.key") {
		t.Errorf("a store without its key: %v %s, want a refusal that names encryption.key", err, out)
	}
}

// A store that is gone is not replaced without a word.
func TestKeyWithoutStore(t *testing.T) {
	p := newProgramOnFile(t)
	for start, want := range []bool{false, true} {
		p.start()
		if err := p.stop(syscall.SIGTERM); err != nil {
			t.Errorf("start %d: after SIGTERM: %v", start, err)
		}
		if got := strings.Contains(p.log.String(), "encryption.key is there and its store is not"); got != want {
			t.Errorf("start %d: warns of it: %t, want %t\n%s", start, got, want, p.log)
		}
		if err := os.Remove(filepath.Join(p.folder, "data", "app2wxapp.db")); err != nil {
			t.Fatal(err)
		}
	}
}

// A request under way at SIGTERM, or when the terminal is closed, is answered.
func TestDrain(t *testing.T) {
	// Under nohup the program ignores SIGHUP, rightly. What is handled here is not
	// ignored there.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	defer signal.Reset(syscall.SIGHUP)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		p := newProgram(t)
		p.start()
		pool, _ := p.newPool()
		p.wechat.Fail(sandbox.Login, sandbox.Slow(500*time.Millisecond), -1)
		answered := make(chan string)
		go func() { answered <- p.issue(pool, "alice") }()
		for p.wechat.Count(sandbox.Login) == 0 {
			time.Sleep(time.Millisecond) // another process's progress has no clock to turn
		}
		if err := p.stop(sig); err != nil {
			t.Errorf("after %v: %v\n%s", sig, err, p.log)
		}
		if ticket := <-answered; ticket == "" {
			t.Errorf("%v: the request under way got no ticket", sig)
		}
	}
}

// For drain_delay after SIGTERM everything is served, but /readyz says no, and
// each answer is the last on its connection.
func TestDrainDelay(t *testing.T) {
	p := newProgram(t)
	p.env = append(p.env, "APP2WXAPP_DRAIN_DELAY=2s")
	p.start()
	pool, secret := p.newPool()
	signalled := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for status := 0; status != http.StatusServiceUnavailable; {
		res, err := http.Get(p.public + "/readyz")
		if err != nil {
			t.Fatalf("/readyz after SIGTERM: %v, want 503", err)
		}
		res.Body.Close()
		if status = res.StatusCode; status == http.StatusServiceUnavailable && !res.Close {
			t.Error("the connection outlives an answer while the server drains")
		}
	}
	ticket := p.issue(pool, "alice")
	if status, body, err := p.redeem(pool, secret, ticket); status != http.StatusOK || err != nil {
		t.Errorf("redeem after SIGTERM: %d %s %v, want 200", status, body, err)
	}
	<-p.logged
	err := p.cmd.Wait()
	p.cmd = nil
	if took := time.Since(signalled); err != nil || took < 2*time.Second {
		t.Errorf("ended %v after SIGTERM, %v, want 2 s at least", took, err)
	}
}

// What is wrong with the folder or an address at the start is told in the words
// that the documentation has, with the file and what to do.
func TestStartRefusals(t *testing.T) {
	documented := readText(t, "docs/operations.md")
	lender := httptest.NewTLSServer(nil)
	defer lender.Close()
	foreign, err := rsa.GenerateKey(rand.Reader, 2048) // of the kind that the certificate is for
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(foreign)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string, mode os.FileMode) {
		if err := errors.Join(os.WriteFile(name, []byte(text), mode), os.Chmod(name, mode)); err != nil {
			t.Error(err)
		}
	}
	const token = "data/admin.token"
	for _, row := range []struct {
		name string
		do   func(t *testing.T)
		want string
	}{
		{"others can read the token", func(*testing.T) { write(token, testAdmin, 0o644) }, "admin.token: data/admin.token has mode 0644, and a secret is for its owner alone; run: chmod 600 data/admin.token"},
		{"the token's file is empty", func(*testing.T) { write(token, "\n", 0o600) }, "admin.token: data/admin.token is empty; delete it and restart: a new one is made"},
		{"the token is short", func(*testing.T) { write(token, testAdmin[:31], 0o600) }, "admin.token: data/admin.token is shorter than 32 characters; delete it and restart: a new one is made"},
		{"the store is a folder", func(t *testing.T) { t.Setenv("APP2WXAPP_STORE_URL", "bolt:data") }, "store.url: data is a folder; name a file in it, such as bolt:data/app2wxapp.db"},
		{"the address is another machine's", func(t *testing.T) { t.Setenv("APP2WXAPP_LISTEN_PUBLIC", "192.0.2.7:8080") }, "listen.public: listen tcp 192.0.2.7:8080: bind: cannot assign requested address"},
		{"the key is not the certificate's", func(t *testing.T) {
			write("crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: lender.TLS.Certificates[0].Certificate[0]})), 0o600)
			write("key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})), 0o600)
			t.Setenv("APP2WXAPP_LISTEN_TLS_CERT", "crt")
			t.Setenv("APP2WXAPP_LISTEN_TLS_KEY", "key")
		}, "listen.tls: tls: private key does not match public key"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := os.Mkdir("data", 0o700); err != nil {
				t.Fatal(err)
			}
			row.do(t)
			ended, end := context.WithCancel(t.Context())
			end() // a start that is not refused ends at once
			if out, err := run(t, ended, "serve"); err == nil || err.Error() != row.want {
				t.Errorf("%v %s, want %s", err, out, row.want)
			}
			if !strings.Contains(documented, "`"+row.want+"`") {
				t.Errorf("docs/operations.md does not have `%s`", row.want)
			}
		})
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	p := newProgramOnFile(t)
	p.start()
	out, err := p.command("serve").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "app2wxapp.db") || !strings.Contains(string(out), "another process") {
		t.Errorf("second server on the store: %v %s, want a refusal that names the file", err, out)
	}
}
