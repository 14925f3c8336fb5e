package authing_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"app2wxapp/bridge"
	"app2wxapp/bridge/authing"
	"app2wxapp/bridge/bridgetest"
	"app2wxapp/upload"
	"app2wxapp/userpool"
	"app2wxapp/wechat/sandbox"
)

// Every row of the dialect's errors, and what of the domain can come up.
func TestRESTErrors(t *testing.T) {
	r := newRig(t)
	r.wantREST("no pool", r.Post(connections+"auth", `{"code":"x"}`), 2231)
	r.wantREST("undefined pool", r.Post(connections+"auth", `{"code":"x"}`, "x-authing-userpool-id: undefined", "x-authing-app-id: "), 2231)
	r.wantREST("unknown pool", r.Post(connections+"auth", `{"code":"x"}`, "x-authing-userpool-id: nobody"), 2224)
	r.wantREST("no code", r.rest("auth", `{}`), 2231)
	r.wantREST("bad JSON", r.rest("auth", `{`), 2231)
	r.wantREST("another code", r.rest("auth", `{"code":"x"}`), 4002)
	r.wantREST("too large", r.rest("auth", `{"code":"`+strings.Repeat("x", 64<<10)+`"}`), 4130)
	r.wantREST("no JSON", r.Do("POST", r.URL+connections+"auth", "code=1", "Content-Type: application/x-www-form-urlencoded", "x-authing-userpool-id: "+r.pool.ID), 4150)
	r.wantREST("iv alone", r.rest("auth", fmt.Sprintf(`{"code":%q,"iv":"AAAAAAAAAAAAAAAAAAAAAA=="}`, r.code("alice"))), 2231)
	r.wantREST("rawData that is no text of JSON", r.rest("auth", fmt.Sprintf(`{"code":%q,"rawData":"nickName"}`, r.code("alice"))), 2231)
	r.wantREST("phone without data", r.rest("auth-by-phone", fmt.Sprintf(`{"code":%q}`, r.code("alice"))), 2231)
	r.wantREST("phone without data", r.rest("getphone", fmt.Sprintf(`{"code":%q}`, r.code("alice"))), 2231)
	r.wantREST("another call", r.Do("GET", r.URL+"/api/v2/users/me/orgs", ""), 4040)
	r.wantREST("another call", r.Post("/api/v2/sms/send", `{}`), 4040)
	r.wantREST("the keys of passwords", r.Do("GET", r.URL+"/api/v2/.well-known", ""), 4040)
	r.wantREST("details without a token", r.Do("GET", r.URL+"/api/v2/userpools/detail", ""), 2020)
	r.wantREST("details with a user's token", r.Do("GET", r.URL+"/api/v2/userpools/detail", "", "Authorization: Bearer "+r.login("alice").Token), 2207)

	// Sealed for another login: as if WeChat had refused the code.
	code, other := r.code("alice"), r.WeChat.SealedPhone(r.code("alice"), "13800138000")
	foreign := r.rest("auth-by-phone", fmt.Sprintf(`{"code":%q,"iv":%q,"encryptedData":%q}`, code, other.IV, other.EncryptedData))
	r.wantREST("sealed for another login", foreign, 4002)
	if refused := r.rest("auth", `{"code":"no code"}`); refused.Body != foreign.Body {
		t.Errorf("%s\n%s\nwant the same", refused.Body, foreign.Body)
	}

	closed, phones, picky := r, r, r
	closed.pool, phones.pool, picky.pool = r.NewPool(`"signup":"closed"`), r.NewPool(`"phoneRequired":true`), r.NewPool(`"allowedApps":["wxapp"]`)
	r.wantREST("signup closed", closed.rest("auth", fmt.Sprintf(`{"code":%q}`, r.code("alice"))), 2031)
	r.wantREST("phone required", phones.rest("auth", fmt.Sprintf(`{"code":%q}`, r.code("alice"))), 4034)
	r.wantREST("apps by list", picky.rest("auth", fmt.Sprintf(`{"code":%q}`, r.code("alice"))), 4033)
	r.wantREST("risk", r.rest("auth", fmt.Sprintf(`{"code":%q}`, r.code("error-40226"))), 4032)

	alice := r.login("alice")
	r.Admin("PATCH", "/admin/v1/pools/"+r.pool.ID+"/users/"+alice.ID, `{"blocked":true}`).Want(200)
	r.wantREST("blocked", r.rest("auth", fmt.Sprintf(`{"code":%q}`, r.code("alice"))), 2005)
	for range 20 {
		r.login("bob")
	}
	r.wantREST("21 logins in a minute", r.rest("auth", fmt.Sprintf(`{"code":%q}`, r.code("bob"))), 4290)

	// What is ours has a status of ours, and the envelope too.
	r.WeChat.Fail(sandbox.Login, sandbox.Failure("error--1"), 1)
	if res := r.rest("auth", fmt.Sprintf(`{"code":%q}`, r.code("carol"))); res.Status != 502 || !strings.Contains(res.Body, `"code":5020`) || !strings.Contains(res.Body, `"data":null`) {
		t.Errorf("WeChat is busy: %d %s", res.Status, res.Body)
	}
	english := r.rest("auth", `{}`, "Accept-Language: en")
	if !strings.Contains(english.Body, "is required") {
		t.Errorf("in English: %s", english.Body)
	}
}

