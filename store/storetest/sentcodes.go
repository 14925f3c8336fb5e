package storetest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"app2wxapp/audit"
	"app2wxapp/store"
	"app2wxapp/userpool"
)

// sent returns a code of no sign-in; different n go to different numbers.
func sent(n int) userpool.OneTimeCode {
	return userpool.OneTimeCode{PoolID: "p", Purpose: userpool.PurposeBind, To: fmt.Sprintf("+86138%08d", n), Code: "012345"}
}

// shown returns the code with another text.
func shown(c userpool.OneTimeCode, code string) userpool.OneTimeCode {
	c.Code = userpool.Secret(code)
	return c
}

func testSentCodes(t *testing.T, s store.Store) {
	seeded(t, s)
	c := sent(1)
	use := func(what string, c userpool.OneTimeCode, want error) {
		t.Helper()
		wantErr(t, what, s.UseCode(ctx, c, T0.Add(time.Second)), want)
	}
	use("before any was sent", c, userpool.ErrCodeNone)
	check(t, s.KeepCode(ctx, c, T0))
	use("a right code", c, nil)
	use("a right code again", c, userpool.ErrCodeUsed)
	use("a wrong code afterwards", shown(c, "999999"), userpool.ErrCodeUsed)

	// A new one replaces the former one.
	second := shown(sent(2), "111111")
	check(t, s.KeepCode(ctx, sent(2), T0))
	check(t, s.KeepCode(ctx, second, T0.Add(time.Minute)))
	wantErr(t, "the former code", s.UseCode(ctx, sent(2), T0.Add(time.Minute)), userpool.ErrCodeDiffers)
	check(t, s.UseCode(ctx, second, T0.Add(time.Minute)))

	// The same number elsewhere, and for another purpose, is another matter.
	c = sent(3)
	check(t, s.KeepCode(ctx, c, T0))
	for what, change := range map[string]func(*userpool.OneTimeCode){
		"another pool":    func(c *userpool.OneTimeCode) { c.PoolID = "q" },
		"another purpose": func(c *userpool.OneTimeCode) { c.Purpose = "other" },
		"another number":  func(c *userpool.OneTimeCode) { c.To = "+8613800000009" },
	} {
		other := c
		change(&other)
		use(what, other, userpool.ErrCodeNone)
	}
	other := c
	other.PoolID = "q"
	check(t, s.KeepCode(ctx, shown(other, "222222"), T0))
	other = c
	other.Purpose = "other"
	check(t, s.KeepCode(ctx, shown(other, "333333"), T0.Add(time.Minute)))
	check(t, s.UseCode(ctx, c, T0.Add(time.Minute)))
	wantErr(t, "the code of another purpose", s.UseCode(ctx, other, T0.Add(time.Minute)), userpool.ErrCodeDiffers)
	check(t, s.UseCode(ctx, shown(other, "333333"), T0.Add(time.Minute)))
}

func testSentCodesRefusals(t *testing.T, s store.Store) {
	seeded(t, s)
	// The instant itself.
	c := sent(1)
	check(t, s.KeepCode(ctx, c, T0))
	wantErr(t, "at its end", s.UseCode(ctx, c, T0.Add(userpool.CodeLife)), userpool.ErrCodeLate)
	check(t, s.UseCode(ctx, c, T0.Add(userpool.CodeLife-time.Millisecond)))

	// Guesses count, and a right code after too many is not taken.
	c = sent(2)
	check(t, s.KeepCode(ctx, c, T0))
	for range userpool.MaxGuesses - 1 {
		wantErr(t, "guess", s.UseCode(ctx, shown(c, "543210"), T0), userpool.ErrCodeDiffers)
	}
	check(t, s.UseCode(ctx, c, T0)) // the fifth may be right
	c = sent(3)
	check(t, s.KeepCode(ctx, c, T0))
	for range userpool.MaxGuesses {
		wantErr(t, "guess", s.UseCode(ctx, shown(c, "543210"), T0), userpool.ErrCodeDiffers)
	}
	wantErr(t, "the right one after five guesses", s.UseCode(ctx, c, T0), userpool.ErrCodeSpent)
	// A fresh one has guesses of its own.
	check(t, s.KeepCode(ctx, shown(c, "777777"), T0.Add(time.Minute)))
	check(t, s.UseCode(ctx, shown(c, "777777"), T0.Add(time.Minute)))
	for _, err := range []error{userpool.ErrCodeNone, userpool.ErrCodeUsed, userpool.ErrCodeLate, userpool.ErrCodeSpent, userpool.ErrCodeElsewhere, userpool.ErrCodeDiffers} {
		wantErr(t, "what a caller is told", err, userpool.ErrCodeWrong)
	}
}

