package userpool_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"app2wxapp/userpool"
	"app2wxapp/wechat/sandbox"
)

// A code is never sent to WeChat twice, not even if WeChat's answer was lost.
func TestLoginCodeIsSentOnce(t *testing.T) {
	for _, failure := range []sandbox.Failure{"", sandbox.Reset, sandbox.GarbageHTML, sandbox.ErrCode(-1)} {
		r := newRig(t)
		p := r.pool(game)
		if failure != "" {
			r.weixin.Fail(sandbox.Login, failure, 1)
		}
		l := r.login(p, "alice", "")
		_, err := r.SignIn(ctx, p, l)
		if failure == "" && err != nil || failure != "" && !errors.Is(err, userpool.ErrWeChatUnavailable) {
			t.Errorf("%s: first time: %v", failure, err)
		}
		if _, err := r.SignIn(ctx, p, l); !errors.Is(err, userpool.ErrCode) {
			t.Errorf("%s: second time: got %v, want ErrCode", failure, err)
		}
		if n := r.weixin.Count(sandbox.Login); n != 1 {
			t.Errorf("%s: the code was sent %d times, want once", failure, n)
		}
	}
}

func TestLoginCodeAtOnce(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	l := r.login(p, "alice", "13800138000")
	var got atomic.Int32
	together(16, func(int) {
		switch _, err := r.SignIn(ctx, p, l); {
		case err == nil:
			got.Add(1)
		case !errors.Is(err, userpool.ErrCode):
			t.Error(err)
		}
	})
	if got.Load() != 1 || r.weixin.Count(sandbox.Login) != 1 || r.weixin.Count(sandbox.Phone) != 1 {
		t.Errorf("one code 16 times at once: %d signed in, sent %d times, phone code %d times; want 1 each",
			got.Load(), r.weixin.Count(sandbox.Login), r.weixin.Count(sandbox.Phone))
	}
}

func TestPhoneCodeIsSentOnce(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	r.weixin.Fail(sandbox.Phone, sandbox.Reset, 1)
	l := r.login(p, "alice", "13800138000")
	if _, err := r.SignIn(ctx, p, l); !errors.Is(err, userpool.ErrWeChatUnavailable) {
		t.Errorf("lost answer: %v", err)
	}
	l.Code = r.weixin.LoginCode(game, "alice")
	if _, err := r.SignIn(ctx, p, l); !errors.Is(err, userpool.ErrCode) {
		t.Errorf("the same phone code: got %v, want ErrCode", err)
	}
	if n := r.weixin.Count(sandbox.Phone); n != 1 {
		t.Errorf("the phone code was sent %d times, want once", n)
	}
	r.nobody(p, userpool.Keys{UnionID: sandbox.UnionID(platform, "alice")})
	if n := r.series("app2wxapp_phone_verifications_total"); n != 0 {
		t.Errorf("failed verifications counted: %v", n)
	}
}

// The phone code cost the user a tap: a bad login code must not spend it.
func TestRefusedLoginCodeLeavesPhoneCode(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	l := r.login(p, "alice", "13800138000")
	good := l.Code
	l.Code = "no-such-code"
	if _, err := r.SignIn(ctx, p, l); !errors.Is(err, userpool.ErrCode) {
		t.Errorf("bad code: got %v, want ErrCode", err)
	}
	if n := r.weixin.Count(sandbox.Phone); n != 0 {
		t.Errorf("the phone code was sent %d times, want 0", n)
	}
	l.Code = good
	if u, err := r.SignIn(ctx, p, l); err != nil || string(u.Phone) != "+8613800138000" {
		t.Errorf("good code, same phone code: %v", err)
	}
}

// A phone code that could not be sent, for want of an access token, stays good:
// the user tapped for it and the operator pays for it.
func TestUnsentPhoneCodeStaysGood(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	r.weixin.Fail(sandbox.Token, sandbox.ErrCode(-1), 1)
	l := r.login(p, "alice", "13800138000")
	if _, err := r.SignIn(ctx, p, l); !errors.Is(err, userpool.ErrWeChatUnavailable) {
		t.Fatalf("without an access token: %v, want ErrWeChatUnavailable", err)
	}
	again := r.login(p, "alice", "")
	again.PhoneCode = l.PhoneCode
	u, err := r.SignIn(ctx, p, again)
	if err != nil || u.Phone != "+8613800138000" {
		t.Errorf("the same phone code afterwards: phone known %t, %v", u.Phone != "", err)
	}
	if n := r.weixin.Count(sandbox.Phone); n != 1 {
		t.Errorf("the phone code was sent %d times, want once", n)
	}
}

// What can be refused without WeChat spends no code.
func TestRefusedBeforeWeChat(t *testing.T) {
	r := newRig(t)
	p := r.pool(game, func(s *userpool.Settings) { s.AllowedApps = []string{"wxours"} })
	l := r.login(p, "alice", "13800138000")
	for _, from := range []string{"", "wxtheirs"} {
		l.SourceApp = from
		if _, err := r.SignIn(ctx, p, l); !errors.Is(err, userpool.ErrAppNotAllowed) {
			t.Errorf("launched by %q: got %v, want ErrAppNotAllowed", from, err)
		}
	}
	l.SourceApp, l.Profile.Gender = "wxours", 3
	if _, err := r.SignIn(ctx, p, l); err == nil {
		t.Error("gender 3 was taken")
	}
	if n := r.weixin.Count(sandbox.Login); n != 0 {
		t.Errorf("WeChat was asked %d times, want 0", n)
	}
	l.Profile.Gender = 0
	if _, err := r.SignIn(ctx, p, l); err != nil {
		t.Errorf("the same codes in a good request: %v", err)
	}
}

