package idaas_test

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"app2wxapp/bridge/bridgetest"
	"app2wxapp/userpool"
)

const (
	sendPath         = "/api/v2/sdk/sms/send"
	codeBindPath     = "/api/v2/sdk/social/bind"
	codeRegisterPath = "/api/v2/sdk/social/register-bind"
	captchaPath      = "/api/v2/sdk/captcha"
	verifyPath       = "/api/v2/sdk/captcha/verify"

	everyWay  = `"bindWays":["wechatPhone","smsCode","emailCode"]`
	noCaptcha = `"captcha":"off"`
)

// byCode is the body of a bind by the code that was sent last.
func byCode(b *bridgetest.Bridge, member, shown, to string) string {
	return fmt.Sprintf(`{%q:%q,"verify_code":%q}`, member, shown, b.Outbox.Last(to))
}

// Codes are sent and finish a sign-in, to a number as clients write it, or to an
// address; both paths, as the state lets.
func TestBindByCode(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	p := b.NewPool(signupBind, everyWay, noCaptcha, b.Outbox.Senders())
	r := call(b, p, loginPath, loginCode(b, "alice")).Want(200)
	if want := `"data":"{\"socialBindOrRegisterFlow\":[\"VERIFY_PHONE\",\"VERIFY_EMAIL\"]}"`; !strings.Contains(r.Body, want) {
		t.Errorf("got %s, want %s", r.Body, want)
	}
	for i, row := range []struct{ path, member, shown, kind, to, mobile, email string }{
		{codeBindPath, "mobile", "13800138000", "BIND_MOBILE_SMS", "+8613800138000", "+86-13800138000", ""},
		{codeBindPath, "mobile", "+8613800138001", "BIND_MOBILE_SMS", "+8613800138001", "+86-13800138001", ""},
		{codeRegisterPath, "mobile", " +86-13800138002 ", "REGISTER_SMS", "+8613800138002", "+86-13800138002", ""},
		{codeRegisterPath, "mobile", "+852 6123 4567", "REGISTER_SMS", "+85261234567", "+85261234567", ""},
		{codeBindPath, "email", "User@Example.com", "BIND_EMAIL_EMS", "user@example.com", "", "user@example.com"},
		{codeRegisterPath, "email", "two@example.com ", "BIND_EMAIL_EMS", "two@example.com", "", "two@example.com"},
	} {
		user := fmt.Sprint("user", i)
		s := state(b, p, user)
		r := call(b, p, sendPath, fmt.Sprintf(`{%q:%q,"type":%q}`, row.member, row.shown, row.kind), s, "X-L: en").Want(200)
		if r.Body != "" {
			t.Errorf("sent: %s, want nothing", r.Body)
		}
		sent := b.Outbox.Sent()
		if m := sent[len(sent)-1]; m.To != row.to || m.Language != "en" || m.Purpose != userpool.PurposeBind {
			t.Errorf("sent to %s in %s, want %s", m.To, m.Language, row.to)
		}
		got := decoded(call(b, p, row.path, byCode(b, row.member, row.shown, row.to), s).Want(200))
		c := claims(t, got.IDToken)
		if got.Status != "SUCCESS" || c["mobile"] != row.mobile || c["email"] != row.email {
			t.Errorf("%s: %+v, claims %v", row.shown, got, c)
		}
		if again := login(b, p, user); claims(t, again.IDToken)["sub"] != c["sub"] {
			t.Errorf("%s: the next sign-in is %+v", row.shown, again)
		}
	}
	// An account that is there is bound.
	b.Admin("POST", "/admin/v1/pools/"+p.ID+"/users", `{"id":"known","email":"known@example.com"}`).Want(201)
	s := state(b, p, "zoe")
	call(b, p, sendPath, `{"email":"known@example.com","type":"BIND_EMAIL_EMS"}`, s).Want(200)
	got := decoded(call(b, p, codeBindPath, byCode(b, "email", "known@example.com", "known@example.com"), s).Want(200))
	if claims(t, got.IDToken)["sub"] != "known" {
		t.Errorf("bound to %v", claims(t, got.IDToken))
	}
}

