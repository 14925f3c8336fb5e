package admin_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"app2wxapp/bridge/bridgetest"
	"app2wxapp/userpool"
	"app2wxapp/wechat/sandbox"
)

// A user who moves here keeps their id, and is found at their first login.
func TestMovedUser(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	users := pools + "/" + p.ID + "/users"
	union, open := sandbox.UnionID(bridgetest.Platform, "alice"), sandbox.OpenID(bridgetest.AppID, "alice")
	r := b.Admin("POST", users, fmt.Sprintf(`{"id":"64b8012fa9b8c7d6e5f40312","unionid":%q,"openid":%q,"phone":"+8613800138000","email":"Amy@Example.com",`+
		`"username":"amy_01","nickname":"甲","photo":"https://example.com/a.png","registerMethod":"oauth:app2wxapp"}`, union, open)).Want(201)
	id := userpool.User{PoolID: p.ID, ID: "64b8012fa9b8c7d6e5f40312"}.IdentityID(userpool.Identity{AppID: bridgetest.AppID, OpenID: open})
	format := `{"id":"64b8012fa9b8c7d6e5f40312","poolId":%q,"unionid":%q,"identities":[{"id":%q,"appId":%q,"openid":%q}],"phone":"138****8000","email":"a****@example.com",` +
		`"username":"amy_01","nickname":"甲","photo":"https://example.com/a.png","registerMethod":"oauth:app2wxapp","blocked":%t,"loginsCount":%d,` +
		`"lastLogin":%s,"lastIP":%q,"signedOutAt":%s,"signedUp":"2026-11-20T08:30:00.412Z","updatedAt":%q,"passwordSetAt":null,"totp":null}`
	want := fmt.Sprintf(format, p.ID, union, id, bridgetest.AppID, open, false, 0, "null", "", "null", "2026-11-20T08:30:00.412Z")
	if r.Body != want {
		t.Errorf("created\n%s\nwant\n%s", r.Body, want)
	}
	one := users + "/64b8012fa9b8c7d6e5f40312"
	if r := b.Admin("GET", one, "").Want(200); r.Body != want {
		t.Errorf("shown\n%s\nwant\n%s", r.Body, want)
	}

	b.Clock.Turn(time.Second)
	var u struct {
		ID, Phone string
	}
	b.Redeem(p, b.Ticket(p, "alice")).Want(200).Decode(&u)
	if u.ID != "64b8012fa9b8c7d6e5f40312" || u.Phone != "13800138000" {
		t.Errorf("signed in as %+v, want the moved user with their phone", u)
	}
	want = fmt.Sprintf(format, p.ID, union, id, bridgetest.AppID, open, false, 1, `"2026-11-20T08:30:01.412Z"`, "127.0.0.1", "null", "2026-11-20T08:30:00.412Z")
	if r := b.Admin("GET", one, "").Want(200); r.Body != want {
		t.Errorf("after a login\n%s\nwant\n%s", r.Body, want)
	}

	b.Clock.Turn(time.Second)
	want = fmt.Sprintf(format, p.ID, union, id, bridgetest.AppID, open, true, 1, `"2026-11-20T08:30:01.412Z"`, "127.0.0.1", `"2026-11-20T08:30:02.412Z"`, "2026-11-20T08:30:02.412Z")
	if r := b.Admin("PATCH", one, `{"blocked":true}`).Want(200); r.Body != want {
		t.Errorf("blocked\n%s\nwant\n%s", r.Body, want)
	}
	b.Clock.Turn(time.Second)
	for _, nothing := range []string{``, `{}`} {
		if r := b.Admin("PATCH", one, nothing).Want(200); r.Body != want {
			t.Errorf("patched with nothing\n%s\nwant\n%s", r.Body, want)
		}
	}
	want = fmt.Sprintf(format, p.ID, union, id, bridgetest.AppID, open, false, 1, `"2026-11-20T08:30:01.412Z"`, "127.0.0.1", `"2026-11-20T08:30:02.412Z"`, "2026-11-20T08:30:03.412Z")
	if r := b.Admin("PATCH", one, `{"blocked":null}`).Want(200); r.Body != want {
		t.Errorf("let in again\n%s\nwant\n%s", r.Body, want)
	}
	b.Clock.Turn(time.Second)
	want = fmt.Sprintf(format, p.ID, union, id, bridgetest.AppID, open, false, 1, `"2026-11-20T08:30:01.412Z"`, "127.0.0.1", `"2026-11-20T08:30:04.412Z"`, "2026-11-20T08:30:04.412Z")
	if r := b.Admin("POST", one+"/revoke", "").Want(200); r.Body != want {
		t.Errorf("signed out\n%s\nwant\n%s", r.Body, want)
	}
}

