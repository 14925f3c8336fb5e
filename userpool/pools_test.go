package userpool_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"app2wxapp/audit"
	"app2wxapp/userpool"
)

func TestCreatePoolDefaults(t *testing.T) {
	r := newRig(t)
	p, secret, err := r.CreatePool(ctx, userpool.NewPool{Settings: settings(game)})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.ID) != 24 || strings.Trim(p.ID, "0123456789abcdef") != "" {
		t.Errorf("id %q, want 24 hexadecimal digits", p.ID)
	}
	if len(secret) != 43 || len(p.JWTSecret) != 43 || string(secret) == string(p.JWTSecret) {
		t.Errorf("secrets of %d and %d characters, want two different ones of 43", len(secret), len(p.JWTSecret))
	}
	if p.TicketLife() != 120*time.Second || p.TokenLife() != 15*24*time.Hour || p.Alg() != "HS256" || p.SecretOptional || p.PKCERequired ||
		p.Envelope || p.KeepOnReplay || p.MatchPhone || p.PhoneRequired || p.Signup != userpool.SignupOpen || p.Open() || !p.AllowsApp("wxany") {
		t.Errorf("defaults: %+v", p.Settings)
	}
	if len(p.Secrets) != 1 || !p.Secrets[0].LastUsedAt.IsZero() || !p.Secrets[0].CreatedAt.Equal(t0) || !p.CreatedAt.Equal(t0) || !p.UpdatedAt.Equal(t0) {
		t.Errorf("new pool: %+v", p)
	}
	r.reopen()
	got, err := r.Pool(ctx, p.ID)
	if err != nil || string(got.AppSecret) != appSecret || string(got.JWTSecret) != string(p.JWTSecret) || got.Secrets[0].Hash != p.Secrets[0].Hash {
		t.Errorf("after a restart: %v", err)
	}
}

func TestCreatePoolGivenID(t *testing.T) {
	r := newRig(t)
	n := userpool.NewPool{ID: "62f30aa4", Settings: settings(game), JWTSecret: "0123456789abcdef0123456789abcdef"}
	p, _, err := r.CreatePool(ctx, n)
	if err != nil || p.ID != n.ID || string(p.JWTSecret) != string(n.JWTSecret) {
		t.Errorf("given id and JWT secret: %q, %v", p.ID, err)
	}
	if _, _, err := r.CreatePool(ctx, n); !errors.Is(err, userpool.ErrPoolExists) {
		t.Errorf("again: got %v, want ErrPoolExists", err)
	}
	for field, change := range map[string]func(*userpool.NewPool){
		"id":        func(n *userpool.NewPool) { n.ID = "a/b" },
		"jwtSecret": func(n *userpool.NewPool) { n.JWTSecret = "0123456789abcdef0123456789abcde" },
		"name":      func(n *userpool.NewPool) { n.Name = "" },
	} {
		bad := n
		bad.ID = "other"
		change(&bad)
		_, secret, err := r.CreatePool(ctx, bad)
		if inv := (*userpool.InvalidError)(nil); !errors.As(err, &inv) || inv.Field != field || secret != "" {
			t.Errorf("bad %s: got %v", field, err)
		}
	}
	if _, err := r.Pool(ctx, "other"); !errors.Is(err, userpool.ErrPoolNotFound) {
		t.Errorf("a refused pool: got %v, want ErrPoolNotFound", err)
	}
}

func TestPoolOfNoID(t *testing.T) {
	r := newRig(t)
	for _, id := range []string{"", "nope", "a/b", "../x", strings.Repeat("a", 65), "池"} {
		_, err := r.Pool(ctx, id)
		_, err2 := r.UpdatePool(ctx, id, func(*userpool.Settings) error { return nil })
		_, err3 := r.PoolWithUses(ctx, id)
		for _, err := range []error{err, err2, err3} {
			if !errors.Is(err, userpool.ErrPoolNotFound) {
				t.Errorf("pool %q: got %v, want ErrPoolNotFound", id, err)
			}
		}
	}
}

