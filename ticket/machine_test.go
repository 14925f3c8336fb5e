package ticket_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

// modelTicket is what a person would note of a ticket.
type modelTicket struct {
	text     string
	user     int
	bound    bool // has a challenge
	issued   time.Time
	expires  time.Time
	voided   bool // five younger ones were issued
	redeemed bool
	at       time.Time
	jti      string
	key      string // the Idempotency-Key of the success
	logins   uint64 // as answered
	tokenEnd time.Time
	revoked  bool
	lost     bool // issued before a restore: void, whatever became of it
}

type modelUser struct {
	id        string
	blocked   bool
	notBefore time.Time
	logins    uint64
}

// model is tickets on paper. It knows nothing of the implementation but what
// the comments promise.
type model struct {
	now      time.Time
	optional bool
	tickets  []*modelTicket
	users    [2]modelUser
}

// copy returns what a backup has.
func (m *model) copy() *model {
	c := *m
	c.tickets = nil
	for _, t := range m.tickets {
		was := *t
		c.tickets = append(c.tickets, &was)
	}
	return &c
}

// restore makes everything what it was, but for the clock. Every ticket that was
// ever issued is lost, those that the backup does not know as well; of the
// tokens, only those are revoked that were then.
func (m *model) restore(was *model) {
	since := m.tickets
	now := m.now
	*m = *was.copy()
	m.now = now
	known := map[string]bool{}
	for _, t := range m.tickets {
		known[t.text], t.lost = true, true
	}
	for _, t := range since {
		if !known[t.text] {
			t.lost, t.revoked = true, false
			m.tickets = append(m.tickets, t)
		}
	}
}

// live tells whether the ticket takes one of its user's five places.
func (m *model) live(t *modelTicket) bool {
	return !t.redeemed && !t.voided && !t.lost && m.now.Before(t.expires)
}

func (m *model) issue(t *modelTicket) {
	live := []*modelTicket{}
	for _, o := range m.tickets {
		if o.user == t.user && m.live(o) {
			live = append(live, o)
		}
	}
	for len(live) >= ticket.MaxLive {
		live[0].voided = true
		live = live[1:]
	}
	m.tickets = append(m.tickets, t)
}

// redeem says what must come of an attempt, and notes a success.
func (m *model) redeem(t *modelTicket, secret string, verified bool, key string) (repeated bool, want error) {
	u := &m.users[t.user]
	expired := !m.now.Before(t.expires)
	repeat := t.redeemed && !expired && key != "" && key == t.key
	switch {
	case secret == "wrong":
		return false, userpool.ErrSecretWrong
	case secret == "" && !m.optional:
		return false, userpool.ErrSecretRequired
	case t.lost:
		return false, ticket.ErrUnknown
	case verified != t.bound:
		return false, ticket.ErrVerifier
	case t.redeemed && !repeat:
		return false, ticket.ErrRedeemed
	case expired:
		return false, ticket.ErrExpired
	case u.blocked:
		return false, userpool.ErrBlocked
	case t.voided, !t.issued.After(u.notBefore):
		return false, ticket.ErrVoid
	}
	return repeat, nil
}

