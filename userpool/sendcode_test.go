package userpool_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"app2wxapp/audit"
	"app2wxapp/userpool"
)

// post takes every message, and keeps it.
type post struct {
	mu      sync.Mutex
	sent    []userpool.Message
	err     error // of Send
	without []userpool.Channel
}

func (p *post) Can(_ userpool.Pool, c userpool.Channel) bool { return !slices.Contains(p.without, c) }

func (p *post) Send(ctx context.Context, _ userpool.Pool, _ userpool.Channel, m userpool.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := ctx.Deadline(); !ok {
		return errors.New("nothing bounds the sending")
	}
	p.sent = append(p.sent, m)
	return p.err
}

// last returns the code that was sent last.
func (p *post) last() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent[len(p.sent)-1].Code
}

func (p *post) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.sent)
}

const mail = "user@example.com"

var fromHere = netip.MustParseAddr("203.0.113.9")

// byCodes lets sign-ins be finished in all ways.
func byCodes(s *userpool.Settings) {
	s.BindWays = []userpool.Way{userpool.WayWeChatPhone, userpool.WaySMSCode, userpool.WayEmailCode}
}

// code has a code sent for the sign-in, to a phone unless there is an @ in to, and
// returns the proof by it.
func (r *rig) code(p userpool.Pool, state userpool.Secret, to string) userpool.Proof {
	r.t.Helper()
	c := userpool.SendCode{Way: userpool.WaySMSCode, To: "+86" + to, State: string(state), Addr: fromHere}
	if strings.Contains(to, "@") {
		c.Way, c.To = userpool.WayEmailCode, to
	}
	if err := r.SendCode(ctx, p, c); err != nil {
		r.t.Fatalf("SendCode(%s): %v", to, err)
	}
	if c.Way == userpool.WayEmailCode {
		return r.EmailCode(c.To, r.post.last())
	}
	return r.SMSCode(c.To, r.post.last())
}

func TestFinishByCodes(t *testing.T) {
	r := newRig(t)
	p := r.binding(game, byCodes)
	byPhone := r.account(p, "by-phone", phone)
	byEmail := r.account(p, "by-email", phone2, func(u *userpool.User) { u.Email = mail })
	for _, row := range []struct {
		user, to, want string
		way            userpool.Way
	}{
		{"alice", phone, byPhone.ID, userpool.WaySMSCode},
		{"bob", "User@Example.COM", byEmail.ID, userpool.WayEmailCode},
	} {
		b := r.begin(p, row.user)
		if want := []userpool.Way{"wechatPhone", "smsCode", "emailCode"}; !slices.Equal(b.Ways, want) {
			t.Errorf("ways %v, want %v", b.Ways, want)
		}
		u, _, err := r.Finish(ctx, p, string(b.State), r.code(p, b.State, row.to))
		if err != nil || u.ID != row.want {
			t.Errorf("%s: %q, %v, want %s", row.to, u.ID, err, row.want)
		}
		if e := r.told()[0]; e.Type != audit.UserBound || e.Detail[audit.Way] != string(row.way) {
			t.Errorf("%s: event %+v", row.to, e)
		}
		if again := r.signIn(p, row.user, ""); again.ID != row.want {
			t.Errorf("%s signs in as %s", row.user, again.ID)
		}
		r.turn(time.Minute)
	}
	m := r.post.sent[1]
	if m.To != mail || m.Purpose != userpool.PurposeBind || m.Life != 5*time.Minute || len(m.Code) != 6 {
		t.Errorf("sent to %q: %q for %s, %v", m.To, m.Code, m.Purpose, m.Life)
	}

	// Nobody has it: who registers with it has it verified.
	b := r.begin(p, "carol")
	u, _, err := r.Finish(ctx, p, string(b.State), r.code(p, b.State, "carol@example.com"))
	if err != nil || u.Email != "carol@example.com" || u.Phone != "" {
		t.Errorf("registered: %+v, %v", u, err)
	}
	if e := r.told()[0]; e.Type != audit.UserRegistered || e.Detail[audit.Way] != "emailCode" {
		t.Errorf("event %+v", e)
	}
	// Another WeChat user does not get in by it.
	b = r.begin(p, "mallory")
	r.turn(time.Minute)
	if _, _, err := r.Finish(ctx, p, string(b.State), r.code(p, b.State, "carol@example.com")); !errors.Is(err, userpool.ErrIdentityTaken) {
		t.Errorf("another WeChat user: %v", err)
	}
	r.noted([]string{mail, "carol@example.com", phone, r.post.last()}, "smsCode", "emailCode")
}