func TestCreateUserRefuses(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p, other := b.NewPool(), b.NewPool()
	users := pools + "/" + p.ID + "/users"
	const taken = `{"id":"taken","unionid":"u-taken","openid":"o-taken","username":"n-taken","phone":"+8613800138000"}`
	b.Admin("POST", users, taken).Want(201)
	for _, body := range []string{taken, `{"id":"taken"}`, `{"unionid":"u-taken"}`, `{"openid":"o-taken"}`, `{"username":"n-taken"}`} {
		b.Admin("POST", users, body).WantError(409, 2026, "user_exists")
	}
	b.Admin("POST", users, `{"phone":"+8613800138000"}`).Want(201) // numbers are not unique
	b.Admin("POST", pools+"/"+other.ID+"/users", taken).Want(201)  // and pools share nothing
	b.Admin("POST", pools+"/nobody/users", taken).WantError(404, 2224, "pool_not_found")
	for body, field := range map[string]string{
		`{"id":"a/b"}`: "id",
		`{"id":"` + strings.Repeat("a", 65) + `"}`:        "id",
		`{"phone":"13800138000"}`:                         "phone",
		`{"registerMethod":"a\u0007"}`:                    "registerMethod",
		`{"phone":"+86138001380001380"}`:                  "phone",
		`{"phone":"+0123456789"}`:                         "phone",
		`{"unionid":"联"}`:                                 "unionid",
		`{"username":"a/b"}`:                              "username",
		`{"username":"a b"}`:                              "username",
		`{"username":"` + strings.Repeat("a", 256) + `"}`: "username",
		`{"openid":"a b"}`:                                "openid",
		`{"nickname":"a\u0007"}`:                          "nickname",
		`{"photo":"http://example.com/a.png"}`:            "photo",
		`{"blocked":true}`:                                "blocked",
		`{"loginsCount":7}`:                               "loginsCount",
		`{"Phone":"+8613800138000"}`:                      "phone",
	} {
		wantField(t, b.Admin("POST", users, body).WantError(400, 2231, "invalid_request"), body, field)
	}
}

func TestUserNotFound(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p, other := b.NewPool(), b.NewPool()
	b.Admin("POST", pools+"/"+other.ID+"/users", `{"id":"theirs"}`).Want(201)
	for _, path := range []string{p.ID + "/users/nobody", p.ID + "/users/theirs", p.ID + "/users/a%2Fb"} {
		b.Admin("GET", pools+"/"+path, "").WantError(404, 2004, "user_not_found")
		b.Admin("PATCH", pools+"/"+path, `{"blocked":true}`).WantError(404, 2004, "user_not_found")
		b.Admin("PATCH", pools+"/"+path, ``).WantError(404, 2004, "user_not_found")
	}
	b.Admin("POST", pools+"/"+p.ID+"/users/theirs/revoke", "").WantError(404, 2004, "user_not_found")
	b.Admin("GET", pools+"/nobody/users/theirs", "").WantError(404, 2224, "pool_not_found")
	b.Admin("PATCH", pools+"/nobody/users/theirs", `{"blocked":true}`).WantError(404, 2224, "pool_not_found")

	b.Admin("POST", pools+"/"+p.ID+"/users", `{"id":"mine"}`).Want(201)
	for _, body := range []string{`{"blocked":"true"}`, `{"Blocked":true}`, `{"nickname":"x"}`, `{"blocked":true,"blocked":true}`, `x`} {
		b.Admin("PATCH", pools+"/"+p.ID+"/users/mine", body).WantError(400, 2231, "invalid_request")
	}
}
