package bridge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"app2wxapp/bridge/bridgetest"
)

const (
	passwordPool = bindPool + `,"bindWays":["password","wechatPhone"]`
	goodPassword = "correct horse battery"
)

func usersPath(p bridgetest.Pool) string { return "/admin/v1/pools/" + p.ID + "/users" }

// withPassword imports a user with that username and password.
func withPassword(b *bridgetest.Bridge, p bridgetest.Pool, id, username, password string) {
	b.Admin("POST", usersPath(p), object(member("id", id), member("username", username), member("password", password))).Want(201)
}

// An unknown WeChat user shows by username and password whose account it is.
func TestBindByPassword(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(passwordPool)
	withPassword(b, p, "known", "Lee", goodPassword)
	r := b.Issue(p, "alice").Want(200)
	if !strings.Contains(r.Body, `"ways":["password","wechatPhone"]`) {
		t.Errorf("begun: %s", r.Body)
	}
	state := begin(b, p, "alice")
	b.Post(bindPath(p), object(state, member("username", "Lee"), member("password", "wrong password"))).WantError(400, 2333, "invalid_password")
	b.Post(bindPath(p), object(state, member("username", "Kim"), member("password", goodPassword))).WantError(400, 2333, "invalid_password")
	for _, members := range [][]string{
		{member("username", "Lee")}, {member("password", goodPassword)}, {member("username", "Lee"), `"password":7`},
		{member("username", "Lee"), member("password", goodPassword), b.PhoneCode("alice", "13800138000")},
		{member("username", "Lee"), member("password", strings.Repeat("a", 257))}, {member("username", "L e"), member("password", goodPassword)},
	} {
		b.Post(bindPath(p), object(append(members, state)...)).WantError(400, 2231, "invalid_request")
	}
	var issued struct{ Ticket string }
	b.Post(bindPath(p), object(state, member("username", "Lee"), member("password", goodPassword))).Want(200).Decode(&issued)
	if u := redeem(b, p, issued.Ticket); u.ID != "known" {
		t.Errorf("redeemed %+v, want user known", u)
	}
	if again := login(b, p, "alice"); again.ID != "known" {
		t.Errorf("second login: %+v", again)
	}
	b.Post(bindPath(p), object(begin(b, p, "bob"), member("username", "Lee"), member("password", goodPassword))).WantError(409, 4092, "identity_taken")
	patch(b, p, `"bindWays":["wechatPhone"]`)
	b.Post(bindPath(p), object(begin(b, p, "bob"), member("username", "Lee"), member("password", goodPassword))).WantError(403, 4036, "way_not_allowed")
}

// Strangers who fail slow down themselves, and nobody at home.
func TestPasswordsAreLimited(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t, bridgetest.TrustProxies)
	p := b.NewPool(passwordPool)
	withPassword(b, p, "known", "Lee", goodPassword)
	show := func(user, password, addr string) bridgetest.Response {
		return b.Post(bindPath(p), object(begin(b, p, user), member("username", "Lee"), member("password", password)), from(addr))
	}
	show("alice", goodPassword, "203.0.113.7").Want(200)
	for i := range 5 {
		show(fmt.Sprint("mallory", i), "wrong password", "198.51.100.1").WantError(400, 2333, "invalid_password")
	}
	r := show("mallory", "wrong password", "198.51.100.1")
	r.WantError(429, 4290, "rate_limited")
	if r.Header.Get("Retry-After") != "12" {
		t.Errorf("Retry-After %q, want 12", r.Header.Get("Retry-After"))
	}
	show("bob", goodPassword, "203.0.113.7").WantError(409, 4092, "identity_taken") // the password was right
	b.Clock.Turn(12 * time.Second)
	show("mallory", "wrong password", "198.51.100.1").WantError(400, 2333, "invalid_password")
}

// An operator gives users passwords, or hashes of them, and takes them away.
func TestPasswordsByOperator(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(passwordPool)
	const bcrypt = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
	r := b.Admin("POST", usersPath(p), object(member("id", "known"), member("username", "Lee"), member("passwordHash", bcrypt))).Want(201)
	if !strings.Contains(r.Body, `"passwordSetAt":"2026-11-20T08:30:00.412Z"`) || strings.Contains(r.Body, bcrypt) {
		t.Errorf("created: %s", r.Body)
	}
	path := usersPath(p) + "/known"
	try := func(password string) int {
		return b.Post(bindPath(p), object(begin(b, p, fmt.Sprint("user of ", password)), member("username", "Lee"), member("password", password))).Status
	}
	if got := try("U*U"); got != 200 {
		t.Errorf("the imported password: %d", got)
	}
	var u struct{ PasswordSetAt, SignedOutAt *string }
	b.Clock.Turn(time.Second)
	b.Admin("PATCH", path, object(member("password", goodPassword))).Want(200).Decode(&u)
	if u.PasswordSetAt == nil || u.SignedOutAt == nil || *u.PasswordSetAt != *u.SignedOutAt {
		t.Errorf("set anew: %+v", u)
	}
	b.Clock.Turn(time.Millisecond) // what is looked at in that very millisecond may have been the old one
	if old, fresh := try("U*U"), try(goodPassword); old != 400 || fresh != 409 {
		t.Errorf("the old password %d, the new one %d, want 400 and 409 for an account that is bound", old, fresh)
	}
	b.Admin("PATCH", path, `{"password":null}`).Want(200).Decode(&u)
	if u.PasswordSetAt != nil || try(goodPassword) != 400 {
		t.Errorf("taken away: %+v", u)
	}
	for _, body := range []string{
		`{"password":"seven77"}`, `{"password":""}`, `{"password":7}`, `{"passwordHash":""}`, `{"passwordHash":"md5"}`,
		`{"password":"12345678","passwordHash":"` + bcrypt + `"}`, `{"password":"12345678","blocked":true}`, `{"password":null,"blocked":false}`,
		object(member("password", strings.Repeat("密", 86))),
	} {
		b.Admin("PATCH", path, body).WantError(400, 2231, "invalid_request")
	}
	b.Admin("POST", usersPath(p), object(member("password", goodPassword), member("passwordHash", bcrypt))).WantError(400, 2231, "invalid_request")
	b.Admin("POST", usersPath(p), object(member("id", "known"), member("password", goodPassword))).WantError(409, 2026, "user_exists")
	b.Admin("PATCH", usersPath(p)+"/nobody", object(member("password", goodPassword))).WantError(404, 2004, "user_not_found")
	trail := b.Admin("GET", "/admin/v1/audit?type=password.removed", "").Want(200).Body
	if !strings.Contains(trail, `"userId":"known"`) || !strings.Contains(trail, `"actor":"operator"`) {
		t.Errorf("audit: %s", trail)
	}
}
