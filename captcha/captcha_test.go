package captcha_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"app2wxapp/captcha"
	"app2wxapp/store/postgres/pgtest"
	"app2wxapp/userpool"
)

// Each form is solved, and its token spent once.
func TestSolve(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, form := range []captcha.Form{captcha.Puzzle, captcha.Digits, captcha.Spoken} {
		c, answer := r.ask(form)
		token, err := r.verify(c.Token, answer)
		if err != nil {
			t.Fatalf("form %d: %v", form, err)
		}
		if err := r.Spend(ctx, r.pool, token, phone); err != nil {
			t.Errorf("form %d: spend: %v", form, err)
		}
		if err := r.Spend(ctx, r.pool, token, phone); !errors.Is(err, captcha.ErrUsed) {
			t.Errorf("form %d: spent again: %v, want %v", form, err, captcha.ErrUsed)
		}
	}
}

// What people and their programs make of an answer.
func TestAnswers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for what, is := range map[string]struct {
		form  captcha.Form
		right bool
		write func(c captcha.Challenge, answer string) string
	}{
		"as the page has it": {captcha.Puzzle, true, func(_ captcha.Challenge, a string) string { return a }},
		"as JavaScript writes it": {captcha.Puzzle, true, func(c captcha.Challenge, _ string) string {
			return fmt.Sprintf(`{"x":%.4f,"y":5}`, float64(captcha.Place(r.pool, c.Token))-1.3)
		}},
		"encrypted":               {captcha.Puzzle, true, func(c captcha.Challenge, a string) string { return encrypted(t, c.SecretKey, a) }},
		"under another key":       {captcha.Puzzle, false, func(_ captcha.Challenge, a string) string { return encrypted(t, "0123456789abcdef", a) }},
		"just near enough":        {captcha.Puzzle, true, near(r, 5)},
		"and on the other side":   {captcha.Puzzle, true, near(r, -5)},
		"a little too far":        {captcha.Puzzle, false, near(r, 5.01)},
		"too far on the other":    {captcha.Puzzle, false, near(r, -5.01)},
		"no x":                    {captcha.Puzzle, false, func(captcha.Challenge, string) string { return `{"y":5}` }},
		"x is a text":             {captcha.Puzzle, false, func(captcha.Challenge, string) string { return `{"x":"7"}` }},
		"no number":               {captcha.Puzzle, false, func(captcha.Challenge, string) string { return `{"x":1e999}` }},
		"nothing":                 {captcha.Puzzle, false, func(captcha.Challenge, string) string { return "" }},
		"no whole block":          {captcha.Puzzle, false, func(captcha.Challenge, string) string { return "AAAA" }},
		"padding of zeros":        {captcha.Puzzle, false, func(captcha.Challenge, string) string { return strings.Repeat("A", 22) + "==" }},
		"a long one":              {captcha.Puzzle, false, func(_ captcha.Challenge, a string) string { return a + strings.Repeat(" ", 1000) + a }},
		"digits for a puzzle":     {captcha.Puzzle, false, func(c captcha.Challenge, _ string) string { return captcha.Typed(r.pool, c.Token) }},
		"digits with blanks":      {captcha.Spoken, true, func(_ captcha.Challenge, a string) string { return " " + a[:3] + " " + a[3:] + "\u3000" }},
		"digits in pairs":         {captcha.Spoken, true, func(_ captcha.Challenge, a string) string { return a[:2] + "-" + a[2:4] + "-" + a[4:] }},
		"wide digits":             {captcha.Digits, true, func(_ captcha.Challenge, a string) string { return wide(a) }},
		"five digits":             {captcha.Digits, false, func(_ captcha.Challenge, a string) string { return a[:5] }},
		"seven digits":            {captcha.Digits, false, func(_ captcha.Challenge, a string) string { return a + "0" }},
		"no digits":               {captcha.Digits, false, func(captcha.Challenge, string) string { return "" }},
		"another digit":           {captcha.Digits, false, func(_ captcha.Challenge, a string) string { return a[:5] + string('0'+(a[5]-'0'+1)%10) }},
		"letters":                 {captcha.Digits, false, func(captcha.Challenge, string) string { return "abcdef" }},
		"a place for digits":      {captcha.Digits, false, func(captcha.Challenge, string) string { return `{"x":237.0,"y":5.0}` }},
		"invalid UTF-8 in digits": {captcha.Digits, false, func(_ captcha.Challenge, a string) string { return a[:5] + "\xff" }},
	} {
		c, answer := r.ask(is.form)
		token, err := r.verify(c.Token, is.write(c, answer))
		if is.right && err != nil || !is.right && (!errors.Is(err, captcha.ErrWrong) || token != "") {
			t.Errorf("%s: token %q, %v; want right: %v", what, token, err, is.right)
		}
		r.time = r.time.Add(10 * time.Second) // a limit is not what is meant here
	}
}

