package userpool_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"app2wxapp/userpool"
)

// modelSignIn is what a person would note of a sign-in that is to be finished.
type modelSignIn struct {
	state    userpool.Secret
	user     int
	ends     time.Time
	failures int
	finished bool
}

// judge says what must come of an attempt whose proof holds or does not, by the
// promises of Finish alone. accounts are the phones that have one, with who is
// bound to it, -1 for nobody.
func (s *modelSignIn) judge(now time.Time, foreign, holds, mayRegister, known bool, accounts map[int]int, phone int) error {
	owner, there := accounts[phone]
	switch {
	case foreign, s.finished:
		return userpool.ErrStateInvalid
	case !now.Before(s.ends):
		return userpool.ErrStateExpired
	case s.failures >= userpool.MaxFailures:
		return userpool.ErrTooManyTries
	case !holds:
		return userpool.ErrCode
	case known:
		return userpool.ErrStateInvalid
	case there && owner >= 0:
		return userpool.ErrIdentityTaken
	case !there && !mayRegister:
		return userpool.ErrAccountNotFound
	}
	return nil
}

// The life of sign-ins by random steps (begin, finish, fail, expire, replay), on
// a real store, against the model.
func TestUnfinishedMachine(t *testing.T) {
	shared := newRig(t) // one WeChat and one store file for all runs, two pools for each
	rapid.Check(t, func(t *rapid.T) {
		r := shared
		mayRegister := rapid.Bool().Draw(t, "may register")
		p, q := r.binding(game, func(s *userpool.Settings) { s.BindOnly = !mayRegister }), r.binding(game)
		name := func(user int) string { return fmt.Sprint(p.ID, user) }
		number := func(n int) string { return fmt.Sprintf("1380013800%d", n) }
		var begun []*modelSignIn
		accounts, bound := map[int]int{}, map[int]string{} // phone → user, user → id
		for n := range 2 {
			accounts[n] = -1
			r.account(p, fmt.Sprint("account", n), number(n))
		}
		attempt := func(t *rapid.T, s *modelSignIn, at userpool.Pool, holds bool, phone int) {
			tapped := s.user
			if !holds {
				tapped++ // another user's tap
			}
			_, known := bound[s.user]
			want := s.judge(r.now(), at.ID != p.ID, holds, mayRegister, known, accounts, phone)
			u, err := r.finish(at, s.state, name(tapped), number(phone))
			if !errors.Is(err, want) || (want == nil) != (err == nil) {
				t.Fatalf("Finish(user %d, phone %d, holds %v): got %v, want %v", s.user, phone, holds, err, want)
			}
			switch {
			case errors.Is(want, userpool.ErrCode), errors.Is(want, userpool.ErrIdentityTaken), errors.Is(want, userpool.ErrAccountNotFound):
				s.failures++
			case want == nil:
				s.finished = true
				accounts[phone], bound[s.user] = s.user, u.ID
				if phone < 2 && u.ID != fmt.Sprint("account", phone) {
					t.Fatalf("bound to %s, want account%d", u.ID, phone)
				}
			}
		}
		pick := func(t *rapid.T) *modelSignIn {
			if len(begun) == 0 {
				t.Skip("nothing begun")
			}
			return rapid.SampledFrom(begun).Draw(t, "sign-in")
		}
		phones, users := rapid.IntRange(0, 3), rapid.IntRange(0, 3)
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				user := users.Draw(t, "user")
				l := r.login(p, name(user), "")
				l.Finishable = true
				u, err := r.SignIn(ctx, p, l)
				open := (*userpool.UnfinishedError)(nil)
				switch {
				case errors.Is(err, userpool.ErrRateLimited):
					r.turn(time.Minute)
				case bound[user] != "":
					if err != nil || u.ID != bound[user] {
						t.Fatalf("SignIn: %s, %v, want %s", u.ID, err, bound[user])
					}
				case !errors.As(err, &open) || open.MayRegister != mayRegister:
					t.Fatalf("SignIn: %v, want an UnfinishedError", err)
				default:
					begun = append(begun, &modelSignIn{state: open.State, user: user, ends: r.now().Add(10 * time.Minute)})
				}
			},
			"finish":     func(t *rapid.T) { attempt(t, pick(t), p, true, phones.Draw(t, "phone")) },
			"fail":       func(t *rapid.T) { attempt(t, pick(t), p, false, phones.Draw(t, "phone")) },
			"other pool": func(t *rapid.T) { attempt(t, pick(t), q, true, phones.Draw(t, "phone")) },
			"time passes": func(t *rapid.T) {
				r.turn(rapid.SampledFrom([]time.Duration{time.Second, 4 * time.Minute}).Draw(t, "time"))
			},
			"to the end": func(t *rapid.T) {
				s := pick(t)
				if left := s.ends.Sub(r.now()); left > time.Millisecond {
					r.turn(left - time.Millisecond)
					attempt(t, s, p, true, phones.Draw(t, "phone"))
					r.turn(time.Millisecond)
				}
				attempt(t, s, p, true, phones.Draw(t, "phone"))
			},
			"replay": func(t *rapid.T) {
				s := pick(t)
				if !s.finished {
					t.Skip("not finished")
				}
				attempt(t, s, p, true, phones.Draw(t, "phone"))
			},
		})
	})
}
