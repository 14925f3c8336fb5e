package bridge_test

import (
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"app2wxapp/bridge/bridgetest"
	"app2wxapp/wechat/sandbox"
)

// refusedPerMinute are the codes from an address that WeChat may refuse.
const refusedPerMinute = 300

// Whoever invents codes uses up a pool's quota at WeChat, in whatever dialect: one
// address has so many refused, and then none is sent. Codes that WeChat takes are
// as many as there are users.
func TestRefusedCodesOfAnAddress(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t, bridgetest.TrustProxies)
	p := b.NewPool()
	b.PutRSAKey()
	n := 0
	invented := func() string { n++; return fmt.Sprint("invented", n) }
	own := func(code string, headers ...string) bridgetest.Response {
		return b.Post(issuePath(p), object(member("code", code)), headers...)
	}
	pool := "x-authing-userpool-id: " + p.ID
	sdk := func(path, members string) func(string, ...string) bridgetest.Response {
		return func(code string, headers ...string) bridgetest.Response {
			return b.Post("/connections/social/wechat-miniprogram/"+path, object(member("code", code), members), append(headers, pool)...)
		}
	}
	sealed := `"encryptedData":"` + base64.StdEncoding.EncodeToString(make([]byte, 16)) + `","iv":"` + base64.StdEncoding.EncodeToString(make([]byte, 16)) + `"`
	casdoor := func(more string) func(string, ...string) bridgetest.Response {
		return func(code string, headers ...string) bridgetest.Response {
			return b.Do("POST", b.URL+"/v1/iam/oauth/token", "tag=wechat_miniprogram&client_id="+p.ID+"&code="+code+more,
				append(headers, "Content-Type: application/x-www-form-urlencoded")...)
		}
	}
	idaas := func(code string, headers ...string) bridgetest.Response {
		return b.Post("/api/v2/sdk/login/wechat-miniprogram", object(member("code", code)),
			append(headers, "X-client-id: "+p.ID, "X-operating-sys-version: 17", "X-device-fingerprint: f", "X-agent: a")...)
	}
	limited := func(name string, r bridgetest.Response) {
		t.Helper()
		if got := r.Header.Get("Retry-After"); got != "1" {
			t.Errorf("%s: %d %s with Retry-After %q, want 1", name, r.Status, r.Body, got)
		}
	}
	dialects := map[string]func(string, ...string) bridgetest.Response{
		"our own": own, "SDK": sdk("auth", `"rawData":""`), "SDK by phone": sdk("auth-by-phone", sealed), "SDK's getPhone": sdk("getphone", sealed),
		"Casdoor": casdoor(""), "IDaaS": idaas,
	}
	i := 0
	for name, call := range dialects {
		i++
		addr := from(fmt.Sprintf("203.0.113.%d", i))
		for range 5 {
			own(b.WeChat.LoginCode(bridgetest.AppID, invented()), addr).Want(200) // does not count
		}
		for range refusedPerMinute {
			if r := call(invented(), addr); r.Header.Get("Retry-After") != "" {
				t.Fatalf("%s: %d %s, want the code refused", name, r.Status, r.Body)
			}
		}
		before := b.WeChat.Count(sandbox.Login)
		good := b.WeChat.LoginCode(bridgetest.AppID, "alice")
		limited(name, call(invented(), addr))
		limited(name, call(good, addr))
		for other, call := range dialects {
			limited(name+", then "+other, call(invented(), addr))
		}
		if got := b.WeChat.Count(sandbox.Login); got != before {
			t.Errorf("%s: %d codes were sent after the limit", name, got-before)
		}
		own(b.WeChat.LoginCode(bridgetest.AppID, "bob"), from("198.51.100.1")).Want(200)
		b.Clock.Turn(time.Minute/refusedPerMinute - time.Millisecond)
		limited(name, call(good, addr))
		b.Clock.Turn(time.Millisecond)
		own(good, addr).Want(200) // it was not used up
	}

	// A server that shows the pool's secret has many users behind one address.
	backEnd := from("203.0.113.99")
	for range refusedPerMinute + 5 {
		casdoor("&client_secret="+p.Secret)(invented(), backEnd).Want(400)
	}
	casdoor("&client_secret="+p.Secret)(b.WeChat.LoginCode(bridgetest.AppID, "carol"), backEnd).Want(200)
}