func near(r *rig, by float64) func(captcha.Challenge, string) string {
	return func(c captcha.Challenge, _ string) string {
		return fmt.Sprintf(`{"x":%v,"y":5.0}`, float64(captcha.Place(r.pool, c.Token))+by)
	}
}

func wide(digits string) (w string) {
	for _, d := range digits {
		w += string(d - '0' + '０')
	}
	return w
}

// A challenge is over after one answer: who may try again would try them all.
func TestWrongAnswerSpends(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, form := range []captcha.Form{captcha.Puzzle, captcha.Digits, captcha.Spoken} {
		c, answer := r.ask(form)
		if _, err := r.verify(c.Token, "wrong"); !errors.Is(err, captcha.ErrWrong) {
			t.Errorf("form %d: %v, want %v", form, err, captcha.ErrWrong)
		}
		if _, err := r.verify(c.Token, answer); !errors.Is(err, captcha.ErrUsed) {
			t.Errorf("form %d, then the right one: %v, want %v", form, err, captcha.ErrUsed)
		}
	}
}

func TestLate(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	in, inAnswer := r.ask(captcha.Digits)
	late, lateAnswer := r.ask(captcha.Digits)
	if want := t0.Add(2 * time.Minute); !in.ExpiresAt.Equal(want) {
		t.Errorf("expires at %v, want %v", in.ExpiresAt, want)
	}
	r.time = t0.Add(captcha.Life - time.Millisecond)
	token, err := r.verify(in.Token, inAnswer)
	if err != nil {
		t.Errorf("a millisecond before the end: %v", err)
	}
	second := r.solved()
	r.time = t0.Add(captcha.Life)
	if _, err := r.verify(late.Token, lateAnswer); !errors.Is(err, captcha.ErrExpired) {
		t.Errorf("at the end: %v, want %v", err, captcha.ErrExpired)
	}
	r.time = t0.Add(captcha.Life - time.Millisecond + captcha.TokenLife - time.Millisecond)
	if err := r.Spend(ctx, r.pool, token, phone); err != nil {
		t.Errorf("captcha token, a millisecond before its end: %v", err)
	}
	if err := r.Spend(ctx, r.pool, token, phone); !errors.Is(err, captcha.ErrUsed) {
		t.Errorf("once more in its last millisecond: %v, want %v", err, captcha.ErrUsed)
	}
	r.time = t0.Add(captcha.Life - time.Millisecond + captcha.TokenLife)
	if err := r.Spend(ctx, r.pool, second, phone); !errors.Is(err, captcha.ErrExpired) {
		t.Errorf("captcha token at its end: %v, want %v", err, captcha.ErrExpired)
	}
}

// What is sealed is for one pool, one purpose and one receiver.
func TestForeign(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c, answer := r.ask(captcha.Digits)
	token := r.solved()
	b := newPool("b") // of the same jwtSecret
	another := r.pool
	another.JWTSecret += "x"
	for what, pool := range map[string]userpool.Pool{"another pool": b, "another jwtSecret": another} {
		if _, err := r.Verify(ctx, pool, captcha.Attempt{Token: c.Token, Answer: answer, Sender: phone, Addr: other}); !errors.Is(err, captcha.ErrUnknown) {
			t.Errorf("%s: challenge: %v, want %v", what, err, captcha.ErrUnknown)
		}
		if err := r.Spend(ctx, pool, token, phone); !errors.Is(err, captcha.ErrUnknown) {
			t.Errorf("%s: captcha token: %v, want %v", what, err, captcha.ErrUnknown)
		}
	}
	for _, sender := range []string{mail, "", "+8613800138001", phone + " "} {
		if err := r.Spend(ctx, r.pool, token, sender); !errors.Is(err, captcha.ErrSender) {
			t.Errorf("for %q: %v, want %v", sender, err, captcha.ErrSender)
		}
	}
	if err := r.Spend(ctx, r.pool, c.Token, phone); !errors.Is(err, captcha.ErrUnknown) {
		t.Errorf("a challenge as captcha token: %v, want %v", err, captcha.ErrUnknown)
	}
	if _, err := r.verify(token, answer); !errors.Is(err, captcha.ErrUnknown) {
		t.Errorf("a captcha token as challenge: %v, want %v", err, captcha.ErrUnknown)
	}
	// None of them has spent anything.
	if _, err := r.verify(c.Token, answer); err != nil {
		t.Errorf("the challenge afterwards: %v", err)
	}
	if err := r.Spend(ctx, r.pool, token, phone); err != nil {
		t.Errorf("the captcha token afterwards: %v", err)
	}
}