// wantWait is a *RateLimitError that ends after that time.
func wantWait(t *testing.T, what string, err error, want time.Duration) {
	t.Helper()
	limit := (*userpool.RateLimitError)(nil)
	if !errors.As(err, &limit) || limit.RetryAfter != want {
		t.Errorf("%s: got %v, want a limit that ends after %v", what, err, want)
	}
}

// One a minute and ten a day to a number, whatever the purpose; what was refused
// changes nothing.
func testSentCodesLimits(t *testing.T, s store.Store) {
	seeded(t, s)
	c, now := sent(1), T0
	for n := range 10 {
		if n > 0 {
			wantWait(t, "the next, too soon", s.KeepCode(ctx, shown(c, "999999"), now.Add(time.Minute-time.Millisecond)), time.Millisecond)
			now = now.Add(time.Minute)
		}
		check(t, s.KeepCode(ctx, shown(c, fmt.Sprintf("00000%d", n)), now))
		check(t, s.KeepCode(ctx, sent(100+n), now)) // other numbers have limits of their own
	}
	other := c
	other.Purpose = "other"
	now = T0.Add(10 * time.Minute)
	wantWait(t, "the eleventh", s.KeepCode(ctx, c, now), 24*time.Hour-10*time.Minute)
	wantWait(t, "the eleventh, for another purpose", s.KeepCode(ctx, other, now), 24*time.Hour-10*time.Minute)
	check(t, s.UseCode(ctx, shown(c, "000009"), now)) // the tenth holds
	now = T0.Add(24 * time.Hour)
	wantWait(t, "a millisecond before a day is over", s.KeepCode(ctx, c, now.Add(-time.Millisecond)), time.Millisecond)
	check(t, s.KeepCode(ctx, c, now))
	wantWait(t, "the next of the new day", s.KeepCode(ctx, c, now.Add(59*time.Second)), time.Second)
	wantWait(t, "a minute later", s.KeepCode(ctx, c, now.Add(time.Minute-time.Millisecond)), time.Millisecond)

	// A clock that was put back does not make anybody wait until it is right.
	late := sent(2)
	check(t, s.KeepCode(ctx, late, T0.Add(5*time.Hour)))
	check(t, s.KeepCode(ctx, late, T0))

	// Of many at once one is kept.
	var kept atomic.Int32
	together(20, func(int) {
		switch err := s.KeepCode(ctx, sent(3), T0); {
		case err == nil:
			kept.Add(1)
		case !errors.Is(err, userpool.ErrRateLimited):
			t.Error(err)
		}
	})
	if n := kept.Load(); n != 1 {
		t.Errorf("%d codes to one number at once, want 1", n)
	}
}

