package bridge_test

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"app2wxapp/bridge/bridgetest"
	"app2wxapp/userpool"
)

func codePath(p bridgetest.Pool) string { return issuePath(p) + "/code" }

const codesPool = `"signup":"bind","bindWays":["wechatPhone","smsCode","emailCode"]`

// send asks for a code for the sign-in of that state token, which is a member.
func send(b *bridgetest.Bridge, p bridgetest.Pool, state, to string) bridgetest.Response {
	if strings.Contains(to, "@") {
		return b.Post(codePath(p), object(state, member("way", "emailCode"), member("email", to)))
	}
	return b.Post(codePath(p), object(state, member("way", "smsCode"), member("phone", to)))
}

// shown returns the members that show the last code that was sent there.
func shown(b *bridgetest.Bridge, to string) string {
	if strings.Contains(to, "@") {
		return member("email", to) + "," + member("emailCode", b.Outbox.Last(to))
	}
	return member("phone", to) + "," + member("smsCode", b.Outbox.Last(to))
}

const mobile, address = "+8613800138000", "user@example.com"

// A code by SMS or by e-mail finishes a sign-in.
func TestCodeGolden(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(codesPool, b.Outbox.Senders())
	r := b.Issue(p, "alice").Want(200)
	if !strings.Contains(r.Body, `"ways":["wechatPhone","smsCode","emailCode"]`) {
		t.Errorf("ways: %s", r.Body)
	}
	for user, to := range map[string]string{"alice": mobile, "bob": address} {
		state := begin(b, p, user)
		if r := send(b, p, state, to).Want(200); r.Body != `{"code":200,"message":"验证码已发送","expiresIn":300}` {
			t.Errorf("sent to %s: %s", user, r.Body)
		}
		var issued struct{ Ticket string }
		b.Post(bindPath(p), object(state, shown(b, to))).Want(200).Decode(&issued)
		u := redeem(b, p, issued.Ticket)
		var phone *string
		if user == "alice" {
			local := mobile[3:]
			phone = &local
		}
		if (u.Phone == nil) != (phone == nil) || phone != nil && *u.Phone != *phone || u.EmailVerified != (user == "bob") {
			t.Errorf("%s: phone %v, emailVerified %v", user, u.Phone, u.EmailVerified)
		}
		if again := login(b, p, user); again.ID != u.ID {
			t.Errorf("%s signs in as %s, want %s", user, again.ID, u.ID)
		}
	}
	r = b.Post(codePath(p), object(begin(b, p, "carol"), member("way", "emailCode"), member("email", "Carol@Example.com")), "Accept-Language: en").Want(200)
	if r.Body != `{"code":200,"message":"the code is on its way","expiresIn":300}` {
		t.Errorf("in English: %s", r.Body)
	}
	sent := b.Outbox.Sent()
	if m := sent[len(sent)-1]; m.To != "carol@example.com" || m.Language != "en" || m.Purpose != "bind" || m.ExpiresIn != 300 {
		t.Errorf("sent %+v", m)
	}
}