// Nobody makes a token, or another one of it.
func TestForged(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	c, answer := r.ask(captcha.Digits)
	token := r.solved()
	forge := func(text string) (forged []string) {
		for i := range text {
			next := alphabet[(strings.IndexByte(alphabet, text[i])+1)%len(alphabet)]
			forged = append(forged, text[:i]+string(next)+text[i+1:])
		}
		return append(forged, "", "x", "\x00", text[:20], text[:len(text)-4], text+"AAAA", text+"=", strings.Repeat("A", 22), strings.Repeat("A", 63), strings.Repeat("A", 96))
	}
	for _, forged := range forge(token) {
		if err := r.Spend(ctx, r.pool, forged, phone); !errors.Is(err, captcha.ErrUnknown) {
			t.Errorf("captcha token %q: %v, want %v", forged, err, captcha.ErrUnknown)
		}
	}
	for _, forged := range forge(c.Token) {
		r.time = r.time.Add(time.Second) // past the limit, before the end
		if _, err := r.verify(forged, answer); !errors.Is(err, captcha.ErrUnknown) && !errors.Is(err, userpool.ErrRateLimited) {
			t.Errorf("challenge %q: %v, want %v", forged, err, captcha.ErrUnknown)
		}
	}
	if len(c.Token) != 63 || len(token) != 96 {
		t.Errorf("tokens of %d and %d characters, want 63 and 96", len(c.Token), len(token))
	}
}

// An address that answers wrongly too often waits, and no other.
func TestLimits(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range 20 {
		if _, err := r.verify("guess", "123456"); !errors.Is(err, captcha.ErrUnknown) {
			t.Fatalf("wrong answer %d: %v, want %v", i, err, captcha.ErrUnknown)
		}
	}
	c, answer := r.ask(captcha.Digits)
	var limited *userpool.RateLimitError
	if _, err := r.verify(c.Token, answer); !errors.As(err, &limited) || limited.RetryAfter <= 0 || limited.RetryAfter > time.Minute {
		t.Errorf("the next one: %v, want a limit", err)
	}
	if _, err := r.Verify(ctx, r.pool, captcha.Attempt{Token: c.Token, Answer: answer, Sender: phone, Addr: other}); err != nil {
		t.Errorf("from another address: %v", err)
	}
	r.time = r.time.Add(3 * time.Second)
	for range 30 { // right ones do not count
		c, answer := r.ask(captcha.Digits)
		if _, err := r.verify(c.Token, answer); err != nil {
			t.Fatalf("three seconds later: %v", err)
		}
	}
	var err error
	for range 121 {
		if _, err = r.Challenge(ctx, r.pool, captcha.Ask{Form: captcha.Digits, Addr: addr}); err != nil {
			break
		}
	}
	if !errors.As(err, &limited) {
		t.Errorf("challenges without end: %v, want a limit", err)
	}
}

// Of many at once with one challenge, or one captcha token, one gets through, at
// whichever replica.
func TestRace(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	race(t, r, r)
}

// Replicas have nothing in common but their store and the pool.
func TestReplicas(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	race(t, newRigOn(t, openStore(t, url)), newRigOn(t, openStore(t, url)))
}