// A pool that requires a phone refuses who registers without one, and lets in who
// has one.
func TestEmailCodeWherePhoneRequired(t *testing.T) {
	r := newRig(t)
	p := r.binding(game, byCodes, func(s *userpool.Settings) { s.PhoneRequired = true })
	r.account(p, "known", phone, func(u *userpool.User) { u.Email = mail })
	b := r.begin(p, "alice")
	if _, _, err := r.Finish(ctx, p, string(b.State), r.code(p, b.State, "other@example.com")); !errors.Is(err, userpool.ErrPhoneRequired) {
		t.Errorf("registered without a phone: %v", err)
	}
	if u, _, err := r.Finish(ctx, p, string(b.State), r.code(p, b.State, mail)); err != nil || u.ID != "known" {
		t.Errorf("bound: %q, %v", u.ID, err)
	}
}

// wantFinish fails the test unless finishing fails so.
func (r *rig) wantFinish(what string, p userpool.Pool, b *userpool.UnfinishedError, proof userpool.Proof, want error) {
	r.t.Helper()
	if _, _, err := r.Finish(ctx, p, string(b.State), proof); !errors.Is(err, want) {
		r.t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func TestWrongCodes(t *testing.T) {
	r := newRig(t)
	p := r.binding(game, byCodes)
	b, other := r.begin(p, "alice"), r.begin(p, "bob")
	right := r.code(p, b.State, phone)
	code := r.post.last()
	wrong := strings.Map(func(c rune) rune { return '0' + (c-'0'+1)%10 }, code)
	r.wantFinish("a wrong one", p, b, r.SMSCode("+86"+phone, wrong), userpool.ErrCodeDiffers)
	r.wantFinish("to another number", p, b, r.SMSCode("+86"+phone2, code), userpool.ErrCodeNone)
	r.wantFinish("as an e-mail's", p, b, r.EmailCode(mail, code), userpool.ErrCodeNone)
	r.wantFinish("for another sign-in", p, other, right, userpool.ErrCodeElsewhere)
	// What cannot be a code, or a number, costs nothing.
	for range 10 {
		for _, proof := range []userpool.Proof{
			r.SMSCode("+86"+phone, ""), r.SMSCode("+86"+phone, "12345"), r.SMSCode("+86"+phone, "1234567"), r.SMSCode("+86"+phone, "12345x"),
			r.SMSCode("+86"+phone, "１２３４５６"), r.SMSCode(phone, code), r.SMSCode("", code), r.EmailCode("", code), r.EmailCode("a@b", code),
		} {
			bad := (*userpool.InvalidError)(nil)
			if _, _, err := r.Finish(ctx, p, string(b.State), proof); !errors.As(err, &bad) {
				t.Errorf("what cannot be: %v", err)
			}
		}
	}
	if u, _, err := r.Finish(ctx, p, string(b.State), right); err != nil || u.Phone != userpool.Phone("+86"+phone) {
		t.Errorf("the right one: %+v, %v", u, err)
	}
	r.wantFinish("a used one", p, other, right, userpool.ErrCodeElsewhere)

	// Five failures end the sign-in.
	r.turn(time.Minute)
	b = r.begin(p, "carol")
	right = r.code(p, b.State, phone2)
	for range userpool.MaxFailures {
		r.wantFinish("a guess", p, b, r.SMSCode("+86"+phone2, wrong), userpool.ErrCodeWrong)
	}
	r.wantFinish("the right one too late", p, b, right, userpool.ErrTooManyTries)

	b = r.begin(p, "dave")
	late := r.code(p, b.State, mail)
	r.turn(userpool.CodeLife)
	r.wantFinish("an expired one", p, b, late, userpool.ErrCodeLate)
}

// Twenty who guess at once are five guesses, whatever the sign-in counts.
func TestGuessesAtOnce(t *testing.T) {
	r := newRig(t)
	p := r.binding(game, byCodes)
	var states []*userpool.UnfinishedError
	for i := range 4 {
		states = append(states, r.begin(p, fmt.Sprint("user", i)))
	}
	// A code of no sign-in in particular, as another dialect sends it.
	if err := r.SendCode(ctx, p, userpool.SendCode{Way: userpool.WaySMSCode, To: "+86" + phone, Addr: fromHere}); err != nil {
		t.Fatal(err)
	}
	var compared, spent atomic.Int32
	together(20, func(i int) {
		_, _, err := r.Finish(ctx, p, string(states[i%4].State), r.SMSCode("+86"+phone, guess(r.post.last(), i)))
		switch {
		case errors.Is(err, userpool.ErrCodeDiffers):
			compared.Add(1)
		case errors.Is(err, userpool.ErrCodeSpent), errors.Is(err, userpool.ErrTooManyTries):
			spent.Add(1)
		default:
			t.Errorf("a guess: %v", err)
		}
	})
	if c, s := compared.Load(), spent.Load(); c != userpool.MaxGuesses || s != 20-userpool.MaxGuesses {
		t.Errorf("%d compared, %d refused, want %d and %d", c, s, userpool.MaxGuesses, 20-userpool.MaxGuesses)
	}
}

// guess returns a code that is not that one; different n give different ones.
func guess(code string, n int) string {
	first := '0' + (code[0]-'0'+1)%10
	return fmt.Sprintf("%c%05d", first, n)
}

func TestSendCodeRefusals(t *testing.T) {
	r := newRig(t)
	r.post.without = []userpool.Channel{userpool.ChannelEmail}
	all := r.binding(game, func(s *userpool.Settings) { s.BindWays = []userpool.Way{"wechatPhone", "smsCode"} })
	wechatOnly := r.binding(game)
	b := r.begin(all, "alice")
	sms := userpool.SendCode{Way: userpool.WaySMSCode, To: "+86" + phone, State: string(b.State), Addr: fromHere}
	change := func(with func(*userpool.SendCode)) userpool.SendCode { c := sms; with(&c); return c }
	for _, row := range []struct {
		name string
		pool userpool.Pool
		c    userpool.SendCode
		want error
	}{
		{"a way that is none", all, change(func(c *userpool.SendCode) { c.Way = "pigeon" }), userpool.ErrWayClosed},
		{"a way without codes", all, change(func(c *userpool.SendCode) { c.Way = userpool.WayWeChatPhone }), userpool.ErrWayClosed},
		{"not the pool's", wechatOnly, sms, userpool.ErrWayClosed},
		{"not the pool's, for nobody", wechatOnly, change(func(c *userpool.SendCode) { c.State = "" }), userpool.ErrWayClosed},
		{"an unknown state token", all, change(func(c *userpool.SendCode) { c.State = "rubbish" }), userpool.ErrStateInvalid},
	} {
		if err := r.SendCode(ctx, row.pool, row.c); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", row.name, err, row.want)
		}
	}
	bad := (*userpool.InvalidError)(nil)
	for _, to := range []string{"", phone, "+86", "+8613800138000x", mail, "+86 138 0013 8000"} {
		if err := r.SendCode(ctx, all, change(func(c *userpool.SendCode) { c.To = to })); !errors.As(err, &bad) || bad.Field != "phone" {
			t.Errorf("to %q: %v", to, err)
		}
	}
	// A way that nothing is sent by cannot be set, and one whose sender has gone is
	// not offered.
	_, err := r.UpdatePool(ctx, all.ID, func(s *userpool.Settings) error {
		s.BindWays = []userpool.Way{"smsCode", "emailCode"}
		return nil
	})
	if !errors.As(err, &bad) || bad.Field != "bindWays[1]" {
		t.Errorf("a way without a sender: %v", err)
	}
	if _, _, err := r.CreatePool(ctx, userpool.NewPool{Settings: func() userpool.Settings { s := settings(game); byCodes(&s); return s }()}); !errors.As(err, &bad) || bad.Field != "bindWays[2]" {
		t.Errorf("a new pool with a way without a sender: %v", err)
	}
	r.post.without = []userpool.Channel{userpool.ChannelEmail, userpool.ChannelSMS}
	if err := r.SendCode(ctx, all, sms); !errors.Is(err, userpool.ErrNoSender) {
		t.Errorf("without a sender: %v", err)
	}
	if b := r.begin(all, "bob"); !slices.Equal(b.Ways, []userpool.Way{"wechatPhone"}) {
		t.Errorf("offered without a sender: %v", b.Ways)
	}
	if _, err := r.UpdatePool(ctx, all.ID, func(s *userpool.Settings) error { s.Name = "other"; return nil }); err != nil {
		t.Errorf("another setting: %v", err)
	}
	if n := r.post.count(); n != 0 {
		t.Errorf("%d messages went out", n)
	}

	// What the provider refuses counts as sent; its error is the caller's.
	r.post.without, r.post.err = nil, &userpool.SendError{Means: userpool.ErrSendFailed, Provider: "webhook"}
	if err := r.SendCode(ctx, all, sms); !errors.Is(err, userpool.ErrSendFailed) {
		t.Errorf("a provider that fails: %v", err)
	}
	r.post.err = nil
	if err := r.SendCode(ctx, all, sms); !errors.Is(err, userpool.ErrRateLimited) {
		t.Errorf("at once again: %v", err)
	}
	// It may have gone out all the same.
	if u, _, err := r.Finish(ctx, all, string(b.State), r.SMSCode("+86"+phone, r.post.last())); err != nil {
		t.Errorf("the code that arrived: %+v, %v", u, err)
	}
}

// A number, a client's address and a pool are sent no more than their share. An
// account makes no difference.
func TestSendCodeLimits(t *testing.T) {
	r := newRig(t)
	p := r.binding(game, byCodes)
	r.account(p, "known", phone)
	send := func(to string, from netip.Addr) error {
		return r.SendCode(ctx, p, userpool.SendCode{Way: userpool.WaySMSCode, To: "+86" + to, Addr: from})
	}
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 51, byte(i / 200), byte(1 + i%200)}) }
	limited := func(what string, err error, want time.Duration) {
		t.Helper()
		limit := (*userpool.RateLimitError)(nil)
		if !errors.As(err, &limit) || limit.RetryAfter != want {
			t.Errorf("%s: %v, want a limit that ends after %v", what, err, want)
		}
	}
	for _, to := range []string{phone, phone2} { // with an account and without
		if err := send(to, addr(0)); err != nil {
			t.Fatal(err)
		}
		limited("flooded from elsewhere", send(to, addr(1)), time.Minute)
	}
	r.turn(time.Minute)
	for i := range 20 {
		if err := send(fmt.Sprintf("137%08d", i), addr(2)); err != nil {
			t.Fatal(err)
		}
	}
	limited("the 21st of an address", send("13700000099", addr(2)), 3*time.Minute)
	if err := send("13700000099", addr(3)); err != nil {
		t.Errorf("from elsewhere: %v", err)
	}
	r.turn(3 * time.Minute)
	if err := send("13700000098", addr(2)); err != nil {
		t.Errorf("3 minutes later: %v", err)
	}
	limited("and again", send("13700000097", addr(2)), 3*time.Minute)

	r.turn(time.Hour)
	for i := range 100 {
		if err := send(fmt.Sprintf("136%08d", i), addr(100+i)); err != nil {
			t.Fatal(err)
		}
	}
	limited("the 101st of the pool", send("13600000999", addr(999)), 600*time.Millisecond)
	q := r.binding(game, byCodes)
	if err := r.SendCode(ctx, q, userpool.SendCode{Way: userpool.WaySMSCode, To: "+8613600000999", Addr: addr(998)}); err != nil {
		t.Errorf("another pool: %v", err)
	}
}