func TestGraphQLErrors(t *testing.T) {
	r := newRig(t)
	alice, bob := r.login("alice"), r.login("bob")
	const user, update = `query($id: String) { user(id: $id) { id } }`, `mutation($id: String, $input: UpdateUserInput!) { updateUser(id: $id, input: $input) { id } }`
	input := func(v map[string]any) map[string]any { return map[string]any{"input": v} }
	r.wantGraphQL("bad JSON", r.Post("/graphql/v2", `{`), 2231)
	r.wantGraphQL("no document", r.Post("/graphql/v2", `{}`), 2231)
	r.wantGraphQL("nobody", r.graphql("", user, nil), 2020, "user")
	r.wantGraphQL("garbage", r.graphql("garbage", user, nil), 2207, "user")
	r.wantGraphQL("another user", r.graphql(alice.Token, user, map[string]any{"id": bob.ID}), 2202, "user")
	r.wantGraphQL("another user's profile", r.graphql(alice.Token, update, map[string]any{"id": bob.ID, "input": map[string]any{"nickname": "x"}}), 2202, "updateUser")
	r.wantGraphQL("another user's token", r.graphql(alice.Token, `mutation($id: String) { refreshToken(id: $id) { token } }`, map[string]any{"id": bob.ID}), 2202, "refreshToken")
	r.wantGraphQL("e-mail", r.graphql(alice.Token, update, input(map[string]any{"email": "a@example.com"})), 2225, "updateUser")
	r.wantGraphQL("phone", r.graphql(alice.Token, update, input(map[string]any{"phone": "13800138000"})), 2226, "updateUser")
	for _, name := range []string{"unionid", "openid", "oauth", "externalId", "lastLogin", "lastIP", "password", "formatted", "tokenExpiredAt"} {
		r.wantGraphQL(name, r.graphql(alice.Token, update, input(map[string]any{name: "x"})), 2018, "updateUser")
	}
	for _, name := range []string{"blocked", "emailVerified", "phoneVerified"} {
		r.wantGraphQL(name, r.graphql(alice.Token, update, input(map[string]any{name: true})), 2018, "updateUser")
	}
	r.wantGraphQL("loginsCount", r.graphql(alice.Token, update, input(map[string]any{"loginsCount": 7})), 2018, "updateUser")
	r.wantGraphQL("lastIp", r.graphql(alice.Token, update, input(map[string]any{"lastIp": "203.0.113.7"})), 2231)
	r.wantGraphQL("gender", r.graphql(alice.Token, update, input(map[string]any{"gender": "1"})), 2231, "updateUser")
	r.wantGraphQL("photo by http", r.graphql(alice.Token, update, input(map[string]any{"photo": "http://example.com/a.png"})), 2231, "updateUser")
	r.wantGraphQL("photo that is not here", r.graphql(alice.Token, update, input(map[string]any{"photo": r.URL + "/uploads/AAAA.png"})), 2231, "updateUser")
	r.wantGraphQL("company too long", r.graphql(alice.Token, update, input(map[string]any{"company": strings.Repeat("x", 513)})), 2231, "updateUser")
	r.graphql(alice.Token, update, input(map[string]any{"username": "amy"})).Want(200)
	r.wantGraphQL("a username that is taken", r.graphql(bob.Token, update, input(map[string]any{"username": "amy"})), 2026, "updateUser")
	r.wantGraphQL("a username once more", r.graphql(alice.Token, update, input(map[string]any{"username": "amy2"})), 2018, "updateUser")
	r.wantGraphQL("v1", r.graphqlAt("/graphql", "", `{ user { id } }`, nil), 2231)
	r.wantGraphQL("wrong secret", r.graphql("", `query($p: String!, $s: String!) { accessToken(userPoolId: $p, secret: $s) { accessToken } }`, map[string]any{"p": r.pool.ID, "s": "x"}), 4011, "accessToken")
	r.wantGraphQL("no secret", r.graphql("", `query($p: String!, $s: String!) { accessToken(userPoolId: $p, secret: $s) { accessToken } }`, map[string]any{"p": r.pool.ID, "s": ""}), 4010, "accessToken")
	r.Clock.Turn(15 * 24 * time.Hour)
	r.wantGraphQL("expired", r.graphql(alice.Token, user, nil), 2206, "user")
}

