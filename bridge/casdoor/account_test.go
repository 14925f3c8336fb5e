package casdoor_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"

	"app2wxapp/bridge/bridgetest"
	"app2wxapp/wechat/sandbox"
)

func TestUserInfo(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	got := login(b, p, "alice")
	me := account(b, got.Access)
	want := fmt.Sprintf(`{"sub":%q,"iss":%q,"aud":%q}`, me["id"], b.URL, p.ID)
	for _, scheme := range []string{"Bearer", "bearer", "BEARER"} {
		if r := b.Do("GET", b.URL+"/v1/iam/oauth/userinfo", "", "Authorization: "+scheme+" "+got.Access); r.Status != 200 || r.Body != want {
			t.Errorf("%s: %d %s, want %s", scheme, r.Status, r.Body, want)
		}
	}
}

func TestGetAccount(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	got := login(b, p, "alice", "username", "Lee", "avatar", "https://img.example.com/1.png")
	r := b.Do("GET", b.URL+accountPath, "", bearer(got.Access)).Want(200)
	id := account(b, got.Access)["id"]
	open := openID("alice")
	want := fmt.Sprintf(`{"status":"ok","msg":"","sub":%[1]q,"name":"Lee","data":{"owner":%[2]q,"name":"Lee","createdTime":"2026-11-20T08:30:00Z",`+
		`"updatedTime":"2026-11-20T08:30:00Z","id":%[1]q,"type":"normal-user","password":"***","displayName":"Lee","firstName":"","lastName":"",`+
		`"avatar":"https://img.example.com/1.png","email":"","emailVerified":false,"phone":"","countryCode":"","region":"","location":"","affiliation":"",`+
		`"title":"","homepage":"","bio":"","language":"","gender":"","birthday":"","education":"","isAdmin":false,"isForbidden":false,"isDeleted":false,`+
		`"signupApplication":%[2]q,"wechat":%[3]q,"properties":{"wechatOpenId":%[3]q,"wechatUnionId":%[4]q},"roles":[],"permissions":[],"groups":[],`+
		`"accessToken":""},"data2":{"owner":"admin","name":%[2]q,"displayName":"Demo"},"data3":null}`, id, p.ID, open, sandbox.UnionID(bridgetest.Platform, "alice"))
	if r.Body != want {
		t.Errorf("get-account\n%s\nwant\n%s", r.Body, want)
	}
}

// The rows of the reference's section 10 about who calls.
func TestBearerErrors(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	var authing struct{ Token string }
	b.Redeem(p, b.Ticket(p, "alice")).Want(200).Decode(&authing)
	got, gone, blocked := login(b, p, "alice"), login(b, p, "bob"), login(b, p, "carol")
	form(b, "/v1/iam/oauth/revoke", "token", gone.Access, "client_id", p.ID).Want(200)
	b.Admin("PATCH", "/admin/v1/pools/"+p.ID+"/users/"+account(b, blocked.Access)["id"].(string), `{"blocked":true}`).Want(200)
	const unknown = "Access token doesn't exist in database"
	calls := map[string]func(...string) bridgetest.Response{
		"userinfo":    func(h ...string) bridgetest.Response { return b.Do("GET", b.URL+"/v1/iam/oauth/userinfo", "", h...) },
		"get-account": func(h ...string) bridgetest.Response { return b.Do("GET", b.URL+accountPath, "", h...) },
		"update-user": func(h ...string) bridgetest.Response { return update(b, "", `{"displayName":"x"}`, h...) },
	}
	for name, call := range calls {
		wantEnvelope(t, name+" without a token", call(), 401, "Please login first")
		wantEnvelope(t, name+" with an empty one", call("Authorization: Bearer "), 401, "Please login first")
		wantEnvelope(t, name+" with another scheme", call("Authorization: Digest x"), 401, "Please login first")
		wantEnvelope(t, name+" with the token alone", call("Authorization: "+got.Access), 401, "Please login first")
		wantEnvelope(t, name+" with nonsense", call(bearer("nonsense")), 401, unknown)
		wantEnvelope(t, name+" with a revoked one", call(bearer(gone.Access)), 401, unknown)
		wantEnvelope(t, name+" with a refresh token", call(bearer(got.Refresh)), 401, unknown)
		wantEnvelope(t, name+" with Authing's", call(bearer(authing.Token)), 401, unknown)
		wantEnvelope(t, name+" of a blocked user", call(bearer(blocked.Access)), 403, "The user is forbidden to sign in, please contact the administrator")
	}
	wantEnvelope(t, "token in the query", b.Do("GET", b.URL+accountPath+"?access_token="+got.Access+"&accessToken="+got.Access, ""), 401, "Please login first")
	wantEnvelope(t, "secret in the query", b.Do("GET", b.URL+accountPath+"?clientId="+p.ID+"&clientSecret="+p.Secret, ""), 401, "Please login first")
	b.Clock.Turn(15 * 24 * time.Hour)
	for name, call := range calls {
		wantEnvelope(t, name+" at its end", call(bearer(got.Access)), 401, "Access token has expired")
	}
}

