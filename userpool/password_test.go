package userpool_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"app2wxapp/audit"
	"app2wxapp/userpool"
)

// Hashes of "U*U", as bcrypt and argon2id of other parameters make them.
const (
	oldPassword = "U*U"
	bcryptHash  = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"

	goodPassword = "correct horse battery"
)

var home, abroad = netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("198.51.100.1")

func passwordWay(s *userpool.Settings) { s.BindWays = []userpool.Way{userpool.WayPassword} }

// withPassword imports a user with that username and password.
func (r *rig) withPassword(p userpool.Pool, name, password string) userpool.User {
	r.t.Helper()
	u, err := r.CreateUserWithPassword(ctx, userpool.User{PoolID: p.ID, ID: "id-" + name, Username: name}, userpool.NewPassword{Text: userpool.Secret(password)})
	if err != nil {
		r.t.Fatal(err)
	}
	return u
}

// byPassword finishes a new sign-in of that WeChat user by password.
func (r *rig) byPassword(p userpool.Pool, user, name, password string, from netip.Addr) (userpool.User, error) {
	r.t.Helper()
	b := r.begin(p, user)
	u, _, err := r.Finish(ctx, p, string(b.State), r.Password(name, password, from))
	return u, err
}

// try shows a password without a sign-in.
func (r *rig) try(p userpool.Pool, name, password string, from netip.Addr) error {
	_, err := r.Service.Password(name, password, from).Prove(ctx, p, userpool.Unfinished{})
	return err
}

func TestBindByPassword(t *testing.T) {
	r := newRig(t)
	p := r.binding(game, passwordWay)
	was := r.withPassword(p, "Lee", goodPassword)
	if e := r.told()[0]; e.Type != audit.PasswordSet || e.UserID != was.ID {
		t.Errorf("event %+v", e)
	}
	u, err := r.byPassword(p, "alice", "Lee", goodPassword, home)
	if err != nil || u.ID != was.ID || len(u.Identities) != 1 {
		t.Fatalf("bound: %+v, %v", u, err)
	}
	if e := r.told()[0]; e.Type != audit.UserBound || e.UserID != was.ID || e.Detail[audit.Way] != "password" {
		t.Errorf("event %+v", e)
	}
	if again := r.signIn(p, "alice", ""); again.ID != was.ID {
		t.Errorf("signed in as %s", again.ID)
	}
	if _, err := r.byPassword(p, "bob", "Lee", goodPassword, home); !errors.Is(err, userpool.ErrIdentityTaken) {
		t.Errorf("another WeChat user: %v, want ErrIdentityTaken", err)
	}
	// The way has to be open, and makes nobody.
	other := r.binding(shop)
	b := r.begin(other, "carol")
	if _, _, err := r.Finish(ctx, other, string(b.State), r.Password("Lee", goodPassword, home)); !errors.Is(err, userpool.ErrWayClosed) {
		t.Errorf("a pool without the way: %v", err)
	}
	if _, err := r.byPassword(p, "dave", "nobody", goodPassword, home); !errors.Is(err, userpool.ErrPasswordWrong) {
		t.Errorf("a username of nobody: %v", err)
	}
	r.nobody(p, userpool.Keys{Identity: identity(game, "dave")})
}

