package sandbox_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"app2wxapp/wechat/sandbox"
)

// Each failure looks as it should, takes the code with it, and is over after
// the calls that it was planned for.
func TestFail(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	for f, right := range map[sandbox.Failure]func(reply) bool{
		sandbox.ErrCode(-1):                  func(r reply) bool { return r.Code == -1 && strings.Contains(r.Msg, "rid: ") },
		sandbox.ErrCode(45011):               func(r reply) bool { return r.Code == 45011 },
		sandbox.ErrCode(40226):               func(r reply) bool { return r.Code == 40226 },
		sandbox.ErrCode(40001):               func(r reply) bool { return r.Code == 40001 },
		sandbox.Slow(time.Millisecond):       func(r reply) bool { return r.OpenID != "" },
		sandbox.Reset:                        func(r reply) bool { return r.Status == 0 },
		sandbox.Redirect:                     func(r reply) bool { return r.Status == 302 },
		sandbox.Status(500):                  func(r reply) bool { return r.Status == 500 },
		sandbox.Status(502):                  func(r reply) bool { return r.Status == 502 },
		sandbox.Oversized:                    func(r reply) bool { return len(r.Body) > 1<<20 && r.OpenID != "" },
		sandbox.GarbageHTML:                  func(r reply) bool { return r.Status == 200 && strings.HasPrefix(r.Body, "<!DOCTYPE") },
		sandbox.GarbageTruncated:             func(r reply) bool { return strings.HasPrefix(r.Body, `{"session`) && r.OpenID == "" },
		sandbox.GarbageEmpty:                 func(r reply) bool { return r.Status == 200 && r.Body == "" },
		sandbox.GarbageNull:                  func(r reply) bool { return r.Body == "null" },
		sandbox.GarbageObject:                func(r reply) bool { return r.Body == "{}" },
		sandbox.Raw(`{"errcode":0,"x":"y"}`): func(r reply) bool { return r.Body == `{"errcode":0,"x":"y"}` },
	} {
		w.Fail(sandbox.Login, f, 2)
		var code string
		for range 2 {
			code = w.LoginCode(appID, "alice")
			if r := w.login(code); !right(r) {
				t.Errorf("%s: %d %.200s", f, r.Status, r.Body)
			}
		}
		w.wantCode(string(f)+", the code afterwards", w.login(code), 40163)
	}
	w.Fail(sandbox.Login, sandbox.ErrCode(-1), -1)
	for range 5 {
		w.wantCode("always", w.login(w.LoginCode(appID, "alice")), -1)
	}
	w.Fail(sandbox.Login, sandbox.ErrCode(-1), 0)
	w.wantCode("never again", w.login(w.LoginCode(appID, "alice")), 0)

	// A rejected token is noticed before the code.
	w.Fail(sandbox.Phone, sandbox.ErrCode(40001), 1)
	tok, code := w.stableToken(false).Token, w.PhoneCode(appID, "alice", "1")
	w.wantCode("rejected token", w.phone(tok, code, ""), 40001)
	w.wantCode("the same code afterwards", w.phone(tok, code, ""), 0)
}

// A hanging call lasts as long as the client wants, and takes the code.
func TestHang(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	w.Fail(sandbox.Login, sandbox.Hang, 1)
	code := w.LoginCode(appID, "alice")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "GET", w.url+loginQuery(code), nil)
	tr := &http.Transport{DisableKeepAlives: true}
	if resp, err := tr.RoundTrip(req); err == nil {
		t.Errorf("answer %s, want none", resp.Status)
	}
	w.wantCode("the code afterwards", w.login(code), 40163)
}

// A user's name spoils the calls that the user's codes are used in.
func TestTriggers(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	tok := w.stableToken(false).Token
	for _, row := range []struct {
		user         string
		login, phone int // errcode; -2 for no JSON with HTTP 200
	}{
		{"alice", 0, 0},
		{"error--1", -1, -1},
		{"error-45011", 45011, 45011},
		{"error-40226", 40226, 40226},
		{"error-40226@bob", 40226, 40226},
		{"error-40029", 40029, 40029},
		{"login:error-40163", 40163, 0},
		{"phone:error-45011", 0, 45011},
		{"phone:error-45011@bob", 0, 45011},
		{"slow-1ms", 0, 0},
		{"http-502", -2, -2},
		{"garbage-html", -2, -2},
		{"phone:reset", 0, -2},
		{"login:redirect", -2, 0},
		{"watermark-appid", 0, 0},
		{"country-number", 0, 0},
		// Names that only look like it.
		{"error-", 0, 0},
		{"error-x", 0, 0},
		{"http-200", 0, 0},
		{"slow-poke", 0, 0},
		{"raw:{}", 0, 0},
		{"@hang", 0, 0},
		{"Hang", 0, 0},
		{"mobile:hang", 0, 0},
	} {
		check := func(what string, r reply, want int) {
			t.Helper()
			if want == -2 {
				if r.Status == 200 && strings.HasPrefix(r.Body, "{") {
					t.Errorf("%s, %s: %s, want no answer", row.user, what, r.Body)
				}
				return
			}
			w.wantCode(row.user+", "+what, r, want)
		}
		check("login", w.login(w.LoginCode(appID, row.user)), row.login)
		check("phone", w.phone(tok, w.PhoneCode(appID, row.user, "13800138000"), sandbox.OpenID(appID, row.user)), row.phone)
	}
	if i := w.phone(tok, w.PhoneCode(appID, "watermark-appid", "1"), "").Info; i.Watermark.AppID == appID {
		t.Error("watermark-appid: ours")
	}
	if i := w.phone(tok, w.PhoneCode(appID, "watermark-old", "1"), "").Info; i.Watermark.Timestamp >= w.now.Add(-5*time.Minute).Unix() {
		t.Error("watermark-old: young")
	}
	if i := w.phone(tok, w.PhoneCode(appID, "country-number", "1"), "").Info; i.CountryCode != 86.0 {
		t.Errorf("country-number: %v", i.CountryCode)
	}
	if i := w.phone(tok, w.PhoneCode(appID, "country-empty", "+85291234567"), "").Info; i.CountryCode != "" || i.PhoneNumber != "+85291234567" {
		t.Errorf("country-empty: %+v", i)
	}
}

