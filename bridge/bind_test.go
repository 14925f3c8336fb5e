package bridge_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"app2wxapp/bridge/bridgetest"
	"app2wxapp/userpool"
)

func bindPath(p bridgetest.Pool) string { return issuePath(p) + "/bind" }

const bindPool = `"signup":"bind"`

// begin signs in an unknown user and returns the state token as a member.
func begin(b *bridgetest.Bridge, p bridgetest.Pool, user string, members ...string) string {
	var got struct{ StateToken, Status string }
	b.Issue(p, user, members...).Want(200).Decode(&got)
	return member("stateToken", got.StateToken)
}

// imported stores a user with that phone.
func imported(b *bridgetest.Bridge, p bridgetest.Pool, id, phone string) {
	b.Admin("POST", "/admin/v1/pools/"+p.ID+"/users", object(member("id", id), member("phone", "+86"+phone))).Want(201)
}

// An unknown user's way into a pool of signup "bind": no ticket, a state token,
// and the ticket by the phone. The second login gives it at once.
func TestBindGolden(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(bindPool)
	r := b.Issue(p, "alice", userInfo, proofKey(), member("state", "n-0S6")).Want(200)
	var got struct{ StateToken string }
	r.Decode(&got)
	want := `{"code":202,"message":"请绑定已有账号或注册","status":"USER_REGISTER","stateToken":"` + got.StateToken +
		`","expiresIn":600,"expiresAt":"2026-11-20T08:40:00.412Z","ways":["wechatPhone"]}`
	if r.Body != want || len(got.StateToken) != 51 {
		t.Errorf("got\n%s\nwant\n%s", r.Body, want)
	}
	wantHeaders(t, r)

	body := object(member("stateToken", got.StateToken), b.PhoneCode("alice", "13800138000"), proofKey(), member("state", "n-0S6"))
	r = b.Post(bindPath(p), body).Want(200)
	var issued struct{ Ticket string }
	r.Decode(&issued)
	want = `{"code":200,"message":"授权成功","ticket":"` + issued.Ticket + `","expiresIn":120,"expiresAt":"2026-11-20T08:32:00.412Z",` +
		`"appParameter":"code=200&message=授权成功&ticket=` + issued.Ticket + `&state=n-0S6",` +
		`"user":{"nickname":"示例<&>用户","photo":"https://thirdwx.qlogo.cn/mmopen/vi_32/sample/132","phone":"138****8000"}}`
	if r.Body != want {
		t.Errorf("got\n%s\nwant\n%s", r.Body, want)
	}
	b.Redeem(p, issued.Ticket).WantError(400, 4001, "invalid_ticket") // the challenge holds
	u := redeem(b, p, issued.Ticket, member("code_verifier", verifier))
	if again := login(b, p, "alice"); again.ID != u.ID || again.LoginsCount != 2 {
		t.Errorf("second login: %+v, want user %s", again, u.ID)
	}
	b.Post(bindPath(p), body).WantError(400, 4003, "invalid_state_token")

	patch(b, p, `"bindRegister":false`)
	r = b.Issue(p, "bob").Want(200)
	if !strings.Contains(r.Body, `"status":"SOCIAL_BIND"`) || !strings.Contains(r.Body, `"请绑定已有账号"`) || strings.Contains(r.Body, "ticket=") || strings.Contains(r.Body, "appParameter") {
		t.Errorf("bind only: %s", r.Body)
	}
}

