//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"app2wxapp/store"
	"app2wxapp/store/move"
	"app2wxapp/store/postgres/pgtest"
)

// adminFlags say where the running server is.
func (p *program) adminFlags() []string {
	p.t.Helper()
	token := filepath.Join(p.folder, "token")
	if err := os.WriteFile(token, []byte(testAdmin), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return []string{"--admin-url", p.admin, "--admin-token-file", token}
}

// output runs a command and returns what it prints; the error is its failure.
func (p *program) output(args ...string) (string, error) {
	out, err := p.command(args...).CombinedOutput()
	return string(out), err
}

// at makes the program use another store.
func (p *program) at(url string) *program {
	other := *p
	other.cmd = nil
	other.env = append(p.env[:len(p.env):len(p.env)], "APP2WXAPP_STORE_URL="+url)
	p.t.Cleanup(func() {
		if other.cmd != nil {
			other.kill()
		}
	})
	return &other
}

// A backup of a running server becomes a store in another folder, in which no
// ticket from before can be redeemed.
func TestBackupCommand(t *testing.T) {
	p := newProgramOnFile(t)
	p.start()
	pool, secret := p.newPool()
	spent := p.issue(pool, "alice")
	if status, body, err := p.redeem(pool, secret, spent); status != http.StatusOK || err != nil {
		t.Fatalf("redeem: %d %s %v", status, body, err)
	}
	live := p.issue(pool, "alice")
	file := filepath.Join(p.folder, "copy.backup")
	args := append([]string{"backup", file}, p.adminFlags()...)
	if out, err := p.output(args...); err != nil || !strings.Contains(out, "encryption key is not in it") {
		t.Fatalf("backup: %v %s", err, out)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v %v, want mode 0600", info, err)
	}
	if out, err := p.output(args...); err == nil || !strings.Contains(out, "is there already") {
		t.Errorf("backup into a file that is there: %v %s, want a refusal", err, out)
	}
	for name, want := range map[string]string{
		"":                                   "the file's name is empty",
		filepath.Join(p.folder, "nope", "c"): "there is no folder " + filepath.Join(p.folder, "nope"),
	} {
		if out, err := p.output(append([]string{"backup", name}, p.adminFlags()...)...); err == nil || !strings.Contains(out, want) {
			t.Errorf("backup into %q: %v %s, want a refusal with %q", name, err, out, want)
		}
	}
	if out, err := p.output("restore", file); err == nil || !strings.Contains(out, "nothing is ever written over it; stop the server and move ") {
		t.Errorf("restore over a store: %v %s, want a refusal that says how it is done", err, out)
	}
	if status, _, err := p.redeem(pool, secret, live); status != http.StatusOK || err != nil {
		t.Fatalf("the live ticket, after the backup: %d %v", status, err)
	}
	p.kill()

	restored := p.at("bolt:" + filepath.Join(p.folder, "restored", "app2wxapp.db"))
	if out, err := restored.output("restore", file); err == nil || !strings.Contains(out, "put back the file") {
		t.Errorf("restore without the key: %v %s, want a refusal", err, out)
	}
	beside := filepath.Join(p.folder, "restored", "encryption.key")
	key, err := os.ReadFile(filepath.Join(p.folder, "data", "encryption.key"))
	if err == nil {
		err = os.MkdirAll(filepath.Dir(beside), 0o700)
	}
	if err == nil {
		err = os.WriteFile(beside, key, 0o600)
	}
	if err == nil {
		err = os.Chmod(beside, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := restored.output("restore", file); err == nil || !strings.Contains(out, "run: chmod 600 "+beside) || strings.Contains(out, "put back") {
		t.Errorf("restore with a key that others can read: %v %s, want a refusal that asks for chmod alone", err, out)
	}
	if err := os.Chmod(beside, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := restored.output("restore", file); err != nil || !strings.Contains(out, "restored to bolt:") {
		t.Fatalf("restore: %v %s", err, out)
	}
	restored.start()
	for name, ticket := range map[string]string{"spent": spent, "live in the backup": live} {
		if status, body, err := restored.redeem(pool, secret, ticket); status != http.StatusBadRequest || err != nil {
			t.Errorf("the ticket that was %s: %d %s %v, want 400", name, status, body, err)
		}
	}
	restored.wantLogin(pool, secret, 2)
}

// wantLogin signs alice in, whose n-th login it is.
func (p *program) wantLogin(pool, secret string, n int) {
	p.t.Helper()
	status, body, err := p.redeem(pool, secret, p.issue(pool, "alice"))
	var u struct{ LoginsCount int }
	if err != nil || status != http.StatusOK || json.Unmarshal([]byte(body), &u) != nil || u.LoginsCount != n {
		p.t.Errorf("login: %d %s %v, want the %d.", status, body, err, n)
	}
}

// A store goes to PostgreSQL and back, and is killed half-way each time.
func TestStoreMigrateCommand(t *testing.T) {
	p := newProgramOnFile(t)
	p.start()
	pool, secret := p.newPool()
	spent := p.issue(pool, "alice")
	if status, body, err := p.redeem(pool, secret, spent); status != http.StatusOK || err != nil {
		t.Fatalf("redeem: %d %s %v", status, body, err)
	}
	live := p.issue(pool, "alice")
	if out, err := p.output("store", "migrate", "--to", "bolt:other/app2wxapp.db"); err == nil || !strings.Contains(out, "another process") {
		t.Errorf("migrate beside a server: %v %s, want a refusal", err, out)
	}
	for i := range 300 {
		body := fmt.Sprintf(`{"unionid":"oU%d","openid":"o%d"}`, i, i)
		if status, answer, err := post(p.admin+"/admin/v1/pools/"+pool+"/users", body, "Authorization", "Bearer "+testAdmin); status != http.StatusCreated || err != nil {
			t.Fatalf("create user: %d %s %v", status, answer, err)
		}
	}
	p.kill()

	keyFile := filepath.Join(p.folder, "other.key")
	key := base64.StdEncoding.EncodeToString([]byte("planted-encryption-key-012345678"))
	urlFile, url := filepath.Join(p.folder, "url"), pgtest.New(t)
	for file, text := range map[string]string{keyFile: key, urlFile: url} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := p.output("store", "migrate", "--to", "@"+urlFile); err == nil || !strings.Contains(out, "--to-key-file") {
		t.Errorf("migrate to PostgreSQL without a key: %v %s, want a refusal", err, out)
	}
	p.migrateKilled("--to", "@"+urlFile, "--to-key-file", keyFile)

	remote := p.at(url)
	remote.env = append(remote.env, "APP2WXAPP_ENCRYPTION_KEY="+key)
	remote.start()
	for name, ticket := range map[string]string{"spent": spent, "live": live} {
		if status, body, err := remote.redeem(pool, secret, ticket); status != http.StatusBadRequest || err != nil {
			t.Errorf("on PostgreSQL, the ticket that was %s: %d %s %v, want 400", name, status, body, err)
		}
	}
	remote.wantLogin(pool, secret, 2)
	// A backup of it is a file like any other.
	file := filepath.Join(p.folder, "remote.backup")
	if out, err := remote.output(append([]string{"backup", file}, remote.adminFlags()...)...); err != nil {
		t.Errorf("backup of PostgreSQL: %v %s", err, out)
	}
	if err := remote.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}

	back := filepath.Join(p.folder, "back", "app2wxapp.db")
	remote.migrateKilled("--to", "bolt:"+back)
	home := remote.at("bolt:" + back)
	home.start()
	home.wantLogin(pool, secret, 3)
	home.kill()

	restored := remote.at("bolt:" + filepath.Join(p.folder, "restored", "app2wxapp.db"))
	if out, err := restored.output("restore", file); err != nil {
		t.Fatalf("restore: %v %s", err, out)
	}
	restored.start()
	restored.wantLogin(pool, secret, 3)
}

// migrateKilled kills a move at moments that come later and later, until one is
// over before it comes.
func (p *program) migrateKilled(args ...string) {
	p.t.Helper()
	verified := false
	for written := 1; ; written++ {
		cmd := p.command(append([]string{"store", "migrate"}, args...)...)
		out, err := cmd.StdoutPipe()
		if err != nil {
			p.t.Fatal(err)
		}
		log := &strings.Builder{}
		cmd.Stderr = log
		if err := cmd.Start(); err != nil {
			p.t.Fatal(err)
		}
		lines, text := bufio.NewScanner(out), ""
		for n := 0; lines.Scan(); n++ { // a line tells of a part that has ended
			text += lines.Text() + "\n"
			if n == written {
				err = cmd.Process.Kill()
			}
		}
		ended := cmd.Wait()
		verified = verified || strings.Contains(text, "verify")
		switch {
		case strings.Contains(text, "Both stores have the same"):
			return
		case written > 20:
			p.t.Fatalf("never finished: %v %v\n%s%s", err, ended, text, log)
		}
		if strings.Contains(log.String(), "app2wxapp:") {
			if verified && (strings.Contains(log.String(), "finished and verified") || strings.Contains(log.String(), "nothing is ever written over it")) {
				return // the one before was killed when all was done, and had not said so
			}
			p.t.Fatalf("kill %d: %s%s", written, text, log)
		}
	}
}

// The last lines say which encryption key the new store has, and one that a
// server would not find is refused.
func TestMigrateNamesKey(t *testing.T) {
	folder := t.TempDir()
	text := func(n byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{n}, 32)) }
	url := func(name string) string { return "bolt:" + filepath.Join(folder, name, "app2wxapp.db") }
	opens := func(name, key string) {
		t.Helper()
		raw, err := parseKey(key)
		if err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(store.Config{URL: url(name), Key: raw, Log: slog.New(slog.DiscardHandler), Reg: prometheus.NewRegistry(), Now: now})
		if err == nil {
			err = s.Close()
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	file := func(name, key string) string {
		path := filepath.Join(folder, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(key), 0o600)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	migrate := func(name, want string, args ...string) error {
		t.Helper()
		out, err := run(t, t.Context(), append([]string{"store", "migrate", "--to", url(name)}, args...)...)
		if err != nil {
			out += err.Error()
		}
		if !strings.Contains(out, want) || strings.Contains(out, text(1)) || strings.Contains(out, text(2)) {
			t.Errorf("%s: %s\nwant %q, and no key", name, out, want)
		}
		return err
	}
	t.Setenv("APP2WXAPP_STORE_URL", url("old"))
	opens("old", text(1))
	beside, given := file("old/encryption.key", text(1)), file("given", text(2))

	if err := migrate("made", "encryption key is in "+filepath.Join(folder, "made", "encryption.key")); err != nil {
		t.Fatal(err)
	}
	made, err := readSecretFile(filepath.Join(folder, "made", "encryption.key"))
	if err != nil {
		t.Fatal(err)
	}
	opens("made", made)
	if err := migrate("given-1", "encryption key is the one in "+given, "--to-key-file", given); err != nil {
		t.Fatal(err)
	}
	opens("given-1", text(2))

	// Left by a move that failed at once, or of another store in the folder.
	stray := file("given-2/encryption.key", text(1))
	if err := migrate("given-2", stray+" is another key", "--to-key-file", given); err == nil {
		t.Error("moved beside another store's key")
	}
	file("given-2/encryption.key", text(2))
	if err := migrate("given-2", "encryption key is the one in "+given, "--to-key-file", given); err != nil {
		t.Error(err)
	}

	if err := os.Remove(beside); err != nil {
		t.Fatal(err)
	}
	t.Setenv("APP2WXAPP_ENCRYPTION_KEY", text(1))
	if err := migrate("settings", "encryption key is the encryption.key of these settings"); err != nil {
		t.Fatal(err)
	}
	opens("settings", text(1))
}

// What was cut off on its way, or is damaged, is no backup, and nothing stays.
func TestBackupCutOff(t *testing.T) {
	t.Setenv("APP2WXAPP_ADMIN_TOKEN", testAdmin)
	for name, answer := range map[string]func(w http.ResponseWriter){
		"cut off": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100000")
			fmt.Fprint(w, "the beginning")
		},
		"no store": func(w http.ResponseWriter) { fmt.Fprint(w, "something else") },
		"refused":  func(w http.ResponseWriter) { w.WriteHeader(503); fmt.Fprint(w, `{"code":5030,"error":"unavailable"}`) },
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w) }))
		folder := t.TempDir()
		if out, err := run(t, t.Context(), "backup", filepath.Join(folder, "b"), "--admin-url", server.URL); err == nil {
			t.Errorf("%s: %s, want a failure", name, out)
		}
		if left, _ := os.ReadDir(folder); len(left) != 0 {
			t.Errorf("%s: left behind: %v", name, left)
		}
		server.Close()
	}
}

func TestProgress(t *testing.T) {
	var lines bytes.Buffer
	p := newProgress(&lines)
	for i := range 100 {
		p.show(move.Progress{Doing: "users", Done: i, Total: 100})
	}
	p.show(move.Progress{Doing: "users", Done: 100, Total: 100, Ended: true})
	if got := lines.String(); strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "users                 100") {
		t.Errorf("a hundred steps in no time: %q, want one line of the end", got)
	}
	lines.Reset()
	p.show(move.Progress{Doing: string(move.TOTPs), Done: 100, Total: 100, Ended: true})
	if got := lines.String(); !strings.HasPrefix(got, "second factors        100") {
		t.Errorf("the longest name: %q, want its number below the others'", got)
	}
	var bar bytes.Buffer
	p = &progress{out: &bar, bar: true}
	p.show(move.Progress{Doing: "users", Done: 0, Total: 100})
	p.last = p.last.Add(-time.Second)
	p.show(move.Progress{Doing: "users", Done: 50, Total: 100})
	p.end()
	if got := bar.String(); !strings.Contains(got, "\r[############............] users") || !strings.HasSuffix(got, "\n") {
		t.Errorf("half-way: %q, want half a bar, on a line that ends", got)
	}
}
