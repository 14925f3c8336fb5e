package userpool

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// PurposeBind is what a code is for that finishes a sign-in.
const PurposeBind = "bind"

const (
	// codeDigits is the length of a code.
	codeDigits = 6
	// sendTimeout bounds the sending of a code.
	sendTimeout = 10 * time.Second

	// From one client address codesPerHour codes may be asked for, and in a pool
	// poolCodesPerMinute, over all replicas.
	codesPerHour       = 20
	poolCodesPerMinute = 100
)

// SendCode is a request to send a one-time code.
type SendCode struct {
	Way     Way    // WaySMSCode or WayEmailCode
	To      string // a phone number in E.164, or an e-mail address
	Purpose string // "" means PurposeBind
	// State is the state token of the sign-in that the code is to finish. With
	// none the code finishes any: then something else must be the price of asking.
	State   string
	Addr    netip.Addr // of the client
	English bool       // what the recipient reads
}

// channel returns what a way's codes go out by, "" for none.
func (w Way) channel() Channel {
	switch w {
	case WaySMSCode:
		return ChannelSMS
	case WayEmailCode:
		return ChannelEmail
	}
	return ""
}

// field is what callers name the number or address.
func (w Way) field() string {
	if w == WayEmailCode {
		return "email"
	}
	return "phone"
}

// to returns the number or address in the spelling that is stored.
func (w Way) to(text string) (string, error) {
	if w == WayEmailCode {
		e, ok := ParseEmail(text)
		if !ok {
			return "", invalidEmail
		}
		return string(e), nil
	}
	if !Phone(text).valid() {
		return "", invalidPhone
	}
	return text, nil
}

// SendCode makes a code of six digits, which holds for CodeLife, and sends it. Its
// answer does not depend on whether anybody has an account.
//
// A code replaces the former one of its purpose, number or address, and pool. Of one
// that was asked for with a state token nobody can use it for another sign-in.
//
// It returns an *InvalidError, ErrWayClosed, ErrNoSender; with a state token what
// Finish returns before it looks at a proof, and ErrTooManyCodes; a *RateLimitError
// if the number or address (one a minute, 10 a day), the client's address (20 an
// hour) or the pool (100 a minute) has had its share; and the errors of Senders.
// Nothing is sent after any of them, except that ErrSendFailed leaves it open, and
// the code counts as sent.
func (s *Service) SendCode(ctx context.Context, pool Pool, c SendCode) error {
	if c.Way.channel() == "" {
		return ErrWayClosed
	}
	to, err := c.Way.to(c.To)
	if err != nil {
		return err
	}
	if !slices.Contains(pool.WaysToBind(), c.Way) {
		return ErrWayClosed
	}
	if !s.can(pool, c.Way) {
		return ErrNoSender
	}
	now := s.now()
	if err := s.codesFrom.Take(AddrKey(c.Addr), now); err != nil {
		s.metrics.codes.WithLabelValues(pool.ID, string(c.Way.channel()), sendResult(err)).Inc()
		return err
	}
	code := OneTimeCode{PoolID: pool.ID, Purpose: cmp.Or(c.Purpose, PurposeBind), To: to, Code: newCode()}
	if c.State != "" {
		code.Of = ParseOneTime(c.State)
		if _, err := s.finishable(ctx, pool, code.Of, c.Way, now); err != nil {
			return err
		}
	}
	err = s.keep(ctx, code, now)
	if err == nil {
		err = s.send(ctx, pool, c, code)
	}
	s.metrics.codes.WithLabelValues(pool.ID, string(c.Way.channel()), sendResult(err)).Inc()
	return err
}

// keep stores the code if nobody has had enough of them.
func (s *Service) keep(ctx context.Context, code OneTimeCode, now time.Time) error {
	if err := s.codesOf.Check(code.PoolID, now); err != nil {
		return err
	}
	if err := s.store.KeepCode(ctx, code, now); err != nil {
		return err
	}
	s.codesOf.Count(code.PoolID, now)
	return nil
}

func (s *Service) send(ctx context.Context, pool Pool, c SendCode, code OneTimeCode) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	err := s.senders.Send(ctx, pool, c.Way.channel(), Message{
		To: code.To, Code: string(code.Code), Purpose: code.Purpose, Life: CodeLife, English: c.English,
	})
	bad := (*InvalidError)(nil)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &bad): // our rules let more pass than the sender's
		return Invalid(c.Way.field(), bad.EN, bad.ZH)
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ErrSendFailed, err)
	}
	return fmt.Errorf("send a code: %w", err)
}

// can tells whether there is something to send the way's codes by; of a way
// without codes it is true.
func (s *Service) can(pool Pool, w Way) bool {
	return w.channel() == "" || s.senders != nil && s.senders.Can(pool, w.channel())
}

// offered returns the pool's ways to bind of which something comes.
func (s *Service) offered(pool Pool) []Way {
	return slices.DeleteFunc(pool.WaysToBind(), func(w Way) bool { return !s.can(pool, w) })
}

// sendable returns an *InvalidError for the first way to bind that nothing comes of.
func (s *Service) sendable(pool Pool) error {
	for i, w := range pool.BindWays {
		if !s.can(pool, w) {
			return Invalid(fmt.Sprintf("bindWays[%d]", i), "must be a way that the server can send codes by: set a sender up first",
				"必须为服务器能发送验证码的方式：请先配置短信或邮件发送")
		}
	}
	return nil
}

// newCode returns six random digits. Of 2³² the numbers that do not divide evenly
// are drawn again, so that no code is likelier than another.
func newCode() Secret {
	const codes = 1_000_000
	for {
		var b [4]byte
		rand.Read(b[:])
		if n := binary.BigEndian.Uint32(b[:]); n < 1<<32/codes*codes {
			return Secret(fmt.Sprintf("%06d", n%codes))
		}
	}
}

// validCode tells whether text can be a code.
func validCode(text string) bool {
	if len(text) != codeDigits {
		return false
	}
	for _, c := range []byte(text) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// sentCode is the proof by a code that was sent.
type sentCode struct {
	s        *Service
	way      Way
	to, code string
}

// SMSCode returns the proof of a phone number by the code that SendCode sent to it.
func (s *Service) SMSCode(phone, code string) Proof { return sentCode{s, WaySMSCode, phone, code} }

// EmailCode returns the proof of an e-mail address by the code that SendCode sent to
// it.
func (s *Service) EmailCode(email, code string) Proof {
	return sentCode{s, WayEmailCode, email, code}
}

func (p sentCode) Way() Way { return p.way }

// Prove returns an *InvalidError for "phone" or "email" and for "smsCode" or
// "emailCode", which is no failure, and ErrCodeWrong. A right code is used up.
func (p sentCode) Prove(ctx context.Context, pool Pool, of Unfinished) (Keys, error) {
	to, err := p.way.to(p.to)
	if err != nil {
		return Keys{}, err
	}
	if !validCode(p.code) {
		return Keys{}, Invalid(string(p.way), "must be the 6 digits that were sent", "必须为收到的 6 位数字验证码")
	}
	if err := p.s.store.UseCode(ctx, OneTimeCode{PoolID: pool.ID, Purpose: PurposeBind, To: to, Code: Secret(p.code), Of: of.Key}, p.s.now()); err != nil {
		return Keys{}, err
	}
	if p.way == WayEmailCode {
		return Keys{Email: Email(to)}, nil
	}
	return Keys{Phone: Phone(to)}, nil
}