// A code may be asked for without a state_token, as the vendor's page has it.
func TestCodeWithoutState(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	p := b.NewPool(signupBind, everyWay, noCaptcha, b.Outbox.Senders())
	call(b, p, sendPath, `{"mobile":"13800138000","type":"BIND_MOBILE_SMS"}`).Want(200)
	got := decoded(call(b, p, codeBindPath, byCode(b, "mobile", "13800138000", "+8613800138000"), state(b, p, "alice")).Want(200))
	if got.Status != "SUCCESS" {
		t.Errorf("got %+v", got)
	}
}

func TestCodeErrors(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	p, mobileOnly, phoneOnly := b.NewPool(signupBind, everyWay, noCaptcha, b.Outbox.Senders()), b.NewPool(signupBind, `"bindWays":["smsCode"]`, noCaptcha, b.Outbox.Senders()), b.NewPool(signupBind, noCaptcha)
	s := state(b, p, "alice")
	const badType = "参数错误：type 必须为 REGISTER_SMS、BIND_MOBILE_SMS（mobile）或 BIND_EMAIL_EMS（email）"
	const closed = "应用没有开启这种验证码"
	n := 0
	next := func() string { n++; return fmt.Sprintf("138001390%02d", n) }
	for _, row := range []struct {
		name, body, state string
		pool              bridgetest.Pool
		answers           int // of the webhook
		status            int
		code, text        string
	}{
		{"nothing", `{}`, s, p, 204, 400, "SDK.COMMON.1001", "参数错误：mobile 必填，或给出 email"},
		{"both", `{"mobile":"13800138000","email":"a@example.com","type":"BIND_MOBILE_SMS"}`, s, p, 204, 400, "SDK.COMMON.1001", "参数错误：email 不能与 mobile 同时给出"},
		{"no type", `{"mobile":"13800138000"}`, s, p, 204, 400, "SDK.COMMON.1001", badType},
		{"another type", `{"mobile":"13800138000","type":"LOGIN_SMS"}`, s, p, 204, 400, "SDK.COMMON.1001", badType},
		{"a type of the other kind", `{"email":"a@example.com","type":"REGISTER_SMS"}`, s, p, 204, 400, "SDK.COMMON.1001", badType},
		{"no number", `{"mobile":"x","type":"REGISTER_SMS"}`, s, p, 204, 400, "SDK.COMMON.1001", "?mobile"},
		{"no address", `{"email":"x","type":"BIND_EMAIL_EMS"}`, s, p, 204, 400, "SDK.COMMON.1001", "?email"},
		{"another client's state", `{"mobile":"13800138000","type":"REGISTER_SMS"}`, s, mobileOnly, 204, 400, "SDK.COMMON.1007", badState},
		{"no such way", `{"mobile":"13800138000","type":"REGISTER_SMS"}`, "X-x: x", phoneOnly, 204, 400, "SDK.CAPTCHA.0006", closed},
		{"no such way of the two", `{"email":"a@example.com","type":"BIND_EMAIL_EMS"}`, "X-x: x", mobileOnly, 204, 400, "SDK.CAPTCHA.0006", closed},
		{"refused number", `{"mobile":"` + next() + `","type":"REGISTER_SMS"}`, s, p, 422, 400, "SDK.CAPTCHA.0006", "无法向该手机号或邮箱发送验证码"},
		{"provider's limit", `{"mobile":"` + next() + `","type":"REGISTER_SMS"}`, s, p, 429, 429, "SDK.CAPTCHA.0006", "该手机号或邮箱收到的验证码过多，请稍后再试"},
		{"provider is down", `{"mobile":"` + next() + `","type":"REGISTER_SMS"}`, s, p, 500, 503, "SDK.CAPTCHA.0006", "验证码发送失败，请稍后再试"},
		{"provider refuses the operator", `{"mobile":"` + next() + `","type":"REGISTER_SMS"}`, s, p, 401, 503, "SDK.CAPTCHA.0006", "验证码发送失败，请稍后再试"},
		{"fifth", `{"mobile":"` + next() + `","type":"REGISTER_SMS"}`, s, p, 204, 200, "", ""},
		{"sixth of a state", `{"mobile":"` + next() + `","type":"REGISTER_SMS"}`, s, p, 204, 400, "SDK.CAPTCHA.0006", "获取验证码次数过多，请重新登录"},
	} {
		b.Outbox.Answer(row.answers)
		r := call(b, row.pool, sendPath, row.body, row.state)
		switch {
		case row.status == 200:
			r.Want(200)
		case strings.HasPrefix(row.text, "?"):
			if r.Status != 400 || !strings.Contains(r.Body, row.code) || !strings.Contains(r.Body, row.text[1:]) {
				t.Errorf("%s: %d %s", row.name, r.Status, r.Body)
			}
		default:
			wantError(t, row.name, r, row.status, row.code, row.text)
		}
	}
	call(b, p, sendPath, `{"mobile":"13700137000","type":"BIND_MOBILE_SMS"}`).Want(200)
	r := call(b, p, sendPath, `{"mobile":"13700137000","type":"BIND_MOBILE_SMS"}`)
	wantError(t, "again within a minute", r, 429, "SDK.WECHAT.0003", tooMany)
	if r.Header.Get("Retry-After") != "60" {
		t.Errorf("Retry-After %q", r.Header.Get("Retry-After"))
	}
	s = state(b, p, "bob")
	wrong := "000000"
	if b.Outbox.Last("+8613700137000") == wrong {
		wrong = "111111"
	}
	const wrongCode = "验证码错误、已过期或已使用"
	wantError(t, "wrong code", call(b, p, codeBindPath, `{"mobile":"13700137000","verify_code":"`+wrong+`"}`, s), 400, "SDK.CAPTCHA.0002", wrongCode)
	for _, body := range []string{`{"mobile":"13700137000"}`, `{"mobile":"13700137000","verify_code":"12345"}`} {
		if r := call(b, p, codeBindPath, body, s); r.Status != 400 || !strings.Contains(r.Body, "1001") || !strings.Contains(r.Body, "verify_code") {
			t.Errorf("%s: %d %s", body, r.Status, r.Body)
		}
	}
	wantError(t, "no receiver", call(b, p, codeBindPath, `{"verify_code":"123456"}`, s), 400, "SDK.COMMON.1001", "参数错误：mobile 必填，或给出 email")
	wantDenied(t, "a way that the pool has not", call(b, phoneOnly, codeBindPath, `{"mobile":"13700137000","verify_code":"123456"}`, state(b, phoneOnly, "bob")))
	b.Clock.Turn(userpool.CodeLife)
	wantError(t, "late", call(b, p, codeBindPath, byCode(b, "mobile", "13700137000", "+8613700137000"), s), 400, "SDK.CAPTCHA.0002", wrongCode)
}

