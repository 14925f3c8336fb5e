package idaas_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"app2wxapp/bridge/bridgetest"
)

// miniProgram is a client written from the vendor's two pages, "WeChat Mini
// Program Quick Implementation Example" and "WeChat Mini Program Login", and from
// nothing else: URLs, headers with the values of the page, and the fields that
// its examples show. What it knows of the server is a domain and a client id.
type miniProgram struct {
	t                *testing.T
	domain, clientID string
}

func (m miniProgram) request(method, path, body string, headers map[string]string) (status int, answer map[string]any) {
	m.t.Helper()
	r, err := http.NewRequest(method, m.domain+path, strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	for name, value := range map[string]string{
		"X-operating-sys-version": "windows10.1.1",
		"X-device-fingerprint":    "156aysdna213sc50",
		"X-device-ip":             "192.168.1.2",
		"X-agent":                 "Mozilla/5.0 (iPhone; CPU iPhone OS 13_3 like Mac OS X)",
		"X-L":                     "en",
		"X-client-id":             m.clientID,
		"content-type":            "application/json",
	} {
		r.Header.Set(name, value)
	}
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		m.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil {
		err = json.Unmarshal(text, &answer)
	}
	if err != nil || !strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		m.t.Fatalf("%s %s: %d %s %v", method, path, res.StatusCode, text, err)
	}
	return res.StatusCode, answer
}

// has fails the test unless the answer has these members and no other.
func (m miniProgram) has(answer map[string]any, names ...string) {
	m.t.Helper()
	for _, name := range names {
		if _, there := answer[name]; !there {
			m.t.Errorf("no %s in %v", name, answer)
		}
	}
	if len(answer) != len(names) {
		m.t.Errorf("got %v, want the members %v", answer, names)
	}
}

// First sign-in, binding, id_token, who it is; second sign-in; the state_token
// again.
func TestWalkOfThePages(t *testing.T) {
	t.Parallel()
	b := newBridge(t)
	p := b.NewPool(`"signup":"bind"`)
	m := miniProgram{t, b.URL, p.ID}

	// wx.login; the page's example has a blank before the code.
	body := fmt.Sprintf("{\n    \"code\":\" %s\"\n}", b.WeChat.LoginCode(bridgetest.AppID, "alice"))
	status, first := m.request("POST", "/api/v2/sdk/login/wechat-miniprogram", body, nil)
	if status != 200 || first["status"] != "USER_REGISTER" || first["data"] != nil {
		t.Fatalf("first login: %d %v, want USER_REGISTER and null data", status, first)
	}
	m.has(first, "state_token", "data", "status")

	// getPhoneNumber; the page's third example has a blank before the token.
	body = fmt.Sprintf(`{"wechat_code":%q}`, b.WeChat.PhoneCode(bridgetest.AppID, "alice", "13800138000"))
	state := map[string]string{"X-state-token": " " + first["state_token"].(string)}
	status, bound := m.request("POST", "/api/v2/sdk/social/wechat-mobile-bind", body, state)
	if status != 200 || bound["status"] != "SUCCESS" || bound["expire"] != 432000.0 || len(bound["session_token"].(string)) != 32 {
		t.Fatalf("bind: %d %v, want SUCCESS", status, bound)
	}
	m.has(bound, "session_token", "expire", "status", "id_token")

	// The id_token by the published keys, as a JOSE library reads them.
	res, err := http.Get(b.URL + "/api/v1/oauth2/keys")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var keys jose.JSONWebKeySet
	if err := json.NewDecoder(res.Body).Decode(&keys); err != nil {
		t.Fatal(err)
	}
	token, err := jwt.ParseSigned(bound["id_token"].(string), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	var registered jwt.Claims
	var own map[string]any
	if err := token.Claims(keys, &registered, &own); err != nil {
		t.Fatalf("id_token by the published keys: %v", err)
	}
	if err := registered.Validate(jwt.Expected{Issuer: b.URL, AnyAudience: jwt.Audience{p.ID}, Time: b.Clock.Now()}); err != nil {
		t.Error(err)
	}
	if life := registered.Expiry.Time().Sub(registered.IssuedAt.Time()); life.Minutes() != 5 {
		t.Errorf("the id_token lives %v, want 5 minutes", life)
	}
	if own["mobile"] != "+86-13800138000" || own["userName"] == "" || registered.Subject == "" {
		t.Errorf("claims %v", own)
	}
	var api map[string]string
	if err := json.Unmarshal([]byte(own["api"].(string)), &api); err != nil || api["userName"] != own["userName"] || api["mobile"] != own["mobile"] {
		t.Errorf("claim api %v, %v", own["api"], err)
	}

	// User information.
	status, user := m.request("GET", "/api/v1/oauth2/userinfo", "", map[string]string{"Authorization": "Bearer " + bound["id_token"].(string)})
	if status != 200 || user["id"] != registered.Subject || user["mobile"] != "+86-13800138000" {
		t.Errorf("user information: %d %v", status, user)
	}
	m.has(user, "id", "userName", "name", "email", "mobile")

	// New id_tokens for the session_token.
	status, renewed := m.request("POST", "/api/v2/sdk/sso/session-token/id-token", "", map[string]string{"session-token": bound["session_token"].(string)})
	if status != 200 || renewed["session_token"] != bound["session_token"] || renewed["expire"] != 432000.0 {
		t.Errorf("id_token again: %d %v", status, renewed)
	}
	m.has(renewed, "session_token", "expire", "id_token")

	body = fmt.Sprintf(`{"code":%q}`, b.WeChat.LoginCode(bridgetest.AppID, "alice"))
	status, second := m.request("POST", "/api/v2/sdk/login/wechat-miniprogram", body, nil)
	if status != 200 || second["status"] != "SUCCESS" || claims(t, second["id_token"].(string))["sub"] != registered.Subject {
		t.Errorf("second login: %d %v, want SUCCESS of the same user", status, second)
	}

	body = fmt.Sprintf(`{"wechat_code":%q}`, b.WeChat.PhoneCode(bridgetest.AppID, "alice", "13800138000"))
	status, again := m.request("POST", "/api/v2/sdk/social/wechat-mobile-bind", body, state)
	if status != 400 || again["error_code"] != "SDK.COMMON.1005" || again["error_msg"] != "state_token has expired" {
		t.Errorf("the state_token again: %d %v, want 400 SDK.COMMON.1005", status, again)
	}
	m.has(again, "error_code", "error_msg")
}
