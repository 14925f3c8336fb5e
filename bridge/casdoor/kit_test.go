package casdoor_test

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"app2wxapp/bridge/bridgetest"
	"app2wxapp/wechat/sandbox"
)

const (
	tokenPath   = "/v1/iam/oauth/token"
	refreshPath = "/v1/iam/oauth/refresh"
	lookPath    = "/v1/iam/oauth/introspect"
	accountPath = "/v1/iam/get-account"
	updatePath  = "/v1/iam/update-user"
	asForm      = "Content-Type: application/x-www-form-urlencoded"
	es256       = `"tokenAlg":"ES256"` // an RSA key takes long to make
)

// tokens is what the tests read of an answer of the token endpoint.
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

// form posts a form; values are name and value in turn.
func form(b *bridgetest.Bridge, path string, values ...string) bridgetest.Response {
	return b.Do("POST", b.URL+path, pairs(values...), asForm)
}

func pairs(values ...string) string {
	v := url.Values{}
	for i := 0; i < len(values); i += 2 {
		v.Add(values[i], values[i+1])
	}
	return v.Encode()
}

// signIn asks for the user's tokens, with a new code of wx.login.
func signIn(b *bridgetest.Bridge, p bridgetest.Pool, user string, values ...string) bridgetest.Response {
	values = append([]string{"tag", "wechat_miniprogram", "client_id", p.ID, "code", b.WeChat.LoginCode(bridgetest.AppID, user)}, values...)
	return form(b, tokenPath, values...)
}

func login(b *bridgetest.Bridge, p bridgetest.Pool, user string, values ...string) (t tokens) {
	signIn(b, p, user, values...).Want(200).Decode(&t)
	return t
}

func refresh(b *bridgetest.Bridge, p bridgetest.Pool, token string, values ...string) bridgetest.Response {
	return form(b, tokenPath, append([]string{"grant_type", "refresh_token", "refresh_token", token, "client_id", p.ID}, values...)...)
}

func bearer(token string) string { return "Authorization: Bearer " + token }

func basic(p bridgetest.Pool) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(p.ID+":"+p.Secret))
}

// account returns the token's user as get-account shows it.
func account(b *bridgetest.Bridge, token string) map[string]any {
	var out struct{ Data map[string]any }
	b.Do("GET", b.URL+accountPath, "", bearer(token)).Want(200).Decode(&out)
	return out.Data
}

// update posts an update of a user.
func update(b *bridgetest.Bridge, query, body string, headers ...string) bridgetest.Response {
	return b.Do("POST", b.URL+updatePath+query, body, append([]string{"Content-Type: application/json"}, headers...)...)
}

// claims returns the payload of a JWT.
func claims(t *testing.T, raw string) string {
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

// wantOAuth fails the test unless the answer is this error of the OAuth calls.
func wantOAuth(t *testing.T, name string, r bridgetest.Response, status int, code, text string) {
	t.Helper()
	want := map[string]string{"error": code}
	if text != "" {
		want["error_description"] = text
	}
	body, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	challenge := ""
	if code == "invalid_client" {
		challenge = `Basic realm="OAuth2"`
	}
	if r.Status != status || r.Body != string(body) || r.Header.Get("WWW-Authenticate") != challenge {
		t.Errorf("%s: %d %s %q, want %d %s %q", name, r.Status, r.Body, r.Header.Get("WWW-Authenticate"), status, body, challenge)
	}
}

// wantEnvelope fails the test unless the answer is this error of the others.
func wantEnvelope(t *testing.T, name string, r bridgetest.Response, status int, msg string) {
	t.Helper()
	data := "null"
	if msg == "Please login first" {
		data = `"` + msg + `"`
	}
	want := `{"status":"error","msg":"` + msg + `","sub":"","name":"","data":` + data + `,"data2":null,"data3":null}`
	if r.Status != status || r.Body != want {
		t.Errorf("%s: %d %s, want %d %s", name, r.Status, r.Body, status, want)
	}
	if challenge := r.Header.Get("WWW-Authenticate"); (status == 401) != (challenge == "Bearer") {
		t.Errorf("%s: %d with WWW-Authenticate %q", name, status, challenge)
	}
}

func openID(user string) string { return sandbox.OpenID(bridgetest.AppID, user) }

// withoutHost is the text with U for the server's URL.
func withoutHost(text, url string) string { return strings.ReplaceAll(text, url, "U") }