// A code that a sign-in asked for is of no use to another one, and costs it no
// guesses.
func testSentCodesOfSignIns(t *testing.T, s store.Store) {
	seeded(t, s)
	mine, yours := Unfinished(1), Unfinished(2)
	check(t, s.CreateUnfinished(ctx, mine))
	check(t, s.CreateUnfinished(ctx, yours))
	c := sent(1)
	c.Of = mine.Key
	check(t, s.KeepCode(ctx, c, T0))
	for _, of := range []userpool.OneTimeKey{yours.Key, {}} {
		for range 2 * userpool.MaxGuesses {
			other := c
			other.Of = of
			wantErr(t, "for another sign-in", s.UseCode(ctx, other, T0), userpool.ErrCodeElsewhere)
		}
	}
	check(t, s.UseCode(ctx, c, T0))

	// One that nobody asked for in particular is anybody's, once.
	free := sent(2)
	check(t, s.KeepCode(ctx, free, T0))
	free.Of = yours.Key
	check(t, s.UseCode(ctx, free, T0))
	free.Of = mine.Key
	wantErr(t, "a second sign-in", s.UseCode(ctx, free, T0), userpool.ErrCodeUsed)

	// A sign-in asks for five codes, to whatever number.
	for n := range userpool.MaxCodes - 1 {
		c.To = fmt.Sprintf("+861390000000%d", n)
		check(t, s.KeepCode(ctx, c, T0))
	}
	same(t, "the sign-in", must[userpool.Unfinished](t)(s.Unfinished(ctx, "p", mine.Key, T0)).Codes, userpool.MaxCodes)
	c.To = "+8613900000009"
	wantErr(t, "the sixth code", s.KeepCode(ctx, c, T0), userpool.ErrTooManyCodes)
	wantErr(t, "the sixth code, shown", s.UseCode(ctx, c, T0), userpool.ErrCodeNone)
	// What is refused by the number counts for nothing.
	c.Of = yours.Key
	c.To = "+8613900000000"
	wantWait(t, "the number of a moment ago", s.KeepCode(ctx, c, T0), time.Minute)
	same(t, "the other sign-in", must[userpool.Unfinished](t)(s.Unfinished(ctx, "p", yours.Key, T0)).Codes, 0)

	for what, row := range map[string]struct {
		change func(*userpool.OneTimeCode)
		now    time.Time
		want   error
	}{
		"of an unknown sign-in":       {func(c *userpool.OneTimeCode) { c.Of[37]++ }, T0, userpool.ErrStateInvalid},
		"of another pool's":           {func(c *userpool.OneTimeCode) { c.PoolID = "q" }, T0, userpool.ErrStateInvalid},
		"of a sign-in that has ended": {func(*userpool.OneTimeCode) {}, T0.Add(userpool.UnfinishedLife), userpool.ErrStateExpired},
	} {
		c := c
		c.To = "+8613900000008"
		row.change(&c)
		wantErr(t, what, s.KeepCode(ctx, c, row.now), row.want)
		wantErr(t, what+", shown", s.UseCode(ctx, c, row.now), userpool.ErrCodeNone)
	}
	check(t, second(s.FinishUnfinished(ctx, finishing(yours), bind("new"))))
	c.To = "+8613900000007"
	wantErr(t, "of a finished sign-in", s.KeepCode(ctx, c, T0), userpool.ErrStateUsed)

	// Of many that one sign-in asks for at once five are kept.
	crowd := Unfinished(3)
	check(t, s.CreateUnfinished(ctx, crowd))
	var kept atomic.Int32
	together(20, func(i int) {
		c := sent(1000 + i)
		c.Of = crowd.Key
		switch err := s.KeepCode(ctx, c, T0); {
		case err == nil:
			kept.Add(1)
		case !errors.Is(err, userpool.ErrTooManyCodes):
			t.Error(err)
		}
	})
	if n := kept.Load(); n != userpool.MaxCodes {
		t.Errorf("%d codes of one sign-in at once, want %d", n, userpool.MaxCodes)
	}
}

