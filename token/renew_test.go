package token_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"app2wxapp/token"
	"app2wxapp/userpool"
)

const day = 24 * time.Hour

// verified returns the claims of a token that holds.
func (f *fixture) verified(t testing.TB, raw string) token.Claims {
	t.Helper()
	c, err := f.Verify(t.Context(), raw, token.KindAuthing)
	if err != nil {
		t.Fatalf("Verify: %v", err)
	}
	return c
}

func (f *fixture) renew(t testing.TB, raw string) token.Token {
	t.Helper()
	tok, err := f.Renew(t.Context(), f.pool, f.user, f.verified(t, raw))
	if err != nil {
		t.Fatalf("Renew: %v", err)
	}
	return tok
}

// holding returns which of the tokens hold, by their place.
func (f *fixture) holding(t testing.TB, all ...token.Token) (n []int) {
	t.Helper()
	for i, tok := range all {
		if _, err := f.Verify(t.Context(), tok.Raw, token.KindAuthing); err == nil {
			n = append(n, i)
		} else if !errors.Is(err, token.ErrInvalid) && !errors.Is(err, token.ErrExpired) {
			t.Errorf("Verify: %v", err)
		}
	}
	return n
}

// Renewed tokens are of one session, whoever of them was shown, and each holds to
// its own end.
func TestRenew(t *testing.T) {
	f := newFixture(t)
	first := f.issue(t, "HS256", userpool.NewID(f.now))
	id := f.verified(t, first.Raw).ID
	f.now = start.Add(day)
	second := f.renew(t, first.Raw)
	f.now = start.Add(2 * day)
	third, again := f.renew(t, second.Raw), f.renew(t, first.Raw)
	for _, tok := range []token.Token{second, third, again} {
		c := f.verified(t, tok.Raw)
		if c.SessionID != id || c.ID == id || c.UnionID != unionID || tok.ExpiresAt.Sub(tok.IssuedAt) != f.pool.TokenLife() {
			t.Errorf("renewed: %+v, want the session %s", c, id)
		}
	}
	if s := f.store.sessions[id]; len(f.store.sessions) != 1 || s.Kind != token.KindAuthing || s.JTI != id || !s.ExpiresAt.Equal(third.ExpiresAt) {
		t.Errorf("sessions: %+v, want one that ends with the last token", f.store.sessions)
	}
	for _, row := range []struct {
		at   time.Time
		want []int
	}{
		{first.ExpiresAt.Add(-time.Millisecond), []int{0, 1, 2, 3}},
		{first.ExpiresAt, []int{1, 2, 3}},
		{second.ExpiresAt, []int{2, 3}},
		{third.ExpiresAt, nil},
	} {
		f.now = row.at
		if got := f.holding(t, first, second, third, again); !slices.Equal(got, row.want) {
			t.Errorf("at %v: %v hold, want %v", row.at, got, row.want)
		}
	}
}

// A token that lives longer than the pool's do now goes on to its end.
func TestRenewKeepsLongerOnes(t *testing.T) {
	f := newFixture(t)
	first := f.issue(t, "HS256", userpool.NewID(f.now))
	second := f.renew(t, first.Raw)
	f.pool.TokenTTL = time.Hour
	third := f.renew(t, second.Raw)
	fourth := f.renew(t, third.Raw)
	f.now = second.ExpiresAt.Add(-time.Millisecond)
	if got := f.holding(t, first, second, third, fourth); !slices.Equal(got, []int{0, 1}) {
		t.Errorf("%v hold, want the first two", got)
	}
}

// However often it is renewed, a login ends after a year.
func TestRenewalsEnd(t *testing.T) {
	f := newFixture(t)
	tok := f.issue(t, "HS256", userpool.NewID(f.now))
	for f.now = start; f.now.Before(start.Add(364 * day)); f.now = f.now.Add(14 * day) {
		tok = f.renew(t, tok.Raw)
	}
	if want := start.Add(365 * day).Truncate(time.Second); !tok.ExpiresAt.Equal(want) {
		t.Errorf("the last one ends at %v, want %v", tok.ExpiresAt, want)
	}
	f.pool.TokenTTL = 730 * day
	old := f.issue(t, "HS256", userpool.NewID(f.now))
	f.pool.TokenTTL = 0
	f.now = f.now.Add(400 * day)
	if _, err := f.Renew(t.Context(), f.pool, f.user, f.verified(t, old.Raw)); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("Renew after a year = %v, want %v", err, token.ErrInvalid)
	}
}

