package bridge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"app2wxapp/bridge/bridgetest"
	"app2wxapp/wechat/sandbox"
)

// enrol gives the user a second factor, and returns its secret and a recovery
// code.
func enrol(t *testing.T, b *bridgetest.Bridge, p bridgetest.Pool, user string) (secret, recovery string) {
	t.Helper()
	var added struct{ Secret, URI string }
	b.Admin("POST", usersPath(p)+"/"+user+"/totp", "").Want(201).Decode(&added)
	var confirmed struct{ RecoveryCodes []string }
	b.Admin("POST", usersPath(p)+"/"+user+"/totp/confirm", object(member("code", code(t, b, added.Secret)))).Want(200).Decode(&confirmed)
	if len(confirmed.RecoveryCodes) != 10 || !strings.Contains(added.URI, added.Secret) {
		t.Fatalf("enrolled: %+v %+v", added, confirmed)
	}
	b.Clock.Turn(time.Minute)
	return added.Secret, confirmed.RecoveryCodes[0]
}

func code(t *testing.T, b *bridgetest.Bridge, secret string) string {
	t.Helper()
	c, err := totp.GenerateCode(secret, b.Clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A user who has a second factor gets no ticket before it is shown.
func TestSecondFactor(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(`"mfa":"enrolled"`)
	u := login(b, p, "alice")
	secret, recovery := enrol(t, b, p, u.ID)
	r := b.Issue(p, "alice").Want(200)
	var got struct{ StateToken string }
	r.Decode(&got)
	want := `{"code":202,"message":"请输入验证器中的动态码","status":"MFA_AUTH","stateToken":"` + got.StateToken +
		`","expiresIn":600,"expiresAt":"2026-11-20T08:41:00.412Z","ways":["totp"]}`
	if r.Body != want {
		t.Errorf("got\n%s\nwant\n%s", r.Body, want)
	}
	state, right := member("stateToken", got.StateToken), code(t, b, secret)
	b.Post(bindPath(p), object(state, member("totp", "000000"))).WantError(400, 4009, "wrong_totp")
	b.Post(bindPath(p), object(state, b.PhoneCode("alice", "13800138000"))).WantError(403, 4036, "way_not_allowed")
	b.Post(bindPath(p), object(state, member("totp", right), member("password", "x"))).WantError(400, 2231, "invalid_request")
	var issued struct{ Ticket string }
	b.Post(bindPath(p), object(state, member("totp", right))).Want(200).Decode(&issued)
	if again := redeem(b, p, issued.Ticket); again.ID != u.ID {
		t.Errorf("redeemed %+v", again)
	}
	b.Post(bindPath(p), object(state, member("totp", recovery))).WantError(400, 4003, "invalid_state_token")
	b.Post(bindPath(p), object(begin(b, p, "alice"), member("totp", right))).WantError(400, 4009, "wrong_totp")
	b.Post(bindPath(p), object(begin(b, p, "alice"), member("totp", recovery))).Want(200)
	if r := b.Admin("GET", usersPath(p)+"/"+u.ID, "").Want(200); !strings.Contains(r.Body, `"recoveryCodes":9`) || strings.Contains(r.Body, secret) {
		t.Errorf("shown: %s", r.Body)
	}
	b.Admin("POST", usersPath(p)+"/"+u.ID+"/totp", "").WantError(409, 4095, "totp_exists")
	b.Admin("DELETE", usersPath(p)+"/"+u.ID+"/totp", "").Want(204)
	b.Admin("DELETE", usersPath(p)+"/"+u.ID+"/totp", "").WantError(404, 4044, "totp_not_found")
	b.Admin("POST", usersPath(p)+"/"+u.ID+"/totp/confirm", object(member("code", right))).WantError(404, 4044, "totp_not_found")
	b.Clock.Turn(time.Second)
	login(b, p, "alice")
	patch(b, p, `"mfa":"required"`)
	b.Issue(p, "alice").WantError(403, 4039, "mfa_not_enrolled")
	for _, body := range []string{`{"mfa":"sometimes"}`, `{"mfa":""}`, `{"mfa":true}`} {
		b.Admin("PATCH", "/admin/v1/pools/"+p.ID, body).WantError(400, 2231, "invalid_request")
	}
}

// Whatever client cannot ask for a second factor is refused in its own words.
func TestSecondFactorInEveryDialect(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(`"mfa":"enrolled"`, `"loginWays":["wechatPhone"]`)
	var u struct{ ID string }
	b.Redeem(p, b.Ticket(p, "alice", b.PhoneCode("alice", "13800138000"))).Want(200).Decode(&u)
	secret, _ := enrol(t, b, p, u.ID)
	device := []string{"X-client-id: " + p.ID, "X-operating-sys-version: iOS 18", "X-device-fingerprint: f", "X-agent: a"}
	loginCode := func() string { return b.WeChat.LoginCode(bridgetest.AppID, "alice") }
	for name, row := range map[string]struct {
		path, body string
		headers    []string
		want       string
	}{
		"Casdoor":            {"/v1/iam/oauth/token", object(member("tag", "wechat_miniprogram"), member("client_id", p.ID), member("code", loginCode())), nil, "second factor"},
		"Authing's SDK":      {"/connections/social/wechat-miniprogram/auth", object(member("code", loginCode())), []string{"x-authing-userpool-id: " + p.ID}, `"code":4038`},
		"IDaaS":              {"/api/v2/sdk/login/wechat-miniprogram", object(member("code", loginCode())), device, `"status":"MFA_AUTH"`},
		"IDaaS, phone alone": {"/api/v2/sdk/login/wechat-mini-program-mobile", object(member("code", b.WeChat.PhoneCode(bridgetest.AppID, "alice", "13800138000"))), device, "ACCESS_DENIED"},
	} {
		r := b.Post(row.path, row.body, row.headers...)
		if !strings.Contains(r.Body, row.want) || strings.Contains(r.Body, "oken\":\"ey") || strings.Contains(r.Body, "session_token") {
			t.Errorf("%s: %d %s, want %s and no token", name, r.Status, r.Body, row.want)
		}
	}
	c := loginCode()
	s := b.WeChat.SealedPhone(c, "13800138000")
	r := b.Post("/connections/social/wechat-miniprogram/auth-by-phone", object(member("code", c), member("encryptedData", s.EncryptedData), member("iv", s.IV)), "x-authing-userpool-id: "+p.ID)
	if !strings.Contains(r.Body, `"code":4038`) {
		t.Errorf("Authing's SDK, by phone: %s", r.Body)
	}
	for where, text := range map[string]string{"the log": b.Log.String(), "the store": b.Stored(), "the audit trail": b.Admin("GET", "/admin/v1/audit", "").Body} {
		for _, hidden := range []string{secret, fmt.Sprintf("%x", secret), sandbox.OpenID(bridgetest.AppID, "alice")} {
			if strings.Contains(text, hidden) {
				t.Errorf("%s has %q", where, hidden)
			}
		}
	}
}
