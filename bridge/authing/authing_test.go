package authing_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"app2wxapp/bridge/bridgetest"
)

func newRequest() *http.Request { return httptest.NewRequest("POST", "/", nil) }

// u51 is the selection of the SDK's query user.
const u51 = `id arn userPoolId status username email emailVerified phone phoneVerified identities{openid userIdInIdp userId connectionId isSocial provider userPoolId} ` +
	`unionid openid nickname registerSource photo password oauth token tokenExpiredAt loginsCount lastLogin lastIP signedUp blocked isDeleted device browser company ` +
	`name givenName familyName middleName profile preferredUsername website gender birthdate zoneinfo locale address formatted streetAddress locality region postalCode ` +
	`city province country createdAt updatedAt externalId`

// The whole user, in the order that was asked for; a login has the same and _id.
func TestUser(t *testing.T) {
	r := newRig(t)
	alice := r.loginWith("auth", fmt.Sprintf(`{"code":%q,"rawData":"{\"nickName\":\"示例用户\",\"gender\":1,\"city\":\"Hangzhou\",\"avatarUrl\":\"https://example.com/a.png?a=1&b=2\"}"}`, r.code("alice")))
	got := r.graphql(alice.Token, "\n  query user($id: String) {\n user(id: $id) { "+u51+" } }", map[string]any{})
	openid := regexp.MustCompile(`"openid":"(\w[\w-]+)"`).FindStringSubmatch(got.Body)
	if openid == nil {
		t.Fatal(got.Body)
	}
	want := fmt.Sprintf(`{"data":{"user":{"id":%[1]q,"arn":"arn:cn:authing:%[2]s:user:%[1]s","userPoolId":%[2]q,"status":"Activated","username":null,"email":null,"emailVerified":false,`+
		`"phone":null,"phoneVerified":false,"identities":[{"openid":%[3]q,"userIdInIdp":%[4]q,"userId":%[1]q,"connectionId":%[6]q,"isSocial":true,"provider":"wechat","userPoolId":%[2]q}],`+
		`"unionid":%[4]q,"openid":%[3]q,"nickname":"示例用户","registerSource":["social:wechat:miniprogram:default"],"photo":"https://example.com/a.png?a=1&b=2","password":null,"oauth":null,`+
		`"token":%[5]q,"tokenExpiredAt":"2026-12-05T08:30:00.000Z","loginsCount":1,"lastLogin":"2026-11-20T08:30:00.412Z","lastIP":"127.0.0.1","signedUp":"2026-11-20T08:30:00.412Z",`+
		`"blocked":false,"isDeleted":false,"device":null,"browser":null,"company":null,"name":null,"givenName":null,"familyName":null,"middleName":null,"profile":null,"preferredUsername":null,`+
		`"website":null,"gender":"M","birthdate":null,"zoneinfo":null,"locale":null,"address":null,"formatted":null,"streetAddress":null,"locality":null,"region":null,"postalCode":null,`+
		`"city":"Hangzhou","province":null,"country":null,"createdAt":"2026-11-20T08:30:00.412Z","updatedAt":"2026-11-20T08:30:00.412Z","externalId":null}}}`,
		alice.ID, r.pool.ID, openid[1], union("alice"), alice.Token, bridgetest.AppID)
	if got.Body != want {
		t.Errorf("got  %s\nwant %s", got.Body, want)
	}
	if ct := got.Header.Get("Content-Type"); ct != "application/json; charset=utf-8" {
		t.Errorf("content type %q", ct)
	}
	var whole struct{ Data map[string]any }
	r.rest("auth", fmt.Sprintf(`{"code":%q}`, r.code("alice"))).Decode(&whole)
	if len(whole.Data) != 52 || whole.Data["_id"] != alice.ID {
		t.Errorf("a login has %d keys, want 51 and _id", len(whole.Data))
	}
}

