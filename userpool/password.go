package userpool

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"app2wxapp/audit"
	"app2wxapp/password"
)

// WayPassword is a username and its password. It binds an account that is there
// and registers nobody.
const WayPassword Way = "password"

var (
	// ErrPasswordWrong is one error for a wrong password, a user without one and
	// a username of nobody.
	ErrPasswordWrong = errors.New("userpool: wrong username or password")
	// ErrPasswordsBusy says that too many passwords wait to be looked at.
	ErrPasswordsBusy = fmt.Errorf("%w: too many passwords at a time", ErrUnavailable)
)

// maxPlaces is how many addresses are remembered at which a password was right.
const maxPlaces = 8

// Password is what is kept of a user's password, apart from the user. The zero
// Password is none.
type Password struct {
	Hash  Secret // a PHC string of argon2id, or bcrypt's
	SetAt time.Time
	// Places are where it was right, as AddrKeys, the latest last.
	Places []netip.Addr
}

// Passwords keeps passwords.
type Passwords interface {
	// Password returns the user's, the zero Password if there is none, nor such a
	// user.
	Password(ctx context.Context, poolID, userID string) (Password, error)
	// CreateUserWithPassword is CreateUser that stores the password, too, and the
	// event, as one step.
	CreateUserWithPassword(ctx context.Context, u User, p Password, e audit.Event) error
	// SetPassword is UpdateUser that stores the password, too, as one step; the
	// zero Password takes it away.
	SetPassword(ctx context.Context, poolID, userID string, p Password, change func(*User) (audit.Event, error)) (User, error)
	// ReplacePassword stores another form of what was set at that time with that
	// hash, as one step. It returns ErrUnchanged if it is not there any more.
	ReplacePassword(ctx context.Context, poolID, userID string, was, to Password) error
}

// Replaces tells whether p may be replaced by another form of was. Stores use it.
func (p Password) Replaces(was Password) bool {
	return p.Hash != "" && p.Hash == was.Hash && p.SetAt.Equal(was.SetAt)
}

// NewPassword is a password to be set, or the hash that another system made of
// it: one of them. The zero value is none.
type NewPassword struct {
	Text Secret
	Hash Secret
}

// hashed checks a password to be set and hashes it. It returns an *InvalidError
// or ErrPasswordsBusy.
func (s *Service) hashed(ctx context.Context, n NewPassword) (Password, error) {
	switch {
	case n.Text != "" && n.Hash != "":
		return Password{}, Invalid("passwordHash", "must not come with a password", "不能与 password 同时给出")
	case n.Hash != "" && !password.Known(string(n.Hash)):
		return Password{}, Invalid("passwordHash", "must be argon2id as a PHC string (64 MiB and a few passes at most) or bcrypt ($2a$, $2b$, $2y$, cost 4 to 14)", "必须为 argon2id（PHC 字符串，内存不超过 64 MiB）或 bcrypt（$2a$、$2b$、$2y$，cost 4 到 14）")
	case n.Hash != "":
		return Password{Hash: n.Hash, SetAt: s.now()}, nil
	case !password.Fits(string(n.Text)):
		return Password{}, Invalid("password", "must be at least 8 characters and at most 256 bytes, without control characters", "至少 8 个字符，最多 256 字节，不能含控制字符")
	}
	turn, err := s.turn(ctx, "")
	if err != nil {
		return Password{}, err
	}
	defer turn.End()
	return Password{Hash: Secret(turn.Make(string(n.Text))), SetAt: s.now()}, nil
}

// turn waits for a turn to hash. It returns ErrPasswordsBusy if there is none.
func (s *Service) turn(ctx context.Context, kept Secret) (*password.Turn, error) {
	t, err := s.hasher.Turn(ctx, string(kept))
	if errors.Is(err, password.ErrBusy) {
		err = ErrPasswordsBusy
	}
	return t, err
}

// CreateUserWithPassword is CreateUser for a user who brings a password.
func (s *Service) CreateUserWithPassword(ctx context.Context, u User, n NewPassword) (User, error) {
	u, err := s.newcomer(ctx, u)
	if err != nil {
		return User{}, err
	}
	p, err := s.hashed(ctx, n)
	if err != nil {
		return User{}, err
	}
	set := audit.Event{At: p.SetAt, Type: audit.PasswordSet, PoolID: u.PoolID, UserID: u.ID, By: audit.By(ctx)}
	return u, s.store.CreateUserWithPassword(ctx, u, p, set)
}

// SetPassword gives the user another password, and ends their live tickets and
// tokens. It returns an *InvalidError, ErrPasswordsBusy, ErrUserNotFound or
// ErrPoolNotFound.
func (s *Service) SetPassword(ctx context.Context, poolID, userID string, n NewPassword) (User, error) {
	p, err := s.hashed(ctx, n)
	if err != nil {
		return User{}, err
	}
	return s.setPassword(ctx, poolID, userID, p, audit.PasswordSet)
}