func TestCodeErrors(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p, plain := b.NewPool(codesPool, b.Outbox.Senders()), b.NewPool(bindPool)
	sms, mail := member("way", "smsCode"), member("way", "emailCode")
	for _, row := range []struct {
		name         string
		pool         bridgetest.Pool
		members      []string
		status, code int
		slug         string
	}{
		{"no state token", p, []string{sms, member("phone", mobile)}, 400, 2231, "invalid_request"},
		{"no way", p, []string{begin(b, p, "alice"), member("phone", mobile)}, 400, 2231, "invalid_request"},
		{"a way that is none", p, []string{begin(b, p, "alice"), member("way", "pigeon"), member("phone", mobile)}, 400, 2231, "invalid_request"},
		{"a way without codes", p, []string{begin(b, p, "alice"), member("way", "wechatPhone"), member("phone", mobile)}, 400, 2231, "invalid_request"},
		{"no phone", p, []string{begin(b, p, "alice"), sms}, 400, 2231, "invalid_request"},
		{"a local phone", p, []string{begin(b, p, "alice"), sms, member("phone", "13800138000")}, 400, 2231, "invalid_request"},
		{"both", p, []string{begin(b, p, "alice"), sms, member("phone", mobile), member("email", address)}, 400, 2231, "invalid_request"},
		{"an e-mail by SMS", p, []string{begin(b, p, "alice"), sms, member("email", address)}, 400, 2231, "invalid_request"},
		{"a phone by e-mail", p, []string{begin(b, p, "alice"), mail, member("phone", mobile)}, 400, 2231, "invalid_request"},
		{"no address", p, []string{begin(b, p, "alice"), mail, member("email", "user@localhost")}, 400, 2231, "invalid_request"},
		{"wrong type", p, []string{begin(b, p, "alice"), sms, `"phone":13800138000`}, 400, 2231, "invalid_request"},
		{"unknown state token", p, []string{member("stateToken", "rubbish"), sms, member("phone", mobile)}, 400, 4003, "invalid_state_token"},
		{"a huge state token", p, []string{member("stateToken", strings.Repeat("A", 6000)), sms, member("phone", mobile)}, 400, 4003, "invalid_state_token"},
		{"another pool's state token", p, []string{begin(b, plain, "alice"), sms, member("phone", mobile)}, 400, 4003, "invalid_state_token"},
		{"not the pool's way", plain, []string{begin(b, plain, "alice"), sms, member("phone", mobile)}, 403, 4036, "way_not_allowed"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b.In(t).Post(codePath(row.pool), object(row.members...)).WantError(row.status, row.code, row.slug)
		})
	}
	b.Post(issuePath(bridgetest.Pool{ID: "none"})+"/code", object(sms)).WantError(404, 2224, "pool_not_found")
	if n := len(b.Outbox.Sent()); n != 0 {
		t.Errorf("%d codes went out", n)
	}
	// A sender that a way needs stays, and a way without one is not taken.
	b.Admin("PATCH", "/admin/v1/pools/"+p.ID, `{"senders":{"sms":null}}`).WantError(400, 2231, "invalid_request")
	b.Admin("PATCH", "/admin/v1/pools/"+plain.ID, `{"bindWays":["smsCode"]}`).WantError(400, 2231, "invalid_request")
	b.Outbox.Answer(403)
	state := begin(b, p, "alice")
	send(b, p, state, mobile).WantError(502, 5021, "send_failed")
	b.Outbox.Answer(204)
	send(b, p, state, mobile).WantError(429, 4290, "rate_limited")
	b.Clock.Turn(5 * time.Minute)
	send(b, p, state, mobile).Want(200)
	b.Clock.Turn(5 * time.Minute)
	send(b, p, state, mobile).WantError(400, 4004, "state_token_expired")
}

// Binding takes one proof, and a code that is not right is told as one thing.
func TestBindByCodeErrors(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(codesPool, b.Outbox.Senders(), `"bindRegister":false`)
	imported(b, p, "known", "13800138000")
	state, other := begin(b, p, "alice"), begin(b, p, "bob")
	send(b, p, state, mobile).Want(200)
	code := b.Outbox.Last(mobile)
	for _, row := range []struct {
		name    string
		members []string
		slug    string
	}{
		{"nothing", nil, "invalid_request"},
		{"a phone alone", []string{member("phone", mobile)}, "invalid_request"},
		{"a code alone", []string{member("smsCode", code)}, "invalid_request"},
		{"half of one, half of another", []string{member("phone", mobile), member("emailCode", code)}, "invalid_request"},
		{"two proofs", []string{shown(b, mobile), b.PhoneCode("alice", "13800138000")}, "invalid_request"},
		{"three proofs", []string{shown(b, mobile), member("email", address), member("emailCode", code), b.PhoneCode("alice", "13800138000")}, "invalid_request"},
		{"a code of five", []string{member("phone", mobile), member("smsCode", code[:5])}, "invalid_request"},
		{"a number that is none", []string{member("phone", "13800138000"), member("smsCode", code)}, "invalid_request"},
		{"never sent", []string{member("email", address), member("emailCode", code)}, "wrong_code"},
		{"another code", []string{member("phone", mobile), member("smsCode", wrongCode(code, 0))}, "wrong_code"},
	} {
		r := b.Post(bindPath(p), object(append(row.members, state)...))
		want := map[string]int{"invalid_request": 2231, "wrong_code": 4007}[row.slug]
		r.WantError(400, want, row.slug)
	}
	b.Post(bindPath(p), object(other, shown(b, mobile))).WantError(400, 4007, "wrong_code")
	b.Post(bindPath(p), object(state, shown(b, mobile))).Want(200)
	b.Clock.Turn(time.Minute)
	send(b, p, other, address).Want(200)
	b.Post(bindPath(p), object(other, shown(b, address))).WantError(403, 4035, "account_not_found")
	b.Clock.Turn(time.Minute)
	send(b, p, other, mobile).Want(200)
	b.Clock.Turn(userpool.CodeLife)
	for range 3 { // with the two from before five failures
		b.Post(bindPath(p), object(other, shown(b, mobile))).WantError(400, 4007, "wrong_code")
	}
	b.Post(bindPath(p), object(other, shown(b, mobile))).WantError(400, 4005, "too_many_tries")

	required := b.NewPool(codesPool, b.Outbox.Senders(), `"phoneRequired":true`)
	state = begin(b, required, "carol")
	send(b, required, state, address).Want(200)
	b.Post(bindPath(required), object(state, shown(b, address))).WantError(403, 4034, "phone_required")
}

