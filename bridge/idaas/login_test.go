package idaas_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"app2wxapp/bridge/bridgetest"
	"app2wxapp/wechat/sandbox"
)

// The answers, byte by byte but for what is random.
func TestGolden(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	p := b.NewPool(signupBind)
	r := call(b, p, loginPath, loginCode(b, "alice")).Want(200)
	begun := decoded(r)
	if want := `{"state_token":"` + begun.StateToken + `","data":null,"status":"USER_REGISTER"}`; r.Body != want {
		t.Errorf("got %s, want %s", r.Body, want)
	}
	r = call(b, p, registerPath, phoneCode(b, "alice", "13800138000"), "X-state-token: "+begun.StateToken).Want(200)
	got := decoded(r)
	if want := `{"session_token":"` + got.SessionToken + `","expire":432000,"status":"SUCCESS","id_token":"` + got.IDToken + `"}`; r.Body != want {
		t.Errorf("got %s, want %s", r.Body, want)
	}
	if r.Header.Get("Cache-Control") != "no-store" {
		t.Error("tokens may be cached")
	}
	c := claims(t, got.IDToken)
	id, sid, jti := c["sub"], c["sid"], c["jti"]
	want := fmt.Sprintf(`{"iss":"%s","sub":"%s","aud":"%s","exp":%d,"iat":%d,"jti":"%s","sid":"%s","userName":"%s","name":"","mobile":"+86-13800138000","email":"",`+
		`"api":"{\"userName\":\"%s\",\"name\":\"\",\"mobile\":\"+86-13800138000\",\"email\":\"\"}"}`,
		b.URL, id, p.ID, bridgetest.T0.Unix()+300, bridgetest.T0.Unix(), jti, sid, id, id)
	if have := payload(t, got.IDToken); have != want {
		t.Errorf("claims\n%s\nwant\n%s", have, want)
	}
	r = userInfo(b, got.IDToken).Want(200)
	if want := fmt.Sprintf(`{"id":"%s","userName":"%s","name":"","email":"","mobile":"+86-13800138000"}`, id, id); r.Body != want {
		t.Errorf("user information %s, want %s", r.Body, want)
	}

	patch(b, p, `"bindRegister":false`)
	r = call(b, p, loginPath, loginCode(b, "bob")).Want(200)
	if want := `{"state_token":"` + decoded(r).StateToken + `","data":null,"status":"SOCIAL_BIND"}`; r.Body != want {
		t.Errorf("got %s, want %s", r.Body, want)
	}
}

// Both paths bind and register, under each name that the code has on the
// vendor's pages; the state decides.
func TestBindPathsAndNames(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	p := b.NewPool(signupBind)
	n := 0
	for _, path := range []string{bindPath, registerPath} {
		for _, name := range []string{"wechat_code", "wchat_code", "code"} {
			for _, known := range []bool{false, true} {
				n++
				user, phone := fmt.Sprint("user", n), fmt.Sprintf("138001380%02d", n)
				if known {
					imported(b, p, user, phone)
				}
				code := b.WeChat.PhoneCode(bridgetest.AppID, user, phone)
				got := decoded(b.Do("POST", b.URL+path, fmt.Sprintf(`{%q:"\n%s ","x":1}`, name, code), device(p, state(b, p, user))...).Want(200))
				if sub := claims(t, got.IDToken)["sub"]; got.Status != "SUCCESS" || (sub == user) != known {
					t.Errorf("%s with %s, known %t: %s of %v", path, name, known, got.Status, sub)
				}
				if again := login(b, p, user); again.Status != "SUCCESS" || claims(t, again.IDToken)["sub"] != claims(t, got.IDToken)["sub"] {
					t.Errorf("%s with %s: the next sign-in is %+v", path, name, again)
				}
			}
		}
	}
	// wechat_code is what counts.
	code := fmt.Sprintf(`{"code":"x","wechat_code":%q,"wchat_code":"y"}`, b.WeChat.PhoneCode(bridgetest.AppID, "zoe", "13800138099"))
	call(b, p, bindPath, code, state(b, p, "zoe")).Want(200)
}

// A pool that takes everybody makes the user at once, with no state_token.
func TestOpenPool(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	p := b.NewPool()
	got := login(b, p, "alice")
	if got.Status != "SUCCESS" || got.StateToken != "" || claims(t, got.IDToken)["mobile"] != "" {
		t.Errorf("first login: %+v", got)
	}
	if again := login(b, p, "alice"); claims(t, again.IDToken)["sub"] != claims(t, got.IDToken)["sub"] {
		t.Error("the second login is another user's")
	}
}