// Whoever is refused learns nothing of why, and it takes one hashing.
func TestWrongPasswords(t *testing.T) {
	r := newRig(t)
	p := r.binding(game, passwordWay)
	r.withPassword(p, "Lee", goodPassword)
	r.account(p, "plain", phone, func(u *userpool.User) { u.Username = "plain" })
	q := r.binding(shop, passwordWay)
	r.withPassword(q, "other", goodPassword)
	for _, row := range []struct{ name, password string }{
		{"Lee", "correct horse batterz"}, {"lee", goodPassword}, {"nobody", goodPassword}, {"plain", goodPassword},
		{"other", goodPassword}, {"+86" + phone, goodPassword}, {"id-Lee", goodPassword}, {"Lee", strings.Repeat("a", 256)},
	} {
		before := r.series("app2wxapp_password_hashings_total")
		err := r.try(p, row.name, row.password, home)
		if err != userpool.ErrPasswordWrong {
			t.Errorf("%s: %v, want ErrPasswordWrong itself", row.name, err)
		}
		if n := r.series("app2wxapp_password_hashings_total") - before; n != 1 {
			t.Errorf("%s: %v hashings, want 1", row.name, n)
		}
	}
	for _, row := range []struct{ name, password, field string }{
		{"", goodPassword, "username"}, {"Lee Roy", goodPassword, "username"}, {strings.Repeat("n", 256), goodPassword, "username"},
		{"Lee", "", "password"}, {"Lee", strings.Repeat("a", 257), "password"},
	} {
		bad := (*userpool.InvalidError)(nil)
		if err := r.try(p, row.name, row.password, home); !errors.As(err, &bad) || bad.Field != row.field {
			t.Errorf("%.8q: %v, want an InvalidError of %s", row.name, err, row.field)
		}
	}
	r.noted([]string{goodPassword, "Lee", "nobody"})
}

// A wrong password is a failure of the sign-in.
func TestWrongPasswordsEndSignIn(t *testing.T) {
	r := newRig(t)
	p := r.binding(game, passwordWay)
	r.withPassword(p, "Lee", goodPassword)
	b := r.begin(p, "alice")
	finish := func(password string, from netip.Addr) error {
		_, _, err := r.Finish(ctx, p, string(b.State), r.Password("Lee", password, from))
		return err
	}
	for i := range userpool.MaxFailures {
		if err := finish("wrong password", netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})); !errors.Is(err, userpool.ErrPasswordWrong) {
			t.Fatal(err)
		}
	}
	if err := finish(goodPassword, home); !errors.Is(err, userpool.ErrTooManyTries) {
		t.Errorf("the right one, after five wrong ones: %v", err)
	}
}

