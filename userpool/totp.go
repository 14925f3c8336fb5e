package userpool

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"app2wxapp/audit"
)

// WayTOTP is a code of the user's authenticator app (RFC 6238), or a recovery
// code. It finishes a sign-in whose user is known, and no other; no pool names it
// among its ways.
const WayTOTP Way = "totp"

// MFA says who of a pool's users must show a second factor at each sign-in.
type MFA string

const (
	MFAOff      MFA = ""         // nobody
	MFAEnrolled MFA = "enrolled" // who has one
	MFARequired MFA = "required" // everybody; who has none cannot sign in
)

// Errors of second factors.
var (
	// ErrMFA is what a client gets that cannot ask for a second factor; for one
	// that can, an *UnfinishedError wraps it.
	ErrMFA = errors.New("userpool: the user must show a second factor")
	// ErrMFAUnenrolled says that an operator must enrol the user first.
	ErrMFAUnenrolled = errors.New("userpool: the pool requires a second factor and the user has none")
	// ErrTOTPWrong is of a wrong code, and of one that was accepted before.
	ErrTOTPWrong    = errors.New("userpool: wrong code of the second factor")
	ErrTOTPNotFound = errors.New("userpool: the user has no second factor")
	ErrTOTPExists   = errors.New("userpool: the user has a second factor; remove it first")
)

const (
	totpPeriod     = 30 // seconds
	totpSkew       = 1  // periods before and after
	totpSecretSize = 20 // bytes: RFC 4226 section 4, R6

	recoveryCodes = 10
	// totpPerMinute bounds the codes that are tried for a user, right or wrong.
	totpPerMinute = 10
)

// TOTP is a user's second factor. The zero TOTP is none.
type TOTP struct {
	Secret      Secret // base32
	AddedAt     time.Time
	ConfirmedAt time.Time // zero until a code was shown: it is not in force before
	// Step is the last time step whose code was accepted.
	Step int64
	// Recovery are the hashes of recovery codes that were not used yet.
	Recovery [][sha256.Size]byte
}

// InForce tells whether the user must be asked for it.
func (t TOTP) InForce() bool { return t.Secret != "" && !t.ConfirmedAt.IsZero() }

// SecondFactors keeps second factors.
type SecondFactors interface {
	// TOTP returns the user's, the zero TOTP if there is none, nor such a user.
	TOTP(ctx context.Context, poolID, userID string) (TOTP, error)
	// UpdateTOTP is UpdateUser that also lets change alter the second factor, as
	// one step; the zero TOTP takes it away.
	UpdateTOTP(ctx context.Context, poolID, userID string, change func(*User, *TOTP) (audit.Event, error)) (User, error)
}

// accept tells whether the code is right, and if so, makes it right once: it
// notes the time step, or takes the recovery code away.
func (t *TOTP) accept(poolID, userID, code string, now time.Time) (right, recovery bool) {
	if len(code) == 6 {
		at := now.Unix() / totpPeriod
		for step := at - totpSkew; step <= at+totpSkew; step++ {
			ok, err := hotp.ValidateCustom(code, uint64(step), string(t.Secret), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1}) // #nosec G115 -- a time after 1970
			if err == nil && ok && step > t.Step {
				t.Step = step
				return true, false
			}
		}
		return false, false
	}
	sum, found := recoveryHash(poolID, userID, code), -1
	for i := range t.Recovery {
		if subtle.ConstantTimeCompare(sum[:], t.Recovery[i][:]) == 1 {
			found = i
		}
	}
	if found < 0 {
		return false, false
	}
	t.Recovery = slices.Delete(slices.Clone(t.Recovery), found, found+1)
	return true, true
}

// recoveryHash returns what is kept of a recovery code, however it is typed: 80
// random bits need no password hash.
func recoveryHash(poolID, userID, code string) [sha256.Size]byte {
	plain := strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(code))
	return sha256.Sum256([]byte(poolID + "\x00" + userID + "\x00" + plain))
}

// newRecoveryCode returns sixteen letters and digits, in fours.
func newRecoveryCode() string {
	var b [10]byte
	rand.Read(b[:])
	s := base32.StdEncoding.EncodeToString(b[:])
	return s[:4] + "-" + s[4:8] + "-" + s[8:12] + "-" + s[12:]
}

