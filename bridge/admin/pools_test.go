package admin_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"app2wxapp/bridge/bridgetest"
)

const pools = "/admin/v1/pools"

// credentials are the members that every pool needs.
const credentials = `"name":"Demo","appId":"wx0123456789abcdef","appSecret":"planted-app-secret"`

// The pool as the API shows it, with the defaults of the contract.
func TestGoldenPool(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	var made struct {
		Pool   json.RawMessage
		Secret string
	}
	b.Admin("POST", pools, `{`+credentials+`}`).Want(201).Decode(&made)
	var got struct {
		ID      string
		Secrets []struct{ ID string }
	}
	if err := json.Unmarshal(made.Pool, &got); err != nil || len(got.Secrets) != 1 {
		t.Fatalf("%s: %v, want one secret", made.Pool, err)
	}
	format := `{"id":%q,"name":"Demo","appId":"wx0123456789abcdef","secretRequired":true,"ticketTTL":120,"pkceRequired":false,` +
		`"responseFormat":"user","revokeOnReplay":true,"tokenTTL":1296000,"tokenAlg":"HS256","signup":"open","matchPhone":false,` +
		`"phoneRequired":false,"allowedApps":[],"mfa":"off","bindWays":["wechatPhone"],"bindRegister":true,"loginWays":[],"sessionTokenTTL":432000,"sessionTokenSliding":false,"captcha":"on","senders":{"sms":null,"email":null},"secrets":[{"id":%q,"createdAt":"2026-11-20T08:30:00.412Z","lastUsedAt":%s}],` +
		`"createdAt":"2026-11-20T08:30:00.412Z","updatedAt":"2026-11-20T08:30:00.412Z"}`
	want := fmt.Sprintf(format, got.ID, got.Secrets[0].ID, "null")
	if string(made.Pool) != want {
		t.Errorf("created\n%s\nwant\n%s", made.Pool, want)
	}
	if len(got.ID) != 24 || strings.Trim(got.ID, "0123456789abcdef") != "" {
		t.Errorf("id %q, want Authing's form: 24 hexadecimal digits", got.ID)
	}
	if len(made.Secret) != 43 {
		t.Errorf("secret of %d characters, want 43", len(made.Secret))
	}
	if shown := b.Admin("GET", pools+"/"+got.ID, "").Want(200); shown.Body != want {
		t.Errorf("shown\n%s\nwant\n%s", shown.Body, want)
	}

	// The secret's last use is shown as soon as it happened.
	p := bridgetest.Pool{ID: got.ID, Secret: made.Secret}
	b.Clock.Turn(time.Second)
	b.Redeem(p, "x").Want(400)
	want = fmt.Sprintf(format, got.ID, got.Secrets[0].ID, `"2026-11-20T08:30:01.412Z"`)
	if shown := b.Admin("GET", pools+"/"+got.ID, "").Want(200); shown.Body != want {
		t.Errorf("after a use\n%s\nwant\n%s", shown.Body, want)
	}
	if listed := b.Admin("GET", pools, "").Want(200); listed.Body != `{"items":[`+want+`],"nextCursor":null}` {
		t.Errorf("listed\n%s\nwant\n%s", listed.Body, want)
	}
}

// A pool that moves here keeps its id, and no two have the same.
func TestGivenID(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	for _, id := range []string{"64b7f0a1c2d3e4f506172839", "a", "A_-9", strings.Repeat("z", 64)} {
		var made struct{ Pool struct{ ID string } }
		b.Admin("POST", pools, `{"id":"`+id+`",`+credentials+`}`).Want(201).Decode(&made)
		if made.Pool.ID != id {
			t.Errorf("id %q became %q", id, made.Pool.ID)
		}
		b.Admin("POST", pools, `{"id":"`+id+`",`+credentials+`}`).WantError(409, 4090, "pool_exists")
	}
}