func TestBindErrors(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p, q := b.NewPool(bindPool, `"bindRegister":false`), b.NewPool(bindPool)
	imported(b, p, "known", "13800138000")
	imported(b, p, "blocked", "13800138001")
	b.Admin("PATCH", "/admin/v1/pools/"+p.ID+"/users/blocked", `{"blocked":true}`).Want(200)
	imported(b, p, "twin1", "13800138002")
	imported(b, p, "twin2", "13800138002")
	for _, row := range []struct {
		name         string
		pool         bridgetest.Pool
		members      []string
		status, code int
		slug         string
	}{
		{"no state token", p, []string{b.PhoneCode("alice", "13800138000")}, 400, 2231, "invalid_request"},
		{"no phone code", p, []string{begin(b, p, "alice")}, 400, 2231, "invalid_request"},
		{"state token too long", p, []string{member("stateToken", strings.Repeat("A", 600)), b.PhoneCode("alice", "13800138000")}, 400, 2231, "invalid_request"},
		{"wrong type", p, []string{`"stateToken":7`}, 400, 2231, "invalid_request"},
		{"a state that cannot be", p, []string{begin(b, p, "alice"), b.PhoneCode("alice", "13800138000"), member("state", "a&b")}, 400, 2231, "invalid_request"},
		{"plain challenge", p, []string{begin(b, p, "alice"), b.PhoneCode("alice", "13800138000"), member("code_challenge", challenge)}, 400, 2231, "invalid_request"},
		{"unknown state token", p, []string{member("stateToken", "rubbish"), b.PhoneCode("alice", "13800138000")}, 400, 4003, "invalid_state_token"},
		{"another pool's", q, []string{begin(b, p, "alice"), b.PhoneCode("alice", "13800138000")}, 400, 4003, "invalid_state_token"},
		{"another user's phone code", p, []string{begin(b, p, "alice"), b.PhoneCode("mallory", "13800138000")}, 400, 4002, "invalid_code"},
		{"a login code", p, []string{begin(b, p, "alice"), member("phoneCode", b.WeChat.LoginCode(bridgetest.AppID, "alice"))}, 400, 4002, "invalid_code"},
		{"no account", p, []string{begin(b, p, "alice"), b.PhoneCode("alice", "13900139000")}, 403, 4035, "account_not_found"},
		{"blocked", p, []string{begin(b, p, "alice"), b.PhoneCode("alice", "13800138001")}, 403, 2005, "user_blocked"},
		{"two accounts", p, []string{begin(b, p, "alice"), b.PhoneCode("alice", "13800138002")}, 409, 4093, "account_unclear"},
		{"the right phone", p, []string{begin(b, p, "alice"), b.PhoneCode("alice", "13800138000")}, 200, 0, ""},
		{"another WeChat user's account", p, []string{begin(b, p, "bob"), b.PhoneCode("bob", "13800138000")}, 409, 4092, "identity_taken"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := b.In(t).Post(bindPath(row.pool), object(row.members...))
			if row.status == 200 {
				r.Want(200)
				return
			}
			r.WantError(row.status, row.code, row.slug)
		})
	}
	b.Post("/oauth/app2wxapp/ticket/none/bind", object(member("stateToken", "x"))).WantError(404, 2224, "pool_not_found")
	if r := b.Issue(p, "bob"); !strings.Contains(r.Body, "SOCIAL_BIND") {
		t.Errorf("bob after all of it: %s", r.Body)
	}
}

func TestBindExpires(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(bindPool)
	late, last := begin(b, p, "alice"), begin(b, p, "bob")
	b.Clock.Turn(userpool.UnfinishedLife - time.Millisecond)
	b.Post(bindPath(p), object(last, b.PhoneCode("bob", "13900139000"))).Want(200)
	b.Clock.Turn(time.Millisecond)
	b.Post(bindPath(p), object(late, b.PhoneCode("alice", "13800138000"))).WantError(400, 4004, "state_token_expired")
}

// The tickets' rules hold for a sign-in that is finished, too.
func TestBindByTheTicketsRules(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(bindPool, `"allowedApps":["wxapp1"]`, `"pkceRequired":true`)
	launch := `"launch":{"appId":"wxapp1"}`
	b.Issue(p, "alice", launch).WantError(400, 2231, "invalid_request")
	b.Issue(p, "alice", proofKey()).WantError(403, 4033, "app_not_allowed")
	state := begin(b, p, "alice", launch, proofKey())
	b.Post(bindPath(p), object(state, b.PhoneCode("alice", "13800138000"))).WantError(400, 2231, "invalid_request")
	patch(b, p, `"allowedApps":["wxapp2"]`)
	b.Post(bindPath(p), object(state, b.PhoneCode("alice", "13800138000"), proofKey())).WantError(403, 4033, "app_not_allowed")
	patch(b, p, `"allowedApps":["wxapp1","wxapp2"]`, `"signup":"closed"`)
	b.Post(bindPath(p), object(state, b.PhoneCode("alice", "13800138000"), proofKey())).WantError(403, 4031, "signup_closed")
	patch(b, p, `"signup":"bind"`)
	b.Post(bindPath(p), object(state, b.PhoneCode("alice", "13800138000"), proofKey())).Want(200)
}