// A phone by itself lets in whom the pool knows by it, and binds nothing.
func TestLoginByPhone(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	p := b.NewPool(signupBind)
	imported(b, p, "known", "13800138000")
	imported(b, p, "twin1", "13800138002")
	imported(b, p, "twin2", "13800138002")
	by := func(phone string) bridgetest.Response {
		return call(b, p, phonePath, phoneCodeAs(b, "alice", phone, "code"))
	}
	wantDenied(t, "before the pool lets it", by("13800138000"))
	if n := b.WeChat.Count(sandbox.Phone); n != 0 {
		t.Errorf("WeChat was asked %d times", n)
	}
	patch(b, p, `"loginWays":["wechatPhone"]`)
	got := decoded(by("13800138000").Want(200))
	if got.Status != "SUCCESS" || claims(t, got.IDToken)["sub"] != "known" {
		t.Errorf("by phone: %+v", got)
	}
	var u struct{ Identities []any }
	b.Admin("GET", "/admin/v1/pools/"+p.ID+"/users/known", "").Want(200).Decode(&u)
	if len(u.Identities) != 0 || login(b, p, "alice").Status != "USER_REGISTER" {
		t.Errorf("the phone bound %v", u.Identities)
	}
	wantError(t, "unknown phone", by("13900139000"), 400, "SDK.COMMON.1013", "用户不存在")
	wantError(t, "two accounts", by("13800138002"), 400, "SDK.WECHAT.0006", "有多个账号使用该手机号，请联系管理员")
	wantError(t, "no code", call(b, p, phonePath, `{}`), 400, "SDK.COMMON.1001", "参数错误：code 必填：手机号按钮返回的 code")
	wantError(t, "a login code", call(b, p, phonePath, loginCode(b, "alice")), 400, "SDK.WECHAT.0001", badCode)
	b.WeChat.Fail(sandbox.Phone, sandbox.Status(500), 1)
	wantError(t, "WeChat is down", by("13800138000"), 503, "SDK.WECHAT.0005", weChatOut)
	patch(b, p, `"allowedApps":["wxaaaa"]`)
	wantDenied(t, "named apps only", by("13800138000"))
}

// Only RSA keys, whatever other pools sign with; the id_token has one of them.
func TestKeys(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	keys := func() bridgetest.Response { return b.Do("GET", b.URL+keysPath, "").Want(200) }
	if got := keys().Body; got != `{"keys":[]}` {
		t.Errorf("before the first sign-in: %s", got)
	}
	b.NewPool(`"tokenAlg":"ES256"`)
	b.PutRSAKey()
	p := b.NewPool(`"tokenAlg":"EdDSA"`)
	got := login(b, p, "alice")
	r := keys()
	var set struct {
		Keys []struct{ Kty, Use, Alg, Kid, N, E string }
	}
	r.Decode(&set)
	if len(set.Keys) != 1 || set.Keys[0].Kty != "RSA" || set.Keys[0].Alg != "RS256" || set.Keys[0].Kid != "rsa" || set.Keys[0].E != "AQAB" || r.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("keys %s", r.Body)
	}
	userInfo(b, got.IDToken).Want(200)
}

// An id_token opens nothing but this dialect's user information, and that
// nothing else does.
func TestConfusion(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	p := b.NewPool()
	got := login(b, p, "alice")
	for _, path := range []string{"/oauth/userinfo", "/v1/iam/get-account", "/v1/iam/oauth/userinfo"} {
		b.Do("GET", b.URL+path, "", "Authorization: Bearer "+got.IDToken).Want(401)
	}
	if r := b.Do("GET", b.URL+"/authing/token?access_token="+got.IDToken, "").Want(200); !strings.Contains(r.Body, "2207") {
		t.Errorf("/authing/token: %s", r.Body)
	}
	form := url.Values{"token": {got.IDToken}, "client_id": {p.ID}, "client_secret": {p.Secret}}
	for _, shown := range []string{got.IDToken, got.SessionToken} {
		form.Set("token", shown)
		for _, path := range []string{"/oauth/introspect", "/v1/iam/oauth/introspect"} {
			r := b.Do("POST", b.URL+path, form.Encode(), "Content-Type: application/x-www-form-urlencoded").Want(200)
			if r.Body != `{"active":false}` {
				t.Errorf("%s: %s", path, r.Body)
			}
		}
	}
	var casdoor struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	b.Do("POST", b.URL+"/v1/iam/oauth/token", url.Values{"tag": {"wechat_miniprogram"}, "client_id": {p.ID}, "code": {b.WeChat.LoginCode(bridgetest.AppID, "alice")}}.Encode(),
		"Content-Type: application/x-www-form-urlencoded").Want(200).Decode(&casdoor)
	var authing struct{ Token string }
	b.Redeem(p, b.Ticket(p, "alice")).Want(200).Decode(&authing)
	for name, token := range map[string]string{
		"Casdoor's": casdoor.Access, "Authing's": authing.Token, "a session_token": got.SessionToken, "none": "", "rubbish": "a.b.c", "another signature": got.IDToken[:len(got.IDToken)-4] + "AAAA",
	} {
		if r := userInfo(b, token).Want(401); !strings.Contains(r.Body, `_token"`) {
			t.Errorf("%s: %s", name, r.Body)
		}
	}
	wantError(t, "Casdoor's refresh token", renew(b, p, casdoor.Refresh), 400, "SDK.PARAM.0023", noSession)
	if r := b.Do("GET", b.URL+infoPath, "", "Authorization: "+got.IDToken).Want(401); r.Header.Get("WWW-Authenticate") == "" {
		t.Error("no WWW-Authenticate")
	}
	b.Clock.Turn(5 * 60 * 1e9)
	userInfo(b, got.IDToken).Want(401)
}