// The rule of who is slowed down by whose failures, with a turned clock.
func TestPasswordLimits(t *testing.T) {
	r := newRig(t)
	p := r.binding(game, passwordWay)
	for _, name := range []string{"Lee", "Kim"} {
		r.withPassword(p, name, goodPassword)
	}
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	want := func(what string, got, want error) {
		t.Helper()
		if !errors.Is(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	wrong := func(name string, from netip.Addr) error { return r.try(p, name, "wrong password", from) }
	right := func(name string, from netip.Addr) error { return r.try(p, name, goodPassword, from) }
	want("at home", right("Lee", home), nil)

	// One address, one account: five, and then one every twelve seconds. Others
	// are not slowed down.
	for range 5 {
		want("five wrong ones", wrong("Lee", abroad), userpool.ErrPasswordWrong)
	}
	hashings := r.series("app2wxapp_password_hashings_total")
	err := right("Lee", abroad)
	limit := (*userpool.RateLimitError)(nil)
	if !errors.As(err, &limit) || limit.RetryAfter <= 0 || limit.RetryAfter > 12*time.Second {
		t.Errorf("the right one after five wrong ones: %v, want to wait up to 12 s", err)
	}
	if r.series("app2wxapp_password_hashings_total") != hashings {
		t.Error("a limited try was hashed")
	}
	want("the same, at home", right("Lee", home), nil)
	want("from somewhere else", right("Lee", at(1)), nil)
	want("another account, same address", right("Kim", abroad), nil)
	want("a username of nobody", wrong("nobody", abroad), userpool.ErrPasswordWrong)
	r.turn(12 * time.Second)
	want("twelve seconds later", right("Lee", abroad), nil)
	r.turn(time.Hour)

	// One address, many accounts, of nobody or not.
	for i := range 30 {
		want("thirty accounts", wrong(fmt.Sprint("name", i), abroad), userpool.ErrPasswordWrong)
	}
	want("a right one after thirty accounts", right("Kim", abroad), userpool.ErrRateLimited)
	want("meanwhile, at another address", right("Kim", home), nil)
	r.turn(time.Hour)

	// Many addresses, one account: it is slow for strangers, never at home.
	for i := range 20 {
		want("twenty addresses", wrong("Lee", at(300+i)), userpool.ErrPasswordWrong)
	}
	want("a stranger's right one", right("Lee", at(400)), userpool.ErrRateLimited)
	want("at home", right("Lee", home), nil)
	want("where it was right an hour ago", right("Lee", at(1)), nil)
	want("another account", wrong("Kim", at(400)), userpool.ErrPasswordWrong)
	r.turn(3 * time.Second)
	want("a stranger's, three seconds later", right("Lee", at(400)), nil)

	// Failures at home do not slow strangers down; an account of nobody is as any.
	r.turn(time.Hour)
	for i := range 20 {
		want("nobody's", wrong("nobody", at(500+i)), userpool.ErrPasswordWrong)
	}
	want("nobody's, once more", wrong("nobody", at(600)), userpool.ErrRateLimited)
	for i := range 4 {
		r.turn(time.Minute)
		for range 5 {
			want(fmt.Sprint("at home, minute ", i), wrong("Lee", home), userpool.ErrPasswordWrong)
		}
	}
	want("a stranger, then", wrong("Lee", at(700)), userpool.ErrPasswordWrong)
}

// Tries that come at once wait for a turn to hash, and find then what the others
// were: there is no passing a limit by being many.
func TestPasswordLimitsAtOnce(t *testing.T) {
	r := newRig(t)
	p := r.binding(game, passwordWay)
	r.withPassword(p, "Lee", goodPassword)
	var compared, busy atomic.Int64
	together(20, func(int) {
		switch err := r.try(p, "Lee", "wrong password", abroad); {
		case errors.Is(err, userpool.ErrPasswordWrong):
			compared.Add(1)
		case errors.Is(err, userpool.ErrPasswordsBusy): // a slow machine
			busy.Add(1)
		case !errors.Is(err, userpool.ErrRateLimited):
			t.Error(err)
		}
	})
	if n := compared.Load(); n > 6 || n < 5 && busy.Load() == 0 { // two have a turn at a time
		t.Errorf("of twenty wrong passwords at once %d were compared, want five or six", n)
	}
}

// What other systems hashed is compared as they did, and made anew by the first
// login; not of more than bcrypt looks at, where the rest may be mistyped.
func TestImportedPasswords(t *testing.T) {
	r := newRig(t)
	p := r.binding(game, passwordWay)
	const long = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are ignored"
	for name, row := range map[string]struct {
		hash, password string
		anew           bool
	}{
		"bcrypt": {bcryptHash, oldPassword, true},
		"argon2": {"$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc", "password", true},
		"long":   {"$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui", long, false},
	} {
		u, err := r.CreateUserWithPassword(ctx, userpool.User{PoolID: p.ID, Username: name}, userpool.NewPassword{Hash: userpool.Secret(row.hash)})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.try(p, name, row.password+"?", home); !errors.Is(err, userpool.ErrPasswordWrong) && row.anew {
			t.Errorf("%s: a wrong one: %v", name, err)
		}
		kept := r.kept(u)
		if row.anew && string(kept.Hash) != row.hash {
			t.Errorf("%s: a wrong password made the hash anew", name)
		}
		for range 2 {
			if err := r.try(p, name, row.password, home); err != nil {
				t.Errorf("%s: the right one: %v", name, err)
			}
			after := r.kept(u)
			if anew := strings.HasPrefix(string(after.Hash), "$argon2id$v=19$m=19456,t=2,p=1$"); anew != row.anew {
				t.Errorf("%s: made anew: %v, want %v", name, anew, row.anew)
			}
			if !after.SetAt.Equal(t0) || len(after.Places) != 1 || after.Places[0] != home {
				t.Errorf("%s: set at %v, right at %v", name, after.SetAt, after.Places)
			}
		}
	}
}

// kept is what the store has of the user's password.
func (r *rig) kept(u userpool.User) userpool.Password {
	r.t.Helper()
	p, err := r.store.Password(ctx, u.PoolID, u.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// Addresses at which a password was right are remembered, eight of them, until
// it is set anew.
func TestPlacesOfPassword(t *testing.T) {
	r := newRig(t)
	p := r.binding(game, passwordWay)
	u := r.withPassword(p, "Lee", goodPassword)
	for i := range 10 {
		for range 2 {
			if err := r.try(p, "Lee", goodPassword, netip.MustParseAddr(fmt.Sprintf("2001:db8:0:%d::7", i))); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := r.kept(u).Places
	if len(got) != 8 || got[0] != netip.MustParseAddr("2001:db8:0:2::") || got[7] != netip.MustParseAddr("2001:db8:0:9::") {
		t.Errorf("places %v, want the last eight", got)
	}
	if _, err := r.SetPassword(ctx, p.ID, u.ID, userpool.NewPassword{Text: "another password"}); err != nil {
		t.Fatal(err)
	}
	if got := r.kept(u).Places; len(got) != 0 {
		t.Errorf("places of a new password: %v", got)
	}
}

// Another password ends what the old one gave.
func TestSetPassword(t *testing.T) {
	r := newRig(t)
	p := r.binding(game, passwordWay)
	u := r.withPassword(p, "Lee", goodPassword)
	if _, err := r.byPassword(p, "alice", "Lee", goodPassword, home); err != nil {
		t.Fatal(err)
	}
	r.turn(time.Second)
	by := audit.With(ctx, audit.Actor{Role: audit.Operator})
	got, err := r.SetPassword(by, p.ID, u.ID, userpool.NewPassword{Text: "another password"})
	if err != nil || !got.NotBefore.Equal(r.now()) {
		t.Errorf("set: %+v, %v", got, err)
	}
	if e := r.told()[0]; e.Type != audit.PasswordSet || e.UserID != u.ID || e.By.Role != audit.Operator || len(e.Detail) != 0 {
		t.Errorf("event %+v", e)
	}
	if at, err := r.PasswordSetAt(ctx, p.ID, u.ID); err != nil || !at.Equal(r.now()) {
		t.Errorf("set at %v, %v", at, err)
	}
	for password, want := range map[string]error{goodPassword: userpool.ErrPasswordWrong, "another password": nil} {
		if err := r.try(p, "Lee", password, home); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", password, err, want)
		}
	}
	r.turn(time.Second)
	if got, err := r.RemovePassword(by, p.ID, u.ID); err != nil || !got.NotBefore.Equal(r.now()) {
		t.Errorf("removed: %+v, %v", got, err)
	}
	if e := r.told()[0]; e.Type != audit.PasswordRemoved {
		t.Errorf("event %+v", e)
	}
	if err := r.try(p, "Lee", "another password", home); !errors.Is(err, userpool.ErrPasswordWrong) {
		t.Errorf("after it was removed: %v", err)
	}
	if at, err := r.PasswordSetAt(ctx, p.ID, u.ID); err != nil || !at.IsZero() {
		t.Errorf("set at %v, %v", at, err)
	}
	for _, n := range []userpool.NewPassword{
		{Text: "seven77"}, {Text: userpool.Secret(strings.Repeat("a", 257))}, {Hash: "5f4dcc3b5aa765d61d8327deb882cf99"}, {}, {Text: goodPassword, Hash: bcryptHash},
	} {
		bad := (*userpool.InvalidError)(nil)
		if _, err := r.SetPassword(ctx, p.ID, u.ID, n); !errors.As(err, &bad) || strings.Contains(err.Error(), "5f4d") {
			t.Errorf("%d and %d bytes: %v, want an InvalidError", len(n.Text), len(n.Hash), err)
		}
	}
	_, err = r.SetPassword(ctx, p.ID, "nobody", userpool.NewPassword{Hash: bcryptHash})
	if !errors.Is(err, userpool.ErrUserNotFound) {
		t.Errorf("of nobody: %v", err)
	}
	_, err = r.SetPassword(ctx, "none", "nobody", userpool.NewPassword{Hash: bcryptHash})
	if !errors.Is(err, userpool.ErrPoolNotFound) {
		t.Errorf("of no pool: %v", err)
	}
}

// setting is a Proof in the middle of which the password is set anew.
type setting struct {
	userpool.Proof
	set func()
}

// resetting returns the proof by this password of the user, whose password is set to
// another one so long after it was looked at.
func (r *rig) resetting(u userpool.User, text string, later time.Duration) setting {
	return setting{r.Password(u.Username, text, home), func() {
		r.turn(later)
		if _, err := r.SetPassword(ctx, u.PoolID, u.ID, userpool.NewPassword{Text: "another password"}); err != nil {
			r.t.Error(err)
		}
	}}
}

func (p setting) Prove(ctx context.Context, pool userpool.Pool, of userpool.Unfinished) (userpool.Keys, error) {
	k, err := p.Proof.Prove(ctx, pool, of)
	p.set()
	return k, err
}

// A password that is set anew while the old one is looked at lets nobody in, be
// it in the same millisecond.
func TestPasswordSetMeanwhile(t *testing.T) {
	r := newRig(t)
	p := r.binding(game, passwordWay, func(s *userpool.Settings) { s.LoginWays = []userpool.Way{userpool.WayPassword} })
	for _, meanwhile := range []time.Duration{0, time.Millisecond} {
		name := fmt.Sprint("Lee", meanwhile)
		u := r.withPassword(p, name, goodPassword)
		b := r.begin(p, "alice")
		_, _, err := r.Finish(ctx, p, string(b.State), r.resetting(u, goodPassword, meanwhile))
		if !errors.Is(err, userpool.ErrPasswordWrong) {
			t.Errorf("%v later: finished: %v, want ErrPasswordWrong", meanwhile, err)
		}
		r.nobody(p, userpool.Keys{Identity: identity(game, "alice")})
		r.turn(time.Millisecond)
		if _, err := r.SignInBy(ctx, p, r.resetting(u, "another password", meanwhile)); !errors.Is(err, userpool.ErrPasswordWrong) {
			t.Errorf("%v later: signed in: %v, want ErrPasswordWrong", meanwhile, err)
		}
		r.turn(time.Millisecond)
		if got, err := r.SignInBy(ctx, p, r.Password(name, "another password", home)); err != nil || got.ID != u.ID {
			t.Errorf("%v later: by what was set: %+v, %v", meanwhile, got, err)
		}
	}
}

// Nothing of a password stands in the store, nor in what is printed of it.
func TestPasswordsAreSealed(t *testing.T) {
	r := newRig(t)
	p := r.binding(game, passwordWay)
	u := r.withPassword(p, "Lee", goodPassword)
	if err := r.try(p, "Lee", goodPassword, home); err != nil {
		t.Fatal(err)
	}
	kept := r.kept(u)
	printed := fmt.Sprintf("%v %+v %#v", kept, kept, userpool.NewPassword{Text: goodPassword, Hash: bcryptHash})
	content := string(r.lies.Content(t))
	for _, secret := range []string{goodPassword, string(kept.Hash), "argon2", bcryptHash} {
		if strings.Contains(content, secret) {
			t.Errorf("the store has %q", secret)
		}
		if strings.Contains(printed, secret) {
			t.Errorf("printed: %s", printed)
		}
	}
	r.noted([]string{goodPassword, string(kept.Hash)})
}
