package sandbox_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"app2wxapp/wechat/sandbox"
)

const (
	appID  = "wx0123456789abcdef"
	secret = "the-secret"
	other  = "wxfedcba9876543210" // of the same platform
)

// world is a sandbox behind a real server, with a clock to turn.
type world struct {
	*sandbox.Server
	t   *testing.T
	url string

	mu  sync.Mutex
	now time.Time
}

func newWorld(t *testing.T, cfg sandbox.Config) *world {
	w := &world{t: t, now: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)}
	cfg.Now = func() time.Time {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.now
	}
	w.Server = sandbox.New(cfg)
	w.AddApp(sandbox.App{ID: appID, Secret: secret, Platform: "p"})
	w.AddApp(sandbox.App{ID: other, Secret: secret, Platform: "p"})
	srv := httptest.NewServer(w.Server)
	t.Cleanup(srv.Close)
	w.url = srv.URL
	return w
}

func (w *world) turn(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// reply is what any of the calls answers.
type reply struct {
	Status      int
	ContentType string
	Body        string

	Code       int    `json:"errcode"`
	Msg        string `json:"errmsg"`
	OpenID     string
	UnionID    string
	SessionKey string `json:"session_key"`
	Token      string `json:"access_token"`
	ExpiresIn  int    `json:"expires_in"`
	Info       struct {
		PhoneNumber, PurePhoneNumber string
		CountryCode                  any
		Watermark                    struct {
			Timestamp int64
			AppID     string
		}
	} `json:"phone_info"`
}

// send makes a request without following redirects. A broken connection is
// Status 0.
func (w *world) send(method, target, body string) reply {
	w.t.Helper()
	req, err := http.NewRequest(method, w.url+target, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	// net/http would send a GET again on a reused connection that breaks.
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return reply{}
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	r := reply{Status: resp.StatusCode, ContentType: resp.Header.Get("Content-Type"), Body: string(b)}
	json.Unmarshal(b, &r)
	return r
}

// loginQuery returns the path of a right call, changed by pairs of name and
// value.
func loginQuery(code string, change ...string) string {
	q := url.Values{"appid": {appID}, "secret": {secret}, "js_code": {code}, "grant_type": {"authorization_code"}}
	for i := 0; i < len(change); i += 2 {
		q.Set(change[i], change[i+1])
	}
	return "/sns/jscode2session?" + q.Encode()
}

func (w *world) login(code string, change ...string) reply {
	w.t.Helper()
	return w.send("GET", loginQuery(code, change...), "")
}

func (w *world) stableToken(force bool) reply {
	w.t.Helper()
	return w.send("POST", "/cgi-bin/stable_token", fmt.Sprintf(
		`{"grant_type":"client_credential","appid":%q,"secret":%q,"force_refresh":%t}`, appID, secret, force))
}

func (w *world) phone(token, code, openID string) reply {
	w.t.Helper()
	return w.send("POST", "/wxa/business/getuserphonenumber?access_token="+token,
		fmt.Sprintf(`{"code":%q,"openid":%q}`, code, openID))
}

func (w *world) wantCode(what string, r reply, want int) {
	w.t.Helper()
	if r.Status != 200 || r.Code != want {
		w.t.Errorf("%s: %d %s, want 200 with errcode %d", what, r.Status, r.Body, want)
	}
}

func TestLogin(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	w.AddApp(sandbox.App{ID: "wxunbound", Secret: secret})
	r := w.login(w.LoginCode(appID, "alice"))
	if r.Status != 200 || r.ContentType != "text/plain" || strings.Contains(r.Body, "errcode") || r.SessionKey == "" ||
		r.OpenID != sandbox.OpenID(appID, "alice") || r.UnionID != sandbox.UnionID("p", "alice") {
		t.Errorf("login: %+v", r)
	}
	o := w.login(w.LoginCode(other, "alice"), "appid", other)
	if o.UnionID != r.UnionID || o.OpenID == r.OpenID {
		t.Errorf("the same user elsewhere: %s, want the same unionid and another openid than %s", o.Body, r.Body)
	}
	u := w.login(w.LoginCode("wxunbound", "alice"), "appid", "wxunbound")
	if u.OpenID == "" || strings.Contains(u.Body, "unionid") {
		t.Errorf("unbound: %s, want no unionid", u.Body)
	}
	if b := w.login(w.LoginCode(appID, "bob")); b.OpenID == r.OpenID || b.UnionID == r.UnionID {
		t.Errorf("another user: %s like %s", b.Body, r.Body)
	}
	form := regexp.MustCompile(`^o[A-Za-z0-9_-]{27}$`)
	if !form.MatchString(r.OpenID) || !form.MatchString(r.UnionID) {
		t.Errorf("openid %q, unionid %q, want 28 characters", r.OpenID, r.UnionID)
	}
}

// Each row has all the faults of the rows below it as well.
func TestLoginCheckOrder(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	old := w.LoginCode(appID, "alice")
	w.turn(time.Minute)
	used := w.LoginCode(appID, "alice")
	w.wantCode("first use", w.login(used), 0)
	for _, row := range []struct {
		what   string
		change []string
		want   int
	}{
		{"grant_type", []string{"grant_type", "x", "appid", "", "secret", "", "js_code", ""}, 40002},
		{"appid missing", []string{"appid", "", "secret", "", "js_code", ""}, 41002},
		{"appid unknown", []string{"appid", "wx", "secret", "", "js_code", ""}, 40013},
		{"secret missing", []string{"secret", "", "js_code", ""}, 41004},
		{"secret wrong", []string{"secret", "x", "js_code", ""}, 40125},
		{"code missing", []string{"js_code", ""}, 41008},
		{"code unknown", []string{"js_code", "x"}, 40029},
		{"code used, of another AppID", []string{"appid", other, "js_code", used}, 40029},
		{"phone code", []string{"js_code", w.PhoneCode(appID, "alice", "13800138000")}, 40029},
		{"code used", []string{"js_code", used}, 40163},
	} {
		r := w.login("", row.change...)
		w.wantCode(row.what, r, row.want)
		if rid := fmt.Sprintf(`, rid: %08x-[0-9a-f]{8}-[0-9a-f]{8}$`, w.now.Unix()); !regexp.MustCompile(rid).MatchString(r.Msg) {
			t.Errorf("%s: errmsg %q, want it to end in %s", row.what, r.Msg, rid)
		}
	}
	w.wantCode("POST", w.send("POST", loginQuery(w.LoginCode(appID, "alice")), ""), 43001)

	w.turn(4*time.Minute - time.Millisecond)
	w.wantCode("a millisecond before the end", w.login(old), 0)
	w.turn(time.Minute + time.Millisecond)
	fresh := w.LoginCode(appID, "alice")
	w.wantCode("used and over", w.login(used), 40029)
	w.turn(sandbox.CodeLife)
	w.wantCode("at the end", w.login(fresh), 40029)
}

func TestPhoneChecks(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	tok, openID := w.stableToken(false).Token, sandbox.OpenID(appID, "alice")
	code := w.PhoneCode(appID, "alice", "13800138000")

	const path = "/wxa/business/getuserphonenumber"
	w.wantCode("GET", w.send("GET", path, ""), 43002)
	w.wantCode("no token", w.phone("", code, openID), 41001)
	unknown := w.phone("x", code, openID)
	w.wantCode("unknown token", unknown, 40001)
	if !regexp.MustCompile(`^invalid credential, .*JtxxFh33r rid: [0-9a-f-]{26}$`).MatchString(unknown.Msg) || unknown.ContentType != "application/json; encoding=utf-8" {
		t.Errorf("unknown token: %+v", unknown)
	}
	w.wantCode("no body", w.send("POST", path+"?access_token="+tok, ""), 44002)
	w.wantCode("no JSON", w.send("POST", path+"?access_token="+tok, "code=x"), 47001)
	w.wantCode("unknown code", w.phone(tok, "x", openID), 40029)
	w.wantCode("login code", w.phone(tok, w.LoginCode(appID, "alice"), openID), 40029)
	w.wantCode("code of another AppID", w.phone(tok, w.PhoneCode(other, "alice", "1"), openID), 40013)
	w.wantCode("another user's openid", w.phone(tok, code, sandbox.OpenID(appID, "bob")), 40029)

	r := w.phone(tok, code, openID)
	if i := r.Info; r.Code != 0 || i.PhoneNumber != "13800138000" || i.PurePhoneNumber != "13800138000" || i.CountryCode != "86" ||
		i.Watermark.AppID != appID || i.Watermark.Timestamp != w.now.Unix() {
		t.Errorf("after all those refusals: %s, want the number", r.Body)
	}
	again := w.phone(tok, code, openID)
	w.wantCode("used code", again, 40029)
	if !strings.Contains(again.Msg, "hint: [") {
		t.Errorf("used code: errmsg %q, want a hint", again.Msg)
	}
	w.wantCode("without openid", w.phone(tok, w.PhoneCode(appID, "alice", "13800138000"), ""), 0)

	late := w.PhoneCode(appID, "alice", "13800138000")
	w.turn(sandbox.CodeLife)
	w.wantCode("at the end", w.phone(tok, late, openID), 40029)

	f := w.phone(tok, w.PhoneCode(appID, "alice", "+85291234567"), openID).Info
	if f.PhoneNumber != "+85291234567" || f.PurePhoneNumber != "91234567" || f.CountryCode != "852" {
		t.Errorf("foreign number: %+v", f)
	}

	m := newWorld(t, sandbox.Config{OpenIDMismatch: 40003})
	m.wantCode("configured mismatch", m.phone(m.stableToken(false).Token, m.PhoneCode(appID, "alice", "1"), "x"), 40003)
}

// What nobody simulates must be seen, not guessed.
func TestUnknownRoute(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	r := w.send("GET", "/cgi-bin/token?secret=s", "")
	if r.Status != 404 || !strings.Contains(r.Body, "simulator") || !strings.HasPrefix(r.ContentType, "text/plain") {
		t.Errorf("%d %s %s, want 404 that says so", r.Status, r.ContentType, r.Body)
	}
	if got, want := w.Unknown(), []string{"GET /cgi-bin/token"}; !slices.Equal(got, want) {
		t.Errorf("Unknown: %q, want %q", got, want)
	}
}

func TestCalls(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	for i := range 1001 {
		w.login(fmt.Sprint(i))
	}
	calls := w.Calls(sandbox.Login)
	if n := w.Count(sandbox.Login); n != 1001 || len(calls) != 1000 {
		t.Fatalf("%d calls, %d kept; want 1001 and 1000", n, len(calls))
	}
	if first, last := calls[0].Query.Get("js_code"), calls[999].Query.Get("js_code"); first != "1" || last != "1000" {
		t.Errorf("kept %s to %s, want 1 to 1000", first, last)
	}
	w.stableToken(false)
	if c := w.Calls(sandbox.Token)[0]; c.Method != "POST" || !strings.Contains(c.Body, secret) || !c.Time.Equal(w.now) {
		t.Errorf("%+v, want what was sent", c)
	}
}

// Codes are forgotten when they are over, in bulk and in parallel, and one is
// never good for two.
func TestManyCodes(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	var codes []string
	for range 3 {
		codes = codes[:0]
		for i := range 5000 {
			codes = append(codes, w.LoginCode(appID, fmt.Sprint("user", i)))
		}
		w.turn(sandbox.CodeLife)
	}
	w.turn(-time.Minute)
	var wg sync.WaitGroup
	var mu sync.Mutex
	good := 0
	for range 8 {
		wg.Go(func() {
			for _, c := range codes[:200] {
				rec := httptest.NewRecorder()
				w.ServeHTTP(rec, httptest.NewRequest("GET", loginQuery(c), nil))
				if strings.Contains(rec.Body.String(), "openid") {
					mu.Lock()
					good++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if good != 200 {
		t.Errorf("8 times 200 codes: %d sessions, want 200", good)
	}
}

func BenchmarkLogin(b *testing.B) {
	s := sandbox.New(sandbox.Config{})
	s.AddApp(sandbox.App{ID: appID, Secret: secret, Platform: "p"})
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", loginQuery(s.LoginCode(appID, "alice")), nil))
		}
	})
}
