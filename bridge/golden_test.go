package bridge_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"app2wxapp/bridge/bridgetest"
	"app2wxapp/wechat/sandbox"
)

const userInfo = `"userInfo":{"nickName":"示例<&>用户","avatarUrl":"https://thirdwx.qlogo.cn/mmopen/vi_32/sample/132",` +
	`"gender":1,"language":"zh_CN","city":"Hangzhou","province":"Zhejiang","country":"China"}`

// The user object as Authing's page has it: these keys in this order, and id.
func TestGoldenUser(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t, bridgetest.TrustProxies)
	p := b.NewPool()
	first := b.Ticket(p, "alice", userInfo, b.PhoneCode("alice", "13800138000"))
	redeem(b, p, first)
	b.Clock.Turn(24 * time.Hour)
	r := b.Post(redeemPath(p), object(member("ticket", b.Ticket(p, "alice")), member("secret", p.Secret)), from("203.0.113.7")).Want(200)

	var got redeemed
	r.Decode(&got)
	openID, unionID := sandbox.OpenID(bridgetest.AppID, "alice"), sandbox.UnionID(bridgetest.Platform, "alice")
	oauth := `{\"nickName\":\"示例<&>用户\",\"gender\":1,\"language\":\"zh_CN\",\"city\":\"Hangzhou\",\"province\":\"Zhejiang\",` +
		`\"country\":\"China\",\"avatarUrl\":\"https://thirdwx.qlogo.cn/mmopen/vi_32/sample/132\",\"phone\":\"13800138000\",` +
		`\"openid\":\"` + openID + `\",\"unionid\":\"` + unionID + `\"}`
	want := `{"emailVerified":false,"username":"示例<&>用户","nickname":"示例<&>用户","company":"",` +
		`"photo":"https://thirdwx.qlogo.cn/mmopen/vi_32/sample/132","loginsCount":2,"registerMethod":"oauth:app2wxapp",` +
		`"blocked":false,"isDeleted":false,"oauth":"` + oauth + `","metadata":"\"\"","_id":"` + got.ID + `","id":"` + got.ID + `",` +
		`"unionid":"` + unionID + `","openid":"` + openID + `","lastIP":"::ffff:203.0.113.7",` +
		`"lastLogin":"2026-11-21T08:30:00.412Z","signedUp":"2026-11-20T08:30:00.412Z",` +
		`"token":"` + got.Token + `","tokenExpiredAt":"2026-12-06T08:30:00.000Z","phone":"13800138000"}`
	if r.Body != want {
		t.Errorf("got\n%s\nwant\n%s", r.Body, want)
	}
	if got.ID == "" || strings.Count(got.Token, ".") != 2 {
		t.Errorf("id %q, token %q", got.ID, got.Token)
	}
	wantHeaders(t, r)
}

// Of a user of whom nothing is known, texts are empty and the phone is null:
// the clients of the field crash on null texts and on a missing phone.
func TestGoldenBareUser(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	b.WeChat.AddApp(sandbox.App{ID: "wxnoplatform00000", Secret: "s"}) // without unionids
	p := b.NewPool()
	patch(b, p, `"appId":"wxnoplatform00000"`, `"appSecret":"s"`)
	code := b.WeChat.LoginCode("wxnoplatform00000", "bare")
	var issued struct{ Ticket string }
	b.Post(issuePath(p), object(member("code", code))).Want(200).Decode(&issued)
	r := b.Redeem(p, issued.Ticket).Want(200)

	var got redeemed
	r.Decode(&got)
	openID := sandbox.OpenID("wxnoplatform00000", "bare")
	want := `{"emailVerified":false,"username":"","nickname":"","company":"","photo":"","loginsCount":1,` +
		`"registerMethod":"oauth:app2wxapp","blocked":false,"isDeleted":false,` +
		`"oauth":"{\"nickName\":\"\",\"gender\":0,\"language\":\"\",\"city\":\"\",\"province\":\"\",\"country\":\"\",` +
		`\"avatarUrl\":\"\",\"phone\":\"\",\"openid\":\"` + openID + `\",\"unionid\":\"\"}","metadata":"\"\"",` +
		`"_id":"` + got.ID + `","id":"` + got.ID + `","unionid":"","openid":"` + openID + `","lastIP":"::ffff:127.0.0.1",` +
		`"lastLogin":"2026-11-20T08:30:00.412Z","signedUp":"2026-11-20T08:30:00.412Z",` +
		`"token":"` + got.Token + `","tokenExpiredAt":"2026-12-05T08:30:00.000Z","phone":null}`
	if r.Body != want {
		t.Errorf("got\n%s\nwant\n%s", r.Body, want)
	}
}

func TestLastIP(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t, bridgetest.TrustProxies)
	p := b.NewPool()
	for forwarded, want := range map[string]string{
		"203.0.113.7":               "::ffff:203.0.113.7",
		"::ffff:203.0.113.8":        "::ffff:203.0.113.8",
		"2001:db8::7":               "2001:db8::7",
		"198.51.100.1, 203.0.113.9": "::ffff:203.0.113.9", // the last that a trusted proxy saw
		"203.0.113.9, 127.0.0.1":    "::ffff:203.0.113.9",
		"198.51.100.1, 10.0.0.1":    "::ffff:10.0.0.1", // no address is a proxy's by what it looks like
		"198.51.100.1, fe80::1":     "fe80::1",
		"198.51.100.1, ::1":         "::1",
		"nonsense":                  "::ffff:127.0.0.1",
	} {
		var u redeemed
		b.Post(redeemPath(p), object(member("ticket", b.Ticket(p, "alice")), member("secret", p.Secret)), from(forwarded)).Want(200).Decode(&u)
		if u.LastIP != want {
			t.Errorf("X-Forwarded-For %q: lastIP %q, want %q", forwarded, u.LastIP, want)
		}
	}
}