// The token dies once for each code, so that a client that does it right gets
// the number.
func TestTokenTriggers(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	for _, user := range []string{"kill-token", "phone:kill-token@bob", "token:error-40164"} {
		tok := w.stableToken(false).Token
		w.wantCode(user+", login", w.login(w.LoginCode(appID, user)), 0)
		code := w.PhoneCode(appID, user, "13800138000")
		w.wantCode(user+", phone", w.phone(tok, code, ""), 40001)
		if user == "token:error-40164" {
			w.wantCode(user+", the next token", w.stableToken(false), 40164)
		}
		w.wantCode(user+", phone again", w.phone(w.stableToken(false).Token, code, ""), 0)
	}
}

func TestControl(t *testing.T) {
	w := newWorld(t, sandbox.Config{})
	post := func(call, body string) (r struct {
		reply
		Code  string
		Codes []string
	}) {
		t.Helper()
		r.reply = w.send("POST", "/sandbox/wechat/"+call, body)
		json.Unmarshal([]byte(r.Body), &r)
		return r
	}
	c := post("login-code", `{"appId":"`+appID+`","user":"alice"}`)
	if r := w.login(c.Code); r.OpenID != sandbox.OpenID(appID, "alice") {
		t.Errorf("login-code %s: %s", c.Body, r.Body)
	}
	many := post("login-code", `{"appId":"`+appID+`","user":"u{n}","count":3}`)
	if len(many.Codes) != 3 {
		t.Fatalf("login-code with a count: %s", many.Body)
	}
	if r := w.login(many.Codes[2]); r.OpenID != sandbox.OpenID(appID, "u3") {
		t.Errorf("the third code: %s", r.Body)
	}
	tok := w.stableToken(false).Token
	p := post("phone-code", `{"appId":"`+appID+`","user":"alice","phone":"+85291234567"}`)
	if r := w.phone(tok, p.Code, sandbox.OpenID(appID, "alice")); r.Info.PhoneNumber != "+85291234567" {
		t.Errorf("phone-code %s: %s", p.Body, r.Body)
	}
	if r := post("kill-token", `{"appId":"`+appID+`"}`); r.Status != 204 {
		t.Errorf("kill-token: %d %s", r.Status, r.Body)
	}
	w.accepted("killed token", tok, 40001)

	for body, failing := range map[string]int{
		`{"api":"stable_token","failure":"error-45009"}`:            1,
		`{"api":"stable_token","failure":"error-45009","times":3}`:  3,
		`{"api":"stable_token","failure":"error-45009","times":-1}`: 5,
		`{"api":"stable_token","times":0}`:                          0,
	} {
		if r := post("fail", body); r.Status != 204 {
			t.Errorf("fail %s: %d %s", body, r.Status, r.Body)
		}
		for i := range 5 {
			want := 0
			if i < failing {
				want = 45009
			}
			w.wantCode(body, w.stableToken(false), want)
		}
	}

	for _, row := range []struct{ call, body, says string }{
		{"login-code", `{"appId":"wx","user":"a"}`, "appId"},
		{"login-code", `{"appId":"` + appID + `"}`, "user"},
		{"login-code", `{"appId":"` + appID + `","user":"a","count":10001}`, "count"},
		{"login-code", `{"app":"x"}`, "JSON"},
		{"login-code", ``, "JSON"},
		{"phone-code", `{"appId":"` + appID + `","user":"a"}`, "phone"},
		{"phone-code", `{"appId":"` + appID + `","user":"a","phone":"138 0013"}`, "phone"},
		{"fail", `{"api":"x","failure":"hang"}`, "stable_token"},
		{"fail", `{"api":"stable_token","failure":"hung"}`, "hang"},
		{"kill-token", `{"appId":"wx"}`, "appId"},
	} {
		if r := post(row.call, row.body); r.Status != 400 || !strings.Contains(r.Body, row.says) {
			t.Errorf("%s %s: %d %s, want 400 that mentions %s", row.call, row.body, r.Status, r.Body, row.says)
		}
	}
	if r := w.send("GET", "/sandbox/wechat/login-code", ""); r.Status != 405 {
		t.Errorf("GET: %d, want 405", r.Status)
	}
}

// A misspelt failure in a test is the test's mistake.
func TestFailPanics(t *testing.T) {
	for api, f := range map[string]sandbox.Failure{"login": sandbox.Hang, sandbox.Login: "hung"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Fail(%q, %q) did not panic", api, f)
				}
			}()
			sandbox.New(sandbox.Config{}).Fail(api, f, 1)
		}()
	}
}
