package userpool_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"app2wxapp/audit"
	"app2wxapp/userpool"
	"app2wxapp/wechat/sandbox"
)

// binding is a pool at which unknown users bind an account or register.
func (r *rig) binding(appID string, change ...func(*userpool.Settings)) userpool.Pool {
	r.t.Helper()
	return r.pool(appID, append([]func(*userpool.Settings){func(s *userpool.Settings) { s.Signup = userpool.SignupBind }}, change...)...)
}

func bindOnly(s *userpool.Settings) { s.BindOnly = true }

// begin signs in an unknown user without a phone, and returns the state token.
func (r *rig) begin(p userpool.Pool, user string) *userpool.UnfinishedError {
	r.t.Helper()
	l := r.login(p, user, "")
	l.Finishable = true
	_, err := r.SignIn(ctx, p, l)
	u := (*userpool.UnfinishedError)(nil)
	if !errors.As(err, &u) {
		r.t.Fatalf("SignIn(%s): got %v, want an UnfinishedError", user, err)
	}
	return u
}

// finish finishes the sign-in with a phone that the user lets be known.
func (r *rig) finish(p userpool.Pool, state userpool.Secret, user, phone string) (userpool.User, error) {
	u, _, err := r.Finish(ctx, p, string(state), r.WeChatPhone(r.weixin.PhoneCode(p.AppID, user, phone)))
	return u, err
}

// unfinished finishes the sign-in, which must fail.
func (r *rig) unfinished(p userpool.Pool, state userpool.Secret, user, phone string, want error) {
	r.t.Helper()
	if u, err := r.finish(p, state, user, phone); !errors.Is(err, want) {
		r.t.Errorf("Finish(%s, %s): got user %q and %v, want %v", user, phone, u.ID, err, want)
	}
}

// account imports a user with that phone.
func (r *rig) account(p userpool.Pool, id, phone string, change ...func(*userpool.User)) userpool.User {
	r.t.Helper()
	u := userpool.User{PoolID: p.ID, ID: id, Phone: userpool.Phone("+86" + phone)}
	for _, c := range change {
		c(&u)
	}
	u, err := r.CreateUser(ctx, u)
	if err != nil {
		r.t.Fatal(err)
	}
	return u
}

const phone, phone2 = "13800138000", "13900139000"

func TestUnknownUserRegisters(t *testing.T) {
	r := newRig(t)
	p := r.binding(game)
	b := r.begin(p, "alice")
	if !b.MayRegister || b.Life != 10*time.Minute || !b.ExpiresAt.Equal(t0.Add(10*time.Minute)) || len(b.State) != 51 || !slices.Equal(b.Ways, []userpool.Way{"wechatPhone"}) {
		t.Errorf("begun: %+v", b)
	}
	r.nobody(p, userpool.Keys{UnionID: sandbox.UnionID(platform, "alice"), Identity: identity(game, "alice")})
	if s := fmt.Sprintf("%v %+v %s", b, b, b.Error()); strings.Contains(s, string(b.State)) {
		t.Errorf("printed: %s", s)
	}
	u, err := r.finish(p, b.State, "alice", phone)
	if err != nil {
		t.Fatal(err)
	}
	if u.Phone.Local() != phone || u.UnionID != sandbox.UnionID(platform, "alice") || !slices.Equal(u.Identities, []userpool.Identity{identity(game, "alice")}) || u.RegisterMethod != userpool.RegisterMethod {
		t.Errorf("registered: %+v", u)
	}
	if again := r.signIn(p, "alice", ""); again.ID != u.ID {
		t.Errorf("signed in as %s, want %s", again.ID, u.ID)
	}
	r.unfinished(p, b.State, "alice", phone, userpool.ErrStateInvalid)
	e := r.told()[0]
	if e.Type != audit.UserRegistered || e.UserID != u.ID || e.Detail[audit.Way] != "wechatPhone" {
		t.Errorf("event %+v", e)
	}
}

