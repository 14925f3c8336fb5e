package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
)

// run runs a command in this process and returns what it prints.
func run(t *testing.T, ctx context.Context, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c := newCommand()
	c.SetArgs(args)
	c.SetOut(&out)
	c.SetErr(&out)
	c.SetIn(strings.NewReader("from-stdin\n"))
	err := c.ExecuteContext(ctx)
	return out.String(), err
}

func TestTry(t *testing.T) {
	out, err := run(t, t.Context(), "try")
	if err != nil {
		t.Fatalf("try: %v\n%s", err, out)
	}
	for _, want := range []string{"[9/9]", "curl -X POST", "→ 200", "invalid_ticket", "✓"} {
		if !strings.Contains(out, want) {
			t.Errorf("try does not print %q:\n%s", want, out)
		}
	}
}

// try must fail where something does not hold.
func TestTryFails(t *testing.T) {
	if out, err := run(t, t.Context(), "try", "--url", "http://127.0.0.1:1"); err == nil {
		t.Errorf("try against nothing succeeded:\n%s", out)
	}
	accepting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.Contains(r.URL.Path, "/ticket/"):
			fmt.Fprint(w, `{"ticket":"t","appParameter":"code=200&ticket=t"}`)
		default:
			fmt.Fprint(w, `{"status":true}`)
		}
	}))
	defer accepting.Close()
	out, err := run(t, t.Context(), "try", "--url", accepting.URL, "--pool", "p", "--code", "c")
	if err == nil || !strings.Contains(err.Error(), "step 4") {
		t.Errorf("try against a server that forgets state: %v, want step 4 to fail\n%s", err, out)
	}
}

func TestSandbox(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	pr, pw := io.Pipe()
	c := newCommand()
	c.SetArgs([]string{"sandbox"})
	c.SetOut(pw)
	c.SetErr(io.Discard)
	ended := make(chan error, 1)
	go func() { ended <- c.ExecuteContext(ctx); pw.Close() }()
	var page, printed string
	lines := bufio.NewScanner(pr)
	for lines.Scan() {
		printed += lines.Text() + "\n"
		if _, at, ok := strings.Cut(lines.Text(), "演示页面"); ok {
			page = strings.TrimSpace(at)
		}
		if strings.Contains(lines.Text(), "Ctrl-C") {
			break
		}
	}
	go io.Copy(io.Discard, pr)
	res, err := http.Get(page)
	if err != nil {
		t.Fatalf("the page %q: %v\n%s", page, err, printed)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("the page: %s", res.Status)
	}
	rebound, err := http.NewRequest(http.MethodGet, page+"info.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	rebound.Host = "attacker.example:8080"
	if res, err = http.DefaultClient.Do(rebound); err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("info.json under another host name: %s, want 403", res.Status)
	}
	// The printed lines are a whole login.
	_, script, _ := strings.Cut(printed, "CODE=")
	script, _, _ = strings.Cut("CODE="+script, "The same")
	answer, err := exec.Command("bash", "-c", script).CombinedOutput()
	if err != nil || !strings.Contains(string(answer), `"loginsCount":1`) {
		t.Errorf("the printed commands: %v %s", err, answer)
	}
	if out, err := run(t, t.Context(), "try", "--url", strings.TrimSuffix(page, "/sandbox/")); err != nil {
		t.Errorf("try --url: %v\n%s", err, out)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("end of the sandbox: %v", err)
	}
}

