package main

import (
	"net/http"
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

func TestSecondProcessIsRefused(t *testing.T) {
	p := newProgramOnFile(t)
	p.start()
	out, err := p.command("serve").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "app2wxapp.db") || !strings.Contains(string(out), "another process") {
		t.Errorf("second server on the store: %v %s, want a refusal that names the file", err, out)
	}
}