// wrongCode returns a code that is not that one; different n give different ones.
func wrongCode(code string, n int) string { return fmt.Sprintf("%c%05d", '0'+(code[0]-'0'+1)%10, n) }

// One number, one state token, one client.
func TestCodeLimits(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t, bridgetest.TrustProxies)
	p := b.NewPool(codesPool, b.Outbox.Senders())
	ask := func(state, to, addr string) bridgetest.Response {
		return b.Post(codePath(p), object(state, member("way", "smsCode"), member("phone", to)), from(addr))
	}
	limited := func(r bridgetest.Response, seconds string) {
		t.Helper()
		r.WantError(429, 4290, "rate_limited")
		if got := r.Header.Get("Retry-After"); got != seconds {
			t.Errorf("Retry-After %s, want %s", got, seconds)
		}
	}
	// A number is flooded from many addresses, by many sign-ins.
	addr := netip.MustParseAddr("198.51.100.0")
	for n := range 10 {
		addr = addr.Next()
		ask(begin(b, p, fmt.Sprint("flood", n)), mobile, addr.String()).Want(200)
		limited(ask(begin(b, p, fmt.Sprint("flood", n)), mobile, addr.Next().String()), "60")
		b.Clock.Turn(time.Minute)
	}
	limited(ask(begin(b, p, "flood"), mobile, addr.Next().String()), fmt.Sprint((24*60-10)*60))

	state := begin(b, p, "alice")
	for n := range 5 {
		ask(state, fmt.Sprintf("+861370000000%d", n), "203.0.113.1").Want(200)
	}
	ask(state, "+8613700000009", "203.0.113.1").WantError(400, 4008, "too_many_codes")
	for n := range 14 { // with the six from there
		ask(begin(b, p, fmt.Sprint("crowd", n)), fmt.Sprintf("+861360000%04d", n), "203.0.113.1").Want(200)
	}
	limited(ask(begin(b, p, "late"), "+8613600001111", "203.0.113.1"), "180")
	ask(begin(b, p, "late"), "+8613600001111", "203.0.113.2").Want(200)
}

// What is counted is counted by all who have the store.
func TestCodesOfReplicas(t *testing.T) {
	t.Parallel()
	all := bridgetest.NewReplicas(t, 2)
	a := all[0]
	p := a.NewPool(codesPool, a.Outbox.Senders())
	state := begin(a, p, "alice")
	send(a, p, state, mobile).Want(200)
	send(all[1], p, begin(a, p, "bob"), mobile).WantError(429, 4290, "rate_limited")
	code := a.Outbox.Last(mobile)
	// The right code at both at once is taken once. The others count as wrong: a
	// sixth caller could end the sign-in before the first has finished it.
	var tickets atomic.Int32
	var callers sync.WaitGroup
	gate := make(chan struct{})
	for n := range 5 {
		callers.Go(func() {
			<-gate
			r := all[n%2].Post(bindPath(p), object(state, member("phone", mobile), member("smsCode", code)))
			switch {
			case r.Status == 200:
				tickets.Add(1)
			case !strings.Contains(r.Body, "wrong_code") && !strings.Contains(r.Body, "invalid_state_token") && !strings.Contains(r.Body, "too_many_tries"):
				t.Errorf("%d %s", r.Status, r.Body)
			}
		})
	}
	close(gate)
	callers.Wait()
	if n := tickets.Load(); n != 1 {
		t.Errorf("%d tickets by one code, want 1", n)
	}
}