func TestCreatePoolRefuses(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	const start = `"name":"a","appId":"wx0","appSecret":"s"`
	for _, row := range []struct{ body, field string }{
		{``, "name"},
		{`{}`, "name"},
		{`{"name":"a"}`, "appId"},
		{`{"name":"a","appId":"wx0"}`, "appSecret"},
		{`{"name":"","appId":"wx0","appSecret":"s"}`, "name"},
		{`{"name":null,"appId":"wx0","appSecret":"s"}`, "name"},
		{`{"name":"` + strings.Repeat("名", 101) + `","appId":"wx0","appSecret":"s"}`, "name"},
		{`{"name":"a\u0007","appId":"wx0","appSecret":"s"}`, "name"},
		{`{"name":"a","appId":"w x","appSecret":"s"}`, "appId"},
		{`{"name":"a","appId":"wx0","appSecret":"秘密"}`, "appSecret"},
		{`{"name":"a","appId":"wx0","appSecret":"` + strings.Repeat("s", 129) + `"}`, "appSecret"},
		{`{"name":1}`, "name"},
		{`{"id":"a/b",` + start + `}`, "id"},
		{`{"id":"` + strings.Repeat("a", 65) + `",` + start + `}`, "id"},
		{`{"jwtSecret":"` + strings.Repeat("a", 31) + `",` + start + `}`, "jwtSecret"},
		{`{"jwtSecret":"` + strings.Repeat("a", 513) + `",` + start + `}`, "jwtSecret"},
		{`{"tokenAlg":"none",` + start + `}`, "tokenAlg"},
		{`{"unknown":1,` + start + `}`, "unknown"},
		{`{"secret":"x",` + start + `}`, "secret"},
		{`{"secrets":[],` + start + `}`, "secrets"},
		{`{"ticketttl":60,` + start + `}`, "ticketTTL"},
		{`{"name":"a",` + start + `}`, "body"},
		{`[]`, "body"},
	} {
		r := b.Admin("POST", pools, row.body).WantError(400, 2231, "invalid_request")
		wantField(t, r, row.body, row.field)
	}
	if r := b.Admin("GET", pools, "").Want(200); r.Body != `{"items":[],"nextCursor":null}` {
		t.Errorf("refused pools were made: %s", r.Body)
	}
}

