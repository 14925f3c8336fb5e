package idaas_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"app2wxapp/bridge"
	"app2wxapp/bridge/bridgetest"
	"app2wxapp/userpool"
	"app2wxapp/wechat/sandbox"
)

const (
	noDevice  = "设备信息不完整"
	over      = "state_token 已过期"
	badState  = "state_token 参数错误"
	badCode   = "微信 code 无效或已使用，请重新获取"
	noSession = "会话令牌无效或已过期"
	weChatOut = "微信暂时不可用，请稍后重新登录"
	tooMany   = "请求过于频繁，请稍后再试"
)

// What is wrong with the headers, in the order in which they are looked at.
func TestHeaderErrors(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	p := b.NewPool()
	for _, path := range []string{loginPath, phonePath, bindPath, registerPath, idTokenPath, logoutPath} {
		method := "POST"
		if path == logoutPath {
			method = "GET"
		}
		send := func(headers ...string) bridgetest.Response { return b.Do(method, b.URL+path, "", headers...) }
		wantError(t, path+" no client", send(device(bridgetest.Pool{})...), 400, "SDK.COMMON.1001", "缺少请求头 X-client-id")
		wantError(t, path+" nothing", send(), 400, "SDK.COMMON.1001", "缺少请求头 X-client-id")
		for _, id := range []string{"nobody", "a/b", "%00"} {
			wantError(t, path+" unknown client", send(device(bridgetest.Pool{ID: id})...), 400, "SDK.COMMON.1012", "应用不存在，请核对 X-client-id")
		}
		for i := range 3 {
			all := device(p)
			name, _, _ := strings.Cut(all[i], ":")
			wantError(t, path+" without "+name, send(append(all[:i:i], all[i+1:]...)...), 400, "SDK.COMMON.1003", noDevice)
			all[i] = name + ":  "
			wantError(t, path+" blank "+name, send(all...), 400, "SDK.COMMON.1003", noDevice)
		}
		wantError(t, path+" the client alone", send("X-client-id: "+p.ID), 400, "SDK.COMMON.1003", noDevice)
	}
	if n := b.WeChat.Count(sandbox.Login) + b.WeChat.Count(sandbox.Phone); n != 0 {
		t.Errorf("WeChat was asked %d times", n)
	}
}

// X-L chooses the language, Chinese by default, and a prefix stands before every
// code.
func TestLanguageAndPrefix(t *testing.T) {
	t.Parallel()
	b := newBridge(t, func(c *bridge.Config) { c.IDaaSErrorPrefix = "IDAAS." })
	p := b.NewPool()
	for header, want := range map[string]string{
		"": "参数错误：code 必填：wx.login 返回的 code", "zh": "参数错误：code 必填：wx.login 返回的 code", "fr": "参数错误：code 必填：wx.login 返回的 code",
		"e": "参数错误：code 必填：wx.login 返回的 code", "en": "invalid parameter: code is required: the code of wx.login",
		" EN-us ": "invalid parameter: code is required: the code of wx.login",
	} {
		wantError(t, "X-L "+header, call(b, p, loginPath, `{}`, "X-L: "+header, "Accept-Language: en"), 400, "IDAAS.SDK.COMMON.1001", want)
	}
	wantError(t, "without a pool", b.Post(loginPath, `{}`), 400, "IDAAS.SDK.COMMON.1001", "缺少请求头 X-client-id")
}