// What ends the session ends the renewed tokens, and leaves nothing to renew.
func TestRenewalsAreOver(t *testing.T) {
	for name, row := range map[string]struct {
		end  func(*fixture, token.Claims) error
		want []int
	}{
		"replay": {func(f *fixture, first token.Claims) error {
			f.store.revoked[first.ID] = first.ExpiresAt
			s := f.store.sessions[first.ID]
			s.Ended = true
			f.store.sessions[first.ID] = s
			return nil
		}, []int{3}},
		"block": {func(f *fixture, _ token.Claims) error {
			u := f.user
			u.Blocked = true
			f.store.users[[2]string{poolID, userID}] = u
			return nil
		}, nil},
		"sign-out": {func(f *fixture, _ token.Claims) error {
			u := f.user
			u.NotBefore = f.now
			f.store.users[[2]string{poolID, userID}] = u
			return nil
		}, nil},
		"logout by the first": {func(f *fixture, first token.Claims) error { return f.EndLogin(t.Context(), first) }, []int{3}},
	} {
		f := newFixture(t)
		first := f.issue(t, "HS256", userpool.NewID(f.now))
		other := f.issue(t, "HS256", userpool.NewID(f.now))
		second := f.renew(t, first.Raw)
		third := f.renew(t, second.Raw)
		shown := []token.Claims{f.verified(t, first.Raw), f.verified(t, second.Raw)}
		if err := row.end(f, shown[0]); err != nil {
			t.Fatal(err)
		}
		if got := f.holding(t, first, second, third, other); !slices.Equal(got, row.want) {
			t.Errorf("%s: %v hold, want %v", name, got, row.want)
		}
		for _, c := range shown { // a renewal that was under way
			if _, err := f.Renew(t.Context(), f.pool, f.user, c); !errors.Is(err, token.ErrInvalid) && !errors.Is(err, userpool.ErrBlocked) {
				t.Errorf("%s: Renew = %v, want an error", name, err)
			}
		}
	}
}

func TestEndLogin(t *testing.T) {
	for i := range 3 {
		f := newFixture(t)
		first := f.issue(t, "HS256", userpool.NewID(f.now))
		other := f.issue(t, "HS256", userpool.NewID(f.now))
		second := f.renew(t, first.Raw)
		all := []token.Token{first, second, f.renew(t, second.Raw), other}
		if err := f.EndLogin(t.Context(), f.verified(t, all[i].Raw)); err != nil {
			t.Fatal(err)
		}
		if got := f.holding(t, all...); !slices.Equal(got, []int{3}) {
			t.Errorf("logout by %d: %v hold, want another login's alone", i, got)
		}
	}
	f := newFixture(t)
	alone := f.issue(t, "HS256", userpool.NewID(f.now))
	if err := f.EndLogin(t.Context(), f.verified(t, alone.Raw)); err != nil || f.holding(t, alone) != nil || len(f.store.sessions) != 0 {
		t.Errorf("logout by one that was never renewed: %v", err)
	}
}

// A token that Authing made has no id: what is renewed from it is a first one.
func TestRenewAuthings(t *testing.T) {
	f := newFixture(t)
	tok, err := f.Renew(t.Context(), f.pool, f.user, token.Claims{Kind: token.KindAuthing, PoolID: poolID, UserID: userID, ExpiresAt: start.Add(day)})
	if err != nil {
		t.Fatal(err)
	}
	if c := f.verified(t, tok.Raw); c.SessionID != "" || c.ID == "" || len(f.store.sessions) != 0 {
		t.Errorf("renewed: %+v, want one without a session", c)
	}
}

func TestRenewErrors(t *testing.T) {
	for _, method := range []string{"CreateSession", "Session", "RotateSession"} {
		f := newFixture(t)
		c := f.verified(t, f.issue(t, "HS256", userpool.NewID(f.now)).Raw)
		f.store.err, f.store.errIn = userpool.ErrUnavailable, method
		if _, err := f.Renew(t.Context(), f.pool, f.user, c); !errors.Is(err, userpool.ErrUnavailable) {
			t.Errorf("%s fails: Renew = %v, want %v", method, err, userpool.ErrUnavailable)
		}
	}
	for _, method := range []string{"RevokeToken", "Session", "EndSession"} {
		f := newFixture(t)
		c := f.verified(t, f.issue(t, "HS256", userpool.NewID(f.now)).Raw)
		if _, err := f.Renew(t.Context(), f.pool, f.user, c); err != nil {
			t.Fatal(err)
		}
		f.store.err, f.store.errIn = userpool.ErrUnavailable, method
		if err := f.EndLogin(t.Context(), c); !errors.Is(err, userpool.ErrUnavailable) {
			t.Errorf("%s fails: EndLogin = %v, want %v", method, err, userpool.ErrUnavailable)
		}
	}
}
