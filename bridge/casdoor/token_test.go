package casdoor_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"regexp"
	"strings"
	"sync"
	"testing"

	"app2wxapp/bridge/bridgetest"
	"app2wxapp/wechat/sandbox"
)

// The answer has the names of every version of Casdoor, and no more: above all
// no session_key.
func TestSignInAnswer(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	r := signIn(b, p, "alice", "username", "Lee", "avatar", "https://img.example.com/1.png").Want(200)
	var got tokens
	r.Decode(&got)
	want := fmt.Sprintf(`{"access_token":%[1]q,"id_token":%[1]q,"refresh_token":%[2]q,"token_type":"Bearer","expires_in":1296000,"scope":"",`+
		`"accessToken":%[1]q,"refreshToken":%[2]q,"tokenType":"Bearer","expiresIn":1296000}`, got.Access, got.Refresh)
	if r.Body != want {
		t.Errorf("answer\n%s\nwant\n%s", r.Body, want)
	}
	if r.Header.Get("Cache-Control") != "no-store" || r.Header.Get("Set-Cookie") != "" {
		t.Errorf("headers %v, want no-store and no cookie", r.Header)
	}
	me := account(b, got.Access)
	payload := claims(t, got.Access)
	ids := regexp.MustCompile(`"jti":"admin/([0-9a-f-]{36})","sid":"([0-9a-f-]{36})"`).FindStringSubmatch(payload)
	if ids == nil {
		t.Fatalf("no jti and sid in %s", payload)
	}
	open, union := openID("alice"), sandbox.UnionID(bridgetest.Platform, "alice")
	want = fmt.Sprintf(`{"iss":%q,"sub":%q,"aud":[%q],"azp":%q,"exp":%d,"iat":%d,"nbf":%d,"jti":"admin/%s","sid":%q,"tokenType":"access-token","tag":"",`+
		`"owner":%q,"name":"Lee","id":%q,"displayName":"Lee","avatar":"https://img.example.com/1.png","email":"","email_verified":false,"phone":"",`+
		`"type":"normal-user","signupApplication":%q,"wechat":%q,"properties":{"wechatOpenId":%q,"wechatUnionId":%q}}`,
		b.URL, me["id"], p.ID, p.ID, b.Clock.Now().Unix()+1296000, b.Clock.Now().Unix(), b.Clock.Now().Unix(), ids[1], ids[2],
		p.ID, me["id"], p.ID, open, open, union)
	if payload != want {
		t.Errorf("claims\n%s\nwant\n%s", payload, want)
	}
}

// A pool whose own tokens are HS256 has RS256 here: clients verify with the JWKS.
func TestSignatureIsPublic(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	for _, row := range []struct{ setting, alg string }{{`"tokenAlg":"HS256"`, "RS256"}, {es256, "ES256"}, {`"tokenAlg":"EdDSA"`, "EdDSA"}} {
		head := strings.Split(login(b, b.NewPool(row.setting), "alice").Access, ".")[0]
		if got := decodeHeader(t, head); got["alg"] != row.alg || got["typ"] != "JWT" || got["kid"] == "" {
			t.Errorf("%s: header %v, want alg %s, typ JWT and a kid", row.setting, got, row.alg)
		}
	}
}