func TestWeChatErrors(t *testing.T) {
	for _, row := range []struct {
		api     string
		failure sandbox.Failure
		want    error
	}{
		{sandbox.Login, sandbox.ErrCode(40029), userpool.ErrCode},
		{sandbox.Login, sandbox.ErrCode(40226), userpool.ErrWeChatRisk},
		{sandbox.Login, sandbox.ErrCode(40125), userpool.ErrWeChatSetup},
		{sandbox.Login, sandbox.Status(502), userpool.ErrWeChatUnavailable},
		{sandbox.Token, sandbox.ErrCode(40125), userpool.ErrWeChatSetup},
		{sandbox.Phone, sandbox.ErrCode(40029), userpool.ErrCode},
		{sandbox.Phone, sandbox.GarbageObject, userpool.ErrWeChatUnavailable},
	} {
		r := newRig(t)
		p := r.pool(game)
		r.weixin.Fail(row.api, row.failure, 1)
		if _, err := r.SignIn(ctx, p, r.login(p, "alice", "13800138000")); !errors.Is(err, row.want) {
			t.Errorf("%s %s: got %v, want %v", row.api, row.failure, err, row.want)
		}
		r.nobody(p, userpool.Keys{UnionID: sandbox.UnionID(platform, "alice"), Phone: "+8613800138000"})
	}
}

func TestWeChatTimeout(t *testing.T) {
	for _, api := range []string{sandbox.Login, sandbox.Token, sandbox.Phone} {
		r := newRig(t, func(r *rig) { r.timeout, r.callTimeout = 100*time.Millisecond, time.Second })
		p := r.pool(game)
		r.weixin.Fail(api, sandbox.Hang, 1)
		if _, err := r.SignIn(ctx, p, r.login(p, "alice", "13800138000")); !errors.Is(err, userpool.ErrWeChatUnavailable) {
			t.Errorf("%s hangs: got %v, want ErrWeChatUnavailable", api, err)
		}
	}
}

// deadlines notes when the calls of a sign-in must end.
type deadlines struct {
	userpool.WeChat
	seen []time.Time
}

func (d *deadlines) note(ctx context.Context) {
	end, _ := ctx.Deadline()
	d.seen = append(d.seen, end)
}

func (d *deadlines) Code2Session(ctx context.Context, app userpool.App, code string) (userpool.Session, error) {
	d.note(ctx)
	return d.WeChat.Code2Session(ctx, app, code)
}

func (d *deadlines) Phone(ctx context.Context, app userpool.App, openID, code string) (userpool.Phone, error) {
	d.note(ctx)
	return d.WeChat.Phone(ctx, app, openID, code)
}

// One time-out bounds all calls of a sign-in together.
func TestWeChatTimeoutIsShared(t *testing.T) {
	var d *deadlines
	r := newRig(t, func(r *rig) {
		r.wrap = func(w userpool.WeChat) userpool.WeChat { d = &deadlines{WeChat: w}; return d }
	})
	p := r.pool(game)
	r.signIn(p, "alice", "13800138000")
	if len(d.seen) != 2 || d.seen[0].IsZero() || d.seen[0] != d.seen[1] {
		t.Errorf("deadlines of the two calls: %v, want two times the same", d.seen)
	}
	if left := time.Until(d.seen[0]); left > r.timeout {
		t.Errorf("a call may take %v, want %v at most", left, r.timeout)
	}
}

// storeOf is a store that another Service has, too.
type storeOf struct {
	userpool.Store
	err error // of ClaimCode
}

func (s storeOf) ClaimCode(ctx context.Context, k userpool.CodeKey, now time.Time) (bool, error) {
	if s.err != nil {
		return false, s.err
	}
	return s.Store.ClaimCode(ctx, k, now)
}

// What one Service has sent no other sends that has the same store.
func TestCodeIsSentByOneService(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	other := r.over(storeOf{Store: r.store})
	l := r.login(p, "alice", "13800138000")
	if _, err := r.SignIn(ctx, p, l); err != nil {
		t.Fatal(err)
	}
	if _, err := other.SignIn(ctx, p, l); !errors.Is(err, userpool.ErrCode) {
		t.Errorf("the code at the other Service: %v, want ErrCode", err)
	}
	fresh := r.login(p, "alice", "")
	fresh.PhoneCode = l.PhoneCode
	if _, err := other.SignIn(ctx, p, fresh); !errors.Is(err, userpool.ErrCode) {
		t.Errorf("the phone code at the other Service: %v, want ErrCode", err)
	}
	if l, p := r.weixin.Count(sandbox.Login), r.weixin.Count(sandbox.Phone); l != 2 || p != 1 {
		t.Errorf("sent %d login codes and %d phone codes, want 2 and 1", l, p)
	}
}

// A code that cannot be claimed is not sent.
func TestUnclaimedCodeStaysGood(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	l := r.login(p, "alice", "")
	if _, err := r.over(storeOf{r.store, userpool.ErrUnavailable}).SignIn(ctx, p, l); !errors.Is(err, userpool.ErrUnavailable) {
		t.Errorf("without a store: %v, want ErrUnavailable", err)
	}
	if n := r.weixin.Count(sandbox.Login); n != 0 {
		t.Errorf("the code was sent %d times, want 0", n)
	}
	if _, err := r.SignIn(ctx, p, l); err != nil {
		t.Errorf("the same code afterwards: %v", err)
	}
}