func TestUpdatePool(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	r.turn(time.Minute)
	got, err := r.UpdatePool(ctx, p.ID, func(s *userpool.Settings) error { s.TicketTTL = 30 * time.Second; return nil })
	if err != nil || got.TicketLife() != 30*time.Second || !got.UpdatedAt.Equal(r.now()) || !got.CreatedAt.Equal(t0) {
		t.Errorf("updated: %+v, %v", got, err)
	}
	inForce := func(what string) {
		t.Helper()
		if p, err := r.Pool(ctx, p.ID); err != nil || p.TicketLife() != 30*time.Second {
			t.Errorf("%s: life %v, %v, want 30s", what, p.TicketLife(), err)
		}
	}
	inForce("updated")
	if _, err := r.UpdatePool(ctx, p.ID, func(s *userpool.Settings) error { s.TicketTTL = time.Second; return nil }); err == nil {
		t.Error("a life of one second was taken")
	}
	inForce("invalid")
	refused := errors.New("refused")
	if _, err := r.UpdatePool(ctx, p.ID, func(s *userpool.Settings) error { s.TicketTTL = time.Minute; return refused }); err != refused {
		t.Errorf("got %v, want the error as it is", err)
	}
	inForce("refused")
	r.reopen()
	inForce("after a restart")
}

// slowPool gives others a chance between the reading of a pool and its return.
type slowPool struct {
	userpool.Store
	updates atomic.Int64
}

func (s *slowPool) Pool(ctx context.Context, id string) (userpool.Pool, error) {
	seen := s.updates.Load()
	p, err := s.Store.Pool(ctx, id)
	for i := 0; i < 2000 && s.updates.Load() == seen; i++ {
		runtime.Gosched()
	}
	return p, err
}

func (s *slowPool) UpdatePool(ctx context.Context, id string, change func(*userpool.Pool) (audit.Event, error)) (userpool.Pool, error) {
	p, err := s.Store.UpdatePool(ctx, id, change)
	s.updates.Add(1)
	return p, err
}

// A pool that is read while it changes must not stay in the cache as it was.
func TestPoolIsNeverStale(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	for i := range 100 {
		s := r.over(&slowPool{Store: r.store}) // knows no pool yet
		name := fmt.Sprint("name ", i)
		together(2, func(n int) {
			var err error
			if n == 0 {
				_, err = s.Pool(ctx, p.ID)
			} else if _, err = s.UpdatePool(ctx, p.ID, func(s *userpool.Settings) error { s.Name = name; return nil }); err == nil {
				var got userpool.Pool
				if got, err = s.Pool(ctx, p.ID); got.Name != name {
					t.Errorf("right after the update: %q, want %q", got.Name, name)
				}
			}
			if err != nil {
				t.Error(err)
			}
		})
		if got, err := s.Pool(ctx, p.ID); err != nil || got.Name != name {
			t.Fatalf("afterwards: %q, %v, want %q", got.Name, err, name)
		}
	}
}

// lostAnswer is a store whose answer to UpdatePool is lost.
type lostAnswer struct{ userpool.Store }

func (s lostAnswer) UpdatePool(ctx context.Context, id string, change func(*userpool.Pool) (audit.Event, error)) (userpool.Pool, error) {
	if p, err := s.Store.UpdatePool(ctx, id, change); err != nil {
		return p, err
	}
	return userpool.Pool{}, userpool.ErrUnavailable
}

