package bridge_test

import (
	"strings"
	"testing"
	"time"

	"app2wxapp/bridge/bridgetest"
	"app2wxapp/wechat/sandbox"
)

func TestAllowedApps(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(`"allowedApps":["wxapp1","wxapp2"]`)
	for launch, ok := range map[string]bool{
		`"launch":{"scene":1069,"appId":"wxapp1"}`: true,
		`"launch":{"appId":"wxapp2"}`:              true,
		`"launch":{"appId":"wxapp3"}`:              false,
		`"launch":{"appId":"WXAPP1"}`:              false,
		`"launch":{"appId":""}`:                    false,
		`"launch":{}`:                              false,
		`"state":"s"`:                              false, // no launch at all
	} {
		code := loginCode(b, launch)
		r := b.Post(issuePath(p), object(code, launch))
		if ok {
			r.Want(200)
			continue
		}
		r.WantError(403, 4033, "app_not_allowed")
		b.Post(issuePath(p), object(code, `"launch":{"appId":"wxapp1"}`)).Want(200) // the code was not spent
	}
	patch(b, p, `"allowedApps":[]`) // any
	b.Issue(p, "alice").Want(200)
}

func TestPhoneRequired(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool(`"phoneRequired":true`)
	b.Issue(p, "alice").WantError(403, 4034, "phone_required")
	b.Issue(p, "alice", b.PhoneCode("alice", "13800138000")).Want(200)
	b.Issue(p, "alice").Want(200) // known by now
	if got := login(b, p, "alice").LoginsCount; got != 1 {
		t.Errorf("loginsCount %d, want 1: the refused attempt stored nothing", got)
	}
}

// A pool that takes no new users signs in those it has.
func TestSignup(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	alice := login(b, p, "alice")
	for _, signup := range []string{"closed", "bind"} {
		patch(b, p, member("signup", signup))
		if signup == "closed" {
			b.Issue(p, "bob").WantError(403, 4031, "signup_closed")
			b.Issue(p, "bob", b.PhoneCode("bob", "13800138000")).WantError(403, 4031, "signup_closed")
		} else if r := b.Issue(p, "bob").Want(200); strings.Contains(r.Body, `"ticket"`) {
			t.Errorf("an unknown user: %s", r.Body)
		}
		if got := login(b, p, "alice"); got.ID != alice.ID {
			t.Errorf("signup %s: alice is %s, was %s", signup, got.ID, alice.ID)
		}
	}
	patch(b, p, `"signup":"open"`)
	if got := login(b, p, "bob"); got.LoginsCount != 1 {
		t.Errorf("bob has %d logins, want 1", got.LoginsCount)
	}
}

// The user of the same person is the same in one pool and another in another.
func TestPoolsDoNotShareUsers(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p, other := b.NewPool(), b.NewPool()
	first := login(b, p, "alice")
	if again := login(b, p, "alice"); again.ID != first.ID || again.LoginsCount != 2 {
		t.Errorf("second login: id %s, %d logins; want %s, 2", again.ID, again.LoginsCount, first.ID)
	}
	if there := login(b, other, "alice"); there.ID == first.ID || there.LoginsCount != 1 {
		t.Errorf("another pool: id %s, %d logins; want another user, 1", there.ID, there.LoginsCount)
	}
	b.Admin("GET", "/admin/v1/pools/"+other.ID+"/users/"+first.ID, "").WantError(404, 2004, "user_not_found")
}

// Two mini programs of one platform see one person.
func TestUnionID(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	b.WeChat.AddApp(sandbox.App{ID: "wxsecond", Secret: "s", Platform: bridgetest.Platform})
	p := b.NewPool()
	first := login(b, p, "alice")
	patch(b, p, `"appId":"wxsecond"`, `"appSecret":"s"`)
	var issued struct{ Ticket string }
	b.Post(issuePath(p), object(member("code", b.WeChat.LoginCode("wxsecond", "alice")))).Want(200).Decode(&issued)
	second := redeem(b, p, issued.Ticket)
	if second.ID != first.ID || second.UnionID != first.UnionID {
		t.Errorf("by the second mini program: %+v, want the user of %+v", second, first)
	}
	if want := sandbox.OpenID("wxsecond", "alice"); second.OpenID != want {
		t.Errorf("openid %s, want the second mini program's, %s", second.OpenID, want)
	}
}

