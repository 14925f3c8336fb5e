package bridge_test

import (
	"strings"
	"testing"
	"time"

	"app2wxapp/bridge"
	"app2wxapp/bridge/bridgetest"
	"app2wxapp/wechat/sandbox"
)

// What WeChat says and what the mini program is told. The user's name makes the
// simulator fail; a phone code always comes along.
var wechatRows = []struct {
	user         string
	status, code int
	slug         string
}{
	{"login:error-40029", 400, 4002, "invalid_code"},
	{"login:error-40163", 400, 4002, "invalid_code"},
	{"phone:error-40029", 400, 4002, "invalid_code"},
	{"login:error-40226", 403, 4032, "wechat_risk"},

	{"login:error--1", 502, 5020, "wechat_unavailable"},
	{"login:error-45011", 502, 5020, "wechat_unavailable"},
	{"login:error-45009", 502, 5020, "wechat_unavailable"},
	{"login:error-99999", 502, 5020, "wechat_unavailable"},
	{"login:reset", 502, 5020, "wechat_unavailable"},
	{"login:redirect", 502, 5020, "wechat_unavailable"},
	{"login:oversized", 502, 5020, "wechat_unavailable"},
	{"login:http-500", 502, 5020, "wechat_unavailable"},
	{"login:http-404", 502, 5020, "wechat_unavailable"},
	{"login:garbage-html", 502, 5020, "wechat_unavailable"},
	{"login:garbage-empty", 502, 5020, "wechat_unavailable"},
	{"login:garbage-null", 502, 5020, "wechat_unavailable"},
	{"login:garbage-object", 502, 5020, "wechat_unavailable"},
	{"login:garbage-truncated", 502, 5020, "wechat_unavailable"},
	{"phone:error--1", 502, 5020, "wechat_unavailable"},
	{"phone:error-45011", 502, 5020, "wechat_unavailable"},
	{"phone:reset", 502, 5020, "wechat_unavailable"},
	{"phone:http-502", 502, 5020, "wechat_unavailable"},
	{"phone:garbage-html", 502, 5020, "wechat_unavailable"},
	{"phone:garbage-object", 502, 5020, "wechat_unavailable"},
	{"phone:watermark-appid", 502, 5020, "wechat_unavailable"},
	{"phone:watermark-old", 502, 5020, "wechat_unavailable"},

	{"login:error-40125", 500, 1000, "server_error"},
	{"login:error-40013", 500, 1000, "server_error"},
	{"login:error-40164", 500, 1000, "server_error"},
	{"token:error-40164", 500, 1000, "server_error"},
}

func TestWeChatFailures(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	for _, row := range wechatRows {
		t.Run(row.user, func(t *testing.T) {
			b := b.In(t)
			r := b.Issue(p, row.user, b.PhoneCode(row.user, "13800138000")).WantError(row.status, row.code, row.slug)
			if retry := r.Header.Get("Retry-After"); (retry != "") != strings.HasSuffix(row.user, "45011") {
				t.Errorf("Retry-After %q; only a used-up minute says when to come back", retry)
			}
			if strings.Contains(r.Body, "simulated") || strings.Contains(r.Body, "rid") || strings.Contains(r.Body, "errcode") {
				t.Errorf("the answer has WeChat's words: %s", r.Body)
			}
		})
	}
	if stray := b.WeChat.Unknown(); len(stray) > 0 {
		t.Errorf("WeChat was asked for %v", stray)
	}
}

// Without an access token there is no phone number; the login code is spent.
func TestNoAccessToken(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	b.WeChat.Fail(sandbox.Token, sandbox.GarbageHTML, -1)
	b.Issue(p, "alice", b.PhoneCode("alice", "13800138000")).WantError(502, 5020, "wechat_unavailable")
	b.WeChat.Fail(sandbox.Token, sandbox.GarbageHTML, 0)
	b.Issue(p, "alice", b.PhoneCode("alice", "13800138000")).Want(200)
}

// The wait for WeChat ends, and its time-out is told as WeChat's.
func TestWeChatHangs(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t, func(c *bridge.Config) { c.WeChatTimeout = 100 * time.Millisecond })
	p := b.NewPool()
	b.Issue(p, "phone:hang", b.PhoneCode("phone:hang", "13800138000")).WantError(502, 5020, "wechat_unavailable")
	b.Issue(p, "login:hang").WantError(502, 5020, "wechat_unavailable")
}

// A code is sent to WeChat once, whatever came of it.
func TestCodeIsSentOnce(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	for _, user := range []string{"alice", "login:reset", "login:garbage-truncated"} {
		body := object(loginCode(b, user))
		b.Post(issuePath(p), body)
		before := b.WeChat.Count(sandbox.Login)
		b.Post(issuePath(p), body).WantError(400, 4002, "invalid_code")
		if sent := b.WeChat.Count(sandbox.Login) - before; sent != 0 {
			t.Errorf("%s: the code was sent to WeChat again, %d times", user, sent)
		}
	}
}

// Codes that WeChat itself refuses.
func TestRefusedCodes(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	old := loginCode(b, "alice")
	b.Clock.Turn(5 * time.Minute)
	for name, members := range map[string][]string{
		"made up":              {member("code", "nonsense")},
		"not ASCII":            {member("code", "代码")},
		"five minutes old":     {old},
		"a phone code":         {member("code", b.WeChat.PhoneCode(bridgetest.AppID, "alice", "13800138000"))},
		"another user's phone": {loginCode(b, "alice"), b.PhoneCode("bob", "13800138001")},
		"login code as phone":  {loginCode(b, "alice"), member("phoneCode", b.WeChat.LoginCode(bridgetest.AppID, "alice"))},
	} {
		r := b.Post(issuePath(p), object(members...))
		if r.Status != 400 {
			t.Errorf("%s: %d %s, want 400", name, r.Status, r.Body)
		}
		r.WantError(400, 4002, "invalid_code")
	}
}

// A bad AppSecret is the operator's to know: the log says which errcode, and what to do about it; the
// caller only that it is our fault.
func TestBadAppSecret(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	patch(b, p, `"appSecret":"planted-wrong-secret"`)
	r := b.Issue(p, "alice")
	r.WantError(500, 1000, "server_error")
	for _, word := range []string{"planted-wrong-secret", bridgetest.AppID, "40125", "appsecret", "AppSecret"} {
		if strings.Contains(r.Body, word) {
			t.Errorf("the body has %q: %s", word, r.Body)
		}
	}
	if log := b.Log.String(); !strings.Contains(log, "40125 (correct the pool's appSecret)") || strings.Contains(log, "planted-wrong-secret") {
		t.Errorf("want errcode, what to do, and not the secret in the log:\n%s", log)
	}
	patch(b, p, member("appSecret", bridgetest.AppSecret))
	b.Issue(p, "alice").Want(200)
}