// A port that is taken is a sentence, and nothing stays behind.
func TestSandboxPortTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	t.Setenv("TMPDIR", t.TempDir())
	port := taken.Addr().(*net.TCPAddr).Port
	for _, row := range []struct {
		port int
		want string
	}{
		{port, "in use; choose another port"}, {port - 1, "in use; choose another port"}, {port - 2, "in use; choose another port"},
		{-1, "--port"}, {65534, "--port"}, {70000, "--port"},
	} {
		if out, err := run(t, t.Context(), "sandbox", "--port", strconv.Itoa(row.port)); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("sandbox on port %d: %v %s, want a refusal with %q", row.port, err, out, row.want)
		}
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Nor does anything stay behind where nobody reads what it prints.
func TestSandboxOutputClosed(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	folder := t.TempDir()
	c := exec.Command(os.Args[0], "sandbox")
	c.Env, c.Stdout = append(os.Environ(), "TEST_AS_PROGRAM=1", "TMPDIR="+folder), w
	if err := c.Run(); c.ProcessState.ExitCode() != 1 {
		t.Errorf("the sandbox's end: %v, want exit status 1", err)
	}
	if left, _ := os.ReadDir(folder); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestPoolCommands(t *testing.T) {
	p := newProgram(t)
	p.start()
	token := filepath.Join(p.folder, "token")
	if err := os.WriteFile(token, []byte(testAdmin+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pool := func(args ...string) (string, error) {
		return run(t, t.Context(), append([]string{"pool", "--admin-url", p.admin, "--admin-token-file", token}, args...)...)
	}
	out, err := pool("create", "--json", "id=moved", "name=Demo", "appId="+testAppID, "appSecret=@-", "allowedApps=wxa,wxb", "ticketTTL=60")
	var made struct {
		Pool   struct{ ID string }
		Secret string
	}
	if err != nil || json.Unmarshal([]byte(out), &made) != nil || made.Pool.ID != "moved" || len(made.Secret) != 43 {
		t.Fatalf("create: %v %s", err, out)
	}
	for _, row := range []struct {
		args []string
		want string // in the output or the error
	}{
		{[]string{"list"}, "moved"},
		{[]string{"show", "moved"}, "wxa,wxb"},
		{[]string{"set", "moved", "secretRequired=false"}, "open pool"},
		{[]string{"list"}, "OPEN"},
		{[]string{"set", "moved", "secretRequired=", "allowedApps="}, "any app may launch"},
		{[]string{"set", "moved", "signup=bind", "bindWays=wechatPhone", "bindRegister=false"}, "wechatPhone"},
		{[]string{"set", "--json", "moved", "captcha=off"}, `"captcha": "off"`},
		{[]string{"set", "moved", "captcha=no"}, "captcha"},
		{[]string{"set", "moved", "bindWays=pigeon"}, "bindWays[0]"},
		{[]string{"set", "moved", "bindWays=smsCode"}, "bindWays[0]"}, // nothing to send by
		{[]string{"sender", "set", "moved", "sms", "provider=webhook", "url=http://127.0.0.1:1/", "secret=whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}, "webhook allowHTTP=false url=http://127.0.0.1:1/"},
		{[]string{"set", "moved", "bindWays=smsCode"}, "smsCode"},
		{[]string{"sender", "remove", "moved", "sms"}, "bindWays[0]"}, // it is needed
		{[]string{"set", "moved", "bindWays="}, "wechatPhone"},
		{[]string{"sender", "test", "moved", "sms", "+8613800138000"}, "connection refused"},
		{[]string{"sender", "test", "moved", "sms", "+8613800138000"}, "nothing was sent"},
		{[]string{"sender", "test", "moved", "sms", "+8613800138000"}, "not sent"},
		{[]string{"sender", "test", "moved", "email", "user@example.com"}, "4037"},
		{[]string{"sender", "set", "moved", "email", "provider=smtp", "host=mail.example.com", "from=a@example.com", "port=x"}, "whole number"},
		{[]string{"sender", "remove", "moved", "sms"}, "no sender set"},
		{[]string{"set", "moved", "loginWays=wechatPhone", "sessionTokenTTL=7200", "sessionTokenSliding=true"}, "7200"},
		{[]string{"set", "moved", "ticketTTL=5"}, "ticketTTL"},
		{[]string{"set", "moved", "ticketTTL=soon"}, "whole number"},
		{[]string{"set", "moved", "secretRequird=false"}, "secretRequird is not known here; the names here are allowedApps, appId, appSecret, "},
		{[]string{"set", "moved", "secretRequired"}, "key=value"},
		{[]string{"show", "nope"}, "2224"},
		{[]string{"secret", "add", "moved"}, "not shown again"},
		{[]string{"secret", "add", "moved"}, "4091"},
		{[]string{"secret", "delete", "moved", "nope"}, "4041"},
	} {
		out, err := pool(row.args...)
		if all := fmt.Sprint(out, err); !strings.Contains(all, row.want) {
			t.Errorf("pool %v: %s, want %q in it", row.args, all, row.want)
		}
	}
	body := strings.NewReader(`{"id":"u","openid":"o-u"}`)
	q, err := http.NewRequest("POST", p.admin+"/admin/v1/pools/moved/users", body)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Authorization", "Bearer "+testAdmin)
	a, err := http.DefaultClient.Do(q)
	if err != nil || a.StatusCode != 201 {
		t.Fatalf("create user: %v %v", a, err)
	}
	a.Body.Close()
	user := func(args ...string) (string, error) {
		return run(t, t.Context(), append([]string{"user", "--admin-url", p.admin, "--admin-token-file", token}, args...)...)
	}
	var shown struct{ Identities []struct{ ID string } }
	out, err = user("identities", "--json", "moved", "u")
	if err != nil || json.Unmarshal([]byte(out), &shown) != nil || len(shown.Identities) != 1 {
		t.Fatalf("identities: %v %s", err, out)
	}
	id := shown.Identities[0].ID
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const bcrypt = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
	for _, row := range []struct {
		args []string
		want string
	}{
		{[]string{"show", "moved", "u"}, id + " wx"},
		{[]string{"show", "--json", "moved", "u"}, `"registerMethod": "import"`},
		{[]string{"show", "moved", "nobody"}, "2004"},
		{[]string{"block", "moved", "u"}, "blocked         true\n"},
		{[]string{"unblock", "--json", "moved", "u"}, `"blocked": false`},
		{[]string{"signout", "moved", "u"}, "signedOutAt     2"},
		{[]string{"signout", "moved", "nobody"}, "2004"},
		{[]string{"import", "moved", file("{\"id\":\"v\",\"phone\":\"+8613800138000\"}\r\n\n {\"id\":\"w\"}")}, "2 users imported"},
		{[]string{"show", "moved", "v"}, "138****8000"},
		{[]string{"import", "moved", file("{\"id\":\"x\"}\n{\"id\":\"v\"}\n{\"id\":\n{\"name\":1}\n")}, "1 imported, 3 lines refused"},
		{[]string{"import", "nowhere", file(`{"id":"y"}`)}, "at least 0 imported before"},
		{[]string{"import", "moved", file(`{"id":"` + strings.Repeat("x", 1<<20) + `"}`)}, "line 1: "},
		{[]string{"import", "moved", file("") + "none"}, "no such file"},
		{[]string{"identities", "moved", "u"}, "o-u"},
		{[]string{"identities", "moved", "nobody"}, "2004"},
		{[]string{"password", "moved", "u", "--file", file("12345678\r\n")}, "is set"}, // the line end is not part of it
		{[]string{"password", "moved", "u", "--file", file("1234567\n")}, "8 characters"},
		{[]string{"password", "moved", "u", "--file", file("12345678\xff")}, "UTF-8"},
		{[]string{"password", "moved", "u", "--file", file("") + "none"}, "no such file"},
		{[]string{"password", "moved", "u", "--hash", "--file", file(bcrypt + "\n")}, "is set"},
		{[]string{"password", "moved", "u", "--hash", "--file", file("md5")}, "passwordHash"},
		{[]string{"password", "moved", "u", "--remove"}, "is gone"},
		{[]string{"password", "moved", "u", "--remove", "--hash"}, "none of the others"},
		{[]string{"password", "moved", "u", "12345678"}, "accepts 2 arg"},
		{[]string{"unbind", "moved", "u", id}, "unbound"},
		{[]string{"unbind", "moved", "u", id}, "4042"},
	} {
		out, err := user(row.args...)
		if all := fmt.Sprint(out, err); !strings.Contains(all, row.want) {
			t.Errorf("user %v: %s, want %q in it", row.args, all, row.want)
		}
	}
	if out, err := run(t, t.Context(), "pool", "list", "--admin-url", p.admin); err == nil {
		t.Errorf("without the admin token: %s, want a refusal", out)
	}
}

// What was refused until SIGTERM is in the trail after the next start.
func TestAuditCommands(t *testing.T) {
	p := newProgram(t)
	p.start()
	pool, secret := p.newPool()
	ticket := p.issue(pool, "alice")
	for _, want := range []int{200, 400, 400} {
		if status, body, err := p.redeem(pool, secret, ticket); status != want || err != nil {
			t.Fatalf("redeem: %d %s %v, want %d", status, body, err, want)
		}
	}
	p.redeem(pool, "wrong", "x")
	if err := p.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.start()
	token := filepath.Join(p.folder, "token")
	if err := os.WriteFile(token, []byte(testAdmin), 0o600); err != nil {
		t.Fatal(err)
	}
	audit := func(args ...string) (string, error) {
		return run(t, t.Context(), append([]string{"audit", "--admin-url", p.admin, "--admin-token-file", token}, args...)...)
	}
	for _, row := range []struct {
		args []string
		rows int
		want []string // in the output or the error
	}{
		{nil, 5, []string{"ADDRESS", "pool.created", "operator", "revoked=true", "count=1 revoked=false", "count=1 reason=invalid_secret", "127.0.0.1", pool}},
		{[]string{"--type", "ticket.replayed", "--since", "1h", "--pool", pool}, 3, []string{"jti="}},
		{[]string{"--limit", "1"}, 2, nil},
		{[]string{"--limit", "0"}, 5, nil},
		{[]string{"--pool", "other"}, 1, nil},
		{[]string{"--type", "nope"}, 0, []string{"2231", "type"}},
		{[]string{"--since", "soon"}, 0, []string{"2231", "since"}},
		{[]string{"verify"}, 2, []string{"events", "4", "head"}},
	} {
		out, err := audit(row.args...)
		if n := strings.Count(out, "\n"); n != row.rows || (err != nil) != (row.rows == 0) {
			t.Errorf("audit %v: %d lines, %v, want %d\n%s", row.args, n, err, row.rows, out)
		}
		for _, want := range row.want {
			if all := fmt.Sprint(out, err); !strings.Contains(all, want) {
				t.Errorf("audit %v: %s, want %q in it", row.args, all, want)
			}
		}
		for what, planted := range map[string]string{"ticket": ticket, "secret": secret, "AppSecret": testAppSecret} {
			if strings.Contains(out, planted) {
				t.Errorf("audit %v shows the %s", row.args, what)
			}
		}
	}
	var list []struct{ Type string }
	if out, err := audit("--json"); err != nil || json.Unmarshal([]byte(out), &list) != nil || len(list) != 4 || list[3].Type != "pool.created" {
		t.Errorf("audit --json: %v %s", err, out)
	}
	if out, err := audit("--json", "--pool", "other"); err != nil || strings.TrimSpace(out) != "[]" {
		t.Errorf("audit --json of nothing: %v %s, want []", err, out)
	}
}

// verify fails where the server says that the chain is broken.
func TestAuditVerifyFails(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"ok":false,"events":3,"head":"00","brokenAt":"some-id"}`)
	}))
	defer server.Close()
	t.Setenv("APP2WXAPP_ADMIN_TOKEN", testAdmin)
	if out, err := run(t, t.Context(), "audit", "verify", "--admin-url", server.URL); err == nil || !strings.Contains(out, "some-id") {
		t.Errorf("a broken chain: %v %s, want a failure that names the row", err, out)
	}
}

// An address that is none, or another listener's, is told with what to write.
func TestWrongAddressIsSaid(t *testing.T) {
	t.Setenv("APP2WXAPP_ADMIN_TOKEN", testAdmin)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		if strings.HasPrefix(r.URL.Path, "/ours") {
			fmt.Fprint(w, `{"code":4040,"error":"not_found","message":"there is nothing at this address"}`)
		}
	}))
	defer server.Close()
	for _, row := range []struct{ line, want string }{
		{"pool list --admin-url 127.0.0.1:8081", "--admin-url is not a URL that begins with https:// or http://; write http://HOST:PORT"},
		{"backup x --admin-url localhost:8081", "--admin-url is not a URL that begins with https:// or http://; write http://HOST:PORT"},
		{"try --url 127.0.0.1:9000", "--url is not a URL that begins with https:// or http://; write http://HOST:PORT"},
		{"pool list --admin-url " + server.URL + "/ours", "there is nothing at this address (4040 not_found); is this the admin listener (listen.admin)?"},
		{"pool list --admin-url " + server.URL, "404 Not Found; is this the admin listener (listen.admin)?"},
	} {
		if out, err := run(t, t.Context(), strings.Fields(row.line)...); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v %s, want %q", row.line, err, out, row.want)
		}
	}
}

// A file that should have the admin token and has nothing is named.
func TestEmptyAdminTokenFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "admin.token")
	if err := os.WriteFile(file, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, t.Context(), "pool", "list", "--admin-token-file", file); err == nil || !strings.Contains(err.Error(), file+" is empty") {
		t.Errorf("an empty file: %v, want an error that names it", err)
	}
}

func TestConfigCheck(t *testing.T) {
	// Before it may stand that a variable of the tests is no setting.
	if out, err := run(t, t.Context(), "config", "check", "--config", "config.yaml"); err != nil || !strings.Contains("\n"+out, "\nok:") {
		t.Errorf("config.yaml: %v %s", err, out)
	}
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("listen:\n  pubic: x\nlog:\n  level: loud\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := run(t, t.Context(), "config", "check", "--config", bad)
	if err == nil || !strings.Contains(err.Error(), ":2:") || !strings.Contains(err.Error(), ":4:") {
		t.Errorf("two mistakes: %v, want both with their lines", err)
	}
}

// What serve warns of at every start can be known before the first one.
func TestConfigCheckWarns(t *testing.T) {
	const issuer, proxy = "warning: public_url is not set, so it is http://localhost:8080: ", "warning: a proxy seems to be in front, and trusted_proxies is not set: "
	const admin = "warning: listen.admin is not loopback: "
	for _, row := range []struct {
		settings string
		want     []string
	}{
		{"listen: {public: ':8080'}", []string{issuer}},
		{"listen: {public: ':8080'}\npublic_url: http://login.example.com", nil},
		{"public_url: https://login.example.com", []string{proxy}},
		{"public_url: https://login.example.com\ntrusted_proxies: [127.0.0.1]", nil},
		{"listen: {public: 'localhost:8080'}", nil},
		{"listen: {admin: ':8081'}", []string{admin}},
		{"listen: {admin: '[::1]:8081'}", nil},
	} {
		file := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(file, []byte(row.settings), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := run(t, t.Context(), "config", "check", "--config", file)
		for _, w := range []string{issuer, proxy, admin} {
			if got, want := strings.Contains(out, w), slices.Contains(row.want, w); got != want || err != nil || !strings.Contains("\n"+out, "\nok:") {
				t.Errorf("%s: %v %s, want ok, and %q is %t", row.settings, err, out, w, want)
			}
		}
	}
}

// A store in PostgreSQL is checked as far as can be without asking the server,
// and its password is in no line.
func TestConfigCheckPostgres(t *testing.T) {
	t.Setenv("APP2WXAPP_ENCRYPTION_KEY", base64.StdEncoding.EncodeToString(make([]byte, 32)))
	t.Setenv("APP2WXAPP_ADMIN_TOKEN", testAdmin)
	for _, row := range []struct{ url, want, refused string }{
		{"postgres://bridge:planted-password@db.example.com:5433/logins?sslmode=require", "store postgres://db.example.com:5433/logins\n", ""},
		{"postgresql://bridge:planted-password@127.0.0.1/logins?pooler=transaction&direct=127.0.0.1:5432", "store postgres://127.0.0.1:5432/logins\n", ""},
		{"postgres://bridge:planted-password@127.0.0.1:5432/logins?sslmode=sometimes", "", "look at its parameters"},
		{"postgres://bridge:planted-password@127.0.0.1:5432/logins?pooler=session", "", "can only be transaction"},
		{"postgres://bridge:planted-password%@127.0.0.1:5432/logins", "", "escaped by %"},
	} {
		t.Setenv("APP2WXAPP_STORE_URL", row.url)
		out, err := run(t, t.Context(), "config", "check")
		switch {
		case row.refused == "" && (err != nil || !strings.Contains("\n"+out, "\nok:") || !strings.HasSuffix(out, row.want)):
			t.Errorf("config check of %s: %v %s, want ok and %s", row.url, err, out, row.want)
		case row.refused != "" && (err == nil || !strings.Contains(err.Error(), row.refused)):
			t.Errorf("config check of %s: %v %s, want a refusal with %q", row.url, err, out, row.refused)
		}
		if text := out + fmt.Sprint(err); strings.Contains(text, "planted-password") {
			t.Errorf("config check of %s prints the password: %s", row.url, text)
		}
	}
}

// What a help says of settings and tokens it says in both languages.
func TestHelpIsSaidTwice(t *testing.T) {
	for line, words := range map[string][]string{
		"try --help":         {"responseFormat=user", "revokeOnReplay=true", "--url"},
		"pool create --help": {"jwtSecret=@FILE", "id="},
		"restore --help":     {"encryption.key"},
	} {
		out, err := run(t, t.Context(), strings.Fields(line)...)
		help, _, _ := strings.Cut(out, "Usage:")
		for _, word := range words {
			if n := strings.Count(help, word); err != nil || n < 2 {
				t.Errorf("%s: %v, %q stands there %d times, want twice:\n%s", line, err, word, n, help)
			}
		}
	}
}

// A command without its arguments says which they are.
func TestUsageIsSaid(t *testing.T) {
	for _, row := range []struct{ line, want string }{
		{"backup", "accepts 1 arg(s), received 0\nUsage / 用法：app2wxapp backup FILE [flags]"},
		{"pool create", "app2wxapp pool create name=… appId=… appSecret=@FILE [key=value…] [flags]"},
		{"pool sender test P", "app2wxapp pool sender test POOL CHANNEL TO [flags]"},
		{"user import P", "app2wxapp user import POOL FILE [flags]"},
		{"serve now", "app2wxapp serve [flags]"},
	} {
		if _, err := run(t, t.Context(), strings.Fields(row.line)...); err == nil || !strings.HasSuffix(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q at the end", row.line, err, row.want)
		}
	}
}

// A word that is no command is refused wherever it stands: a script that
// misspells one must not go on as if it had been obeyed.
func TestUnknownCommand(t *testing.T) {
	for _, row := range []struct{ line, want string }{
		{"config chek", `unknown command "chek" for "app2wxapp config"` + "\n\nDid you mean this?\n\tcheck"},
		{"pool lst", "\n\tlist"},
		{"pool secret delte P S", `unknown command "delte" for "app2wxapp pool secret"` + "\n\nDid you mean this?\n\tdelete"},
		{"user erase P U", `unknown command "erase" for "app2wxapp user"; see app2wxapp user --help`},
		{"store migrat", "\n\tmigrate"},
		{"audit verfy", "\n\tverify"},
		{"srve", "\n\tserve"},
	} {
		if out, err := run(t, t.Context(), strings.Fields(row.line)...); err == nil || !strings.Contains(err.Error(), row.want) || out != "" {
			t.Errorf("%s: %v, printed %q; want a refusal with %q", row.line, err, out, row.want)
		}
	}
	groups := 0
	var walk func(c *cobra.Command, path []string)
	walk = func(c *cobra.Command, path []string) {
		groups++
		if _, err := run(t, t.Context(), append(path, "nonsuch")...); err == nil || !strings.Contains(err.Error(), `"nonsuch" for "`+c.CommandPath()+`"`) {
			t.Errorf("%s nonsuch: %v, want a refusal that names both", c.CommandPath(), err)
		}
		if c.HasParent() && c.Name() != "audit" { // these do something by themselves
			if out, err := run(t, t.Context(), path...); err != nil || !strings.Contains(out, "Available Commands:") {
				t.Errorf("%s: %v %s, want its help", c.CommandPath(), err, out)
			}
		}
		for _, sub := range c.Commands() {
			if sub.HasSubCommands() {
				walk(sub, append(slices.Clone(path), sub.Name()))
			}
		}
	}
	walk(newCommand(), nil)
	if groups < 8 {
		t.Errorf("%d commands have others below them, want those of the README and cobra's completion", groups)
	}
	if out, err := newProgram(t).command("config", "chek").CombinedOutput(); err == nil || !strings.Contains(string(out), "unknown command") {
		t.Errorf("the program: %v %s, want exit status 1", err, out)
	}
}