// Whoever restores a backup, or restarts, has codes as they were: none after a
// restore, all after a restart.
func TestCodesRestart(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(codesPool, b.Outbox.Senders())
	state := begin(b, p, "alice")
	send(b, p, state, mobile).Want(200)
	b.Restart()
	send(b, p, begin(b, p, "bob"), mobile).WantError(429, 4290, "rate_limited")
	b.Post(bindPath(p), object(state, shown(b, mobile))).Want(200)
	imported(b, p, "known", "13900139000")
	b.Admin("PATCH", "/admin/v1/pools/"+p.ID+"/users/known", `{"email":"`+address+`"}`).Want(200)

	b.Clock.Turn(time.Minute)
	state = begin(b, p, "carol")
	send(b, p, state, mobile).Want(200)
	b.Restore(b.Admin("GET", "/admin/v1/backup", "").Want(200).Body)
	b.Post(bindPath(p), object(state, shown(b, mobile))).WantError(400, 4003, "invalid_state_token")
	b.Clock.Turn(time.Minute)
	state = begin(b, p, "carol")
	b.Post(bindPath(p), object(state, shown(b, mobile))).WantError(400, 4007, "wrong_code")
	send(b, p, state, address).Want(200)
	var issued struct{ Ticket string }
	b.Post(bindPath(p), object(state, shown(b, address))).Want(200).Decode(&issued)
	if u := redeem(b, p, issued.Ticket); u.ID != "known" {
		t.Errorf("found %s by the restored address, want known", u.ID)
	}
}

// An operator gives a user an e-mail address, which nobody else has.
func TestEmailByOperator(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(codesPool, b.Outbox.Senders())
	users := "/admin/v1/pools/" + p.ID + "/users"
	b.Admin("POST", users, `{"id":"a","email":"A@Example.com"}`).Want(201)
	b.Admin("POST", users, `{"id":"b","email":"a@example.com"}`).WantError(409, 2026, "user_exists")
	b.Admin("POST", users, `{"id":"b","email":"rubbish"}`).WantError(400, 2231, "invalid_request")
	b.Admin("POST", users, `{"id":"b"}`).Want(201)
	b.Admin("PATCH", users+"/b", `{"email":"a@EXAMPLE.com"}`).WantError(409, 2026, "user_exists")
	for _, body := range []string{`{"email":"a@b"}`, `{"email":7}`, `{"email":"b@example.com","blocked":true}`} {
		b.Admin("PATCH", users+"/b", body).WantError(400, 2231, "invalid_request")
	}
	b.Admin("PATCH", users+"/none", `{"email":"b@example.com"}`).WantError(404, 2004, "user_not_found")
	for body, want := range map[string]string{`{"email":"B@example.com"}`: `"email":"b****@example.com"`, `{"email":"b@example.com"}`: `"email":"b****@example.com"`} {
		if r := b.Admin("PATCH", users+"/b", body).Want(200); !strings.Contains(r.Body, want) {
			t.Errorf("%s: %s", body, r.Body)
		}
	}
	b.Admin("PATCH", users+"/a", `{"email":null}`).Want(200)
	b.Admin("PATCH", users+"/b", `{"email":"a@example.com"}`).Want(200)
	r := b.Admin("GET", "/admin/v1/audit?type=user.email_changed", "").Want(200)
	if n := strings.Count(r.Body, `"user.email_changed"`); n != 3 || strings.Contains(r.Body, "example.com") {
		t.Errorf("%d events, want 3 without the address: %s", n, r.Body)
	}
}