// Codes are six digits, all of them alike.
func TestCodesAreRandom(t *testing.T) {
	r := newRig(t)
	p := r.binding(game, byCodes)
	seen, digits := map[string]bool{}, map[byte]int{}
	for i := range 90 {
		to := fmt.Sprintf("user%d@example.com", i)
		if err := r.SendCode(ctx, p, userpool.SendCode{Way: userpool.WayEmailCode, To: to, Addr: netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})}); err != nil {
			t.Fatal(err)
		}
		code := r.post.last()
		seen[code] = true
		for _, d := range []byte(code) {
			digits[d]++
		}
	}
	if len(seen) < 85 || len(digits) != 10 {
		t.Errorf("90 codes: %d different ones, of the digits %v", len(seen), digits)
	}
}

func TestParseEmail(t *testing.T) {
	long := strings.Repeat("a", 63)
	for text, want := range map[string]string{
		"user@example.com": "user@example.com", "User.Name+tag@Example.COM": "user.name+tag@example.com", "a@b.cn": "a@b.cn",
		"o'neil_x@sub.example.co.uk": "o'neil_x@sub.example.co.uk", "x@xn--fiqs8s.cn": "x@xn--fiqs8s.cn", "1@1.1": "1@1.1",
		strings.Repeat("a", 64) + "@b.cn": strings.Repeat("a", 64) + "@b.cn", "a@" + long + ".cn": "a@" + long + ".cn",
		"": "", "a": "", "@b.cn": "", "a@": "", "a@b": "", "a@b.": "", "a@.b": "", "a@b..c": "", ".a@b.cn": "", "a.@b.cn": "", "a..b@c.cn": "",
		"a b@c.cn": "", " a@b.cn": "", "a@b.cn ": "", "a@b@c.cn": "", "a@-b.cn": "", "a@b-.cn": "", "用户@example.com": "", "a@例子.cn": "",
		"\"a\"@b.cn": "", "a@[127.0.0.1]": "", "<a@b.cn>": "", "a@b.cn\n": "", "a,b@c.cn": "", "a\x00@b.cn": "", "\u212a@b.cn": "",
		strings.Repeat("a", 65) + "@b.cn": "", "a@" + long + "a.cn": "", "a@" + strings.Repeat(long+".", 4) + "cn": "",
	} {
		got, ok := userpool.ParseEmail(text)
		if string(got) != want || ok != (want != "") {
			t.Errorf("ParseEmail(%q): %q, %v, want %q", text, string(got), ok, want)
		}
	}
	for e, want := range map[userpool.Email]string{"": "", mail: "u****@example.com", "rubbish": "****", "@b": "****"} {
		if got := e.String(); got != want {
			t.Errorf("masked %q, want %q", got, want)
		}
	}
}