// badSettings are settings that cannot be, and what is named as wrong.
var badSettings = []struct{ body, field string }{
	{`{"ticketTTL":9}`, "ticketTTL"},
	{`{"ticketTTL":601}`, "ticketTTL"},
	{`{"ticketTTL":0}`, "ticketTTL"},
	{`{"ticketTTL":-120}`, "ticketTTL"},
	{`{"ticketTTL":9223372036854775807}`, "ticketTTL"},
	{`{"ticketTTL":"120"}`, "ticketTTL"},
	{`{"ticketTTL":12.5}`, "ticketTTL"},
	{`{"tokenTTL":0}`, "tokenTTL"},
	{`{"sessionTokenTTL":0}`, "sessionTokenTTL"},
	{`{"sessionTokenTTL":299}`, "sessionTokenTTL"},
	{`{"sessionTokenTTL":31536001}`, "sessionTokenTTL"},
	{`{"loginWays":["pigeon"]}`, "loginWays[0]"},
	{`{"loginWays":["wechatPhone","wechatPhone"]}`, "loginWays[1]"},
	{`{"tokenTTL":59}`, "tokenTTL"},
	{`{"tokenTTL":315360001}`, "tokenTTL"},
	{`{"ticketTTL":18446744193}`, "ticketTTL"}, // in nanoseconds past 64 bits, where it looks like two minutes
	{`{"tokenTTL":18446747673}`, "tokenTTL"},
	{`{"tokenAlg":"none"}`, "tokenAlg"},
	{`{"tokenAlg":"hs256"}`, "tokenAlg"},
	{`{"tokenAlg":"HS512"}`, "tokenAlg"},
	{`{"signup":"maybe"}`, "signup"},
	{`{"signup":true}`, "signup"},
	{`{"responseFormat":"xml"}`, "responseFormat"},
	{`{"responseFormat":""}`, "responseFormat"},
	{`{"secretRequired":"false"}`, "secretRequired"},
	{`{"secretRequired":0}`, "secretRequired"},
	{`{"allowedApps":"wx0"}`, "allowedApps"},
	{`{"allowedApps":[""]}`, "allowedApps[0]"},
	{`{"allowedApps":["wx0",null]}`, "allowedApps[1]"},
	{`{"allowedApps":[` + strings.Repeat(`"wx0",`, 200) + `"wx0"]}`, "allowedApps"},
	{`{"name":""}`, "name"},
	{`{"name":null}`, "name"},
	{`{"appId":null}`, "appId"},
	{`{"appSecret":null}`, "appSecret"},
	{`{"appSecret":""}`, "appSecret"},
	{`{"id":"other"}`, "id"},
	{`{"jwtSecret":"0123456789abcdef0123456789abcdef"}`, "jwtSecret"},
	{`{"secretsRequired":false}`, "secretsRequired"},
	{`{"secretrequired":false}`, "secretRequired"},
	{`{"pkceRequired":true,"pkceRequired":false}`, "body"},
	{`{"name":"b","ticketTTL":9}`, "ticketTTL"}, // nothing of a patch, or all of it
	{`[{"op":"replace"}]`, "body"},
	{`{"senders":[]}`, "senders"},
	{`{"senders":{"fax":null}}`, "senders.fax"},
	{`{"senders":{"sms":"aliyun"}}`, "senders.sms"},
	{`{"senders":{"sms":{}}}`, "senders.sms.provider"},
	{`{"senders":{"sms":{"signName":"x"}}}`, "senders.sms.provider"},
	{`{"senders":{"sms":{"provider":""}}}`, "senders.sms.provider"},
	{`{"senders":{"sms":{"provider":"smtp"}}}`, "senders.sms.provider"},
	{`{"senders":{"email":{"provider":"aliyun"}}}`, "senders.email.provider"},
	{`{"senders":{"sms":{"provider":"aliyun"}}}`, "senders.sms.accessKeyId"},
	{`{"senders":{"sms":{"provider":"aliyun","accessKeyId":"a","accessKeySecret":"s","signName":"x","templateCode":"t","minutesParam":"code"}}}`, "senders.sms.minutesParam"},
	{`{"senders":{"sms":{"provider":"aliyun","accessKeyId":"a","accessKeySecret":"s","signName":"x","templateCode":"t","secretId":"x"}}}`, "senders.sms.secretId"},
	{`{"senders":{"sms":{"provider":"aliyun","accessKeyId":"a","accessKeySecret":"s","signName":"x\u0007","templateCode":"t"}}}`, "senders.sms.signName"},
	{`{"senders":{"sms":{"provider":"tencent","secretId":"a","secretKey":"s","sdkAppId":"1","signName":"x","templateId":"t","templateParams":"minutes"}}}`, "senders.sms.templateParams"},
	{`{"senders":{"sms":{"provider":"tencent","secretId":"a","secretKey":"s","sdkAppId":"1","signName":"x","templateId":"t","endpoint":"http://sms.example.com"}}}`, "senders.sms.endpoint"},
	{`{"senders":{"sms":{"provider":"tencent","secretId":"a","secretKey":"s","sdkAppId":"1","signName":"x","templateId":"t","endpoint":"https://sms.example.com/x"}}}`, "senders.sms.endpoint"},
	{`{"senders":{"sms":{"provider":"webhook","url":"https://x.example.com"}}}`, "senders.sms.secret"},
	{`{"senders":{"sms":{"provider":"webhook","url":"https://x.example.com","secret":"secret"}}}`, "senders.sms.secret"},
	{`{"senders":{"sms":{"provider":"webhook","url":"http://x.example.com","secret":"` + webhookSecret + `"}}}`, "senders.sms.url"},
	{`{"senders":{"sms":{"provider":"webhook","url":"https://u:p@x.example.com","secret":"` + webhookSecret + `"}}}`, "senders.sms.url"},
	{`{"senders":{"sms":{"provider":"webhook","url":"file:///etc/passwd","secret":"` + webhookSecret + `"}}}`, "senders.sms.url"},
	{`{"senders":{"sms":{"provider":"webhook","url":1,"secret":"x"}}}`, "senders.sms.url"},
	{`{"senders":{"email":{"provider":"smtp","host":"mail.example.com:25","from":"a@example.com"}}}`, "senders.email.host"},
	{`{"senders":{"email":{"provider":"smtp","host":"mail.example.com","from":"A <a@example.com>"}}}`, "senders.email.from"},
	{`{"senders":{"email":{"provider":"smtp","host":"mail.example.com","from":"a@example.com\r\nBcc: b@example.com"}}}`, "senders.email.from"},
	{`{"senders":{"email":{"provider":"smtp","host":"mail.example.com","from":"a@example.com","port":0}}}`, "senders.email.port"},
	{`{"senders":{"email":{"provider":"smtp","host":"mail.example.com","from":"a@example.com","port":65536}}}`, "senders.email.port"},
	{`{"senders":{"email":{"provider":"smtp","host":"mail.example.com","from":"a@example.com","tls":"maybe"}}}`, "senders.email.tls"},
	{`{"senders":{"email":{"provider":"smtp","host":"mail.example.com","from":"a@example.com","tls":""}}}`, "senders.email.tls"},
	{`{"senders":{"email":{"provider":"smtp","host":"mail.example.com","from":"a@example.com","username":"u"}}}`, "senders.email.password"},
	{`{"senders":{"email":{"provider":"smtp","host":"mail.example.com","from":"a@example.com","tls":"none","username":"u","password":"p"}}}`, "senders.email.tls"},
}