func race(t *testing.T, replicas ...*rig) {
	t.Helper()
	const callers = 12
	for range 3 {
		c, answer := replicas[0].ask(captcha.Puzzle)
		var tokens sync.Map
		together(callers, func(i int) {
			r := replicas[(i+1)%2]
			token, err := r.Verify(ctx, r.pool, captcha.Attempt{Token: c.Token, Answer: answer, Sender: mail, Addr: addr})
			if err == nil {
				tokens.Store(token, true)
			} else if !errors.Is(err, captcha.ErrUsed) {
				t.Error(err)
			}
		})
		var token string
		given := 0
		tokens.Range(func(k, _ any) bool { token = k.(string); given++; return true })
		if given != 1 {
			t.Fatalf("one challenge gave %d captcha tokens, want 1", given)
		}
		var spent atomic.Int32
		together(callers, func(i int) {
			r := replicas[i%2]
			switch err := r.Spend(ctx, r.pool, token, mail); {
			case err == nil:
				spent.Add(1)
			case !errors.Is(err, captcha.ErrUsed):
				t.Error(err)
			}
		})
		if n := spent.Load(); n != 1 {
			t.Errorf("one captcha token was spent %d times, want once", n)
		}
		for _, r := range replicas { // no limit is meant here
			r.time = r.time.Add(time.Minute)
		}
	}
}

func together(n int, do func(i int)) {
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-start
			do(i)
		})
	}
	close(start)
	all.Wait()
}

// broken is a store that does not answer.
type broken struct{}

func (broken) ClaimCode(context.Context, userpool.CodeKey, time.Time) (bool, error) {
	return true, userpool.ErrUnavailable
}

// Without the store nothing is solved and nothing spent, and it is not the
// person's fault.
func TestStoreDoesNotAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	token := r.solved()
	b := newRigOn(t, broken{})
	for range 30 {
		c, answer := b.ask(captcha.Digits)
		if got, err := b.verify(c.Token, answer); !errors.Is(err, userpool.ErrUnavailable) || errors.Is(err, captcha.ErrFailed) || got != "" {
			t.Fatalf("verify: %q, %v, want %v", got, err, userpool.ErrUnavailable)
		}
	}
	if err := b.Spend(ctx, b.pool, token, phone); !errors.Is(err, userpool.ErrUnavailable) || errors.Is(err, captcha.ErrFailed) {
		t.Errorf("spend: %v, want %v", err, userpool.ErrUnavailable)
	}
}

// However many ask at once, no more than fit wait; nobody who goes away is
// waited for.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var made, busy atomic.Int32
	together(110, func(int) {
		switch _, err := r.Challenge(ctx, r.pool, captcha.Ask{Addr: addr}); {
		case err == nil:
			made.Add(1)
		case errors.Is(err, captcha.ErrBusy) && errors.Is(err, userpool.ErrUnavailable):
			busy.Add(1)
		default:
			t.Error(err)
		}
	})
	if made.Load() < 64 || made.Load()+busy.Load() != 110 {
		t.Errorf("%d made and %d refused of 110, want 64 made at least", made.Load(), busy.Load())
	}
}

// Of an answer nothing is seen but by who opens the pictures.
func TestAnswersAreNotTold(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c, answer := r.ask(captcha.Digits)
	_, wrong := r.verify(c.Token, "000001")
	token := r.solved()
	errs := []error{wrong, r.Spend(ctx, r.pool, token, mail), r.Spend(ctx, r.pool, "forged", phone)}
	for _, err := range errs {
		for _, secret := range []string{answer, "000001", phone, mail, token, c.Token, string(r.pool.JWTSecret)} {
			if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), secret) {
				t.Errorf("%#v tells %s", err, secret)
			}
		}
	}
	if all := fmt.Sprintf("%s%s", c.Picture, c.Token); strings.Contains(all, answer) {
		t.Errorf("the challenge tells its answer %s", answer)
	}
}

// A restart on bolt forgets what was claimed; nothing else does.
func TestRestart(t *testing.T) {
	t.Parallel()
	url := "bolt:" + filepath.Join(t.TempDir(), "store.db")
	first := openStore(t, url)
	token := newRigOn(t, first).solved()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	r := newRigOn(t, openStore(t, url))
	if err := r.Spend(ctx, r.pool, token, phone); err != nil {
		t.Errorf("captcha token of before the restart: %v", err)
	}
}