// What is wrong has the name that the caller gave it.
func TestNamesInErrors(t *testing.T) {
	r := newRig(t)
	alice, manager := r.login("alice").Token, r.manage(r.pool.Secret)
	long := strings.Repeat("x", 65)
	const update, settings = `mutation($i: UpdateUserInput!) { updateUser(input: $i) { id } }`, `mutation($i: UpdateUserpoolInput!) { updateUserpool(input: $i) { id } }`
	for _, row := range []struct {
		token, call string
		input       map[string]any
		want        string
	}{
		{alice, update, map[string]any{"nickname": long}, "nickname must be at most 64 characters"},
		{alice, update, map[string]any{"photo": "javascript:1"}, "photo must be an https URL"},
		{alice, update, map[string]any{"city": long}, "city must be at most"},
		{alice, update, map[string]any{"province": long}, "province must be at most"},
		{alice, update, map[string]any{"country": long}, "country must be at most"},
		{alice, update, map[string]any{"company": "\x01"}, "company must"},
		{manager, settings, map[string]any{"name": ""}, "name must be 1 to 100"},
		{manager, settings, map[string]any{"tokenExpiresAfter": 1}, "tokenExpiresAfter must be 60 to"},
		{manager, settings, map[string]any{"app2WxappLoginStrategy": map[string]any{"ticketExpriresAfter": 1}}, "ticketExpiresAfter must be 10 to"},
	} {
		body, err := json.Marshal(map[string]any{"query": row.call, "variables": map[string]any{"i": row.input}})
		if err != nil {
			t.Fatal(err)
		}
		got := r.Post("/graphql/v2", string(body), "Authorization: "+row.token, "Accept-Language: en").Body
		if !strings.Contains(got, `"message":"invalid request: `+row.want) {
			t.Errorf("%v: %s, want %s", row.input, got, row.want)
		}
	}
}