// A ticket's life by random steps, on a real store, against the model.
func TestTicketMachine(t *testing.T) {
	shared := newRig(t) // one WeChat and one store file for all runs, a pool for each
	rapid.Check(t, func(t *rapid.T) {
		r := shared
		p, secret := r.pool()
		m := &model{now: r.now()}
		var backup string
		var saved *model // what is in it
		pick := func(t *rapid.T) *modelTicket {
			if len(m.tickets) == 0 {
				t.Skip("no ticket yet")
			}
			return rapid.SampledFrom(m.tickets).Draw(t, "ticket")
		}
		turn := func(d time.Duration) {
			r.turn(d)
			m.now = r.now()
		}
		// issue issues a ticket to the user, who is not blocked.
		issue := func(t *rapid.T, n int, bound bool) {
			u := &m.users[n]
			q := r.request(fmt.Sprint(p.ID, n))
			if bound {
				q = r.bound(fmt.Sprint(p.ID, n))
			}
			i, err := r.tickets.Issue(ctx, p, q)
			if errors.Is(err, userpool.ErrRateLimited) {
				turn(time.Minute)
				t.Skip("rate limited")
			}
			if err != nil || u.id != "" && i.User.ID != u.id {
				t.Fatalf("Issue: user %s, %v, want %s", i.User.ID, err, u.id)
			}
			u.id = i.User.ID
			m.issue(&modelTicket{text: i.Ticket, user: n, bound: bound, issued: m.now, expires: m.now.Add(p.TicketLife())})
		}
		// attempt redeems, by the model and for real.
		attempt := func(t *rapid.T, mt *modelTicket, shown string, verified bool, key string) {
			repeated, want := m.redeem(mt, shown, verified, key)
			a := ticket.Attempt{Ticket: mt.text, Secret: shown, IdempotencyKey: key, Addr: addr}
			if shown == "right" {
				a.Secret = secret
			}
			if verified {
				a.Verifier = verifier
			}
			done, err := r.tickets.Redeem(ctx, p, a)
			if errors.Is(err, userpool.ErrRateLimited) {
				turn(time.Minute) // guesses are limited; that has tests of its own
				t.Skip("rate limited")
			}
			if !errors.Is(err, want) || (want == nil) != (err == nil) {
				t.Fatalf("Redeem(secret %q, verifier %v, key %q): got %v, want %v", shown, verified, key, err, want)
			}
			u := &m.users[mt.user]
			switch {
			case errors.Is(err, ticket.ErrRedeemed):
				if done.Revoked == mt.revoked || done.JTI != mt.jti {
					t.Fatalf("replay: revoked now %v, of %s; model says revoked before %v, of %s", done.Revoked, done.JTI, mt.revoked, mt.jti)
				}
				mt.revoked = true
			case err != nil:
			case repeated:
				if !done.Repeated || done.JTI != mt.jti || !done.At.Equal(mt.at) || done.User.Logins.Count != mt.logins || done.User.ID != u.id {
					t.Fatalf("repeat: %+v, want the first answer %+v", done, *mt)
				}
			default:
				u.logins++
				if done.Repeated || done.User.ID != u.id || done.User.Logins.Count != u.logins || !done.At.Equal(m.now) || done.JTI == "" {
					t.Fatalf("success: %+v, want user %+v", done, *u)
				}
				mt.redeemed, mt.at, mt.jti, mt.key, mt.logins = true, m.now, done.JTI, key, u.logins
				mt.tokenEnd = m.now.Truncate(time.Second).Add(p.TokenLife())
			}
		}
		user := rapid.IntRange(0, len(m.users)-1)
		secrets := rapid.SampledFrom([]string{"right", "right", "right", "", "wrong"})
		keys := rapid.SampledFrom([]string{"", "k1", "k2"})

		t.Repeat(map[string]func(*rapid.T){
			"issue": func(t *rapid.T) {
				n := user.Draw(t, "user")
				if m.users[n].blocked {
					t.Skip("blocked")
				}
				issue(t, n, rapid.Bool().Draw(t, "bound"))
			},
			// Enough at once to meet the bound of five, which single steps seldom do.
			"issue four": func(t *rapid.T) {
				n := user.Draw(t, "user")
				if m.users[n].blocked {
					t.Skip("blocked")
				}
				for range ticket.MaxLive - 1 {
					issue(t, n, false)
				}
			},
			"redeem": func(t *rapid.T) {
				mt := pick(t)
				attempt(t, mt, "right", mt.bound, keys.Draw(t, "key"))
			},
			"redeem the oldest": func(t *rapid.T) { // the first to be voided
				n := user.Draw(t, "user")
				for _, mt := range m.tickets {
					if mt.user == n && m.live(mt) {
						attempt(t, mt, "right", mt.bound, "")
						return
					}
				}
				t.Skip("none is live")
			},
			"redeem somehow": func(t *rapid.T) {
				attempt(t, pick(t), secrets.Draw(t, "secret"), rapid.Bool().Draw(t, "verifier"), keys.Draw(t, "key"))
			},
			"repeat": func(t *rapid.T) {
				mt := pick(t)
				if mt.key == "" {
					t.Skip("redeemed without a key")
				}
				attempt(t, mt, "right", mt.bound, mt.key)
			},
			"guess": func(t *rapid.T) {
				_, err := r.tickets.Redeem(ctx, p, ticket.Attempt{Ticket: "x" + pick(t).text[1:], Secret: secret, Addr: addr})
				if !errors.Is(err, ticket.ErrUnknown) && !errors.Is(err, userpool.ErrRateLimited) {
					t.Fatalf("guess: got %v, want ErrUnknown", err)
				}
			},
			"turn the clock": func(t *rapid.T) {
				turn(rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, 20 * time.Second}).Draw(t, "by"))
			},
			"turn to a ticket's end": func(t *rapid.T) {
				mt := pick(t)
				to := mt.expires.Add(rapid.SampledFrom([]time.Duration{-time.Millisecond, 0}).Draw(t, "from the end"))
				if !to.After(m.now) {
					t.Skip("gone by")
				}
				turn(to.Sub(m.now))
			},
			"block": func(t *rapid.T) {
				n := user.Draw(t, "user")
				u := &m.users[n]
				if u.id == "" {
					t.Skip("no user yet")
				}
				u.blocked = !u.blocked
				if _, err := r.pools.SetBlocked(ctx, p.ID, u.id, u.blocked); err != nil {
					t.Fatal(err)
				}
				if u.blocked {
					u.notBefore = m.now
				}
			},
			"sign out": func(t *rapid.T) {
				u := &m.users[user.Draw(t, "user")]
				if u.id == "" {
					t.Skip("no user yet")
				}
				if _, err := r.pools.SignOut(ctx, p.ID, u.id); err != nil {
					t.Fatal(err)
				}
				u.notBefore = m.now
			},
			"toggle secretOptional": func(t *rapid.T) {
				m.optional = !m.optional
				var err error
				if p, err = r.pools.UpdatePool(ctx, p.ID, func(s *userpool.Settings) error { s.SecretOptional = m.optional; return nil }); err != nil {
					t.Fatal(err)
				}
			},
			"sweep": func(t *rapid.T) {
				if _, err := r.tickets.Sweep(ctx); err != nil {
					t.Fatal(err)
				}
				kept := m.tickets[:0]
				for _, mt := range m.tickets {
					if m.now.Before(mt.expires.Add(ticket.RetainFor)) {
						kept = append(kept, mt)
					}
				}
				m.tickets = kept
			},
			"reopen": func(t *rapid.T) { r.reopen() },
			"back up": func(t *rapid.T) {
				if backup != "" && rapid.IntRange(0, 3).Draw(t, "again") > 0 {
					t.Skip("an older one is worse")
				}
				backup, saved = r.backup(), m.copy()
			},
			"restore": func(t *rapid.T) {
				if backup == "" {
					t.Skip("no backup yet")
				}
				r.restore(backup)
				m.restore(saved)
				var err error
				if p, err = r.pools.Pool(ctx, p.ID); err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) {
				for _, u := range m.users {
					if u.id == "" {
						continue
					}
					got, err := r.store.User(ctx, p.ID, u.id)
					if err != nil || got.Logins.Count != u.logins || got.Blocked != u.blocked {
						t.Fatalf("user: %+v, %v, want %+v", got, err, u)
					}
				}
				for _, mt := range m.tickets {
					if !mt.redeemed {
						continue
					}
					if revoked, err := r.store.TokenRevoked(ctx, mt.jti, mt.tokenEnd); err != nil || revoked != mt.revoked {
						t.Fatalf("token of a ticket: revoked %v, %v, want %v", revoked, err, mt.revoked)
					}
				}
			},
		})
	})
}
