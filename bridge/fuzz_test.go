package bridge_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"app2wxapp/bridge"
	"app2wxapp/bridge/bridgetest"
	"app2wxapp/userpool"
)

// easyWeChat knows every code, at once.
type easyWeChat struct{ userpool.WeChat }

func (easyWeChat) Code2Session(context.Context, userpool.App, string) (userpool.Session, error) {
	return userpool.Session{OpenID: "o-fuzz", UnionID: "u-fuzz"}, nil
}

func (easyWeChat) Phone(context.Context, userpool.App, string, string) (userpool.Phone, error) {
	return "+8613800138000", nil
}

func newFuzzed(f *testing.F) (*bridgetest.Bridge, bridgetest.Pool) {
	b := bridgetest.New(f, quiet, func(c *bridge.Config) { c.WeChat = easyWeChat{} })
	return b, b.NewPool(`"secretRequired":false`)
}

// serve calls the handler. Nobody is limited: each call has a minute.
func serve(b *bridgetest.Bridge, path, query, body string, header http.Header) *httptest.ResponseRecorder {
	b.Clock.Turn(time.Minute)
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	r.URL.RawQuery, r.Header, r.RemoteAddr = query, header, "203.0.113.7:1"
	w := httptest.NewRecorder()
	b.Server.Public().ServeHTTP(w, r)
	return w
}

// Whatever is sent, the answer is one of the contract's and JSON, never a
// failure of ours; a panic is one, by way of the wall.
func FuzzHandlers(f *testing.F) {
	b, p := newFuzzed(f)
	for _, seed := range [][5]string{
		{`{"code":"c"}`, "", "application/json", "", ""},
		{`{"ticket":"t"}`, "", "application/json", "k", ""},
		{`{"ticket":"t","secret":"` + p.Secret + `"}`, "ticket=t", "application/json; charset=utf-8", "k", "en"},
		{``, "ticket=%zz", "", "\x7f", "zh-CN,en;q=0.5"},
		{`{"code":"c","phoneCode":"p","launch":{"scene":1069,"appId":"wx1"},"userInfo":{"nickName":"a","avatarUrl":"https://a/b"}}`, "", "application/json", "", "xx"},
		{`{"code":"c","code_challenge":"` + challenge + `","code_challenge_method":"S256","state":"s"}`, "", "application/json", "", ""},
		{`{"ticket":"t","tickett":"u"}`, "ticket=t&ticket=u", "application/json", "", ""},
		{`[`, "a=b;c", "text/plain", strings.Repeat("k", 256), "*"},
	} {
		f.Add(false, seed[0], seed[1], seed[2], seed[3], seed[4])
		f.Add(true, seed[0], seed[1], seed[2], seed[3], seed[4])
	}
	f.Fuzz(func(t *testing.T, redeem bool, body, query, media, key, language string) {
		path := issuePath(p)
		if redeem {
			path = redeemPath(p)
		}
		header := http.Header{"Content-Type": {media}, "Accept-Language": {language}}
		if key != "" {
			header["Idempotency-Key"] = []string{key}
		}
		w := serve(b, path, query, body, header)
		if w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s?%s, %q, %q, %q, %q: got %d %s", path, query, body, media, key, language, w.Code, w.Body)
		}
	})
}

// The launch parameters come from an app, through WeChat, to the mini program,
// and state goes back in appParameter. However they look, that splits on "&"
// and "=" by hand into code, message, ticket and the very state that was sent.
func FuzzLaunch(f *testing.F) {
	b, p := newFuzzed(f)
	for _, state := range []string{"", "s", "a=b", "a&ticket=x", "%26", "状态", "a b", "a\x00", "~._-", strings.Repeat("s", 129)} {
		f.Add(state, "wx1", 1069)
	}
	f.Fuzz(func(t *testing.T, state, appID string, scene int) {
		if !utf8.ValidString(state) || !utf8.ValidString(appID) {
			return // member would send something else
		}
		body := object(`"code":"c"`, member("state", state), fmt.Sprintf(`"launch":{"scene":%d,%s}`, scene, member("appId", appID)))
		w := serve(b, issuePath(p), "", body, http.Header{"Content-Type": {"application/json"}})
		if w.Code == 400 {
			return
		}
		var got struct{ Ticket, AppParameter string }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
			t.Fatalf("%s: got %d %s, want 200 or 400", body, w.Code, w.Body)
		}
		parts := map[string]string{}
		for _, part := range strings.Split(got.AppParameter, "&") {
			pair := strings.Split(part, "=")
			if len(pair) != 2 || pair[0] == "" || pair[1] == "" || parts[pair[0]] != "" {
				t.Fatalf("state %q: appParameter %q has the part %q", state, got.AppParameter, part)
			}
			parts[pair[0]] = pair[1]
		}
		if parts["code"] != "200" || parts["message"] != "授权成功" || parts["ticket"] != got.Ticket || parts["state"] != state || len(parts) != 3 && state == "" || len(parts) > 4 {
			t.Fatalf("state %q: appParameter %q", state, got.AppParameter)
		}
	})
}