const affected, unaffected = `"data":"Affected"`, `"data":"Unaffected"`

// The call of the vendor's page: display name and avatar change, and nothing
// else is touched.
func TestUpdateUserAsDocumented(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	b.NewPool(es256, `"id":"test"`)
	p := bridgetest.Pool{ID: "test"}
	b.Ticket(p, "alice", b.PhoneCode("alice", "13800138000"), `"userInfo":{"gender":2,"city":"Hangzhou"}`)
	got := login(b, p, "alice")
	before := account(b, got.Access)
	b.Clock.Turn(time.Minute)
	body := fmt.Sprintf(`{"owner":"test","name":"wechat-%s","displayName":"李","avatar":"https://img.example.com/2.png"}`, openID("alice"))
	for i, want := range []string{affected, unaffected} {
		r := b.Do("POST", b.URL+"/api/update-user", body, "Authorization: Bearer "+got.Access, "Content-Type: application/json").Want(200)
		if r.Body != `{"status":"ok","msg":"","sub":"","name":"",`+want+`,"data2":null,"data3":null}` {
			t.Errorf("update %d: %s", i+1, r.Body)
		}
	}
	after := account(b, got.Access)
	want := maps.Clone(before)
	want["displayName"], want["avatar"], want["updatedTime"] = "李", "https://img.example.com/2.png", "2026-11-20T08:31:00Z"
	if !sameJSON(t, after, want) {
		t.Errorf("after the update\n%v\nwant\n%v", after, want)
	}
	if again := account(b, login(b, p, "alice").Access); again["id"] != before["id"] || again["phone"] != "13800138000" {
		t.Errorf("the next sign-in: %v", again)
	}
}

func sameJSON(t *testing.T, a, b any) bool {
	t.Helper()
	x, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(x) == string(y)
}

// Whoever posts back what get-account gave changes nothing.
func TestUpdateUserWithWholeAccount(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	b.Ticket(p, "alice", b.PhoneCode("alice", "13800138000"))
	got := login(b, p, "alice", "username", "Lee")
	me := account(b, got.Access)
	whole, err := json.Marshal(me)
	if err != nil {
		t.Fatal(err)
	}
	if r := update(b, "?id="+url.QueryEscape(p.ID+"/Lee"), string(whole), bearer(got.Access)).Want(200); !strings.Contains(r.Body, unaffected) {
		t.Errorf("the whole account: %s", r.Body)
	}
	// The example's form.
	r := update(b, "?columns=display_name,avatar,email,phone,password", `{"name":"Lee","displayName":"Lee Wei","avatar":"","email":"","phone":"13800138000","password":"***","title":"not named"}`, bearer(got.Access)).Want(200)
	if now := account(b, got.Access); !strings.Contains(r.Body, affected) || now["displayName"] != "Lee Wei" || now["title"] != "" || now["phone"] != "13800138000" {
		t.Errorf("the example's form: %s, then %v", r.Body, now)
	}
	if !sameJSON(t, account(b, got.Access)["properties"], me["properties"]) {
		t.Error("the properties changed")
	}
}

func TestUpdateUserColumns(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	got := login(b, p, "alice")
	all := map[string]string{
		"displayName": "李", "avatar": "https://img.example.com/1.png", "language": "zh_CN", "gender": "Female", "firstName": "Wei", "lastName": "Li",
		"region": "CN", "location": "Hangzhou", "affiliation": "示例公司", "title": "CTO", "homepage": "https://example.com/", "bio": "…",
		"birthday": "1990-01-01", "education": "BSc",
	}
	body, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	if r := update(b, "", string(body), bearer(got.Access)).Want(200); !strings.Contains(r.Body, affected) {
		t.Errorf("all columns: %s", r.Body)
	}
	me := account(b, got.Access)
	for name, want := range all {
		if me[name] != want {
			t.Errorf("%s is %v, want %s", name, me[name], want)
		}
	}
	update(b, "?columns=bio,first_name", `{"bio":"","firstName":"W","title":"lost"}`, bearer(got.Access)).Want(200)
	if me := account(b, got.Access); me["bio"] != "" || me["firstName"] != "W" || me["title"] != "CTO" {
		t.Errorf("with columns: %v", me)
	}
	if r := update(b, "?columns=", `{"title":"lost"}`, bearer(got.Access)).Want(200); !strings.Contains(r.Body, unaffected) {
		t.Errorf("no columns: %s", r.Body)
	}
	if r := update(b, "", `{"title":null,"roles":[{"a":1}],"ranking":7,"properties":null,"isAdmin":null}`, bearer(got.Access)).Want(200); !strings.Contains(r.Body, unaffected) {
		t.Errorf("nulls and unknown fields: %s", r.Body)
	}
}