// Each of Authing's own fields that users may write, read again.
func TestUpdateUser(t *testing.T) {
	r := newRig(t)
	alice := r.login("alice")
	input := map[string]any{"gender": "F", "photo": "https://example.com/a.png", "username": "amy"}
	for _, name := range strings.Fields("nickname company browser device name givenName familyName middleName profile preferredUsername website " +
		"birthdate zoneinfo locale address streetAddress locality region postalCode city province country") {
		input[name] = "示例 " + name
	}
	res := r.graphql(alice.Token, "mutation updateUser($id: String, $input: UpdateUserInput!) { updateUser(id: $id, input: $input) { "+u51+" } }", map[string]any{"id": alice.ID, "input": input})
	var out struct {
		Data struct {
			UpdateUser map[string]any `json:"updateUser"`
		}
	}
	res.Want(200).Decode(&out)
	for name, v := range input {
		if out.Data.UpdateUser[name] != v {
			t.Errorf("%s: %v, want %v", name, out.Data.UpdateUser[name], v)
		}
	}
	if out.Data.UpdateUser["token"] != alice.Token {
		t.Errorf("token %v, want the bearer's", out.Data.UpdateUser["token"])
	}
	// An empty text empties; null, and what is not named, leaves as it is.
	r.graphql(alice.Token, `mutation { updateUser(input: {company: "", nickname: null}) { id } }`, nil).Want(200)
	got := r.graphql(alice.Token, `{ user { company nickname region } }`, nil)
	if got.Body != `{"data":{"user":{"company":null,"nickname":"示例 nickname","region":"示例 region"}}}` {
		t.Errorf("got %s", got.Body)
	}
}

// A login does not look at the token that comes along.
func TestStaleTokenOnLogin(t *testing.T) {
	r := newRig(t)
	old := r.login("alice").Token
	r.Clock.Turn(16 * 24 * time.Hour)
	for _, header := range []string{"Authorization: Bearer " + old, "Authorization: " + old, "Authorization: Bearer garbage", "Authorization: Bearer undefined"} {
		r.loginWith("auth", fmt.Sprintf(`{"code":%q}`, r.code("alice")), header)
		r.loginWith("auth-by-phone", r.sealedPhone("alice", "13800138000"), header)
		if res := r.rest("getphone", r.sealedPhone("alice", "13800138000"), header); !strings.Contains(res.Body, `"phoneNumber":"13800138000"`) {
			t.Errorf("getphone: %s", res.Body)
		}
	}
}

// getphone makes nobody and changes nobody.
func TestGetPhoneChangesNothing(t *testing.T) {
	r := newRig(t)
	r.rest("getphone", r.sealedPhone("alice", "13800138000")).Want(200)
	if u := r.login("alice"); u.LoginsCount != 1 || u.Phone != nil {
		t.Errorf("%+v", u)
	}
	r.rest("getphone", r.sealedPhone("alice", "13800138000")).Want(200)
	if u := r.login("alice"); u.LoginsCount != 2 || u.Phone != nil {
		t.Errorf("%+v", u)
	}
}

// An address that ends with a slash gives two of them, which are one here,
// without a redirect.
func TestDoubleSlashes(t *testing.T) {
	r := newRig(t)
	body := fmt.Sprintf(`{"code":%q}`, r.code("alice"))
	res := r.Post("//connections//social/wechat-miniprogram/auth", body, "x-authing-userpool-id: "+r.pool.ID)
	if res.Status != 200 || !strings.Contains(res.Body, `"code":200`) {
		t.Errorf("got %d %s", res.Status, res.Body)
	}
	r.wantGraphQL("GraphQL", r.graphqlAt("//graphql/v2", "", `{ user { id } }`, nil), 2020, "user")
}