// AddTOTP makes a second factor for the user, to be confirmed by a code before it
// is in force. The secret, and the URI from which authenticator apps take it, are
// shown this once. It returns ErrTOTPExists if one is in force; one that was not
// confirmed is replaced.
func (s *Service) AddTOTP(ctx context.Context, poolID, userID string) (secret Secret, uri Secret, err error) {
	pool, err := s.Pool(ctx, poolID)
	if err != nil {
		return "", "", err
	}
	var b [totpSecretSize]byte
	rand.Read(b[:])
	secret = Secret(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
	now := s.now()
	u, err := s.changeTOTP(ctx, poolID, userID, audit.TOTPAdded, func(_ *User, t *TOTP) error {
		if t.InForce() {
			return ErrTOTPExists
		}
		*t = TOTP{Secret: secret, AddedAt: now}
		return nil
	})
	if err != nil {
		return "", "", err
	}
	label := url.PathEscape(pool.Name + ":" + nameOf(u))
	q := url.Values{"secret": {string(secret)}, "issuer": {pool.Name}, "algorithm": {"SHA1"}, "digits": {"6"}, "period": {fmt.Sprint(totpPeriod)}}
	// Apps read + as a plus sign.
	return secret, Secret("otpauth://totp/" + label + "?" + strings.ReplaceAll(q.Encode(), "+", "%20")), nil
}

// nameOf is how an authenticator app calls the account.
func nameOf(u User) string {
	if u.Username != "" {
		return u.Username
	}
	return u.ID
}

// ConfirmTOTP puts the second factor in force, if the code is of it, and returns
// the recovery codes, which are shown this once. It returns ErrTOTPNotFound if
// there is none, ErrTOTPExists if it is in force, or ErrTOTPWrong.
func (s *Service) ConfirmTOTP(ctx context.Context, poolID, userID, code string) ([]Secret, error) {
	codes := make([]Secret, recoveryCodes)
	hashes := make([][sha256.Size]byte, recoveryCodes)
	for i := range codes {
		plain := newRecoveryCode()
		codes[i], hashes[i] = Secret(plain), recoveryHash(poolID, userID, plain)
	}
	now := s.now()
	_, err := s.changeTOTP(ctx, poolID, userID, audit.TOTPConfirmed, func(_ *User, t *TOTP) error {
		switch {
		case t.Secret == "":
			return ErrTOTPNotFound
		case t.InForce():
			return ErrTOTPExists
		}
		if right, _ := t.accept(poolID, userID, code, now); !right {
			return ErrTOTPWrong
		}
		t.ConfirmedAt, t.Recovery = now, hashes
		return nil
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

// RemoveTOTP takes the second factor away, and ends the user's live tickets and
// tokens. It returns ErrTOTPNotFound if there is none.
func (s *Service) RemoveTOTP(ctx context.Context, poolID, userID string) error {
	now := s.now()
	_, err := s.changeTOTP(ctx, poolID, userID, audit.TOTPRemoved, func(u *User, t *TOTP) error {
		if t.Secret == "" {
			return ErrTOTPNotFound
		}
		*t = TOTP{}
		u.endSessions(now)
		return nil
	})
	return err
}

// TOTPOf returns the user's second factor, without its secret.
func (s *Service) TOTPOf(ctx context.Context, poolID, userID string) (TOTP, error) {
	t, err := s.store.TOTP(ctx, poolID, userID)
	t.Secret = ""
	return t, err
}

func (s *Service) changeTOTP(ctx context.Context, poolID, userID string, event audit.Type, change func(*User, *TOTP) error) (User, error) {
	if !ValidID(poolID) || !ValidID(userID) {
		return User{}, s.whichMissing(ctx, poolID, ErrUserNotFound)
	}
	now := s.now()
	u, err := s.store.UpdateTOTP(ctx, poolID, userID, func(u *User, t *TOTP) (audit.Event, error) {
		u.UpdatedAt = now
		return audit.Event{At: now, Type: event, PoolID: poolID, UserID: userID, By: audit.By(ctx)}, change(u, t)
	})
	return u, s.whichMissing(ctx, poolID, err)
}

// byTOTP is the proof by a code of the second factor.
type byTOTP struct {
	s    *Service
	code string
}

// TOTP returns the proof by a code of the user's authenticator app, or by a
// recovery code. A code is accepted once.
func (s *Service) TOTP(code string) Proof { return byTOTP{s, code} }

func (byTOTP) Way() Way { return WayTOTP }

// Prove returns ErrTOTPWrong or a *RateLimitError.
func (p byTOTP) Prove(ctx context.Context, pool Pool, of Unfinished) (Keys, error) {
	switch {
	case of.UserID == "":
		return Keys{}, ErrWayClosed
	case p.code == "":
		return Keys{}, Invalid("totp", "is required: the code of the authenticator app, or a recovery code", "必填：验证器中的动态码或恢复码")
	case len(p.code) > 64:
		return Keys{}, Invalid("totp", "is too long", "过长")
	}
	now, who := p.s.now(), pool.ID+"/"+of.UserID
	_, err := p.s.store.UpdateTOTP(ctx, pool.ID, of.UserID, func(_ *User, t *TOTP) (audit.Event, error) {
		// One at a time comes here, so that the limit is never passed by.
		if err := p.s.totps.Check(who, now); err != nil {
			return audit.Event{}, err
		}
		p.s.totps.Count(who, now)
		right, recovery := t.InForce(), false
		if right {
			right, recovery = t.accept(pool.ID, of.UserID, p.code, now)
		}
		switch {
		case !right:
			return audit.Event{}, ErrTOTPWrong
		case recovery:
			return audit.Event{At: now, Type: audit.RecoveryUsed, PoolID: pool.ID, UserID: of.UserID, By: audit.By(ctx)}, nil
		}
		return audit.Event{}, nil
	})
	if errors.Is(err, ErrUserNotFound) {
		err = ErrStateInvalid
	}
	return Keys{UserID: of.UserID}, err
}

// errSecondFactor is what resolve returns to have it looked up whether the user
// must show a second factor; nothing was stored.
var errSecondFactor = errors.New("userpool: is there a second factor?")

// clear lets the user who was resolved pass without a second factor, if the pool
// does not ask for one that they have. It returns ErrMFA if it does, and
// ErrMFAUnenrolled if they have none where they must.
func (s *Service) clear(ctx context.Context, in *signIn) error {
	t, err := s.store.TOTP(ctx, in.pool.ID, in.user.ID)
	switch {
	case err != nil:
		return err
	case t.InForce():
		return ErrMFA
	case in.pool.MFA == MFARequired:
		return ErrMFAUnenrolled
	}
	in.cleared = in.user.ID
	return nil
}
