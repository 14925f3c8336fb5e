package token_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"app2wxapp/token"
	"app2wxapp/userpool"
)

func (f *fixture) opened(t testing.TB) token.Opened {
	t.Helper()
	o, err := f.Open(t.Context(), f.pool, userID)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return o
}

func TestOpen(t *testing.T) {
	f := newFixture(t)
	form := regexp.MustCompile(`^[0-9A-Za-z]{32}$`)
	o := f.opened(t)
	want := token.Session{
		ID: o.Session.ID, PoolID: poolID, UserID: userID, Kind: token.KindIDaaS, CreatedAt: start.Truncate(time.Millisecond),
		ExpiresAt: start.Truncate(time.Millisecond).Add(userpool.DefaultSessionTokenTTL), JTI: o.Stamp.ID, TokenEnd: start.Truncate(time.Second).Add(5 * time.Minute),
		Family: o.Session.Family, Refresh: o.Session.Refresh,
	}
	if o.Session != want || f.store.sessions[o.Session.ID] != want || o.Left != userpool.DefaultSessionTokenTTL || !o.Stamp.ExpiresAt.Equal(want.TokenEnd) {
		t.Errorf("Open = %+v, want the session %+v", o, want)
	}
	seen := map[string]bool{}
	for range 100 {
		next := f.opened(t)
		if !form.MatchString(next.Token) || seen[next.Token[:16]] || seen[next.Token[16:]] || strings.Contains(next.Session.ID, next.Token[:16]) {
			t.Fatalf("session token %q of session %s", next.Token, next.Session.ID)
		}
		seen[next.Token[:16]], seen[next.Token[16:]] = true, true
	}
}

// What a session token is not.
func TestResumeRefuses(t *testing.T) {
	f := newFixture(t)
	o, g := f.opened(t), f.begin(t, token.Beginning{})
	other := f.store.pools["other"]
	for _, tt := range []struct {
		name, shown string
		pool        userpool.Pool
	}{
		{"nothing", "", f.pool}, {"short", o.Token[:31], f.pool}, {"long", o.Token + "0", f.pool}, {"a sign", o.Token[:31] + "-", f.pool},
		{"unknown", strings.Repeat("0", 32), f.pool}, {"another pool's", o.Token, other},
		{"a refresh token", g.Refresh, f.pool}, {"the session's id", o.Session.ID, f.pool},
	} {
		if _, err := f.Resume(t.Context(), tt.pool, tt.shown); !errors.Is(err, token.ErrSession) || errors.Is(err, token.ErrReused) {
			t.Errorf("%s: Resume = %v, want %v", tt.name, err, token.ErrSession)
		}
		if err := f.Close(t.Context(), tt.pool, tt.shown); err != nil {
			t.Errorf("%s: Close = %v", tt.name, err)
		}
	}
	if _, err := f.Resume(t.Context(), f.pool, o.Token); err != nil {
		t.Errorf("Resume afterwards = %v", err)
	}
	// A session of another kind is none, whatever its hashes.
	s := f.store.sessions[o.Session.ID]
	s.Kind = token.KindAccess
	f.store.sessions[s.ID] = s
	if _, err := f.Resume(t.Context(), f.pool, o.Token); !errors.Is(err, token.ErrSession) {
		t.Errorf("Resume of another kind = %v, want %v", err, token.ErrSession)
	}
	f.store.err = errStore
	if _, err := f.Resume(t.Context(), f.pool, o.Token); !errors.Is(err, errStore) {
		t.Errorf("Resume without a store = %v, want %v", err, errStore)
	}
}

// The token that follows is the same for whoever shows the one before, of this
// pool's secret.
func TestResumeFollows(t *testing.T) {
	f := newFixture(t)
	f.pool.SessionTokenSliding = true
	o := f.opened(t)
	f.now = f.now.Add(token.SessionTokenGrace)
	next, err := f.Resume(t.Context(), f.pool, o.Token)
	if err != nil || next.Token == o.Token || next.Token[:16] != o.Token[:16] || next.Session.CreatedAt != o.Session.CreatedAt || next.Session.JTI == o.Session.JTI {
		t.Fatalf("Resume = %+v, %v", next, err)
	}
	f.now = f.now.Add(token.SessionTokenGrace - time.Millisecond)
	if again, err := f.Resume(t.Context(), f.pool, o.Token); err != nil || again.Token != next.Token || again.Session != next.Session {
		t.Errorf("Resume again = %+v, %v, want %+v", again, err, next)
	}
	f.now = f.now.Add(time.Millisecond)
	if _, err := f.Resume(t.Context(), f.pool, o.Token); !errors.Is(err, token.ErrReused) {
		t.Errorf("Resume after the grace = %v, want %v", err, token.ErrReused)
	}

	same, elsewhere := newFixture(t), newFixture(t)
	for _, other := range []*fixture{same, elsewhere} {
		other.pool.SessionTokenSliding = true
		other.store.sessions[o.Session.ID] = o.Session
		other.now = o.Session.CreatedAt.Add(token.SessionTokenGrace)
	}
	elsewhere.pool.JWTSecret = "fedcba9876543210fedcba9876543210"
	if got, err := same.Resume(t.Context(), same.pool, o.Token); err != nil || got.Token != next.Token {
		t.Errorf("of the same secret: %+v, %v, want %s", got, err, next.Token)
	}
	if got, err := elsewhere.Resume(t.Context(), elsewhere.pool, o.Token); err != nil || got.Token == next.Token {
		t.Errorf("the next token does not depend on the pool's secret: %+v, %v", got, err)
	}
}