// The presented token is over, raw or Bearer, by the endpoint and by what 4.0.0
// writes; other logins of the user are not. A logout without a token is one, too.
func TestLogout(t *testing.T) {
	r := newRig(t)
	holds := func(token string) bool {
		return strings.Contains(r.graphql(token, `{ checkLoginStatus { status } }`, nil).Body, "true")
	}
	a, b, c := r.login("alice").Token, r.login("alice").Token, r.login("alice").Token
	for _, header := range []string{"Authorization: Bearer " + a, "Authorization: Bearer " + a, "Authorization: Bearer garbage", "X-None: 1"} {
		if res := r.Do("GET", r.URL+"/api/v2/logout?app_id=undefined", "", header); res.Body != `{"code":200,"message":"退出成功","data":null}` {
			t.Errorf("%s: %d %s", header, res.Status, res.Body)
		}
	}
	if holds(a) || !holds(b) || !holds(c) {
		t.Error("after a logout: want the first token over, and the others not")
	}
	r.Do("GET", r.URL+"/api/v2/logout", "", "Authorization: "+b).Want(200)
	res := r.graphql(c, `mutation($id: String, $input: UpdateUserInput!) { updateUser(id: $id, input: $input) { id token } }`, map[string]any{"input": map[string]any{"tokenExpiredAt": "0"}})
	if !strings.Contains(res.Body, `"token":"`+c) || holds(b) || holds(c) {
		t.Errorf("by 4.0.0: %s", res.Body)
	}
}

func TestRefreshToken(t *testing.T) {
	r := newRig(t)
	old := r.login("alice").Token
	r.Clock.Turn(time.Hour)
	var out struct {
		Data struct {
			RefreshToken struct {
				Token    string
				IAT, EXP int64
			}
		}
	}
	r.graphql(old, `mutation refreshToken($id: String) { refreshToken(id: $id) { token iat exp } }`, map[string]any{}).Want(200).Decode(&out)
	fresh := out.Data.RefreshToken
	if fresh.Token == old || fresh.IAT != r.Clock.Now().Unix() || fresh.EXP-fresh.IAT != 1296000 {
		t.Errorf("%+v", fresh)
	}
	for _, token := range []string{old, fresh.Token} { // the old one holds to its end
		if res := r.graphql(token, `{ user { token } }`, nil); res.Body != fmt.Sprintf(`{"data":{"user":{"token":%q}}}`, token) {
			t.Errorf("got %s", res.Body)
		}
	}
}

// A look at a token that does not hold is data, never an error.
func TestLoginStatus(t *testing.T) {
	r := newRig(t)
	alice := r.login("alice")
	const v2 = `query checkLoginStatus($token: String) { checkLoginStatus(token: $token) { code message status exp iat data { id userPoolId arn } } }`
	const v1 = `query checkLoginStatus($token: String) { checkLoginStatus(token: $token) { message code status token { data { email id clientId unionid } iat exp } } }`
	check := func(path, query, bearer string, variables map[string]any, want string) {
		t.Helper()
		if got := r.graphqlAt(path, bearer, query, variables); got.Status != 200 || got.Body != `{"data":{"checkLoginStatus":`+want+`}}` {
			t.Errorf("got  %d %s\nwant %s", got.Status, got.Body, want)
		}
	}
	iat, exp := r.Clock.Now().Unix(), r.Clock.Now().Unix()+1296000
	signedIn := fmt.Sprintf(`{"code":200,"message":"已登录","status":true,"exp":%d,"iat":%d,"data":{"id":%q,"userPoolId":%q,"arn":"arn:cn:authing:%s:user:%s"}}`, exp, iat, alice.ID, r.pool.ID, r.pool.ID, alice.ID)
	none := func(code int, message string) string {
		return fmt.Sprintf(`{"code":%d,"message":%q,"status":false,"exp":null,"iat":null,"data":null}`, code, message)
	}
	check("/graphql/v2", v2, alice.Token, nil, signedIn)
	check("/graphql/v2", v2, "", map[string]any{"token": alice.Token}, signedIn)
	check("/graphql/v2", v2, "garbage", map[string]any{"token": alice.Token}, signedIn) // the variable counts
	check("/graphql/v2", v2, alice.Token, map[string]any{"token": "garbage"}, none(2207, "登录信息有误"))
	check("/graphql/v2", v2, "", nil, none(2020, "未登录"))
	check("/graphql", v1, alice.Token, nil, fmt.Sprintf(`{"message":"已登录","code":200,"status":true,"token":{"data":{"email":null,"id":%q,"clientId":%q,"unionid":%q},"iat":%d,"exp":%d}}`, alice.ID, r.pool.ID, union("alice"), iat, exp))
	check("/graphql", `{ checkLoginStatus { status code message } }`, "", nil, `{"status":false,"code":2020,"message":"未登录"}`)
	r.Clock.Turn(15 * 24 * time.Hour)
	check("/graphql/v2", v2, alice.Token, nil, none(2206, "登录信息已过期"))
	check("/graphql", v1, alice.Token, nil, `{"message":"登录信息已过期","code":2206,"status":false,"token":null}`)
}

