package userpool

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	// UnfinishedLife is how long a sign-in can be finished.
	UnfinishedLife = 10 * time.Minute
	// UnfinishedRetain is how long its record stays after its end, to tell one
	// that expired from one that never was.
	UnfinishedRetain = 24 * time.Hour
	// MaxFailures is how many proofs may fail before it cannot be finished any
	// more.
	MaxFailures = 5
)

// Errors of sign-ins that are to be finished.
var (
	// ErrUnfinished is wrapped by every *UnfinishedError. To a client that cannot
	// finish a sign-in the pool takes no new users.
	ErrUnfinished = fmt.Errorf("%w: they must bind an account or register first", ErrSignupClosed)

	ErrStateInvalid = errors.New("userpool: no sign-in to finish by this state token")
	// ErrStateUsed is not told from ErrStateInvalid to a caller.
	ErrStateUsed    = fmt.Errorf("%w: it is finished", ErrStateInvalid)
	ErrStateExpired = errors.New("userpool: the sign-in was not finished in time")
	ErrTooManyTries = errors.New("userpool: too many failed tries to finish the sign-in")
	ErrWayClosed    = errors.New("userpool: the pool does not let sign-ins be finished this way")

	ErrAccountNotFound = errors.New("userpool: no account by this proof, and the pool lets nobody register")
	ErrIdentityTaken   = errors.New("userpool: the account belongs to another WeChat user")
	ErrAccountUnclear  = errors.New("userpool: more than one account has this phone")
)

// Way is a way to finish a sign-in: how a person shows which account is theirs.
type Way string

// The ways that there are.
const (
	WayWeChatPhone Way = "wechatPhone" // a phone number that WeChat verified
	WaySMSCode     Way = "smsCode"     // a phone number, by a code that was sent to it
	WayEmailCode   Way = "emailCode"   // an e-mail address, by a code that was sent to it
)

// ways are all of them.
var ways = []Way{WayWeChatPhone, WaySMSCode, WayEmailCode, WayPassword}

// WaysToBind returns how the pool lets sign-ins be finished.
func (s Settings) WaysToBind() []Way {
	if len(s.BindWays) == 0 {
		return []Way{WayWeChatPhone}
	}
	return slices.Clone(s.BindWays)
}

// Unfinished is a sign-in of a WeChat user whom the pool does not know, to be
// finished with a Proof. Its state token is never stored.
type Unfinished struct {
	Key      OneTimeKey // of the state token
	PoolID   string
	Identity Identity
	UnionID  string // "" if WeChat reported none
	Profile  Profile
	Method   string // RegisterMethod of a user who is made
	// SourceApp is the AppID of the app that launched the mini program.
	SourceApp string
	// MayRegister tells that a new account is made if the proof finds none.
	MayRegister bool
	// UserID is whose sign-in it is, if only a second factor is missing: then the
	// user is known, and no other proof finishes it. "" for one whom the pool does
	// not know.
	UserID     string
	ExpiresAt  time.Time
	Failures   int       // proofs that did not hold
	Codes      int       // that were asked for
	FinishedAt time.Time // zero until then
}

// nobody tells whether no WeChat user has signed in.
func (u Unfinished) nobody() bool { return u.Key == OneTimeKey{} && u.Identity == Identity{} }

// Judge returns why the sign-in cannot be finished at that pool now, nil if it
// can: ErrStateInvalid, ErrStateUsed, ErrStateExpired from ExpiresAt on, and
// ErrTooManyTries, in this order.
func (u Unfinished) Judge(poolID string, now time.Time) error {
	switch {
	case u.PoolID != poolID:
		return ErrStateInvalid
	case !u.FinishedAt.IsZero():
		return ErrStateUsed
	case !now.Before(u.ExpiresAt):
		return ErrStateExpired
	case u.Failures >= MaxFailures:
		return ErrTooManyTries
	}
	return nil
}

// CountCode counts a code that the sign-in asks for, or returns ErrTooManyCodes.
// Stores use it.
func (u *Unfinished) CountCode() error {
	if u.Codes >= MaxCodes {
		return ErrTooManyCodes
	}
	u.Codes++
	return nil
}

// UnfinishedError is what SignIn returns for a user whom the pool does not know
// if its signup is "bind", and SignIn and Finish for one who must show a second
// factor.
type UnfinishedError struct {
	MFA         bool   // a second factor is missing; Ways is WayTOTP
	State       Secret // the state token: 51 characters of base64url; not stored anywhere
	MayRegister bool   // else only an existing account can be bound
	Ways        []Way
	ExpiresAt   time.Time
	Life        time.Duration
}

func (e *UnfinishedError) Error() string { return e.Unwrap().Error() }
func (e *UnfinishedError) Unwrap() error {
	if e.MFA {
		return ErrMFA
	}
	return ErrUnfinished
}

// Finish is an attempt to finish a sign-in after its proof has held.
type Finish struct {
	PoolID string
	Key    OneTimeKey
	Now    time.Time
	// Keys are those of the sign-in and what was proved.
	Keys Keys
}
