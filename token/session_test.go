package token_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"app2wxapp/token"
	"app2wxapp/userpool"
)

// begin begins a session of the fixture's user.
func (f *fixture) begin(t testing.TB, b token.Beginning) token.Grant {
	t.Helper()
	if b.Kind == 0 {
		b.Kind = token.KindAccess
	}
	g, err := f.Begin(t.Context(), f.pool, userID, b)
	if err != nil {
		t.Fatalf("Begin: %v", err)
	}
	return g
}

func (f *fixture) refresh(t testing.TB, g token.Grant) token.Grant {
	t.Helper()
	g, err := f.Refresh(t.Context(), f.pool, g.Refresh, token.Refreshing{Kind: token.KindAccess})
	if err != nil {
		t.Fatalf("Refresh: %v", err)
	}
	return g
}

// access is the session's access token of that stamp.
func (f *fixture) access(t testing.TB, g token.Grant) string {
	t.Helper()
	tok, err := f.IssueAccess(t.Context(), f.pool, g.Session, g.Session.Scope, g.Stamp)
	if err != nil {
		t.Fatalf("IssueAccess: %v", err)
	}
	return tok.Raw
}

func TestBegin(t *testing.T) {
	f := newFixture(t)
	g := f.begin(t, token.Beginning{Scope: "openid"})
	if len(g.Refresh) != 86 || g.Session.ID != g.Stamp.ID || g.Session.JTI != g.Stamp.ID || g.Stamp.ExpiresAt != f.pool.TokenEnd(start) {
		t.Errorf("Begin = %+v", g)
	}
	if want := start.Truncate(time.Second).Add(30 * 24 * time.Hour); !g.Session.ExpiresAt.Equal(want) {
		t.Errorf("the refresh token ends at %v, want %v", g.Session.ExpiresAt, want)
	}
	for id, s := range f.store.sessions {
		if id != g.Session.ID || s != g.Session {
			t.Errorf("stored %+v, want %+v", s, g.Session)
		}
	}
	if other := f.begin(t, token.Beginning{Scope: "openid"}); other.Refresh == g.Refresh || other.Session.ID == g.Session.ID {
		t.Error("two sessions are one")
	}
	got, err := f.Verify(t.Context(), f.access(t, g), token.KindAccess)
	want := token.Claims{
		Kind: token.KindAccess, PoolID: poolID, UserID: userID, Scope: "openid", SessionID: g.Session.ID, ID: g.Stamp.ID,
		IssuedAt: start.Truncate(time.Second), ExpiresAt: g.Stamp.ExpiresAt,
	}
	if err != nil || got != want {
		t.Errorf("Verify = %+v, %v, want %+v", got, err, want)
	}
}

// With a seed the same Begin gives the same session, and nothing else does.
func TestBeginAgain(t *testing.T) {
	f := newFixture(t)
	b := token.Beginning{Stamp: stamp(f.pool, theJTI, start), Seed: "ticket key"}
	first := f.begin(t, b)
	f.now = start.Add(time.Second)
	if again := f.begin(t, b); again != first {
		t.Errorf("Begin again = %+v, want %+v", again, first)
	}
	for name, change := range map[string]func(*token.Beginning){
		"another seed": func(b *token.Beginning) { b.Seed = "ticket other" },
		"no seed":      func(b *token.Beginning) { b.Seed = "" },
	} {
		other := b
		change(&other)
		other.Kind = token.KindAccess
		if _, err := f.Begin(t.Context(), f.pool, userID, other); !errors.Is(err, token.ErrSession) {
			t.Errorf("%s: Begin = %v, want %v", name, err, token.ErrSession)
		}
	}
	// What makes it differ, besides the seed.
	same := newFixture(t)
	same.pool.JWTSecret = "fedcba9876543210fedcba9876543210"
	if other := same.begin(t, b); other.Refresh == first.Refresh {
		t.Error("the refresh token does not depend on the pool's secret")
	}
	elsewhere := newFixture(t)
	b.Stamp.ID = userpool.NewID(start)
	if other := elsewhere.begin(t, b); other.Refresh[22:] == first.Refresh[22:] {
		t.Error("the refresh token does not depend on the session")
	}
	f.refresh(t, first)
	b.Stamp.ID, b.Kind = theJTI, token.KindAccess
	if _, err := f.Begin(t.Context(), f.pool, userID, b); !errors.Is(err, token.ErrSession) {
		t.Errorf("Begin after a refresh = %v, want %v", err, token.ErrSession)
	}
}