// The selection of the management SDK.
const poolFields = `id name domain description secret jwtSecret userpoolTypes{code name description image sdks} logo createdAt updatedAt emailVerifiedDefault sendWelcomeEmail registerDisabled appSsoEnabled showWxQRCodeWhenRegisterDisabled allowedOrigins tokenExpiresAfter isDeleted frequentRegisterCheck{timeInterval limit enabled} loginFailCheck{timeInterval limit enabled} changePhoneStrategy{verifyOldPhone} changeEmailStrategy{verifyOldEmail} qrcodeLoginStrategy{qrcodeExpiresAfter returnFullUserInfo allowExchangeUserInfoFromBrowser ticketExpiresAfter} app2WxappLoginStrategy{ticketExpriresAfter ticketExchangeUserInfoNeedSecret} whitelist{phoneEnabled emailEnabled usernameEnabled} customSMSProvider{enabled provider config} packageType useCustomUserStore loginRequireEmailVerified verifyCodeLength`

// manage returns a management token for the secret.
func (r rig) manage(secret string) string {
	r.t.Helper()
	var out struct {
		Data struct {
			AccessToken struct {
				AccessToken string
				IAT, EXP    int64
			}
		}
	}
	r.graphql("", `query accessToken($userPoolId: String!, $secret: String!) { accessToken(userPoolId: $userPoolId, secret: $secret) { accessToken exp iat } }`,
		map[string]any{"userPoolId": r.pool.ID, "secret": secret}).Want(200).Decode(&out)
	got := out.Data.AccessToken
	if got.AccessToken == "" || got.EXP-got.IAT <= 3600 {
		r.t.Fatalf("%+v", got)
	}
	return got.AccessToken
}