// RemovePassword takes the user's password away, if there is one, and ends their
// live tickets and tokens.
func (s *Service) RemovePassword(ctx context.Context, poolID, userID string) (User, error) {
	return s.setPassword(ctx, poolID, userID, Password{}, audit.PasswordRemoved)
}

func (s *Service) setPassword(ctx context.Context, poolID, userID string, p Password, event audit.Type) (User, error) {
	if !ValidID(poolID) || !ValidID(userID) {
		return User{}, s.whichMissing(ctx, poolID, ErrUserNotFound)
	}
	now := s.now()
	u, err := s.store.SetPassword(ctx, poolID, userID, p, func(u *User) (audit.Event, error) {
		u.UpdatedAt = now
		u.endSessions(now)
		return audit.Event{At: now, Type: event, PoolID: poolID, UserID: userID, By: audit.By(ctx)}, nil
	})
	return u, s.whichMissing(ctx, poolID, err)
}

// PasswordSetAt returns when the user's password was set, zero if there is none.
func (s *Service) PasswordSetAt(ctx context.Context, poolID, userID string) (time.Time, error) {
	p, err := s.store.Password(ctx, poolID, userID)
	return p.SetAt, err
}

// byPassword is the proof by username and password.
type byPassword struct {
	s        *Service
	username string
	password string
	addr     netip.Addr
}

// Password returns the proof by username and password, given by a caller from
// this address. Names are usernames only: phones are not unique in a pool, and a
// user may have chosen a username that looks like another's.
func (s *Service) Password(username, password string, addr netip.Addr) Proof {
	return byPassword{s, username, password, AddrKey(addr)}
}

func (byPassword) Way() Way { return WayPassword }

// Prove returns ErrPasswordWrong, a *RateLimitError or ErrPasswordsBusy.
func (p byPassword) Prove(ctx context.Context, pool Pool, _ Unfinished) (Keys, error) {
	switch {
	case p.username == "":
		return Keys{}, Invalid("username", "is required", "必填")
	case !validUsername(p.username):
		return Keys{}, Invalid("username", "must be at most 255 bytes without spaces and slashes", "最多 255 字节，不能含空格和斜杠")
	case p.password == "":
		return Keys{}, Invalid("password", "is required", "必填")
	case !password.Possible(p.password):
		return Keys{}, Invalid("password", "must be at most 256 bytes", "最多 256 字节")
	}
	userID, err := p.s.checkPassword(ctx, pool, p.username, p.password, p.addr)
	result := "right"
	switch {
	case errors.Is(err, ErrPasswordWrong):
		result = "wrong"
	case errors.Is(err, ErrRateLimited):
		result = "limited"
	case err != nil:
		result = "error"
	}
	p.s.metrics.passwords.WithLabelValues(pool.ID, result).Inc()
	return Keys{UserID: userID}, err
}

// checkPassword returns whose password it is.
func (s *Service) checkPassword(ctx context.Context, pool Pool, username, text string, addr netip.Addr) (userID string, err error) {
	u, err := s.UserByName(ctx, pool.ID, username)
	if err != nil && !errors.Is(err, ErrUserNotFound) {
		return "", err
	}
	// A user who is not there has no id, and takes as long as one who is.
	kept, err := s.store.Password(ctx, pool.ID, u.ID)
	if err != nil {
		return "", err
	}
	known := slices.Contains(kept.Places, addr)
	limits := s.tries.over(passwordTry{account: accountKey(pool.ID, username), addr: addr, known: known})
	if err := limits.check(s.now()); err != nil {
		return "", err // without waiting
	}
	turn, err := s.turn(ctx, kept.Hash)
	if err != nil {
		return "", err
	}
	defer turn.End()
	// Others may have failed while this one waited. As few have a turn at a time,
	// few more than the limits allow are ever made at once.
	if err := limits.check(s.now()); err != nil {
		return "", err
	}
	right, stale := turn.Compare(text)
	if !right {
		limits.count(s.now())
		return "", ErrPasswordWrong
	}
	to := kept
	if stale {
		to.Hash = Secret(turn.Make(text))
	}
	if !known {
		to.Places = append(slices.Clone(kept.Places), addr)
		to.Places = to.Places[max(0, len(to.Places)-maxPlaces):]
	}
	if stale || !known {
		err = s.store.ReplacePassword(ctx, pool.ID, u.ID, kept, to)
	}
	if errors.Is(err, ErrUnchanged) {
		err = nil // somebody else was faster, or it was set anew: Finish sees that
	}
	return u.ID, err
}

// accountKey is what tries of a username are counted under, whether somebody has
// it or not. It does not tell the name.
func accountKey(poolID, username string) string {
	sum := sha256.Sum256([]byte(poolID + "\x00" + username))
	return hex.EncodeToString(sum[:16])
}