func TestPoolAfterUnknownOutcome(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	s := r.over(lostAnswer{r.store})
	if _, err := s.Pool(ctx, p.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UpdatePool(ctx, p.ID, func(s *userpool.Settings) error { s.Name = "new"; return nil }); !errors.Is(err, userpool.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
	if got, err := s.Pool(ctx, p.ID); err != nil || got.Name != "new" {
		t.Errorf("afterwards: %q, %v, want what is stored", got.Name, err)
	}
}

func TestSettingsValidate(t *testing.T) {
	many := make([]string, 201)
	for i := range many {
		many[i] = fmt.Sprint("wx", i)
	}
	for _, row := range []struct {
		field  string // "" for good ones
		change func(*userpool.Settings)
	}{
		{"", func(s *userpool.Settings) {}},
		{"name", func(s *userpool.Settings) { s.Name = "" }},
		{"", func(s *userpool.Settings) { s.Name = strings.Repeat("界", 100) }},
		{"name", func(s *userpool.Settings) { s.Name = strings.Repeat("界", 101) }},
		{"name", func(s *userpool.Settings) { s.Name = "a\nb" }},
		{"appId", func(s *userpool.Settings) { s.AppID = "" }},
		{"appId", func(s *userpool.Settings) { s.AppID = "wx 1" }},
		{"appId", func(s *userpool.Settings) { s.AppID = strings.Repeat("w", 129) }},
		{"", func(s *userpool.Settings) { s.AppID = strings.Repeat("w", 128) }},
		{"appSecret", func(s *userpool.Settings) { s.AppSecret = "" }},
		{"appSecret", func(s *userpool.Settings) { s.AppSecret = "密" }},
		{"ticketTTL", func(s *userpool.Settings) { s.TicketTTL = 10*time.Second - 1 }},
		{"", func(s *userpool.Settings) { s.TicketTTL = 10 * time.Second }},
		{"", func(s *userpool.Settings) { s.TicketTTL = 600 * time.Second }},
		{"ticketTTL", func(s *userpool.Settings) { s.TicketTTL = 600*time.Second + 1 }},
		{"ticketTTL", func(s *userpool.Settings) { s.TicketTTL = -time.Second }},
		{"tokenTTL", func(s *userpool.Settings) { s.TokenTTL = time.Minute - 1 }},
		{"", func(s *userpool.Settings) { s.TokenTTL = time.Minute }},
		{"", func(s *userpool.Settings) { s.TokenTTL = 315360000 * time.Second }},
		{"tokenTTL", func(s *userpool.Settings) { s.TokenTTL = 315360001 * time.Second }},
		{"", func(s *userpool.Settings) { s.TokenAlg = "EdDSA" }},
		{"tokenAlg", func(s *userpool.Settings) { s.TokenAlg = "none" }},
		{"tokenAlg", func(s *userpool.Settings) { s.TokenAlg = "hs256" }},
		{"", func(s *userpool.Settings) { s.Signup = userpool.SignupBind }},
		{"signup", func(s *userpool.Settings) { s.Signup = "open" }},
		{"", func(s *userpool.Settings) { s.AllowedApps = many[:200] }},
		{"allowedApps", func(s *userpool.Settings) { s.AllowedApps = many }},
		{"allowedApps[1]", func(s *userpool.Settings) { s.AllowedApps = []string{"wx1", ""} }},
	} {
		s := settings(game)
		row.change(&s)
		err := s.Validate()
		bad := (*userpool.InvalidError)(nil)
		if row.field == "" && err != nil {
			t.Errorf("%+v: %v", s, err)
		}
		if row.field != "" && (!errors.As(err, &bad) || bad.Field != row.field || bad.EN == "" || bad.ZH == "") {
			t.Errorf("%+v: got %v, want an InvalidError of %s", s, err, row.field)
		}
	}
}

func TestPoolsShowsPages(t *testing.T) {
	r := newRig(t)
	var want []string
	for range 3 {
		want = append(want, r.pool(game).ID)
	}
	slices.Sort(want)
	first, err := r.Pools(ctx, "", 2)
	if err != nil || len(first) != 2 || first[0].ID != want[0] || first[1].ID != want[1] {
		t.Errorf("first page: %d pools, %v", len(first), err)
	}
	second, err := r.Pools(ctx, first[1].ID, 2)
	if err != nil || len(second) != 1 || second[0].ID != want[2] {
		t.Errorf("second page: %d pools, %v", len(second), err)
	}
}