func TestLoginErrors(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	p := b.NewPool()
	spent := loginCode(b, "alice")
	call(b, p, loginPath, spent).Want(200)
	fresh := func() string { return loginCode(b, "alice") }
	for _, row := range []struct {
		name, body string
		fail       sandbox.Failure
		status     int
		code, text string
	}{
		{"no body", "", "", 400, "SDK.COMMON.1001", "参数错误：body 必须为 JSON 对象"},
		{"no JSON", "code=1", "", 400, "SDK.COMMON.1001", "参数错误：body 必须为 JSON 对象"},
		{"JSON cut off", `{"code":"a"`, "", 400, "SDK.COMMON.1001", "参数错误：body 必须为合法的 UTF-8 JSON，且没有重复的字段名"},
		{"no code", `{}`, "", 400, "SDK.COMMON.1001", "参数错误：code 必填：wx.login 返回的 code"},
		{"blank code", `{"code":" \t"}`, "", 400, "SDK.COMMON.1001", "参数错误：code 必填：wx.login 返回的 code"},
		{"null code", `{"code":null}`, "", 400, "SDK.COMMON.1001", "参数错误：code 必须为字符串"},
		{"long code", `{"code":"` + strings.Repeat("a", 513) + `"}`, "", 400, "SDK.COMMON.1001", "参数错误：code 过长"},
		{"too large", `{"code":"` + strings.Repeat("a", 64<<10) + `"}`, "", 413, "SDK.COMMON.1001", "请求体不能超过 64 KiB"},
		{"refused code", fresh(), sandbox.ErrCode(40029), 400, "SDK.WECHAT.0001", badCode},
		{"used code", fresh(), sandbox.ErrCode(40163), 400, "SDK.WECHAT.0001", badCode},
		{"a code sent before", spent, "", 400, "SDK.WECHAT.0001", badCode},
		{"a phone code", phoneCodeAs(b, "alice", "13800138000", "code"), "", 400, "SDK.WECHAT.0001", badCode},
		{"high-risk user", fresh(), sandbox.ErrCode(40226), 400, "SDK.WECHAT.0002", "微信判定该用户为高风险"},
		{"WeChat's quota", fresh(), sandbox.ErrCode(45011), 429, "SDK.WECHAT.0003", tooMany},
		{"WeChat is busy", fresh(), sandbox.ErrCode(-1), 503, "SDK.WECHAT.0005", weChatOut},
		{"WeChat is down", fresh(), sandbox.Status(500), 503, "SDK.WECHAT.0005", weChatOut},
		{"wrong AppSecret", fresh(), sandbox.ErrCode(40125), 503, "SDK.WECHAT.0005", weChatOut},
	} {
		if row.fail != "" {
			b.WeChat.Fail(sandbox.Login, row.fail, 1)
		}
		r := call(b, p, loginPath, row.body)
		wantError(t, row.name, r, row.status, row.code, row.text)
		if row.status == 429 && r.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", row.name)
		}
	}
	if !strings.Contains(b.Log.String(), `"error":"SDK.WECHAT.0005"`) {
		t.Error("the log does not tell of WeChat's refusal of the AppSecret")
	}
}

// Who cannot come in, by any call, is told by a status, and gets nothing.
func TestDenied(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	closed, apps, phone := b.NewPool(`"signup":"closed"`), b.NewPool(`"allowedApps":["wxaaaa"]`), b.NewPool(`"phoneRequired":true`)
	wantDenied(t, "closed pool", call(b, closed, loginPath, loginCode(b, "alice")))
	wantDenied(t, "named apps only", call(b, apps, loginPath, loginCode(b, "alice")))
	wantDenied(t, "phone required", call(b, phone, loginPath, loginCode(b, "alice")))

	p := b.NewPool(signupBind, `"loginWays":["wechatPhone"]`)
	imported(b, p, "blocked", "13800138000")
	block(b, p, "blocked", true)
	s := state(b, p, "alice")
	wantDenied(t, "bind a blocked account", call(b, p, bindPath, phoneCode(b, "alice", "13800138000"), s))
	wantDenied(t, "blocked, by phone", call(b, p, phonePath, phoneCodeAs(b, "alice", "13800138000", "code")))
	block(b, p, "blocked", false)
	call(b, p, bindPath, phoneCode(b, "alice", "13800138000"), s).Want(200)
	block(b, p, "blocked", true)
	wantDenied(t, "blocked", call(b, p, loginPath, loginCode(b, "alice")))

	s = state(b, p, "bob")
	patch(b, p, `"signup":"closed"`)
	wantDenied(t, "closed meanwhile", call(b, p, bindPath, phoneCode(b, "bob", "13900139000"), s))
	patch(b, p, `"loginWays":[]`)
	wantDenied(t, "no login by phone", call(b, p, phonePath, phoneCodeAs(b, "bob", "13900139000", "code")))
}