// The rows of the reference's section 10 about what is changed.
func TestUpdateUserErrors(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(es256)
	b.Ticket(p, "alice", b.PhoneCode("alice", "13800138000"), `"userInfo":{"nickName":"Lee"}`)
	got := login(b, p, "alice", "username", "Lee")
	bob := account(b, login(b, p, "bob", "username", "Bob").Access)
	before := account(b, got.Access)
	const other = "Unauthorized operation"
	for _, row := range []struct {
		query, body string
		status      int
		msg         string
	}{
		{"", `{"owner":"other","displayName":"x"}`, 403, other},
		{"", `{"name":"Bob","displayName":"x"}`, 403, other},
		{"", `{"name":"lee","displayName":"x"}`, 403, other},
		{"?id=" + p.ID + "/Bob", `{"displayName":"x"}`, 403, other},
		{"?id=other/Lee", `{"displayName":"x"}`, 403, other},
		{"?owner=" + p.ID + "&userId=" + bob["id"].(string), `{"displayName":"x"}`, 403, other},
		{"", `{"id":"` + bob["id"].(string) + `","displayName":"x"}`, 403, "The ID is immutable."},
		{"", `{"type":"admin"}`, 403, "Only admin can modify the User type."},
		{"", `{"isAdmin":true}`, 403, "Only admin can modify the Is admin."},
		{"", `{"isForbidden":true}`, 403, "Only admin can modify the Is forbidden."},
		{"", `{"isDeleted":true}`, 403, "Only admin can modify the Is deleted."},
		{"", `{"phone":"13900139000"}`, 403, "Only admin can modify the Phone."},
		{"", `{"phone":""}`, 403, "Only admin can modify the Phone."},
		{"", `{"countryCode":"US"}`, 403, "Only admin can modify the Country code."},
		{"", `{"email":"lee@example.com"}`, 403, "Only admin can modify the Email."},
		{"", `{"wechat":"o"}`, 403, "Only admin can modify the WeChat."},
		{"", `{"wechat":""}`, 403, "Only admin can modify the WeChat."},
		{"", `{"properties":{"wechatOpenId":""}}`, 403, "Only admin can modify the Properties."},
		{"", `{"properties":{"other":"x"}}`, 403, "Only admin can modify the Properties."},
		{"", `{"signupApplication":"x"}`, 403, "Only admin can modify the Signup application."},
		{"", `{"password":"123456"}`, 403, "Only admin can modify the Password."},
		{"", `{"displayName":""}`, 400, "Display name cannot be empty"},
		{"", `{"displayName":" "}`, 400, "Display name cannot be empty"},
		{"", `{"displayName":"` + strings.Repeat("长", 65) + `"}`, 400, "displayName must be at most 64 characters"},
		{"", `{"displayName":1}`, 400, "displayName must be a string"},
		{"", `{"avatar":"http://example.com/a.png"}`, 400, "avatar must be an https URL of at most 512 bytes"},
		{"", `{"avatar":"javascript:alert(1)"}`, 400, "avatar must be an https URL of at most 512 bytes"},
		{"", `{"gender":"x"}`, 400, "gender must be Male or Female"},
		{"", `{"firstName":"` + strings.Repeat("a", 513) + `"}`, 400, "firstName must be at most 512 bytes"},
		{"", `{"isAdmin":"true"}`, 400, "isAdmin must be true or false"},
		{"", `{"properties":[]}`, 400, "properties must be an object of strings"},
		{"", `{"displayName":"a","displayName":"b"}`, 400, "body must be valid JSON in UTF-8, with each name once"},
		{"", `[]`, 400, "body must be a JSON object"},
		{"", ``, 400, "body must be a JSON object"},
		{"", `{"bio":"` + strings.Repeat("a", 64<<10) + `"}`, 413, "the body must not exceed 64 KiB"},
		{"?id=x", `{"displayName":"x"}`, 400, "id must be owner/name"},
		{"?id=%zz", `{"displayName":"x"}`, 400, "query must be well-formed"},
	} {
		name := row.query + " " + row.body[:min(len(row.body), 60)]
		wantEnvelope(t, name, update(b, row.query, row.body, bearer(got.Access)), row.status, row.msg)
	}
	if after := account(b, got.Access); !sameJSON(t, after, before) {
		t.Errorf("after the refusals\n%v\nwant\n%v", after, before)
	}
}

