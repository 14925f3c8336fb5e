package userpool_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"app2wxapp/userpool"
	"app2wxapp/wechat/sandbox"
)

var caller = netip.MustParseAddr("203.0.113.7")

// byPhone enters with a phone sealed under the login's session_key.
func (r *rig) byPhone(p userpool.Pool, user, phone string) (userpool.User, error) {
	r.t.Helper()
	code := r.weixin.LoginCode(p.AppID, user)
	s := r.weixin.SealedPhone(code, phone)
	sealed, err := userpool.ParseSealed(s.EncryptedData, s.IV)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.Enter(ctx, p, userpool.Login{Code: code, SealedPhone: sealed, Method: "sdk"}, caller)
}

// Which account a login by phone gives: docs/divergences.md.
func TestEnterByPhone(t *testing.T) {
	const phone = "+8613800138000"
	bob := sandbox.UnionID(platform, "bob")
	for _, row := range []struct {
		name     string
		match    bool
		identity string // of the account B, which bob has; "" for none
		holder   string // unionid of the account A, which has the phone; "-" for no A
		want     string
	}{
		{"nobody is known", true, "", "-", "new"},
		{"bob is known", true, bob, "-", "B"},
		{"the phone is known", true, "", "", "A"},
		{"the phone is known and the pool does not match", false, "", "", "new"},
		{"the phone is another WeChat user's", true, "", "u-other", "new"},
		{"bob is B and the phone A's", true, bob, "", "B"},
		{"bob is B and the phone another WeChat user's", true, bob, "u-other", "B"},
	} {
		r := newRig(t)
		p := r.pool(game, func(s *userpool.Settings) { s.MatchPhone = row.match })
		if row.identity != "" {
			r.imported(p, userpool.User{ID: "B", UnionID: row.identity})
		}
		if row.holder != "-" {
			r.imported(p, userpool.User{ID: "A", UnionID: row.holder, Phone: phone})
		}
		u, err := r.byPhone(p, "bob", phone[3:])
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		switch {
		case row.want == "new" && (u.ID == "A" || u.ID == "B" || u.RegisterMethod != "sdk"):
			t.Errorf("%s: %s by %s, want a new user", row.name, u.ID, u.RegisterMethod)
		case row.want != "new" && u.ID != row.want:
			t.Errorf("%s: %s, want %s", row.name, u.ID, row.want)
		}
		if u.Phone != phone || u.UnionID != bob || u.OpenID(game) != sandbox.OpenID(game, "bob") {
			t.Errorf("%s: %s %s, want bob's keys and the phone", row.name, u.UnionID, string(u.Phone))
		}
		if u.Logins != (userpool.Logins{Count: 1, Last: t0, Addr: caller}) {
			t.Errorf("%s: %+v", row.name, u.Logins)
		}
		if a, err := r.store.User(ctx, p.ID, "A"); row.holder != "-" && row.want != "A" && (err != nil || a.Phone != phone || len(a.Identities) > 0) {
			t.Errorf("%s: A became %+v, %v", row.name, a, err)
		}
		if again, err := r.byPhone(p, "bob", phone[3:]); err != nil || again.ID != u.ID || again.Logins.Count != 2 {
			t.Errorf("%s, again: %s %d, %v", row.name, again.ID, again.Logins.Count, err)
		}
	}
}

func TestEnterRefusals(t *testing.T) {
	r := newRig(t)
	closed := r.pool(game, func(s *userpool.Settings) { s.Signup = userpool.SignupClosed })
	if _, err := r.byPhone(closed, "bob", "13800138000"); !errors.Is(err, userpool.ErrSignupClosed) {
		t.Errorf("closed pool: %v", err)
	}
	p := r.pool(game)
	u, err := r.byPhone(p, "bob", "13800138000")
	if err != nil {
		t.Fatal(err)
	}
	for range 19 {
		if _, err := r.byPhone(p, "bob", "13800138000"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.byPhone(p, "bob", "13800138000"); !errors.Is(err, userpool.ErrRateLimited) {
		t.Errorf("21st in a minute: %v", err)
	}
	r.turn(time.Minute)
	if _, err := r.SetBlocked(ctx, p.ID, u.ID, true); err != nil {
		t.Fatal(err)
	}
	if _, err := r.byPhone(p, "bob", "13800138000"); !errors.Is(err, userpool.ErrBlocked) {
		t.Errorf("blocked: %v", err)
	}
	code := r.weixin.LoginCode(game, "bob")
	s := r.weixin.SealedPhone(r.weixin.LoginCode(game, "bob"), "13800138000")
	sealed, _ := userpool.ParseSealed(s.EncryptedData, s.IV)
	if _, _, err := r.OpenPhone(ctx, p, code, sealed, netip.Addr{}); !errors.Is(err, userpool.ErrCode) {
		t.Errorf("another code's data: %v", err)
	}
	if _, _, err := r.OpenPhone(ctx, p, code, sealed, netip.Addr{}); !errors.Is(err, userpool.ErrCode) || r.weixin.Count(sandbox.Login) != 24 {
		t.Errorf("the code again: %v, %d calls", err, r.weixin.Count(sandbox.Login))
	}
}

func TestEnterByProfile(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	code := r.weixin.LoginCode(game, "bob")
	s := r.weixin.SealedProfile(code, sandbox.UserInfo{NickName: "示例用户", Gender: 2, AvatarURL: "https://example.com/a"})
	sealed, err := userpool.ParseSealed(s.EncryptedData, s.IV)
	if err != nil {
		t.Fatal(err)
	}
	u, err := r.Enter(ctx, p, userpool.Login{Code: code, SealedProfile: sealed}, caller)
	if err != nil || u.Profile.Nickname != "示例用户" || u.Profile.Gender != 2 || u.Profile.AvatarURL != "https://example.com/a" || u.Phone != "" {
		t.Errorf("%+v, %v", u.Profile, err)
	}
}

func TestParseSealed(t *testing.T) {
	const iv, data = "AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAAAAAAAAAAAAA=="
	for _, row := range []struct{ data, iv, field string }{
		{"", iv, "encryptedData"}, {data, "", "iv"}, {data, "AAAA", "iv"}, {data, "&", "iv"},
		{"&", iv, "encryptedData"}, {"AAAA", iv, "encryptedData"},
	} {
		_, err := userpool.ParseSealed(row.data, row.iv)
		if bad := (*userpool.InvalidError)(nil); !errors.As(err, &bad) || bad.Field != row.field {
			t.Errorf("%q, %q: %v, want %s", row.data, row.iv, err, row.field)
		}
	}
	if s, err := userpool.ParseSealed("", ""); err != nil || s.Given() {
		t.Errorf("neither: %v", err)
	}
}