// phoneCodeAs is phoneCode in a field of that name.
func phoneCodeAs(b *bridgetest.Bridge, user, phone, field string) string {
	return fmt.Sprintf(`{%q:%q}`, field, b.WeChat.PhoneCode(bridgetest.AppID, user, phone))
}

func TestBindErrors(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	p, other := b.NewPool(signupBind, `"bindRegister":false`), b.NewPool(signupBind)
	imported(b, p, "known", "13800138000")
	imported(b, p, "twin1", "13800138002")
	imported(b, p, "twin2", "13800138002")
	used := state(b, p, "carol")
	imported(b, p, "carol", "13800138003")
	call(b, p, bindPath, phoneCode(b, "carol", "13800138003"), used).Want(200)
	late := state(b, p, "dave")
	b.Clock.Turn(userpool.UnfinishedLife)
	alice := state(b, p, "alice")
	for _, path := range []string{bindPath, registerPath} {
		for _, row := range []struct {
			name       string
			pool       bridgetest.Pool
			state      string
			body       string
			status     int
			code, text string
		}{
			{"no state token", p, "X-x: x", phoneCode(b, "alice", "13800138000"), 400, "SDK.COMMON.1007", badState},
			{"blank state token", p, "X-state-token:  ", phoneCode(b, "alice", "13800138000"), 400, "SDK.COMMON.1007", badState},
			{"malformed state token", p, "X-state-token: eyJ.x.y", phoneCode(b, "alice", "13800138000"), 400, "SDK.COMMON.1007", badState},
			{"unknown state token", p, "X-state-token: " + strings.Repeat("A", 51), phoneCode(b, "alice", "13800138000"), 400, "SDK.COMMON.1007", badState},
			{"another client's", other, alice, phoneCode(b, "alice", "13800138000"), 400, "SDK.COMMON.1007", badState},
			{"used", p, used, phoneCode(b, "carol", "13800138003"), 400, "SDK.COMMON.1005", over},
			{"expired", p, late, phoneCode(b, "dave", "13800138000"), 400, "SDK.COMMON.1005", over},
			{"no body", p, alice, "", 400, "SDK.COMMON.1001", "参数错误：body 必须为 JSON 对象"},
			{"no code", p, alice, `{}`, 400, "SDK.COMMON.1001", "参数错误：wechat_code 必填：手机号按钮返回的 code"},
			{"long code", p, alice, `{"wchat_code":"` + strings.Repeat("a", 513) + `"}`, 400, "SDK.COMMON.1001", "参数错误：wechat_code 过长"},
			{"no account", p, alice, phoneCode(b, "alice", "13900139000"), 400, "SDK.COMMON.1013", "用户不存在"},
			{"two accounts", p, alice, phoneCode(b, "alice", "13800138002"), 400, "SDK.WECHAT.0006", "有多个账号使用该手机号，请联系管理员"},
		} {
			r := call(b, row.pool, path, row.body, row.state)
			wantError(t, path+" "+row.name, r, row.status, row.code, row.text)
		}
	}
	// Each of these is a failure, of which a sign-in has five; alice had four.
	wantError(t, "another user's phone code", call(b, p, bindPath, phoneCode(b, "mallory", "13800138000"), alice), 400, "SDK.WECHAT.0001", badCode)
	wantError(t, "the sixth", call(b, p, bindPath, phoneCode(b, "alice", "13800138000"), alice), 400, "SDK.COMMON.1005", over)
	call(b, p, bindPath, phoneCode(b, "alice", "13800138000"), state(b, p, "alice")).Want(200)
	wantError(t, "another WeChat user's account", call(b, p, bindPath, phoneCode(b, "bob", "13800138000"), state(b, p, "bob")), 400, "SDK.WECHAT.0004", "该账号已绑定其他微信")
	b.WeChat.Fail(sandbox.Phone, sandbox.ErrCode(45011), 1)
	wantError(t, "WeChat's quota", call(b, p, bindPath, phoneCode(b, "bob", "13900139000"), state(b, p, "bob")), 429, "SDK.WECHAT.0003", tooMany)
}