func TestManagement(t *testing.T) {
	r := newRig(t)
	alice := r.login("alice")
	token := r.manage(r.pool.Secret)
	if res := r.graphql(token, "query userpool { userpool { "+poolFields+" ownerId } }", nil); !strings.Contains(res.Body, `"secret":"","jwtSecret":""`) ||
		!strings.Contains(res.Body, `"app2WxappLoginStrategy":{"ticketExpriresAfter":120,"ticketExchangeUserInfoNeedSecret":true}`) {
		t.Errorf("userpool: %s", res.Body)
	}
	update := func(input map[string]any) bridgetest.Response {
		t.Helper()
		return r.graphql(token, "mutation updateUserpool($input: UpdateUserpoolInput!) { updateUserpool(input: $input) { "+poolFields+" } }", map[string]any{"input": input})
	}
	strategy := func(v map[string]any) map[string]any { return map[string]any{"app2WxappLoginStrategy": v} }
	settings := func() (s struct {
		Name, Signup        string
		TicketTTL, TokenTTL int
		SecretRequired      bool
	}) {
		t.Helper()
		r.Admin("GET", "/admin/v1/pools/"+r.pool.ID, "").Want(200).Decode(&s)
		return s
	}
	before := settings()
	update(strategy(map[string]any{"ticketExpriresAfter": 60, "ticketExchangeUserInfoNeedSecret": false})).Want(200)
	if s := settings(); s.TicketTTL != 60 || s.SecretRequired || s.Name != before.Name || s.TokenTTL != before.TokenTTL {
		t.Errorf("misspelt: %+v", s)
	}
	update(strategy(map[string]any{"ticketExpiresAfter": 90})).Want(200)
	if s := settings(); s.TicketTTL != 90 || s.SecretRequired {
		t.Errorf("one key: %+v, want the other as it was", s)
	}
	update(map[string]any{"name": "示例", "registerDisabled": true, "tokenExpiresAfter": 3600}).Want(200)
	if s := settings(); s.Name != "示例" || s.Signup != "closed" || s.TokenTTL != 3600 || s.TicketTTL != 90 {
		t.Errorf("others: %+v", s)
	}
	update(map[string]any{"registerDisabled": false}).Want(200)
	if s := settings(); s.Signup != "open" {
		t.Errorf("%+v", s)
	}
	r.wantGraphQL("both spellings", update(strategy(map[string]any{"ticketExpiresAfter": 90, "ticketExpriresAfter": 91})), 2231, "updateUserpool")
	for _, seconds := range []any{9, 601, 0, -1, 2147483647, "601"} {
		r.wantGraphQL(fmt.Sprint(seconds), update(strategy(map[string]any{"ticketExpiresAfter": seconds})), 2231, "updateUserpool")
	}
	r.wantGraphQL("an empty name", update(map[string]any{"name": ""}), 2231, "updateUserpool")
	r.wantGraphQL("what is no setting here", update(map[string]any{"domain": "x"}), 2231)

	detail := r.Do("GET", r.URL+"/api/v2/userpools/detail", "", "Authorization: Bearer "+token)
	if detail.Status != 200 || !strings.Contains(detail.Body, `"app2WxappLoginStrategy":{"ticketExchangeUserInfoNeedSecret":false,"ticketExpiresAfter":90}`) ||
		!strings.Contains(detail.Body, `"secret":""`) || !strings.Contains(detail.Body, `"jwtSecret":""`) {
		t.Errorf("detail: %s", detail.Body)
	}
	events := r.Admin("GET", "/admin/v1/audit?type=pool.changed", "")
	if strings.Count(events.Body, `"actor":"caller"`) != 4 {
		t.Errorf("events: %s", events.Body)
	}

	// A token of either kind opens nothing of the other.
	r.wantGraphQL("the pool as a user", r.graphql(token, `{ user { id } }`, nil), 2207, "user")
	r.wantGraphQL("a user as the pool", r.graphql(alice.Token, `{ userpool { id } }`, nil), 2207, "userpool")
	r.wantGraphQL("nobody as the pool", r.graphql("", `{ userpool { id } }`, nil), 2020, "userpool")
	if res := r.Do("GET", r.URL+"/authing/token?access_token="+token, ""); !strings.Contains(res.Body, "2207") {
		t.Errorf("checked as a user's: %s", res.Body)
	}
	r.Clock.Turn(2 * time.Hour)
	r.wantGraphQL("after two hours", r.graphql(token, `{ userpool { id } }`, nil), 2206, "userpool")
}

// A management token ends with the secret that it was given for.
func TestManagementEndsWithSecret(t *testing.T) {
	r := newRig(t)
	var second struct {
		Secret struct{ ID, Secret string } `json:"secret"`
	}
	added := r.Admin("POST", "/admin/v1/pools/"+r.pool.ID+"/secrets", "").Want(201)
	if err := json.Unmarshal([]byte(added.Body), &second); err != nil || second.Secret.Secret == "" {
		var flat struct{ ID, Secret string }
		added.Decode(&flat)
		second.Secret = flat
	}
	first, other := r.manage(r.pool.Secret), r.manage(second.Secret.Secret)
	r.Admin("DELETE", "/admin/v1/pools/"+r.pool.ID+"/secrets/"+second.Secret.ID, "").Want(204)
	r.graphql(first, `{ userpool { id } }`, nil).Want(200)
	r.wantGraphQL("of the deleted secret", r.graphql(other, `{ userpool { id } }`, nil), 2207, "userpool")
}

// Who guesses is stopped, and stopped with the right secret as well.
func TestSecretGuesses(t *testing.T) {
	r := newRig(t)
	guess := func(secret string) bridgetest.Response {
		return r.graphql("", `query($p: String!, $s: String!) { accessToken(userPoolId: $p, secret: $s) { accessToken } }`, map[string]any{"p": r.pool.ID, "s": secret})
	}
	for range 60 {
		r.wantGraphQL("a guess", guess("x"), 4011, "accessToken")
	}
	if err := r.Server.FlushAudit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if told := r.Admin("GET", "/admin/v1/audit?type=redeem.refused", "").Want(200).Body; !strings.Contains(told, `"count":"60","reason":"invalid_secret"`) {
		t.Errorf("audit: %s", told)
	}
	r.wantGraphQL("the 61st", guess(r.pool.Secret), 4290, "accessToken")
	r.Redeem(r.pool, "x").WantError(429, 4290, "rate_limited") // one limit for all that shows a secret
	r.Clock.Turn(2 * time.Second)
	r.manage(r.pool.Secret)
}