func TestRefreshLife(t *testing.T) {
	day := 24 * time.Hour
	for _, tt := range []struct{ token, refresh, session time.Duration }{
		{time.Minute, 30 * day, 365 * day},
		{0, 30 * day, 365 * day},
		{15*day + time.Second, 30*day + 2*time.Second, 365 * day},
		{3650 * day, 7300 * day, 7300 * day},
	} {
		f := newFixture(t)
		f.pool.TokenTTL = tt.token
		if got := token.RefreshLife(f.pool); got != tt.refresh {
			t.Errorf("tokens of %v: RefreshLife = %v, want %v", tt.token, got, tt.refresh)
		}
		g := f.begin(t, token.Beginning{})
		begun := start.Truncate(time.Second)
		for last := begun.Add(tt.session); g.Session.ExpiresAt.Before(last); {
			f.now = g.Session.ExpiresAt.Add(-time.Second)
			g = f.refresh(t, g)
			if g.Session.ExpiresAt.After(last) || g.Stamp.ExpiresAt.After(g.Session.ExpiresAt) {
				t.Fatalf("tokens of %v: the session ends at %v, its token at %v, want neither after %v", tt.token, g.Session.ExpiresAt, g.Stamp.ExpiresAt, last)
			}
		}
	}
}

func TestRefresh(t *testing.T) {
	f := newFixture(t)
	first := f.begin(t, token.Beginning{Scope: "openid"})
	f.now = start.Add(time.Hour)
	next := f.refresh(t, first)
	if next.Refresh == first.Refresh || next.Refresh[:42] != first.Refresh[:42] || next.Stamp.ID == first.Stamp.ID || next.Session.CreatedAt != first.Session.CreatedAt {
		t.Errorf("Refresh = %+v, want another token of the session of %+v", next, first)
	}
	if session, newest, err := f.Lookup(t.Context(), next.Refresh); err != nil || !newest || session != next.Session {
		t.Errorf("Lookup of the next = %+v, %v, %v", session, newest, err)
	}
	if session, newest, err := f.Lookup(t.Context(), first.Refresh); err != nil || newest || session != next.Session {
		t.Errorf("Lookup of the first = %+v, %v, %v", session, newest, err)
	}
	check(t, f, "both before reuse", f.access(t, first), true, token.KindAccess)
	if _, err := f.Refresh(t.Context(), f.pool, first.Refresh, token.Refreshing{Kind: token.KindAccess}); !errors.Is(err, token.ErrReused) {
		t.Errorf("Refresh with the first again = %v, want %v", err, token.ErrReused)
	}
	for _, g := range []token.Grant{first, next} {
		check(t, f, "after reuse", f.access(t, g), false, token.KindAccess)
		if _, err := f.Refresh(t.Context(), f.pool, g.Refresh, token.Refreshing{Kind: token.KindAccess}); !errors.Is(err, token.ErrSession) || errors.Is(err, token.ErrReused) {
			t.Errorf("Refresh after reuse = %v, want %v", err, token.ErrSession)
		}
	}
}

func TestRefreshRefuses(t *testing.T) {
	f := newFixture(t)
	g := f.begin(t, token.Beginning{})
	other := f.pool
	other.ID = "other"
	for _, tt := range []struct {
		name    string
		pool    userpool.Pool
		refresh string
		kind    token.Kind
	}{
		{"nothing", f.pool, "", token.KindAccess},
		{"short", f.pool, g.Refresh[:85], token.KindAccess},
		{"long", f.pool, g.Refresh + "A", token.KindAccess},
		{"line break", f.pool, g.Refresh[:40] + "\n" + g.Refresh[40:], token.KindAccess},
		{"line break for a letter", f.pool, g.Refresh[:85] + "\n", token.KindAccess},
		{"an access token", f.pool, f.access(t, g), token.KindAccess},
		{"another session", f.pool, strings.Repeat("A", 86), token.KindAccess},
		{"another family", f.pool, g.Refresh[:30] + "AAAA" + g.Refresh[34:], token.KindAccess},
		{"another pool", other, g.Refresh, token.KindAccess},
		{"another kind", f.pool, g.Refresh, token.KindCasdoor},
		{"no kind", f.pool, g.Refresh, 0},
	} {
		if _, err := f.Refresh(t.Context(), tt.pool, tt.refresh, token.Refreshing{Kind: tt.kind}); !errors.Is(err, token.ErrSession) || errors.Is(err, token.ErrReused) {
			t.Errorf("%s: Refresh = %v, want %v", tt.name, err, token.ErrSession)
		}
	}
	f.refresh(t, g)
}

