package userpool

import (
	"net/netip"
	"time"
)

// Wrong passwords a minute.
const (
	wrongHere      = 5  // of an account, from an address
	wrongAnywhere  = 30 // from an address, of any accounts
	wrongOfAccount = 20 // of an account, from addresses where it was never right
)

// passwordTry is a try of a password for an account from an address.
type passwordTry struct {
	account string
	addr    netip.Addr
	known   bool // the account's password was right from there
}

// passwordTries counts wrong passwords.
type passwordTries struct {
	here     *Limiter[string]     // by account and address
	anywhere *Limiter[netip.Addr] // by address
	account  *Limiter[string]     // by account
}

func newPasswordTries(in *Limits) passwordTries {
	return passwordTries{
		here:     NewSharedLimiter[string](in, "passwords.here", wrongHere),
		anywhere: NewSharedLimiter[netip.Addr](in, "passwords.anywhere", wrongAnywhere),
		account:  NewSharedLimiter[string](in, "passwords.account", wrongOfAccount),
	}
}

// over returns the limits that the try is under: the rule of who is slowed down
// by whose failures.
//
//   - By one's own for the account, at this address. That is the narrow one: a
//     stranger who guesses at somebody's password slows down the stranger only.
//   - By one's own for all accounts, at this address: who tries one password with
//     many names is under the narrow limit with none of them.
//   - By all strangers' for the account, unless its password was right at this
//     address before. That is for those who have many addresses: it is wider, so
//     that no address reaches it alone, and it does not hold at home, so that
//     nobody can keep a user out of an account, as a lock would. Failures at home
//     do not count among the strangers'.
//
// None of them is a lock: each lets the next try pass within seconds. What counts
// are wrong passwords; a right one counts against nobody.
func (t passwordTries) over(try passwordTry) limits {
	all := limits{limitOf(t.here, try.account+"/"+try.addr.String()), limitOf(t.anywhere, try.addr)}
	if !try.known {
		all = append(all, limitOf(t.account, try.account))
	}
	return all
}

// limit is what a Limiter has of one key.
type limit struct {
	check func(now time.Time) error
	count func(now time.Time)
}

func limitOf[K LimitKey](l *Limiter[K], k K) limit {
	return limit{
		check: func(now time.Time) error { return l.Check(k, now) },
		count: func(now time.Time) { l.Count(k, now) },
	}
}

// limits hold together.
type limits []limit

// check returns a *RateLimitError if one of them has no event left, and counts
// nothing.
func (all limits) check(now time.Time) error {
	for _, l := range all {
		if err := l.check(now); err != nil {
			return err
		}
	}
	return nil
}

// count counts an event of each.
func (all limits) count(now time.Time) {
	for _, l := range all {
		l.count(now)
	}
}