// Five failures end a sign-in, and sixty an address's patience.
func TestBindFailuresCount(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t, bridgetest.TrustProxies)
	p := b.NewPool(bindPool)
	state := begin(b, p, "alice")
	for range userpool.MaxFailures {
		b.Post(bindPath(p), object(state, b.PhoneCode("mallory", "13800138000")), from("203.0.113.1")).WantError(400, 4002, "invalid_code")
	}
	b.Post(bindPath(p), object(state, b.PhoneCode("alice", "13800138000")), from("203.0.113.1")).WantError(400, 4005, "too_many_tries")
	for i := range 60 {
		b.Post(bindPath(p), object(member("stateToken", fmt.Sprint("guess", i)), member("phoneCode", "x")), from("203.0.113.2")).WantError(400, 4003, "invalid_state_token")
	}
	state = begin(b, p, "alice")
	code := b.PhoneCode("alice", "13800138000")
	r := b.Post(bindPath(p), object(state, code), from("203.0.113.2"))
	r.WantError(429, 4290, "rate_limited")
	if r.Header.Get("Retry-After") == "" {
		t.Error("without Retry-After")
	}
	b.Post(bindPath(p), object(state, code), from("203.0.113.3")).Want(200)
}

// Of many who finish one sign-in at once, one gets a ticket.
func TestBindOnce(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(bindPool)
	for round := range 5 {
		user := fmt.Sprint("user", round)
		state := begin(b, p, user)
		var codes []string
		for range 12 {
			codes = append(codes, b.PhoneCode(user, fmt.Sprintf("1380013800%d", round)))
		}
		var tickets atomic.Int64
		var callers sync.WaitGroup
		gate := make(chan struct{})
		for _, code := range codes {
			callers.Go(func() {
				<-gate
				r := b.Post(bindPath(p), object(state, code))
				if r.Status == 200 {
					tickets.Add(1)
				} else if !strings.Contains(r.Body, "invalid_state_token") {
					t.Errorf("%d %s", r.Status, r.Body)
				}
			})
		}
		close(gate)
		callers.Wait()
		if tickets.Load() != 1 {
			t.Errorf("round %d: %d tickets, want 1", round, tickets.Load())
		}
	}
}

// An operator sees a user's identities and takes one away.
func TestUnbindByOperator(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	u := login(b, p, "alice")
	path := "/admin/v1/pools/" + p.ID + "/users/" + u.ID
	var got struct {
		Identities []struct{ ID, AppID, OpenID string }
	}
	b.Admin("GET", path, "").Want(200).Decode(&got)
	if len(got.Identities) != 1 || got.Identities[0].OpenID != u.OpenID || len(got.Identities[0].ID) != 32 {
		t.Fatalf("identities %+v", got.Identities)
	}
	b.Clock.Turn(time.Second)
	b.Admin("DELETE", path+"/identities/none", "").WantError(404, 4042, "identity_not_found")
	b.Admin("DELETE", path+"/identities/"+got.Identities[0].ID, "").Want(204)
	b.Admin("DELETE", path+"/identities/"+got.Identities[0].ID, "").WantError(404, 4042, "identity_not_found")
	wantToken(t, b, u.Token, 2207)
	if again := login(b, p, "alice"); again.ID == u.ID {
		t.Error("the WeChat user came in again")
	}
	r := b.Admin("GET", "/admin/v1/audit?type=identity.unbound", "").Want(200)
	if !strings.Contains(r.Body, `"actor":"operator"`) || strings.Contains(r.Body, u.OpenID) {
		t.Errorf("audit: %s", r.Body)
	}
}

func TestBindSettings(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(bindPool)
	path := "/admin/v1/pools/" + p.ID
	for body, want := range map[string]string{
		`{}`:                           `"bindWays":["wechatPhone"],"bindRegister":`,
		`{"bindRegister":false}`:       `"bindWays":["wechatPhone"],"bindRegister":false`,
		`{"bindWays":["wechatPhone"]}`: `"bindWays":["wechatPhone"],"bindRegister":`,
		`{"bindWays":null}`:            `"bindWays":["wechatPhone"],"bindRegister":`,
		`{"captcha":"off"}`:            `"captcha":"off"`,
		`{"captcha":"on"}`:             `"captcha":"on"`,
		`{"captcha":null}`:             `"captcha":"on"`,
	} {
		if r := b.Admin("PATCH", path, body).Want(200); !strings.Contains(r.Body, want) {
			t.Errorf("PATCH %s: %s", body, r.Body)
		}
	}
	for _, body := range []string{`{"bindWays":["pigeon"]}`, `{"bindWays":["wechatPhone","wechatPhone"]}`, `{"bindWays":"wechatPhone"}`, `{"bindRegister":1}`, `{"captcha":""}`, `{"captcha":"no"}`, `{"captcha":false}`} {
		b.Admin("PATCH", path, body).WantError(400, 2231, "invalid_request")
	}
}
