package idaas_test

import (
	"fmt"
	"testing"

	"app2wxapp/bridge/bridgetest"
)

const (
	passwordBindPath  = "/api/v2/sdk/social/username-password-bind"
	passwordLoginPath = "/api/v2/sdk/login"
)

// withPassword stores a user who has one.
func withPassword(b *bridgetest.Bridge, p bridgetest.Pool, name string) {
	b.Admin("POST", "/admin/v1/pools/"+p.ID+"/users", fmt.Sprintf(`{"id":%q,"username":%q,"password":" correct horse "}`, name, name)).Want(201)
}

func credentials(name, password string) string {
	return fmt.Sprintf(`{"user_name":%q,"password":%q}`, name, password)
}

// A user name and its password bind that account, and the text of a wrong one
// says how many tries are left.
func TestBindByPassword(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	p := b.NewPool(signupBind, `"bindRegister":false`, `"bindWays":["wechatPhone","password"]`)
	withPassword(b, p, "li")
	begun := login(b, p, "alice")
	if begun.Status != "SOCIAL_BIND" || begun.Data != nil {
		t.Errorf("first login: %+v", begun)
	}
	s := "X-state-token: " + begun.StateToken
	bind := func(name, password string, headers ...string) bridgetest.Response {
		return call(b, p, passwordBindPath, credentials(name, password), append(headers, s)...)
	}
	wantError(t, "wrong", bind("li", "battery staple"), 400, "SDK.LOGIN.1005", "用户名或密码错误，剩余登录尝试次数:4")
	wantError(t, "nobody's", bind("wang", " correct horse ", "X-L: en"), 400, "SDK.LOGIN.1005", "wrong user name or password; attempts left:3")
	wantError(t, "without its blanks", bind("li", "correct horse"), 400, "SDK.LOGIN.1005", "用户名或密码错误，剩余登录尝试次数:2")
	wantError(t, "no name", bind(" ", "x"), 400, "SDK.COMMON.1001", "参数错误：user_name 必填")
	wantError(t, "no password", bind("li", ""), 400, "SDK.COMMON.1001", "参数错误：password 必填")
	wantError(t, "wrong again", bind("li", "x"), 400, "SDK.LOGIN.1005", "用户名或密码错误，剩余登录尝试次数:1")
	got := decoded(bind(" li ", " correct horse ").Want(200))
	if c := claims(t, got.IDToken); got.Status != "SUCCESS" || c["sub"] != "li" || c["userName"] != "li" {
		t.Errorf("bound: %+v, %v", got, c)
	}
	if again := login(b, p, "alice"); claims(t, again.IDToken)["sub"] != "li" {
		t.Errorf("second login: %+v", again)
	}
	wantError(t, "another WeChat user's account", call(b, p, passwordBindPath, credentials("li", " correct horse "), state(b, p, "bob")), 400, "SDK.WECHAT.0004", "该账号已绑定其他微信")
	patch(b, p, `"bindWays":["wechatPhone"]`)
	wantDenied(t, "no such way", call(b, p, passwordBindPath, credentials("li", " correct horse "), state(b, p, "bob")))
}

func TestLoginByPassword(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	p := b.NewPool()
	withPassword(b, p, "li")
	in := func(password string) bridgetest.Response {
		return call(b, p, passwordLoginPath, credentials("li", password))
	}
	wantDenied(t, "before the pool lets it", in(" correct horse "))
	patch(b, p, `"loginWays":["password"]`)
	got := decoded(in(" correct horse ").Want(200))
	if got.Status != "SUCCESS" || claims(t, got.IDToken)["sub"] != "li" {
		t.Errorf("got %+v", got)
	}
	session(t, renew(b, p, got.SessionToken))
	wantError(t, "wrong", in("battery staple"), 400, "SDK.LOGIN.1005", "用户名或密码错误")
	for range 4 {
		in("battery staple").Want(400)
	}
	wantError(t, "after five", in(" correct horse "), 429, "SDK.WECHAT.0003", tooMany)
	block(b, p, "li", true)
	b.Clock.Turn(60e9)
	wantDenied(t, "blocked", in(" correct horse "))
}