func TestPhoneOnTheWire(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	for _, row := range []struct{ number, phone, masked string }{
		{"13800138000", "13800138000", "138****8000"},
		{"+8617612346754", "17612346754", "176****6754"},
		{"+85291234567", "+85291234567", "+852****4567"},
	} {
		var issued struct {
			Ticket string
			User   struct{ Phone *string }
		}
		b.Issue(p, row.number, b.PhoneCode(row.number, row.number)).Want(200).Decode(&issued)
		if got := issued.User.Phone; got == nil || *got != row.masked {
			t.Errorf("issue for %s: phone %v, want %s", row.number, got, row.masked)
		}
		if u := redeem(b, p, issued.Ticket); u.Phone == nil || *u.Phone != row.phone {
			t.Errorf("redeem for %s: phone %v, want %s", row.number, u.Phone, row.phone)
		}
	}
}

func TestGoldenIssue(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	r := b.Issue(p, "alice", userInfo, b.PhoneCode("alice", "17612346754"), `"state":"a.B_9~-"`, `"launch":{"scene":1069,"appId":"wxapp"}`).Want(200)
	var got struct{ Ticket string }
	r.Decode(&got)
	want := fmt.Sprintf(`{"code":200,"message":"授权成功","ticket":%q,"expiresIn":120,"expiresAt":"2026-11-20T08:32:00.412Z",`+
		`"appParameter":"code=200&message=授权成功&ticket=%s&state=a.B_9~-",`+
		`"user":{"nickname":"示例<&>用户","photo":"https://thirdwx.qlogo.cn/mmopen/vi_32/sample/132","phone":"176****6754"}}`, got.Ticket, got.Ticket)
	if r.Body != want {
		t.Errorf("got\n%s\nwant\n%s", r.Body, want)
	}
	wantHeaders(t, r)

	r = b.Issue(b.NewPool(`"ticketTTL":60`), "bob").Want(200)
	r.Decode(&got)
	want = fmt.Sprintf(`{"code":200,"message":"授权成功","ticket":%q,"expiresIn":60,"expiresAt":"2026-11-20T08:31:00.412Z",`+
		`"appParameter":"code=200&message=授权成功&ticket=%s","user":{"nickname":"","photo":"","phone":null}}`, got.Ticket, got.Ticket)
	if r.Body != want {
		t.Errorf("got\n%s\nwant\n%s", r.Body, want)
	}
}

// The string that goes back to the app has the grammar that clients of the
// field enforce by crashing, whatever the user is called.
func TestAppParameter(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	for i, members := range [][]string{
		nil,
		{`"state":"` + strings.Repeat("s", 128) + `"`},
		{`"userInfo":{"nickName":"&ticket=x&code=500"}`},
		{`"userInfo":{"nickName":"=&=&"}`, `"state":"-._~"`},
	} {
		var got struct{ Ticket, AppParameter string }
		b.Issue(p, fmt.Sprint("user", i), members...).Want(200).Decode(&got)
		if !ticketForm.MatchString(got.Ticket) {
			t.Errorf("ticket %q, want 51 characters of base64url", got.Ticket)
		}
		if len(got.AppParameter) > 512 || strings.Contains(got.AppParameter, "%") {
			t.Errorf("appParameter of %d bytes: %q", len(got.AppParameter), got.AppParameter)
		}
		parts := strings.Split(got.AppParameter, "&")
		want := []string{"code=200", "message=授权成功", "ticket=" + got.Ticket}
		if len(parts) < 3 || strings.Join(parts[:3], "&") != strings.Join(want, "&") {
			t.Errorf("appParameter %q, want it to begin with %q", got.AppParameter, want)
		}
		for _, part := range parts {
			if name, value, ok := strings.Cut(part, "="); !ok || name == "" || value == "" || strings.Contains(value, "=") {
				t.Errorf("appParameter %q: part %q, want name=value", got.AppParameter, part)
			}
		}
	}
}

var ticketForm = regexp.MustCompile(`^[A-Za-z0-9_-]{51}$`)

// tokenExpiredAt is the token's own exp, and the claims are the contract's in
// Authing's order.
func TestGoldenClaims(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(`"tokenTTL":3600`)
	u := login(b, p, "alice")
	parts := strings.Split(u.Token, ".")
	head, _ := base64.RawURLEncoding.DecodeString(parts[0])
	if string(head) != `{"alg":"HS256","typ":"JWT"}` {
		t.Errorf("header %s", head)
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		IssuedAt int64  `json:"iat"`
		Expires  int64  `json:"exp"`
		ID       string `json:"jti"`
	}
	if err := json.Unmarshal(claims, &c); err != nil {
		t.Fatal(err)
	}
	iat := bridgetest.T0.Unix()
	want := fmt.Sprintf(`{"data":{"unionid":%q,"id":%q,"clientId":%q},"iat":%d,"exp":%d,"iss":%q,"sub":%q,"aud":%q,"jti":%q}`,
		u.UnionID, u.ID, p.ID, iat, iat+3600, b.URL, u.ID, p.ID, c.ID)
	if string(claims) != want {
		t.Errorf("claims\n%s\nwant\n%s", claims, want)
	}
	if end, err := time.Parse("2006-01-02T15:04:05.000Z", u.TokenExpiredAt); err != nil || end.Unix() != c.Expires {
		t.Errorf("tokenExpiredAt %q, exp %d", u.TokenExpiredAt, c.Expires)
	}
}