// Where captchas are on, which they are, a code goes out for a solved one only,
// once, and to the receiver that it was solved for.
func TestCaptcha(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	p := b.NewPool(signupBind, everyWay, b.Outbox.Senders())
	send := func(mobile, token string) bridgetest.Response {
		return call(b, p, sendPath, fmt.Sprintf(`{"mobile":%q,"type":"BIND_MOBILE_SMS","captcha_token":%q}`, mobile, token), state(b, p, "alice"))
	}
	const failed = "图形验证失败，请重试"
	wantError(t, "no captcha", send("13800138000", ""), 400, "SDK.CAPTCHA.0002", failed)
	token := solve(t, b, p, "13800138000")
	wantError(t, "another number", send("13800138001", token), 400, "SDK.CAPTCHA.0002", failed)
	send("+86-13800138000", token).Want(200)
	b.Clock.Turn(time.Minute)
	wantError(t, "again", send("13800138000", token), 400, "SDK.CAPTCHA.0002", failed)
	if sent := b.Outbox.Sent(); len(sent) != 1 {
		t.Errorf("%d codes were sent, want 1", len(sent))
	}

	challenge := ask(b, p, "")
	for name, body := range map[string]string{
		"wrong": fmt.Sprintf(`{"point_json":"{\"x\":9999}","token":%q,"sender":"13800138000"}`, challenge.Token),
		"used":  fmt.Sprintf(`{"point_json":"{\"x\":9998}","token":%q,"sender":"13800138000"}`, challenge.Token),
		"none":  `{"point_json":"x","token":"x","sender":"13800138000"}`,
	} {
		wantError(t, name, call(b, p, verifyPath, body), 400, "SDK.CAPTCHA.0002", failed)
	}
	for _, name := range []string{"point_json", "token", "sender"} {
		body := strings.Replace(`{"point_json":"x","token":"x","sender":"x"}`, fmt.Sprintf(`%q:"x"`, name), fmt.Sprintf(`%q:" "`, name), 1)
		wantError(t, "no "+name, call(b, p, verifyPath, body), 400, "SDK.COMMON.1001", "参数错误："+name+" 必填")
	}
	r := b.Do("GET", b.URL+captchaPath+"?form=x", "", device(p)...)
	wantError(t, "another form", r, 400, "SDK.COMMON.1001", `参数错误：form 必须为 "puzzle"、"digits" 或 "spoken"`)
}