func TestUnknownUserBinds(t *testing.T) {
	for _, change := range [][]func(*userpool.Settings){nil, {bindOnly}, {func(s *userpool.Settings) { s.MatchPhone = true }}} {
		r := newRig(t)
		p := r.binding(game, change...)
		was := r.account(p, "known", phone)
		b := r.begin(p, "alice")
		if b.MayRegister == p.BindOnly {
			t.Errorf("may register: %v in a pool of %v", b.MayRegister, p.BindOnly)
		}
		u, err := r.finish(p, b.State, "alice", phone)
		if err != nil || u.ID != was.ID || u.UnionID == "" || !slices.Equal(u.Identities, []userpool.Identity{identity(game, "alice")}) {
			t.Errorf("bound: %+v, %v", u, err)
		}
		if e := r.told()[0]; e.Type != audit.UserBound || e.UserID != was.ID || e.Detail[audit.Way] != "wechatPhone" {
			t.Errorf("event %+v", e)
		}
		if again := r.signIn(p, "alice", ""); again.ID != was.ID {
			t.Errorf("signed in as %s", again.ID)
		}
		r.noted([]string{phone, string(b.State), identity(game, "alice").OpenID}, "a WeChat user was bound")
	}
}

// A phone that comes with the login is the proof already.
func TestPhoneWithLoginBinds(t *testing.T) {
	r := newRig(t)
	p := r.binding(game, bindOnly)
	r.account(p, "known", phone)
	l := r.login(p, "bob", phone2)
	l.Finishable = true
	if _, err := r.SignIn(ctx, p, l); !errors.Is(err, userpool.ErrAccountNotFound) {
		t.Errorf("a phone of nobody: %v", err)
	}
	l = r.login(p, "alice", phone)
	l.Finishable = true
	if u, err := r.SignIn(ctx, p, l); err != nil || u.ID != "known" {
		t.Errorf("signed in as %q, %v", u.ID, err)
	}
	if e := r.told()[0]; e.Type != audit.UserBound {
		t.Errorf("event %+v", e)
	}
}

// What cannot be bound changes nobody, and leaves the sign-in to be finished.
func TestBindRefusals(t *testing.T) {
	r := newRig(t)
	p := r.binding(game, bindOnly)
	r.account(p, "mine", phone)
	for name, row := range map[string]struct {
		phone string
		want  error
		there func(*userpool.User)
	}{
		"no account":             {"13700000001", userpool.ErrAccountNotFound, nil},
		"another's openid":       {"13700000002", userpool.ErrIdentityTaken, func(u *userpool.User) { u.Identities = []userpool.Identity{{AppID: game, OpenID: "o-other"}} }},
		"another's unionid":      {"13700000003", userpool.ErrIdentityTaken, func(u *userpool.User) { u.UnionID = "u-other" }},
		"blocked":                {"13700000004", userpool.ErrBlocked, func(*userpool.User) {}},
		"two accounts":           {"13700000005", userpool.ErrAccountUnclear, func(*userpool.User) {}},
		"another's, and blocked": {"13700000006", userpool.ErrIdentityTaken, func(u *userpool.User) { u.Identities = []userpool.Identity{{AppID: game, OpenID: "o-other2"}} }},
	} {
		id := "u" + row.phone
		if row.there != nil {
			r.account(p, id, row.phone, row.there)
		}
		if strings.Contains(name, "blocked") {
			r.SetBlocked(ctx, p.ID, id, true)
		}
		if name == "two accounts" {
			r.account(p, id+"b", row.phone)
		}
		user := "alice" + row.phone
		before, _ := r.User(ctx, p.ID, id)
		b := r.begin(p, user)
		r.unfinished(p, b.State, user, row.phone, row.want)
		r.nobody(p, userpool.Keys{UnionID: sandbox.UnionID(platform, user), Identity: identity(game, user)})
		if after, _ := r.User(ctx, p.ID, id); fmt.Sprintf("%#v", after.Identities) != fmt.Sprintf("%#v", before.Identities) || !after.UpdatedAt.Equal(before.UpdatedAt) {
			t.Errorf("%s: user changed from %+v to %+v", name, before, after)
		}
		if name == "no account" {
			if u, err := r.finish(p, b.State, user, phone); err != nil || u.ID != "mine" {
				t.Errorf("%s: the right phone afterwards: %q, %v", name, u.ID, err)
			}
		}
	}
}