// A picture that no user's photo becomes within an hour is swept, one that is
// stays, and goes when another takes its place.
func TestUploads(t *testing.T) {
	r := newRig(t)
	alice := r.login("alice")
	put := func(n int) string {
		t.Helper()
		var out struct {
			Code int
			Data struct{ URL string }
		}
		r.upload("?folder=avatar", "file", picture(t, n)).Want(200).Decode(&out)
		if out.Code != 200 || !strings.HasPrefix(out.Data.URL, r.URL+"/uploads/") {
			t.Fatalf("%+v", out)
		}
		return out.Data.URL
	}
	show := func(url string) {
		t.Helper()
		res := r.graphql(alice.Token, `mutation($input: UpdateUserInput!) { updateUser(input: $input) { photo } }`, map[string]any{"input": map[string]any{"photo": url}})
		if !strings.Contains(res.Body, `"photo":`) {
			t.Fatal(res.Body)
		}
	}
	there := func(url string) bool { t.Helper(); return r.Do("GET", url, "").Status == 200 }
	sweep := func() {
		t.Helper()
		r.Clock.Turn(61 * time.Minute)
		if _, err := r.Store.SweepPictures(t.Context(), r.Clock.Now().Add(-time.Hour), 100); err != nil {
			t.Fatal(err)
		}
	}
	shown, loose := put(1), put(2)
	show(shown)
	h := r.Do("GET", shown, "").Want(200).Header
	for name, want := range map[string]string{
		"Content-Type": "image/png", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox",
		"Content-Disposition": "attachment", "Cache-Control": "public, max-age=31536000, immutable",
	} {
		if h.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, h.Get(name), want)
		}
	}
	sweep()
	if !there(shown) || there(loose) {
		t.Error("after an hour: want the shown one there, and the other gone")
	}
	if res := r.Do("GET", strings.TrimSuffix(shown, "png")+"html", ""); res.Status != 404 {
		t.Errorf("under another name: %d", res.Status)
	}
	next := put(3)
	show(next)
	sweep()
	if there(shown) || !there(next) {
		t.Error("replaced: want the old one gone, and the new one there")
	}
	// A picture that is a web page, too, is served as the picture.
	var out struct{ Data struct{ URL string } }
	r.upload("?folder=avatar", "file", append(picture(t, 4), "<script>alert(1)</script>"...)).Want(200).Decode(&out)
	if res := r.Do("GET", out.Data.URL, ""); res.Header.Get("Content-Type") != "image/png" || res.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("a picture with a page in it: %v", res.Header)
	}
}

// Neither the log nor the metrics have what callers sent.
func TestNothingLogged(t *testing.T) {
	r := newRig(t)
	alice := r.loginWith("auth-by-phone", r.sealedPhone("alice", "13800138000"))
	r.graphql(alice.Token, `{ user(id: "x") { id } }`, nil)
	r.manage(r.pool.Secret)
	log := r.Log.String() + r.Admin("GET", "/metrics", "").Body
	for _, secret := range []string{alice.Token, r.pool.Secret, "13800138000", union("alice")} {
		if strings.Contains(log, secret) {
			t.Errorf("%q is in the log or the metrics", secret)
		}
	}
}

// The README names every path that bridge/routes.go has for the dialect.
func TestREADMEHasPaths(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{connections + "auth", connections + "auth-by-phone", connections + "getphone", "/graphql/v2", "/api/v2/logout", "/api/v2/upload", "/api/v2/userpools/detail", "/uploads/:name"} {
		if !strings.Contains(string(readme), path) {
			t.Errorf("README.md does not name %s", path)
		}
	}
}
