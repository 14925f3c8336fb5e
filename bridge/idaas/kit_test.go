package idaas_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"app2wxapp/bridge/bridgetest"
)

const (
	loginPath    = "/api/v2/sdk/login/wechat-miniprogram"
	phonePath    = "/api/v2/sdk/login/wechat-mini-program-mobile"
	bindPath     = "/api/v2/sdk/social/wechat-mobile-bind"
	registerPath = "/api/v2/sdk/social/wechat-mobile-register-bind"
	idTokenPath  = "/api/v2/sdk/sso/session-token/id-token"
	logoutPath   = "/api/v2/sdk/logout"
	keysPath     = "/api/v1/oauth2/keys"
	infoPath     = "/api/v1/oauth2/userinfo"

	signupBind = `"signup":"bind"`
)

// answer is what the tests read of an answer.
type answer struct {
	SessionToken string  `json:"session_token"`
	Expire       int     `json:"expire"`
	Status       string  `json:"status"`
	IDToken      string  `json:"id_token"`
	StateToken   string  `json:"state_token"`
	Data         *string `json:"data"`
	Code         string  `json:"error_code"`
	Message      string  `json:"error_msg"`
}

// newBridge is a bridge that has a signing key.
func newBridge(t *testing.T, options ...bridgetest.Option) *bridgetest.Bridge {
	b := bridgetest.New(t, options...)
	b.PutRSAKey()
	return b
}

// device are the headers that every call has, of the pool's application.
func device(p bridgetest.Pool, more ...string) []string {
	return append([]string{
		"X-operating-sys-version: iOS 17.5", "X-device-fingerprint: 156aysdna213sc50", "X-agent: MicroMessenger/8.0", "X-client-id: " + p.ID,
	}, more...)
}

func call(b *bridgetest.Bridge, p bridgetest.Pool, path, body string, headers ...string) bridgetest.Response {
	return b.Post(path, body, device(p, headers...)...)
}

func decoded(r bridgetest.Response) (a answer) {
	r.Decode(&a)
	return a
}

func loginCode(b *bridgetest.Bridge, user string) string {
	return fmt.Sprintf(`{"code":%q}`, b.WeChat.LoginCode(bridgetest.AppID, user))
}

func phoneCode(b *bridgetest.Bridge, user, phone string) string {
	return fmt.Sprintf(`{"wechat_code":%q}`, b.WeChat.PhoneCode(bridgetest.AppID, user, phone))
}

func login(b *bridgetest.Bridge, p bridgetest.Pool, user string) answer {
	return decoded(call(b, p, loginPath, loginCode(b, user)).Want(200))
}

// state begins the sign-in of an unknown user, and returns the header with its
// state token.
func state(b *bridgetest.Bridge, p bridgetest.Pool, user string) string {
	return "X-state-token: " + login(b, p, user).StateToken
}

// renew asks for an id_token.
func renew(b *bridgetest.Bridge, p bridgetest.Pool, session string) bridgetest.Response {
	return call(b, p, idTokenPath, "", "session-token: "+session)
}

func userInfo(b *bridgetest.Bridge, token string) bridgetest.Response {
	return b.Do("GET", b.URL+infoPath, "", "Authorization: Bearer "+token)
}

// payload returns that of a JWT.
func payload(t testing.TB, raw string) string {
	t.Helper()
	part := strings.Split(raw, ".")
	if len(part) != 3 {
		t.Fatalf("not a JWT: %q", raw)
	}
	b, err := base64.RawURLEncoding.DecodeString(part[1])
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func claims(t testing.TB, raw string) (c map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(payload(t, raw)), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// wantError fails the test unless the answer is this error.
func wantError(t testing.TB, name string, r bridgetest.Response, status int, code, text string) {
	t.Helper()
	want, err := json.Marshal(map[string]string{"error_code": code, "error_msg": text})
	if err != nil {
		t.Fatal(err)
	}
	if r.Status != status || r.Body != string(want) {
		t.Errorf("%s: got %d %s, want %d %s", name, r.Status, r.Body, status, want)
	}
}

// wantDenied fails the test unless the answer is ACCESS_DENIED and nothing else.
func wantDenied(t testing.TB, name string, r bridgetest.Response) {
	t.Helper()
	if want := `{"status":"ACCESS_DENIED"}`; r.Status != 200 || r.Body != want {
		t.Errorf("%s: got %d %s, want 200 %s", name, r.Status, r.Body, want)
	}
}

// imported stores a user with that phone.
func imported(b *bridgetest.Bridge, p bridgetest.Pool, id, phone string) {
	b.Admin("POST", "/admin/v1/pools/"+p.ID+"/users", fmt.Sprintf(`{"id":%q,"phone":"+86%s"}`, id, phone)).Want(201)
}

func patch(b *bridgetest.Bridge, p bridgetest.Pool, setting string) {
	b.Admin("PATCH", "/admin/v1/pools/"+p.ID, "{"+setting+"}").Want(200)
}

func block(b *bridgetest.Bridge, p bridgetest.Pool, id string, blocked bool) {
	b.Admin("PATCH", "/admin/v1/pools/"+p.ID+"/users/"+id, fmt.Sprintf(`{"blocked":%t}`, blocked)).Want(200)
}