func decodeHeader(t *testing.T, head string) (h map[string]string) {
	t.Helper()
	if err := json.Unmarshal([]byte(claims(t, "."+head+".")), &h); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	values := func() []string {
		return []string{"tag", "wechat_miniprogram", "client_id", p.ID, "code", b.WeChat.LoginCode(bridgetest.AppID, "alice"), "username", "李", "avatar", "undefined"}
	}
	asJSON := func(v []string) string {
		o := map[string]any{"unknown": []int{1}, "grant_type": nil}
		for i := 0; i < len(v); i += 2 {
			o[v[i]] = v[i+1]
		}
		text, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	multi := func(v []string) (body, contentType string) {
		var text bytes.Buffer
		w := multipart.NewWriter(&text)
		for i := 0; i < len(v); i += 2 {
			if err := w.WriteField(v[i], v[i+1]); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.CreateFormFile("photo", "a.png"); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return text.String(), "Content-Type: " + w.FormDataContentType()
	}
	parts, asParts := multi(values())
	half := values()
	var id string
	for name, r := range map[string]bridgetest.Response{
		"form":                  form(b, tokenPath, values()...),
		"form without a type":   b.Do("POST", b.URL+tokenPath, pairs(values()...)),
		"JSON":                  b.Post(tokenPath, asJSON(values())),
		"JSON as text":          b.Do("POST", b.URL+tokenPath, " "+asJSON(values()), "Content-Type: text/plain;charset=UTF-8"),
		"JSON as a form":        b.Do("POST", b.URL+tokenPath, asJSON(values()), asForm),
		"query":                 b.Do("POST", b.URL+tokenPath+"?"+pairs(values()...), ""),
		"multipart":             b.Do("POST", b.URL+tokenPath, parts, asParts),
		"both, which agree":     b.Do("POST", b.URL+tokenPath+"?"+pairs(half...), pairs(half...), asForm),
		"half here, half there": b.Do("POST", b.URL+tokenPath+"?"+pairs(half[:4]...), pairs(append(values()[4:6:6], "scope", "openid")...), asForm),
	} {
		if r.Status != 200 {
			if strings.HasPrefix(name, "both") || strings.HasPrefix(name, "half") { // one of the two has used the code up
				continue
			}
			t.Errorf("%s: %d %s", name, r.Status, r.Body)
			continue
		}
		var got tokens
		r.Decode(&got)
		me := account(b, got.Access)
		if id == "" {
			id = me["id"].(string)
		}
		if me["id"] != id || me["name"] != "wechat-"+openID("alice") || me["displayName"] != "李" && name != "half here, half there" || me["avatar"] != "" {
			t.Errorf("%s: signed in as %v", name, me)
		}
	}
}

// Names of one URL are answered alike, counted and limited alike.
func TestAliases(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	token := login(b, p, "alice").Access
	bad := []string{"tag", "wechat_miniprogram", "client_id", "nobody", "code", "c"}
	for _, names := range []struct {
		method string
		header string
		body   string
		status int
		paths  []string
	}{
		{"POST", asForm, pairs(bad...), 401, []string{
			tokenPath, "/v1/iam/oauth/access_token", "/api/login/oauth/access_token", "/oauth/access_token", "/login/oauth/token",
			"/login/oauth/access_token", "/api/oauth/token", "/api/iam/oauth/token", "/api/iam/login/oauth/token", "/v1/iam/login/oauth/access_token", "/oauth/token",
		}},
		{"POST", asForm, "grant_type=password", 400, []string{
			refreshPath, "/v1/iam/oauth/refresh_token", "/api/login/oauth/refresh_token", "/oauth/refresh", "/oauth/refresh_token", "/login/oauth/refresh",
		}},
		{"POST", basic(p), "", 400, []string{lookPath, "/api/login/oauth/introspect", "/login/oauth/introspect", "/api/iam/oauth/introspect"}},
		{"POST", basic(p), "", 400, []string{"/v1/iam/oauth/revoke", "/login/oauth/revoke", "/api/login/oauth/revoke"}},
		{"GET", bearer(token), "", 200, []string{"/v1/iam/oauth/userinfo", "/api/userinfo", "/v1/iam/userinfo", "/login/oauth/userinfo", "/api/iam/userinfo"}},
		{"GET", bearer(token), "", 200, []string{accountPath, "/api/get-account", "/api/iam/get-account"}},
		{"POST", bearer(token), `{"displayName":" "}`, 400, []string{updatePath, "/api/update-user", "/api/iam/update-user"}},
		{"GET", "Accept: */*", "", 200, []string{
			"/v1/iam/.well-known/openid-configuration", "/v1/iam/.well-known/oauth-authorization-server", "/v1/iam/.well-known/" + p.ID + "/openid-configuration",
			"/.well-known/" + p.ID + "/openid-configuration", "/.well-known/" + p.ID + "/oauth-authorization-server", "/api/.well-known/openid-configuration",
		}},
		{"GET", "Accept: */*", "", 200, []string{
			"/v1/iam/.well-known/jwks", "/.well-known/jwks", "/.well-known/" + p.ID + "/jwks", "/v1/iam/.well-known/" + p.ID + "/jwks", "/.well-known/jwks.json",
		}},
	} {
		first := b.Do(names.method, b.URL+names.paths[0], names.body, names.header).Want(names.status)
		for _, path := range names.paths[1:] {
			r := b.Do(names.method, b.URL+path, names.body, names.header)
			if r.Status != first.Status || r.Body != first.Body || r.Header.Get("WWW-Authenticate") != first.Header.Get("WWW-Authenticate") {
				t.Errorf("%s: %d %s, want as %s: %d %s", path, r.Status, r.Body, names.paths[0], first.Status, first.Body)
			}
			if got, want := b.Do("PUT", b.URL+path, "").Header.Get("Allow"), b.Do("PUT", b.URL+names.paths[0], "").Header.Get("Allow"); got != want {
				t.Errorf("PUT %s: Allow %q, want %q", path, got, want)
			}
		}
	}
	for _, path := range []string{
		"/oauth-x/token", "/api/oauth-x/token", "/apix/get-account", "/api/iamx/get-account", "/api", "/api/", "/get-account", "/update-user", "/userinfo",
		"/v1/iam/oauth/authorize", "/api/login/oauth/authorize", "/api/iam/api/get-account", "/.well-known/nobody/jwks", "/.well-known/a/b/jwks", "/v1/iam",
	} {
		if r := b.Do("GET", b.URL+path, "", bearer(token)); r.Status != 404 {
			t.Errorf("GET %s: %d %s, want 404", path, r.Status, r.Body)
		}
	}
	if text := b.Log.String(); strings.Contains(text, "/api/") || !strings.Contains(text, `"route":"/v1/iam/oauth/token"`) {
		t.Errorf("the log has names that are not canonical: %s", text)
	}
}

// The tag alone decides, whatever grant_type and scope say; a returning user is
// the same one, and the name of the first time stays.
func TestReturningUser(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	first := account(b, login(b, p, "alice", "username", "Lee", "avatar", "https://img.example.com/1.png").Access)
	again := account(b, login(b, p, "alice", "username", "Other", "avatar", "https://img.example.com/2.png", "grant_type", "authorization_code", "scope", "profile").Access)
	if again["id"] != first["id"] || again["name"] != "Lee" || again["displayName"] != "Lee" || again["avatar"] != "https://img.example.com/1.png" {
		t.Errorf("second sign-in: %v, want %v", again, first)
	}
	other := account(b, login(b, p, "bob", "username", "Lee").Access)
	if other["name"] != "wechat-"+openID("bob") || other["displayName"] != "Lee" {
		t.Errorf("a taken username gave %v, want wechat-%s with the display name", other, openID("bob"))
	}
	for user, avatar := range map[string]string{"c": "http://tmp/a.png", "d": "wxfile://tmp_a.png", "e": "null", "f": "https://" + strings.Repeat("a", 600)} {
		if me := account(b, login(b, p, user, "username", strings.Repeat("长", 65), "avatar", avatar).Access); me["avatar"] != "" || me["displayName"] != "" {
			t.Errorf("avatar %s: %v, want neither avatar nor name", avatar, me)
		}
	}
}

// A user of the ticket flow is the same one here.
func TestOneAccount(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	var u struct{ ID string }
	b.Redeem(p, b.Ticket(p, "alice", b.PhoneCode("alice", "13800138000"))).Want(200).Decode(&u)
	me := account(b, login(b, p, "alice", "username", "Lee").Access)
	if me["id"] != u.ID || me["name"] != "Lee" || me["phone"] != "13800138000" || me["countryCode"] != "CN" {
		t.Errorf("signed in as %v, want %s with the phone", me, u.ID)
	}
}

func TestSignInRace(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	var wg sync.WaitGroup
	answers := make([]bridgetest.Response, 12)
	for i := range answers {
		wg.Go(func() { answers[i] = signIn(b, p, fmt.Sprint("user", i%4), "username", "Lee") })
	}
	wg.Wait()
	names := map[any]any{}
	for _, r := range answers {
		var got tokens
		r.Want(200).Decode(&got)
		me := account(b, got.Access)
		names[me["id"]] = me["name"]
	}
	lees := 0
	for _, name := range names {
		if name == "Lee" {
			lees++
		}
	}
	if len(names) != 4 || lees != 1 {
		t.Errorf("users %v, want four, one of them Lee", names)
	}
}

// The secret and the session_key leave no trace; nor does what a caller sends.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	code := b.WeChat.LoginCode(bridgetest.AppID, "alice")
	r := form(b, tokenPath, "tag", "wechat_miniprogram", "client_id", p.ID, "client_secret", p.Secret, "code", code, "username", "plantedname").Want(200)
	var got tokens
	r.Decode(&got)
	form(b, tokenPath, "tag", "wechat_miniprogram", "client_id", p.ID, "client_secret", "planted-wrong", "code", code).Want(401)
	b.Do("POST", b.URL+tokenPath+"?"+pairs("client_secret", "planted-query"), "", asForm)
	for _, secret := range []string{p.Secret, code, got.Access, got.Refresh, openID("alice"), "planted", "session_key"} {
		if strings.Contains(b.Log.String(), secret) {
			t.Errorf("the log has %q", secret)
		}
	}
	for _, secret := range []string{p.Secret, code, "session_key", bridgetest.AppSecret} {
		if strings.Contains(r.Body+claims(t, got.Access), secret) {
			t.Errorf("the answer has %q", secret)
		}
	}
}