// Another mini program's identity is no hindrance: the account gets a second one.
func TestBindAddsIdentity(t *testing.T) {
	r := newRig(t)
	p := r.binding(alone)
	r.account(p, "known", phone, func(u *userpool.User) {
		u.UnionID, u.Identities = "u-known", []userpool.Identity{{AppID: game, OpenID: "o-game"}}
	})
	u, err := r.finish(p, r.begin(p, "alice").State, "alice", phone)
	if err != nil || u.ID != "known" || u.UnionID != "u-known" || len(u.Identities) != 2 || u.Identities[1] != identity(alone, "alice") {
		t.Errorf("bound: %+v, %v", u, err)
	}
}

func TestStateTokens(t *testing.T) {
	r := newRig(t)
	p, q := r.binding(game), r.binding(game)
	for name, state := range map[string]userpool.Secret{"none": "", "rubbish": "rubbish", "another pool's": r.begin(q, "alice").State, "unknown": userpool.Secret(strings.Repeat("A", 51))} {
		if _, err := r.finish(p, state, "alice", phone); !errors.Is(err, userpool.ErrStateInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b := r.begin(p, "alice")
	r.turn(10*time.Minute - time.Millisecond)
	last := r.begin(p, "bob")
	if _, err := r.finish(p, b.State, "alice", phone); err != nil {
		t.Errorf("a millisecond before its end: %v", err)
	}
	r.turn(10 * time.Minute)
	calls := r.weixin.Count(sandbox.Phone)
	r.unfinished(p, last.State, "bob", phone2, userpool.ErrStateExpired)
	if n := r.weixin.Count(sandbox.Phone); n != calls {
		t.Errorf("%d calls to WeChat for a sign-in that is over", n-calls)
	}
	// The pool's mini program was replaced.
	old := r.begin(p, "carol")
	changed, err := r.UpdatePool(ctx, p.ID, func(s *userpool.Settings) error { s.AppID = shop; return nil })
	if err != nil {
		t.Fatal(err)
	}
	r.unfinished(changed, old.State, "carol", phone2, userpool.ErrStateInvalid)
}

// What the pool's settings forbid by now, the state token does not allow.
func TestFinishBySettings(t *testing.T) {
	for _, row := range []struct {
		change func(*userpool.Settings)
		want   error
	}{
		{func(s *userpool.Settings) { s.AllowedApps = []string{"wxother"} }, userpool.ErrAppNotAllowed},
		{func(s *userpool.Settings) { s.Signup = userpool.SignupClosed }, userpool.ErrSignupClosed},
		{bindOnly, userpool.ErrAccountNotFound},
		{func(s *userpool.Settings) { s.Signup = userpool.SignupOpen }, nil},
	} {
		r := newRig(t)
		p := r.binding(game)
		b := r.begin(p, "alice")
		p, err := r.UpdatePool(ctx, p.ID, func(s *userpool.Settings) error { row.change(s); return nil })
		if err != nil {
			t.Fatal(err)
		}
		r.unfinished(p, b.State, "alice", phone, row.want)
	}
	// A way that the pool does not have.
	r := newRig(t)
	p := r.binding(game)
	b := r.begin(p, "alice")
	if _, _, err := r.Finish(ctx, p, string(b.State), otherWay{r.WeChatPhone("x")}); !errors.Is(err, userpool.ErrWayClosed) {
		t.Errorf("another way: %v", err)
	}
	// A client that cannot finish is refused as at a closed pool, and nothing is kept.
	r.refused(p, "bob", phone2, userpool.ErrSignupClosed)
	if n := r.series("app2wxapp_signins_begun_total"); n != 1 {
		t.Errorf("%v sign-ins begun, want 1", n)
	}
}

type otherWay struct{ userpool.Proof }

func (otherWay) Way() userpool.Way { return "other" }

// Five proofs that do not hold end the sign-in; what is WeChat's fault does not
// count.
func TestFiveFailuresEndSignIn(t *testing.T) {
	r := newRig(t)
	p := r.binding(game)
	b := r.begin(p, "alice")
	for range 7 {
		r.weixin.Fail(sandbox.Phone, sandbox.Status(503), 1)
		r.unfinished(p, b.State, "alice", phone, userpool.ErrWeChatUnavailable)
	}
	for range userpool.MaxFailures {
		// Somebody else's tap: the openid goes along.
		code := r.weixin.PhoneCode(game, "mallory", phone)
		if _, _, err := r.Finish(ctx, p, string(b.State), r.WeChatPhone(code)); !errors.Is(err, userpool.ErrCode) {
			t.Errorf("a phone code of another user: %v", err)
		}
	}
	r.unfinished(p, b.State, "alice", phone, userpool.ErrTooManyTries)
	if _, err := r.finish(p, r.begin(p, "alice").State, "alice", phone); err != nil {
		t.Errorf("begun again: %v", err)
	}
}

func TestBeginIsLimited(t *testing.T) {
	r := newRig(t)
	p := r.binding(game)
	for range 20 {
		r.begin(p, "alice")
	}
	l := r.login(p, "alice", "")
	l.Finishable = true
	if _, err := r.SignIn(ctx, p, l); !errors.Is(err, userpool.ErrRateLimited) {
		t.Errorf("the 21st: %v", err)
	}
	r.begin(p, "bob")
	r.turn(time.Minute)
	r.begin(p, "alice")
}

// Of many sign-ins of one WeChat user, finished with one phone, one is.
func TestFinishRace(t *testing.T) {
	r := newRig(t)
	p := r.binding(game)
	const n = 8
	var states [n]userpool.Secret
	var codes [n]string
	for i := range n {
		states[i], codes[i] = r.begin(p, "alice").State, r.weixin.PhoneCode(game, "alice", phone)
	}
	var won atomic.Int64
	together(n, func(i int) {
		_, _, err := r.Finish(ctx, p, string(states[i]), r.WeChatPhone(codes[i]))
		if err == nil {
			won.Add(1)
		} else if !errors.Is(err, userpool.ErrStateInvalid) {
			t.Error(err)
		}
	})
	if won.Load() != 1 {
		t.Errorf("%d finished, want 1", won.Load())
	}
}

func TestUnbind(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	u := r.signIn(p, "alice", "")
	id := u.IdentityID(u.Identities[0])
	if len(id) != 32 || strings.Contains(id, u.Identities[0].OpenID) {
		t.Errorf("id %q", id)
	}
	for _, row := range []struct {
		pool, user, id string
		want           error
	}{
		{p.ID, u.ID, "none", userpool.ErrIdentityNotFound}, {p.ID, "nobody", id, userpool.ErrUserNotFound}, {"none", u.ID, id, userpool.ErrPoolNotFound},
	} {
		if _, err := r.Unbind(ctx, row.pool, row.user, row.id); !errors.Is(err, row.want) {
			t.Errorf("Unbind(%v): %v", row, err)
		}
	}
	r.turn(time.Hour)
	got, err := r.Unbind(ctx, p.ID, u.ID, id)
	if err != nil || len(got.Identities) != 0 || got.UnionID != "" || !got.NotBefore.Equal(r.now()) {
		t.Errorf("unbound: %+v, %v", got, err)
	}
	if e := r.told()[0]; e.Type != audit.IdentityUnbound || e.UserID != u.ID || e.Detail[audit.AppID] != game {
		t.Errorf("event %+v", e)
	}
	if _, err := r.Unbind(ctx, p.ID, u.ID, id); !errors.Is(err, userpool.ErrIdentityNotFound) {
		t.Errorf("again: %v", err)
	}
	if again := r.signIn(p, "alice", ""); again.ID == u.ID {
		t.Error("the WeChat user came in again")
	}
}