// The WeChat user has an account by now, which another sign-in made.
func TestOvertaken(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	p := b.NewPool(signupBind)
	slow, fast := state(b, p, "alice"), state(b, p, "alice")
	call(b, p, registerPath, phoneCode(b, "alice", "13800138000"), fast).Want(200)
	wantError(t, "the slow one", call(b, p, registerPath, phoneCode(b, "alice", "13800138000"), slow), 400, "SDK.COMMON.1007", badState)
}

func TestSessionErrors(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	p, other := b.NewPool(), b.NewPool()
	got := login(b, p, "alice")
	id := claims(t, got.IDToken)["sub"].(string)
	for name, r := range map[string]bridgetest.Response{
		"none": call(b, p, idTokenPath, ""), "blank": renew(b, p, " "), "unknown": renew(b, p, strings.Repeat("A", 32)), "short": renew(b, p, "A"),
		"another form": renew(b, p, strings.Repeat("é", 16)), "an id_token": renew(b, p, got.IDToken), "another client's": renew(b, other, got.SessionToken),
		"the half of one": renew(b, p, got.SessionToken[:16]+strings.Repeat("0", 16)),
	} {
		wantError(t, name, r, 400, "SDK.PARAM.0023", noSession)
	}
	got = login(b, p, "alice")
	renew(b, p, got.SessionToken).Want(200)
	b.Clock.Turn(time.Second)
	block(b, p, id, true)
	wantError(t, "blocked", renew(b, p, got.SessionToken), 400, "SDK.PARAM.0023", noSession)
	block(b, p, id, false)
	wantError(t, "unblocked", renew(b, p, got.SessionToken), 400, "SDK.PARAM.0023", noSession)
}

// Sixty failures end an address's patience, and twenty sign-ins a user's.
func TestLimits(t *testing.T) {
	t.Parallel()
	b := newBridge(t, bridgetest.TrustProxies)
	p := b.NewPool()
	got := login(b, p, "alice")
	for range 19 {
		login(b, p, "alice")
	}
	r := call(b, p, loginPath, loginCode(b, "alice"))
	wantError(t, "the twenty-first sign-in", r, 429, "SDK.WECHAT.0003", tooMany)
	if r.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	for range 60 {
		call(b, p, idTokenPath, "", "session-token: x", "X-Forwarded-For: 203.0.113.1").Want(400)
	}
	wantError(t, "after sixty failures", call(b, p, idTokenPath, "", "session-token: "+got.SessionToken, "X-Forwarded-For: 203.0.113.1"), 429, "SDK.WECHAT.0003", tooMany)
	call(b, p, idTokenPath, "", "session-token: "+got.SessionToken, "X-Forwarded-For: 203.0.113.2").Want(200)
}

// The store does not answer.
func TestUnavailable(t *testing.T) {
	t.Parallel()
	b := newBridge(t, bridgetest.WithStore(func(s bridge.Store) bridge.Store { return unavailable{s} }))
	p := b.NewPool()
	r := call(b, p, loginPath, loginCode(b, "alice"))
	wantError(t, "unavailable", r, 503, "SDK.COMMON.5000", "服务暂时不可用，请稍后再试")
	if r.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestServerError(t *testing.T) {
	t.Parallel()
	b := newBridge(t, bridgetest.WithStore(func(s bridge.Store) bridge.Store { return broken{s} }))
	p := b.NewPool()
	wantError(t, "ours", call(b, p, loginPath, loginCode(b, "alice")), 500, "SDK.COMMON.5000", "系统繁忙，请把 X-Request-Id 告诉管理员")
}