func TestPatchRefuses(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	before := b.Admin("GET", pools+"/"+p.ID, "").Want(200).Body
	b.Clock.Turn(time.Second)
	for _, row := range badSettings {
		r := b.Admin("PATCH", pools+"/"+p.ID, row.body).WantError(400, 2231, "invalid_request")
		wantField(t, r, row.body, row.field)
	}
	if after := b.Admin("GET", pools+"/"+p.ID, "").Want(200).Body; after != before {
		t.Errorf("refused patches changed\n%s\nto\n%s", before, after)
	}
	b.Admin("PATCH", pools+"/nobody", `{"name":"b"}`).WantError(404, 2224, "pool_not_found")
}

// A merge patch may be sent under its own media type, RFC 7396 §4.
func TestPatchMediaType(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	patch := func(method, path string) bridgetest.Response {
		return b.Do(method, b.AdminURL+path, `{"ticketTTL":60}`, "Content-Type: application/merge-patch+json", "Authorization: Bearer "+bridgetest.AdminToken)
	}
	patch("PATCH", pools+"/"+p.ID).Want(200)
	patch("POST", pools).WantError(415, 4150, "unsupported_media_type")
}

// wantField fails the test unless the error names the field in both languages.
func wantField(t *testing.T, r bridgetest.Response, body, field string) {
	t.Helper()
	var got struct{ Message string }
	r.Decode(&got)
	if !strings.HasPrefix(got.Message, "参数错误："+field+" ") {
		t.Errorf("%s: message %q, want it to name %s", body, got.Message, field)
	}
}

// A merge patch: what is absent stays, what is null becomes the default.
func TestPatch(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	b.Clock.Turn(time.Second)
	show := func() map[string]any {
		var shown map[string]any
		b.Admin("GET", pools+"/"+p.ID, "").Want(200).Decode(&shown)
		return shown
	}
	defaults := show()
	for _, row := range []struct {
		key, value string
		want       any
	}{
		{"name", `"新名"`, "新名"},
		{"appId", `"wxother"`, "wxother"},
		{"secretRequired", `false`, false},
		{"ticketTTL", `600`, 600.0},
		{"pkceRequired", `true`, true},
		{"responseFormat", `"envelope"`, "envelope"},
		{"revokeOnReplay", `false`, false},
		{"tokenTTL", `60`, 60.0},
		{"tokenAlg", `"EdDSA"`, "EdDSA"},
		{"sessionTokenTTL", `31536000`, 31536000.0},
		{"sessionTokenSliding", `true`, true},
		{"loginWays", `["wechatPhone"]`, []any{"wechatPhone"}},
		{"signup", `"bind"`, "bind"},
		{"matchPhone", `true`, true},
		{"phoneRequired", `true`, true},
		{"allowedApps", `["wxa","wxb"]`, []any{"wxa", "wxb"}},
	} {
		r := b.Admin("PATCH", pools+"/"+p.ID, `{"`+row.key+`":`+row.value+`}`).Want(200)
		changed := show()
		if got := fmt.Sprint(changed[row.key]); got != fmt.Sprint(row.want) {
			t.Errorf("%s: %v, want %v", row.key, got, row.want)
		}
		for key, was := range defaults {
			if key != row.key && key != "updatedAt" && fmt.Sprint(changed[key]) != fmt.Sprint(was) {
				t.Errorf("setting %s changed %s from %v to %v", row.key, key, was, changed[key])
			}
		}
		if changed["updatedAt"] != "2026-11-20T08:30:01.412Z" {
			t.Errorf("%s: updatedAt %v, want the patch's time", row.key, changed["updatedAt"])
		}
		var answered map[string]any
		r.Decode(&answered)
		if fmt.Sprint(answered) != fmt.Sprint(changed) {
			t.Errorf("%s: answered %v, then shown %v", row.key, answered, changed)
		}
		back := "null"
		if row.key == "name" || row.key == "appId" { // these have no default
			back = fmt.Sprintf("%q", defaults[row.key])
		}
		b.Admin("PATCH", pools+"/"+p.ID, `{"`+row.key+`":`+back+`}`).Want(200)
		if got := show(); fmt.Sprint(got[row.key]) != fmt.Sprint(defaults[row.key]) {
			t.Errorf("%s after %s: %v, want %v", row.key, back, got[row.key], defaults[row.key])
		}
	}
	for _, nothing := range []string{``, `{}`} {
		b.Admin("PATCH", pools+"/"+p.ID, nothing).Want(200)
	}
}