func TestEnd(t *testing.T) {
	f := newFixture(t)
	g := f.begin(t, token.Beginning{})
	raw := f.access(t, g)
	if err := f.End(t.Context(), "other", g.Session.ID); err != nil {
		t.Fatal(err)
	}
	check(t, f, "after another pool's end", raw, true, token.KindAccess)
	if err := f.End(t.Context(), poolID, g.Session.ID); err != nil {
		t.Fatal(err)
	}
	check(t, f, "after the end", raw, false, token.KindAccess)
	if err := f.Standing(t.Context(), f.store.sessions[g.Session.ID]); !errors.Is(err, token.ErrSession) {
		t.Errorf("Standing = %v, want %v", err, token.ErrSession)
	}
}

func TestRevoke(t *testing.T) {
	f := newFixture(t)
	g := f.begin(t, token.Beginning{})
	raw := f.access(t, g)
	claims, err := f.Verify(t.Context(), raw, token.KindAccess)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Revoke(t.Context(), claims); err != nil {
		t.Fatal(err)
	}
	check(t, f, "after it was revoked", raw, false, token.KindAccess)
	if err := f.Standing(t.Context(), g.Session); err != nil {
		t.Errorf("Standing of its session = %v", err)
	}
	if err := f.Revoke(t.Context(), token.Claims{Kind: token.KindAuthing}); err != nil || len(f.store.revoked) != 1 {
		t.Errorf("Revoke of a token without an id = %v, %d on the deny-list", err, len(f.store.revoked))
	}
}

// What became of the user and of the store.
func TestStanding(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(f *fixture)
		want   error
	}{
		{"nothing", func(*fixture) {}, nil},
		{"blocked", func(f *fixture) { f.user.Blocked = true }, userpool.ErrBlocked},
		{"unknown user", func(f *fixture) { f.user.ID = "x" }, token.ErrSession},
		{"signed out 1 ms before", func(f *fixture) { f.user.NotBefore = start.Add(-time.Millisecond) }, nil},
		{"signed out at that moment", func(f *fixture) { f.user.NotBefore = start }, token.ErrSession},
		{"at its end", func(f *fixture) { f.now = start.Truncate(time.Second).Add(30 * 24 * time.Hour) }, token.ErrSession},
		{"store", func(f *fixture) { f.store.err = errStore }, errStore},
	} {
		f := newFixture(t)
		g := f.begin(t, token.Beginning{})
		tt.change(f)
		f.store.users = map[[2]string]userpool.User{{poolID, f.user.ID}: f.user}
		if err := f.Standing(t.Context(), g.Session); !errors.Is(err, tt.want) {
			t.Errorf("%s: Standing = %v, want %v", tt.name, err, tt.want)
		}
		if tt.want == errStore || tt.name == "unknown user" { // a store calls a session without its user damage
			continue
		}
		if _, err := f.Refresh(t.Context(), f.pool, g.Refresh, token.Refreshing{Kind: token.KindAccess}); !errors.Is(err, tt.want) {
			t.Errorf("%s: Refresh = %v, want %v", tt.name, err, tt.want)
		}
	}
}

// The store's failure is nobody's fault.
func TestSessionWithoutStore(t *testing.T) {
	f := newFixture(t)
	g := f.begin(t, token.Beginning{})
	raw := f.access(t, g)
	f.store.err = errStore
	ctx := t.Context()
	_, begin := f.Begin(ctx, f.pool, userID, token.Beginning{Kind: token.KindAccess})
	_, refresh := f.Refresh(ctx, f.pool, g.Refresh, token.Refreshing{Kind: token.KindAccess})
	_, _, lookup := f.Lookup(ctx, g.Refresh)
	f.store.errIn = "Session"
	_, verify := f.Verify(ctx, raw, token.KindAccess)
	f.store.errIn = ""
	for what, err := range map[string]error{
		"Begin": begin, "Refresh": refresh, "Lookup": lookup, "Verify": verify,
		"End": f.End(ctx, poolID, g.Session.ID), "Revoke": f.Revoke(ctx, token.Claims{ID: "x"}),
	} {
		if !errors.Is(err, errStore) || errors.Is(err, token.ErrSession) || errors.Is(err, token.ErrInvalid) {
			t.Errorf("%s = %v, want %v", what, err, errStore)
		}
	}
	if _, err := f.Begin(ctx, f.pool, userID, token.Beginning{Kind: token.KindAccess, Stamp: token.Stamp{ID: "x"}}); err == nil {
		t.Error("Begin with a stamp that is not of NewID succeeded")
	}
}