// A back end writes the phone and the e-mail, of its own users only.
func TestUpdateUserAsApplication(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p, other := b.NewPool(es256), b.NewPool(es256)
	got := login(b, p, "alice", "username", "Lee")
	me := account(b, got.Access)
	id := me["id"].(string)
	one := "?id=" + url.QueryEscape(p.ID+"/Lee")
	for _, row := range []struct{ query, body, name, want string }{
		{one + "&columns=phone,countryCode", `{"owner":"` + p.ID + `","name":"Lee","phone":"13800138000","countryCode":"CN","displayName":"not named"}`, "phone", "13800138000"},
		{one + "&columns=phone", `{"phone":"+85261234567"}`, "phone", "+85261234567"},
		{one, `{"email":"lee@example.com"}`, "email", "lee@example.com"},
		{"?owner=" + p.ID + "&userId=" + id, `{"displayName":"李"}`, "displayName", "李"},
		{"", `{"owner":"` + p.ID + `","name":"Lee","title":"CTO"}`, "title", "CTO"},
		{one, `{"phone":""}`, "phone", ""},
	} {
		r := b.Do("POST", b.URL+"/api/update-user"+row.query, row.body, "Content-Type: text/plain;charset=UTF-8", basic(p)).Want(200)
		if now := account(b, got.Access); !strings.Contains(r.Body, affected) || now[row.name] != row.want {
			t.Errorf("%s: %s, then %s is %v, want %s", row.body, r.Body, row.name, now[row.name], row.want)
		}
	}
	now := account(b, got.Access)
	if now["email"] != "lee@example.com" || now["wechat"] != me["wechat"] || now["id"] != id || now["type"] != "normal-user" {
		t.Errorf("partial updates left %v", now)
	}
	var events struct{ Items []struct{ Type string } }
	b.Admin("GET", "/admin/v1/audit?type=user.phone_changed", "").Want(200).Decode(&events)
	if len(events.Items) != 2 {
		t.Errorf("%d changes of the phone in the audit trail, want 2", len(events.Items))
	}
	const bad = "Invalid application or wrong clientSecret"
	for _, row := range []struct {
		name, query, body, header string
		status                    int
		msg                       string
	}{
		{"wrong secret", one, `{"displayName":"x"}`, basic(bridgetest.Pool{ID: p.ID, Secret: "wrong"}), 401, bad},
		{"no secret", one, `{"displayName":"x"}`, basic(bridgetest.Pool{ID: p.ID}), 401, bad},
		{"another pool's user", "?id=" + p.ID + "/Lee", `{"displayName":"x"}`, basic(other), 403, "Unauthorized operation"},
		{"another pool's user by id", "?userId=" + id, `{"displayName":"x"}`, basic(other), 404, "The user does not exist"},
		{"nobody", "?id=" + p.ID + "/Nobody", `{"displayName":"x"}`, basic(p), 404, "The user does not exist"},
		{"no selection", "", `{"displayName":"x"}`, basic(p), 400, "id is required: owner/name"},
		{"type", one, `{"type":"admin"}`, basic(p), 403, "Only admin can modify the User type."},
		{"wechat", one, `{"wechat":"o"}`, basic(p), 403, "Only admin can modify the WeChat."},
		{"phone", one, `{"phone":"13800138000"}`, basic(p), 400, "phone must be in E.164, such as +8613800138000"},
		{"email", one, `{"email":"lee"}`, basic(p), 400, "email must be an e-mail address"},
		{"two records", one, `{"name":"Bob","displayName":"x"}`, basic(p), 403, "Unauthorized operation"},
	} {
		r := update(b, row.query, row.body, row.header)
		if row.status == 401 { // who shows a secret is asked for one
			if r.Status != 401 || !strings.Contains(r.Body, row.msg) {
				t.Errorf("%s: %d %s", row.name, r.Status, r.Body)
			}
			continue
		}
		wantEnvelope(t, row.name, r, row.status, row.msg)
	}
	wantEnvelope(t, "get-account as an application", b.Do("GET", b.URL+accountPath, "", basic(p)), 401, "Please login first")
}