// Of any number of guesses at once five are compared, and of any number of right
// ones one is taken.
func testSentCodesRace(t *testing.T, s store.Store) {
	const callers = 20
	seeded(t, s)
	for round := range 8 {
		guessed, right, mixed := sent(3*round), sent(3*round+1), sent(3*round+2)
		for _, c := range []userpool.OneTimeCode{guessed, right, mixed} {
			check(t, s.KeepCode(ctx, c, T0))
		}
		var compared, used, either atomic.Int32
		together(3*callers, func(i int) {
			switch n := i / 3; i % 3 {
			case 0:
				switch err := s.UseCode(ctx, shown(guessed, fmt.Sprintf("9%05d", n)), T0); {
				case errors.Is(err, userpool.ErrCodeDiffers):
					compared.Add(1)
				case !errors.Is(err, userpool.ErrCodeSpent):
					t.Errorf("a guess: %v", err)
				}
			case 1:
				switch err := s.UseCode(ctx, right, T0); {
				case err == nil:
					used.Add(1)
				case !errors.Is(err, userpool.ErrCodeUsed):
					t.Errorf("a right code: %v", err)
				}
			default:
				c := mixed
				if n%2 == 0 {
					c = shown(c, fmt.Sprintf("9%05d", n))
				}
				switch err := s.UseCode(ctx, c, T0); {
				case err == nil:
					either.Add(1)
				case !errors.Is(err, userpool.ErrCodeWrong):
					t.Errorf("either: %v", err)
				}
			}
		})
		if n := compared.Load(); n != userpool.MaxGuesses {
			t.Errorf("round %d: %d guesses at once were compared, want %d", round, n, userpool.MaxGuesses)
		}
		if n := used.Load(); n != 1 {
			t.Errorf("round %d: %d used a right code, want 1", round, n)
		}
		if n := either.Load(); n > 1 {
			t.Errorf("round %d: %d of many, half of them right, used the code", round, n)
		}
	}
}

func testSentCodesSweep(t *testing.T, s store.Store) {
	seeded(t, s)
	check(t, s.KeepCode(ctx, sent(1), T0))
	check(t, s.KeepCode(ctx, sent(2), T0))
	check(t, s.KeepCode(ctx, sent(2), T0.Add(time.Minute))) // lasts longer
	check(t, s.KeepCode(ctx, sent(3), T0))
	end := T0.Add(24 * time.Hour)
	sweep := func(now time.Time, limit, want int) {
		t.Helper()
		if n := must[int](t)(s.SweepTickets(ctx, now, limit)); n != want {
			t.Errorf("sweep at %v: %d, want %d", now, n, want)
		}
	}
	sweep(T0.Add(userpool.CodeLife), 100, 0)
	wantErr(t, "after its end, and a sweep", s.UseCode(ctx, sent(1), T0.Add(userpool.CodeLife)), userpool.ErrCodeLate)
	sweep(end.Add(-time.Millisecond), 100, 0)
	sweep(end, 1, 1)
	sweep(end, 100, 1)
	sweep(end, 100, 0)
	for n, want := range map[int]error{1: userpool.ErrCodeNone, 2: userpool.ErrCodeLate, 3: userpool.ErrCodeNone} {
		wantErr(t, fmt.Sprintf("number %d afterwards", n), s.UseCode(ctx, sent(n), end), want)
	}
	sweep(end.Add(time.Minute), 100, 1)
	// A number that was forgotten begins anew.
	check(t, s.KeepCode(ctx, sent(1), end))
	check(t, s.UseCode(ctx, sent(1), end))
}

// Of many who register with one e-mail address at once one does.
func testEmailRace(t *testing.T, s store.Store) {
	seeded(t, s)
	for round := range 8 {
		email := userpool.Email(fmt.Sprintf("new%d@planted.example", round))
		var made, found atomic.Int32
		together(12, func(i int) {
			u := Unfinished(100*round + i)
			if err := s.CreateUnfinished(ctx, u); err != nil {
				t.Error(err)
				return
			}
			f := finishing(u)
			f.Keys.Phone, f.Keys.Email = "", email
			_, err := s.FinishUnfinished(ctx, f, func(of userpool.Unfinished, m userpool.Matches) (userpool.User, audit.Event, error) {
				if m.ByEmail != nil {
					return userpool.User{}, audit.Event{}, userpool.ErrIdentityTaken
				}
				return userpool.User{
					PoolID: "p", ID: fmt.Sprintf("new-%d-%d", round, i), Email: email, UnionID: of.UnionID, Identities: []userpool.Identity{of.Identity}, SignedUp: T0, UpdatedAt: T0,
				}, audit.Event{}, nil
			})
			switch {
			case err == nil:
				made.Add(1)
			case errors.Is(err, userpool.ErrIdentityTaken):
				found.Add(1)
			default:
				t.Error(err)
			}
		})
		if m, f := made.Load(), found.Load(); m != 1 || f != 11 {
			t.Errorf("round %d: %d made and %d found the user, want 1 and 11", round, m, f)
		}
	}
}
