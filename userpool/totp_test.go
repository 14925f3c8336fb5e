package userpool_test

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"app2wxapp/audit"
	"app2wxapp/userpool"
)

func mfa(m userpool.MFA) func(*userpool.Settings) {
	return func(s *userpool.Settings) { s.MFA = m }
}

// codeAt is what the user's authenticator app shows.
func codeAt(t *testing.T, secret userpool.Secret, at time.Time) string {
	t.Helper()
	code, err := totp.GenerateCodeCustom(string(secret), at, totp.ValidateOpts{Period: 30, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// enrol gives the user a second factor that is in force, and turns the clock past
// the code that was used.
func (r *rig) enrol(u userpool.User) (secret userpool.Secret, recovery []userpool.Secret) {
	r.t.Helper()
	secret, _, err := r.AddTOTP(ctx, u.PoolID, u.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	if recovery, err = r.ConfirmTOTP(ctx, u.PoolID, u.ID, codeAt(r.t, secret, r.now())); err != nil {
		r.t.Fatal(err)
	}
	r.turn(time.Minute)
	return secret, recovery
}

func (r *rig) byTOTP(p userpool.Pool, state userpool.Secret, code string) (userpool.User, error) {
	u, _, err := r.Finish(ctx, p, string(state), r.TOTP(code))
	return u, err
}

// A known user who has a second factor comes in by it, once for each code.
func TestSecondFactor(t *testing.T) {
	r := newRig(t)
	p := r.pool(game, mfa(userpool.MFAEnrolled))
	u := r.signIn(p, "alice", phone) // nobody asks who has none
	secret, _, err := r.AddTOTP(ctx, p.ID, u.ID)
	if err != nil {
		t.Fatal(err)
	}
	if again := r.signIn(p, "alice", ""); again.ID != u.ID {
		t.Error("a second factor that is not confirmed is asked for")
	}
	if _, err := r.Service.TOTP(codeAt(t, secret, r.now())).Prove(ctx, p, userpool.Unfinished{UserID: u.ID}); !errors.Is(err, userpool.ErrTOTPWrong) {
		t.Errorf("one that is not in force yet proves who it is: %v", err)
	}
	if _, err := r.ConfirmTOTP(ctx, p.ID, u.ID, "000000"); !errors.Is(err, userpool.ErrTOTPWrong) {
		t.Errorf("confirmed by a wrong code: %v", err)
	}
	codes, err := r.ConfirmTOTP(ctx, p.ID, u.ID, codeAt(t, secret, r.now()))
	if err != nil || len(codes) != 10 || len(codes[0]) != 19 {
		t.Fatalf("confirmed: %d codes, %v", len(codes), err)
	}
	if e := r.told()[0]; e.Type != audit.TOTPConfirmed || e.UserID != u.ID {
		t.Errorf("event %+v", e)
	}
	b := r.begin(p, "alice")
	if !b.MFA || b.MayRegister || !slices.Equal(b.Ways, []userpool.Way{"totp"}) || !errors.Is(b, userpool.ErrMFA) || errors.Is(b, userpool.ErrSignupClosed) {
		t.Errorf("begun: %+v", b)
	}
	if _, err := r.byTOTP(p, b.State, codeAt(t, secret, r.now())); !errors.Is(err, userpool.ErrTOTPWrong) {
		t.Errorf("the code of the confirmation again: %v", err)
	}
	r.unfinished(p, b.State, "alice", phone, userpool.ErrWayClosed)
	r.turn(30 * time.Second)
	got, err := r.byTOTP(p, b.State, codeAt(t, secret, r.now()))
	if err != nil || got.ID != u.ID {
		t.Fatalf("finished: %+v, %v", got, err)
	}
	if _, err := r.byTOTP(p, b.State, codeAt(t, secret, r.now().Add(30*time.Second))); !errors.Is(err, userpool.ErrStateInvalid) {
		t.Errorf("finished again: %v", err)
	}
	// A client that cannot ask is refused.
	r.refused(p, "alice", "", userpool.ErrMFA)
}

// A code holds a period before and after its own, and then no more.
func TestTOTPSkew(t *testing.T) {
	r := newRig(t)
	p := r.pool(game, mfa(userpool.MFAEnrolled))
	u := r.signIn(p, "alice", "")
	secret, _ := r.enrol(u)
	r.turn(30*time.Second - time.Duration(r.now().UnixNano()%int64(30*time.Second))) // the beginning of a period
	for _, row := range []struct {
		off   time.Duration
		right bool
	}{{-60 * time.Second, false}, {60 * time.Second, false}, {-time.Millisecond, true}, {0, true}, {-time.Millisecond, false}, {30 * time.Second, true}, {0, false}} {
		b := r.begin(p, "alice")
		_, err := r.byTOTP(p, b.State, codeAt(t, secret, r.now().Add(row.off)))
		if (err == nil) != row.right {
			t.Errorf("the code of %v: %v, want right %v", row.off, err, row.right)
		}
	}
}

// RFC 6238, appendix B, the last six of the eight digits.
func TestTOTPVectors(t *testing.T) {
	r := newRig(t)
	p := r.pool(game, mfa(userpool.MFAEnrolled))
	u := r.signIn(p, "alice", "")
	const secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" // 12345678901234567890
	for _, row := range []struct {
		at   int64
		code string
	}{{1111111109, "081804"}, {1111111111, "050471"}, {1234567890, "005924"}, {2000000000, "279037"}} {
		at := time.Unix(row.at, 0).UTC()
		r.turn(at.Sub(r.now()))
		_, err := r.store.UpdateTOTP(ctx, p.ID, u.ID, func(_ *userpool.User, f *userpool.TOTP) (audit.Event, error) {
			*f = userpool.TOTP{Secret: secret, AddedAt: at, ConfirmedAt: at}
			return audit.Event{}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Service.TOTP(row.code).Prove(ctx, p, userpool.Unfinished{UserID: u.ID}); err != nil {
			t.Errorf("at %d: %v", row.at, err)
		}
	}
}

// A recovery code is good once, however it is typed.
func TestRecoveryCodes(t *testing.T) {
	r := newRig(t)
	p := r.pool(game, mfa(userpool.MFAEnrolled))
	u := r.signIn(p, "alice", "")
	_, codes := r.enrol(u)
	typed := strings.ToLower(strings.ReplaceAll(string(codes[3]), "-", " "))
	for _, row := range []struct {
		code string
		want error
	}{{typed, nil}, {string(codes[3]), userpool.ErrTOTPWrong}, {string(codes[0]), nil}, {"ABCD-EFGH-IJKL-MNOP", userpool.ErrTOTPWrong}} {
		b := r.begin(p, "alice")
		if _, err := r.byTOTP(p, b.State, row.code); !errors.Is(err, row.want) {
			t.Errorf("%.4s: %v, want %v", row.code, err, row.want)
		}
	}
	if f, err := r.TOTPOf(ctx, p.ID, u.ID); err != nil || len(f.Recovery) != 8 || f.Secret != "" {
		t.Errorf("%d codes are left, %v", len(f.Recovery), err)
	}
	if e := r.told()[0]; e.Type != audit.RecoveryUsed {
		t.Errorf("event %+v", e)
	}
}

// Who has none where one is required cannot come in, and an operator finds them.
func TestSecondFactorRequired(t *testing.T) {
	r := newRig(t)
	p := r.pool(game, mfa(userpool.MFARequired))
	r.refused(p, "alice", "", userpool.ErrMFAUnenrolled)
	m, err := r.store.FindUsers(ctx, p.ID, userpool.Keys{Identity: identity(game, "alice")})
	if err != nil || m.ByIdentity == nil {
		t.Fatalf("not there to be enrolled: %v", err)
	}
	r.refused(p, "alice", "", userpool.ErrMFAUnenrolled)
	secret, _ := r.enrol(*m.ByIdentity)
	b := r.begin(p, "alice")
	if _, err := r.byTOTP(p, b.State, codeAt(t, secret, r.now())); err != nil {
		t.Errorf("enrolled: %v", err)
	}
}

// Nothing is bound before the second factor is shown.
func TestBindWithSecondFactor(t *testing.T) {
	r := newRig(t)
	p := r.binding(game, mfa(userpool.MFAEnrolled), func(s *userpool.Settings) {
		s.BindWays = []userpool.Way{userpool.WayPassword, userpool.WayWeChatPhone}
	})
	u := r.withPassword(p, "Lee", goodPassword)
	secret, _ := r.enrol(u)
	first := r.begin(p, "mallory")
	_, _, err := r.Finish(ctx, p, string(first.State), r.Password("Lee", goodPassword, home))
	second := (*userpool.UnfinishedError)(nil)
	if !errors.As(err, &second) || !second.MFA || second.State == first.State {
		t.Fatalf("the password: %v, want an UnfinishedError for a second factor", err)
	}
	r.nobody(p, userpool.Keys{Identity: identity(game, "mallory")})
	if _, _, err := r.Finish(ctx, p, string(second.State), r.Password("Lee", goodPassword, home)); !errors.Is(err, userpool.ErrWayClosed) {
		t.Errorf("the password in place of the second factor: %v", err)
	}
	if _, err := r.byTOTP(p, first.State, codeAt(t, secret, r.now())); !errors.Is(err, userpool.ErrWayClosed) {
		t.Errorf("the second factor in place of the password: %v", err)
	}
	got, err := r.byTOTP(p, second.State, codeAt(t, secret, r.now()))
	if err != nil || got.ID != u.ID || len(got.Identities) != 1 {
		t.Errorf("bound: %+v, %v", got, err)
	}
	// By a phone that matches, and that comes with the login, likewise.
	for name, change := range map[string]func(*userpool.Settings) error{
		"matchPhone": func(s *userpool.Settings) error { s.Signup, s.MatchPhone = userpool.SignupOpen, true; return nil },
		"proof":      func(s *userpool.Settings) error { s.Signup, s.MatchPhone = userpool.SignupBind, false; return nil },
	} {
		number := map[string]string{"matchPhone": phone, "proof": phone2}[name]
		other := r.account(p, "of-"+name, number)
		r.enrol(other)
		q, err := r.UpdatePool(ctx, p.ID, change)
		if err != nil {
			t.Fatal(err)
		}
		l := r.login(q, "user of "+name, number)
		l.Finishable = true
		if _, err := r.SignIn(ctx, q, l); !errors.Is(err, userpool.ErrMFA) {
			t.Errorf("%s: %v, want ErrMFA", name, err)
		}
		r.nobody(q, userpool.Keys{Identity: identity(game, "user of "+name)})
	}
}

// Tries are bounded for a sign-in and for a user.
func TestTOTPLimits(t *testing.T) {
	r := newRig(t)
	p := r.pool(game, mfa(userpool.MFAEnrolled))
	u := r.signIn(p, "alice", "")
	secret, _ := r.enrol(u)
	b := r.begin(p, "alice")
	for range 5 {
		if _, err := r.byTOTP(p, b.State, "000000"); !errors.Is(err, userpool.ErrTOTPWrong) {
			t.Fatal(err)
		}
	}
	if _, err := r.byTOTP(p, b.State, codeAt(t, secret, r.now())); !errors.Is(err, userpool.ErrTooManyTries) {
		t.Errorf("a sixth try: %v", err)
	}
	b = r.begin(p, "alice")
	var wrong, limited atomic.Int64
	together(20, func(int) {
		_, err := r.Service.TOTP("000000").Prove(ctx, p, userpool.Unfinished{UserID: u.ID})
		switch {
		case errors.Is(err, userpool.ErrTOTPWrong):
			wrong.Add(1)
		case errors.Is(err, userpool.ErrRateLimited):
			limited.Add(1)
		}
	})
	if wrong.Load() != 5 || limited.Load() != 15 {
		t.Errorf("of twenty at once %d were tried and %d refused, want 5 and 15", wrong.Load(), limited.Load())
	}
	if _, err := r.byTOTP(p, b.State, codeAt(t, secret, r.now())); !errors.Is(err, userpool.ErrRateLimited) {
		t.Errorf("the right one: %v, want to wait", err)
	}
	r.turn(time.Minute)
	if _, err := r.byTOTP(p, b.State, codeAt(t, secret, r.now())); err != nil {
		t.Errorf("a minute later: %v", err)
	}
}

// Of many who show one code at once, one comes in.
func TestTOTPOnce(t *testing.T) {
	r := newRig(t)
	p := r.pool(game, mfa(userpool.MFAEnrolled))
	u := r.signIn(p, "alice", "")
	secret, _ := r.enrol(u)
	var states []userpool.Secret
	for range 8 {
		states = append(states, r.begin(p, "alice").State)
	}
	var in atomic.Int64
	code := codeAt(t, secret, r.now())
	together(len(states), func(i int) {
		if _, err := r.byTOTP(p, states[i], code); err == nil {
			in.Add(1)
		} else if !errors.Is(err, userpool.ErrTOTPWrong) {
			t.Error(err)
		}
	})
	if in.Load() != 1 {
		t.Errorf("%d came in by one code, want 1", in.Load())
	}
}

// Removing it ends what it gave, and what was begun with it, be it in the same
// millisecond.
func TestRemoveTOTP(t *testing.T) {
	r := newRig(t)
	p := r.pool(game, mfa(userpool.MFAEnrolled))
	u := r.signIn(p, "alice", "")
	secret, _ := r.enrol(u)
	if _, _, err := r.AddTOTP(ctx, p.ID, u.ID); !errors.Is(err, userpool.ErrTOTPExists) {
		t.Errorf("a second one: %v", err)
	}
	b := r.begin(p, "alice")
	if err := r.RemoveTOTP(ctx, p.ID, u.ID); err != nil {
		t.Fatal(err)
	}
	if got := r.stored(u); !got.NotBefore.Equal(r.now()) {
		t.Errorf("sessions end at %v", got.NotBefore)
	}
	if _, err := r.byTOTP(p, b.State, codeAt(t, secret, r.now())); err == nil {
		t.Error("came in by what was removed")
	}
	if err := r.RemoveTOTP(ctx, p.ID, u.ID); !errors.Is(err, userpool.ErrTOTPNotFound) {
		t.Errorf("removed again: %v", err)
	}
	fresh, _ := r.enrol(u)
	if _, err := r.byTOTP(p, b.State, codeAt(t, fresh, r.now())); !errors.Is(err, userpool.ErrStateInvalid) {
		t.Errorf("a sign-in from before, by a new one: %v", err)
	}
}

// The URI is one that apps read, and nothing of it stands in the store.
func TestTOTPURI(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	u := r.withPassword(p, "Lee", goodPassword)
	secret, uri, err := r.AddTOTP(ctx, p.ID, u.ID)
	if err != nil {
		t.Fatal(err)
	}
	key, err := otp.NewKeyFromURL(string(uri))
	if err != nil || key.Type() != "totp" || key.Secret() != string(secret) || key.Issuer() != p.Name || key.AccountName() != "Lee" {
		t.Errorf("URI %q: %v", string(uri), err)
	}
	if parsed, err := url.Parse(string(uri)); err != nil || parsed.Query().Get("digits") != "6" {
		t.Errorf("URI: %v", err)
	}
	codes, err := r.ConfirmTOTP(ctx, p.ID, u.ID, codeAt(t, secret, r.now()))
	if err != nil {
		t.Fatal(err)
	}
	content := string(r.lies.Content(t))
	for _, s := range []userpool.Secret{secret, codes[0]} {
		if strings.Contains(content, string(s)) {
			t.Error("the store has it")
		}
	}
	r.noted([]string{string(secret), string(codes[0])})
}