// A document is one operation with one field of the root, of bounded size, and
// the schema is not told.
func TestGraphQLLimits(t *testing.T) {
	r := newRig(t)
	alice := r.login("alice")
	deep := strings.Repeat("{user", 9) + strings.Repeat("}", 9)
	bomb := "query { user { ...a0 } }"
	for i := range 10 {
		bomb += fmt.Sprintf(" fragment a%d on User { %s }", i, strings.Repeat(fmt.Sprintf("...a%d ", i+1), 5))
	}
	bomb += " fragment a10 on User { id }"
	for name, query := range map[string]string{
		"introspection":             `{ __schema { types { name } } }`,
		"introspection by name":     `{ __type(name: "User") { name } }`,
		"introspection in a hiding": `query { ...f } fragment f on Query { __schema { types { name } } }`,
		"two operations":            `query a { user { id } } query b { user { id } }`,
		"two fields of the root":    `mutation { a: refreshToken { token } b: refreshToken { token } }`,
		"no field that is wanted":   `{ user @skip(if: true) { id } }`,
		"a type name alone":         `{ __typename }`,
		"deep":                      deep,
		"many tokens":               `{ user { ` + strings.Repeat("id ", 1000) + `} }`,
		"many fields":               `{ user { ` + strings.Repeat("id ", 301) + `} }`,
		"many fields by fragments":  bomb,
		"fragments in a circle":     `{ user { ...a } } fragment a on User { ...b } fragment b on User { ...a }`,
		"an unknown field":          `{ user { id secrets } }`,
		"no schema of ours":         `{ users { id } }`,
		"a wrong argument":          `{ user(id: 7) { id } }`,
		"a subscription":            `subscription { user { id } }`,
		"no GraphQL":                `SELECT 1`,
	} {
		code := 2231
		if name == "a type name alone" {
			code = 4040
		}
		r.wantGraphQL(name, r.graphql(alice.Token, query, nil), code)
	}
	r.wantGraphQL("variables that are no object", r.graphql(alice.Token, `{ user { id } }`, []int{1}), 2231)
	r.wantGraphQL("a variable of another type", r.graphql(alice.Token, `query($id: String) { user(id: $id) { id } }`, map[string]any{"id": 7}), 2231)
	body := `{"query":"query a { user { id } }","operationName":"b"}`
	r.wantGraphQL("another operation's name", r.Post("/graphql/v2", body, "Authorization: "+alice.Token), 2231)

	// What GraphQL has otherwise is spoken.
	body = `{"query":"query a { user { id } }","operationName":null,"variables":null}`
	if res := r.Post("/graphql/v2", body, "Authorization: "+alice.Token); res.Body != fmt.Sprintf(`{"data":{"user":{"id":%q}}}`, alice.ID) {
		t.Errorf("no operation's name: %s", res.Body)
	}
	got := r.graphql(alice.Token, `query q($no: Boolean!) { me: user { a: id id ...f ... on User { __typename } photo @include(if: $no) identities { provider } identities { isSocial } } } fragment f on User { emailVerified }`, map[string]any{"no": false})
	want := fmt.Sprintf(`{"data":{"me":{"a":%[1]q,"id":%[1]q,"emailVerified":false,"__typename":"User","identities":[{"provider":"wechat","isSocial":true}]}}}`, alice.ID)
	if got.Body != want {
		t.Errorf("got %s\nwant %s", got.Body, want)
	}
}

// fullStore has no room for pictures.
type fullStore struct{ bridge.Store }

func (fullStore) PutPicture(context.Context, upload.Picture, time.Time) error { return upload.ErrFull }

func TestUploadErrors(t *testing.T) {
	r := newRig(t)
	upload := func(what string, code int, query, part string, data []byte) {
		t.Helper()
		res := r.upload(query, part, data)
		r.wantREST(what, res, code)
		if !strings.Contains(res.Body, `"data":{}`) { // the SDK would never settle
			t.Errorf("%s: %s", what, res.Body)
		}
		r.Clock.Turn(time.Minute)
	}
	png := picture(t, 1)
	upload("no picture", 4150, "?folder=avatar", "file", []byte("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"))
	upload("HTML", 4150, "?folder=avatar", "file", []byte("<!doctype html><script>alert(1)</script>"))
	upload("a header alone", 4150, "?folder=avatar", "file", png[:20])
	upload("an empty file", 4150, "?folder=avatar", "file", nil)
	upload("over 1 MiB", 4130, "?folder=avatar", "file", append(png, make([]byte, 1<<20)...))
	upload("50 MB", 4130, "?folder=avatar", "file", append(png, make([]byte, 50<<20)...))
	upload("another folder", 2231, "?folder=documents", "file", png)
	upload("no folder", 2231, "", "file", png)
	upload("another part", 2231, "?folder=avatar", "picture", png)
	r.wantREST("no form", r.Post("/api/v2/upload?folder=avatar", `{}`), 2231)
	r.Clock.Turn(time.Minute)
	for range 4 {
		r.upload("?folder=avatar", "file", png).Want(200)
	}
	r.wantREST("five a minute", r.upload("?folder=avatar", "file", png), 4290)

	full := bridgetest.New(t, bridgetest.WithStore(func(s bridge.Store) bridge.Store { return fullStore{s} }))
	r.Bridge = full
	r.wantREST("full", r.upload("?folder=avatar", "file", png), 4290)
	if res := full.Do("GET", full.URL+"/uploads/x.png", ""); res.Status != 404 {
		t.Errorf("no picture: %d %s", res.Status, res.Body)
	}
}

// What the tests above cannot bring about has its row, too.
func TestErrorTable(t *testing.T) {
	for err, code := range map[error]int{userpool.ErrUnavailable: 5030, userpool.ErrWeChatSetup: 1000, userpool.ErrUserNotFound: 2004} {
		told := authing.TellREST(newRequest(), err, "id")
		if told.Code != code || (told.Problem.Status >= 500) != (told.Status != 200) {
			t.Errorf("%v: %+v, want %d", err, told, code)
		}
	}
}