// What each form of a challenge has.
func TestCaptchaForms(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	p := b.NewPool()
	for form, has := range map[string]string{"": "picture piece key", "puzzle": "picture piece key", "digits": "picture", "spoken": "sound"} {
		c := ask(b, p, form)
		var got []string
		for _, part := range []struct{ name, text, begins string }{
			{"picture", c.Picture, "\x89PNG"}, {"piece", c.Piece, "\x89PNG"}, {"key", c.SecretKey, ""}, {"sound", c.Sound, "RIFF"},
		} {
			if part.text == "" {
				continue
			}
			got = append(got, part.name)
			raw, err := base64.StdEncoding.DecodeString(part.text)
			if part.begins != "" && (err != nil || !strings.HasPrefix(string(raw), part.begins)) {
				t.Errorf("%s: %s is no base64 of %q: %v", form, part.name, part.begins, err)
			}
		}
		if strings.Join(got, " ") != has || c.Expire != 120 || c.Token == "" {
			t.Errorf("form %q: %v, %d seconds, want %s", form, got, c.Expire, has)
		}
	}
}

type challenge struct {
	Token     string `json:"token"`
	Picture   string `json:"originalImageBase64"`
	Piece     string `json:"jigsawImageBase64"`
	SecretKey string `json:"secretKey"`
	Sound     string `json:"audioBase64"`
	Expire    int    `json:"expire"`
}

func ask(b *bridgetest.Bridge, p bridgetest.Pool, form string) (c challenge) {
	b.Do("GET", b.URL+captchaPath+"?"+url.Values{"form": {form}}.Encode(), "", device(p)...).Want(200).Decode(&c)
	return c
}

// solve returns a captcha_token for the receiver. It tries one place after
// another, each at a challenge of its own, from an address of its own minute.
func solve(t *testing.T, b *bridgetest.Bridge, p bridgetest.Pool, sender string) string {
	t.Helper()
	for range 400 {
		c := ask(b, p, "")
		r := call(b, p, verifyPath, fmt.Sprintf(`{"point_json":"{\"x\":150.0,\"y\":5.0}","token":%q,"sender":%q}`, c.Token, sender))
		if r.Status == 200 {
			var out struct {
				Token string `json:"captcha_token"`
			}
			r.Decode(&out)
			return out.Token
		}
		b.Clock.Turn(10 * time.Second)
	}
	t.Fatal("no guess at the piece's place held")
	return ""
}