func TestListPools(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	for _, id := range []string{"c", "a", "e", "b", "d"} {
		b.Admin("POST", pools, `{"id":"`+id+`",`+credentials+`}`).Want(201)
	}
	for _, limit := range []int{1, 2, 4, 5, 6, 200} {
		var ids []string
		cursor := ""
		for calls := 1; ; calls++ {
			var page struct {
				Items      []struct{ ID string }
				NextCursor *string
			}
			b.Admin("GET", fmt.Sprintf("%s?limit=%d&cursor=%s", pools, limit, cursor), "").Want(200).Decode(&page)
			if len(page.Items) > limit || len(page.Items) == 0 || calls > 5 {
				t.Fatalf("limit %d: page %d has %d items", limit, calls, len(page.Items))
			}
			for _, item := range page.Items {
				ids = append(ids, item.ID)
			}
			if page.NextCursor == nil {
				break
			}
			cursor = *page.NextCursor
		}
		if got := strings.Join(ids, ""); got != "abcde" {
			t.Errorf("limit %d: %s, want abcde", limit, got)
		}
	}
	for _, query := range []string{"limit=0", "limit=-1", "limit=201", "limit=x", "limit=1.5", "cursor=a/b", "cursor=%00"} {
		b.Admin("GET", pools+"?"+query, "").WantError(400, 2231, "invalid_request")
	}
}

// What was put in as a secret does not come out, and neither does what was made
// as one, but the once.
func TestSecretsStayInside(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	const appSecret, jwtSecret = "planted-app-secret", "planted-jwt-secret-0123456789abcdef"
	var made struct {
		Pool   json.RawMessage
		Secret string
	}
	b.Admin("POST", pools, `{"id":"p","jwtSecret":"`+jwtSecret+`",`+credentials+`}`).Want(201).Decode(&made)
	var second struct{ ID, Secret string }
	r := b.Admin("POST", pools+"/p/secrets", "").Want(201)
	r.Decode(&second)
	if want := fmt.Sprintf(`{"id":%q,"secret":%q,"createdAt":"2026-11-20T08:30:00.412Z"}`, second.ID, second.Secret); r.Body != want {
		t.Errorf("new secret\n%s\nwant\n%s", r.Body, want)
	}
	if made.Secret == second.Secret {
		t.Error("the two secrets are one")
	}
	for call, body := range map[string]string{
		"create":       string(made.Pool),
		"show":         b.Admin("GET", pools+"/p", "").Want(200).Body,
		"list":         b.Admin("GET", pools, "").Want(200).Body,
		"patch":        b.Admin("PATCH", pools+"/p", `{"appSecret":"`+appSecret+`"}`).Want(200).Body,
		"create again": b.Admin("POST", pools, `{"id":"p","jwtSecret":"`+jwtSecret+`",`+credentials+`}`).Want(409).Body,
	} {
		for _, secret := range []string{appSecret, jwtSecret, made.Secret, second.Secret, "appSecret", "jwtSecret", "***"} {
			if strings.Contains(body, secret) {
				t.Errorf("%s has %s: %s", call, secret, body)
			}
		}
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	path := pools + "/" + p.ID + "/secrets"
	b.Admin("POST", path, "").Want(201)
	b.Admin("POST", path, "").WantError(409, 4091, "secret_limit")
	b.Admin("DELETE", path+"/nobody", "").WantError(404, 4041, "secret_not_found")
	b.Admin("POST", pools+"/nobody/secrets", "").WantError(404, 2224, "pool_not_found")
	b.Admin("DELETE", pools+"/nobody/secrets/x", "").WantError(404, 2224, "pool_not_found")

	// Another pool's secret cannot be deleted from here.
	other := b.NewPool()
	var shown struct{ Secrets []struct{ ID string } }
	b.Admin("GET", pools+"/"+other.ID, "").Want(200).Decode(&shown)
	b.Admin("DELETE", path+"/"+shown.Secrets[0].ID, "").WantError(404, 4041, "secret_not_found")

	b.Admin("GET", pools+"/"+p.ID, "").Want(200).Decode(&shown)
	if r := b.Admin("DELETE", path+"/"+shown.Secrets[0].ID, "").Want(204); r.Body != "" {
		t.Errorf("204 with the body %q", r.Body)
	}
	b.Admin("POST", path, "").Want(201) // there is room again
}