// A phone that WeChat verified in this request finds an existing user, where
// the pool wants it.
func TestMatchPhone(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	for _, match := range []bool{false, true} {
		p := b.NewPool()
		if match {
			patch(b, p, `"matchPhone":true`, `"signup":"closed"`)
		}
		users := "/admin/v1/pools/" + p.ID + "/users"
		b.Admin("POST", users, `{"id":"moved","phone":"+8613800138000"}`).Want(201)
		r := b.Issue(p, "alice", b.PhoneCode("alice", "13800138000")).Want(200)
		var issued struct{ Ticket string }
		r.Decode(&issued)
		got := redeem(b, p, issued.Ticket)
		if (got.ID == "moved") != match {
			t.Errorf("matchPhone %t: signed in as %s", match, got.ID)
		}
		if !match {
			continue
		}
		// Numbers are given out again: another WeChat user with it is another
		// person, here one whom the pool does not take.
		b.Issue(p, "bob", b.PhoneCode("bob", "13800138000")).WantError(403, 4031, "signup_closed")
		if again := login(b, p, "alice"); again.ID != "moved" {
			t.Errorf("the second time: signed in as %s, want moved", again.ID)
		}
	}
}

// A typed profile fills what is empty and overwrites nothing.
func TestProfileFills(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	for _, row := range []struct{ give, want string }{
		{`{}`, ""}, {`{"nickName":"甲"}`, "甲"}, {`{"nickName":"乙"}`, "甲"}, {`{"nickName":""}`, "甲"},
	} {
		if got := login(b, p, "alice", `"userInfo":`+row.give); got.Nickname != row.want {
			t.Errorf("after %s: nickname %q, want %q", row.give, got.Nickname, row.want)
		}
	}
}

// Blocking ends what a user has; letting them in again does not bring it back.
func TestBlock(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	u := login(b, p, "alice")
	ticket := b.Ticket(p, "alice")
	path := "/admin/v1/pools/" + p.ID + "/users/" + u.ID

	b.Admin("PATCH", path, `{"blocked":true}`).Want(200)
	wantToken(t, b, u.Token, 2207)
	b.Redeem(p, ticket).WantError(403, 2005, "user_blocked")
	b.Issue(p, "alice").WantError(403, 2005, "user_blocked")
	b.Redeem(bridgetest.Pool{ID: p.ID, Secret: "x"}, ticket).WantError(401, 4011, "invalid_secret") // not told to strangers
	bound := b.Ticket(p, "bob", proofKey())
	bob := login(b, p, "bob")
	b.Admin("PATCH", "/admin/v1/pools/"+p.ID+"/users/"+bob.ID, `{"blocked":true}`).Want(200)
	wantInvalid(b.Redeem(p, bound)) // nor without the verifier

	b.Clock.Turn(time.Millisecond)
	b.Admin("PATCH", path, `{"blocked":false}`).Want(200)
	wantToken(t, b, u.Token, 2207)
	wantInvalid(b.Redeem(p, ticket))
	wantToken(t, b, login(b, p, "alice").Token, 200)
}

// Signed out everywhere: every token and live ticket is void, and the user can
// sign in anew.
func TestSignOut(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	u, other := login(b, p, "alice"), login(b, p, "bob")
	ticket := b.Ticket(p, "alice")
	b.Admin("POST", "/admin/v1/pools/"+p.ID+"/users/"+u.ID+"/revoke", "").Want(200)
	wantToken(t, b, u.Token, 2207)
	wantInvalid(b.Redeem(p, ticket))
	wantToken(t, b, other.Token, 200)

	b.Clock.Turn(time.Millisecond)
	wantToken(t, b, u.Token, 2207)
	again := login(b, p, "alice")
	if again.ID != u.ID {
		t.Errorf("signed in as %s, was %s", again.ID, u.ID)
	}
	wantToken(t, b, again.Token, 200)
}
