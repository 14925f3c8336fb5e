package userpool

import (
	"context"
	"errors"
	"slices"
	"time"

	"app2wxapp/audit"
)

// begunPerMinute bounds the sign-ins that one WeChat user of a pool begins.
const begunPerMinute = 20

// Proof is how a person shows which account of the pool is theirs.
type Proof interface {
	// Way names the proof among a pool's ways.
	Way() Way
	// Prove returns the keys that are proved for the WeChat user of that sign-in,
	// the zero one for nobody's; UnionID and Identity are not among them. An error
	// that wraps ErrCode, ErrCodeWrong or ErrPasswordWrong says that the proof does
	// not hold, and counts as a failure of the sign-in. Tries of one moment are all
	// made before any of them counts: a proof that can be guessed must bound its
	// tries itself.
	Prove(ctx context.Context, pool Pool, of Unfinished) (Keys, error)
}

// weChatPhone is the proof by a phone button.
type weChatPhone struct {
	s    *Service
	code string
}

// WeChatPhone returns the proof by the code of a mini program's phone button.
// The sign-in's openid goes along, so that WeChat refuses another user's code.
func (s *Service) WeChatPhone(code string) Proof { return weChatPhone{s, code} }

func (weChatPhone) Way() Way { return WayWeChatPhone }

func (p weChatPhone) Prove(ctx context.Context, pool Pool, of Unfinished) (Keys, error) {
	switch {
	case p.code == "":
		return Keys{}, Invalid("phoneCode", "is required: the code of the phone button", "必填：手机号按钮返回的 code")
	case len(p.code) > maxCode:
		return Keys{}, Invalid("phoneCode", "is too long", "过长")
	}
	ctx, cancel := context.WithTimeout(ctx, p.s.timeout)
	defer cancel()
	ask := p.s.askPhone
	if of.nobody() {
		ask = p.s.askAnyPhone
	}
	phone, err := ask(ctx, pool, of.Identity.OpenID, p.code, p.s.now())
	return Keys{Phone: phone}, err
}

// begin keeps the sign-in of a user whom the pool does not know, or of the one
// with that id, of whom a second factor is missing, and returns it as an
// *UnfinishedError, or why it cannot be kept.
func (s *Service) begin(ctx context.Context, in *signIn, sourceApp, userID string) error {
	now := s.now()
	who := in.pool.ID + "/" + in.keys.Identity.OpenID
	if err := s.begun.Check(who, now); err != nil {
		return err
	}
	s.begun.Count(who, now)
	text, key := NewOneTime(now)
	// Its times are whole milliseconds, as in its key.
	u := Unfinished{
		Key: key, PoolID: in.pool.ID, Identity: in.keys.Identity, UnionID: in.keys.UnionID, Profile: in.profile, Method: in.method,
		SourceApp: sourceApp, MayRegister: in.mayRegister && userID == "", UserID: userID, ExpiresAt: key.IssuedAt().Add(UnfinishedLife),
	}
	if err := s.store.CreateUnfinished(ctx, u); err != nil {
		return err
	}
	s.metrics.begun.WithLabelValues(in.pool.ID).Inc()
	begun := &UnfinishedError{State: Secret(text), MayRegister: u.MayRegister, Ways: s.offered(in.pool), ExpiresAt: u.ExpiresAt, Life: UnfinishedLife}
	if userID != "" {
		begun.MFA, begun.Ways = true, []Way{WayTOTP}
	}
	return begun
}

// Finish finishes the sign-in of that state token with the proof, and returns
// its user: the account that the proof shows, to which the WeChat user is bound
// now, or a new one with what was proved, if the sign-in may register. Of any
// number of concurrent calls for one state token one succeeds at most.
//
// It returns, before the proof is looked at, ErrStateInvalid, ErrStateExpired,
// ErrTooManyTries, ErrAppNotAllowed, ErrSignupClosed, ErrWayClosed; the proof's
// errors; ErrAccountNotFound, ErrIdentityTaken, ErrAccountUnclear, ErrBlocked,
// ErrPhoneRequired, and ErrStateInvalid if the WeChat user has an account by now.
// Each of them changes no user. Of one who must show a second factor it returns an
// *UnfinishedError, and nothing is bound: that sign-in is finished by TOTP, and
// then it is. A proof that does not hold and one that gives no
// account are failures, of which a sign-in has MaxFailures at most; they leave it
// to be finished.
//
// of is the sign-in as it was begun.
func (s *Service) Finish(ctx context.Context, pool Pool, state string, p Proof) (u User, of Unfinished, err error) {
	key := ParseOneTime(state)
	u, of, err = s.finish(ctx, pool, key, p)
	if fails(err) {
		s.metrics.finished.WithLabelValues(pool.ID, "failed").Inc()
		// A sign-in that ended meanwhile has no failures to count.
		if e := s.store.FailUnfinished(ctx, pool.ID, key, s.now()); e != nil && !ended(e) {
			return User{}, Unfinished{}, e
		}
	}
	return u, of, err
}

// finishable returns the sign-in of that key if it can be finished in that way now.
func (s *Service) finishable(ctx context.Context, pool Pool, key OneTimeKey, w Way, now time.Time) (Unfinished, error) {
	of, err := s.store.Unfinished(ctx, pool.ID, key, now)
	switch {
	case err != nil:
		return of, err
	case of.Identity.AppID != pool.AppID: // the pool has another mini program now
		return of, ErrStateInvalid
	case !pool.AllowsApp(of.SourceApp):
		return of, ErrAppNotAllowed
	case of.UserID != "" && w != WayTOTP:
		return of, ErrWayClosed
	case of.UserID != "":
		return of, nil
	case pool.Signup == SignupClosed:
		return of, ErrSignupClosed
	case !slices.Contains(pool.WaysToBind(), w):
		return of, ErrWayClosed
	}
	return of, nil
}

func (s *Service) finish(ctx context.Context, pool Pool, key OneTimeKey, p Proof) (u User, of Unfinished, err error) {
	of, err = s.finishable(ctx, pool, key, p.Way(), s.now())
	if err != nil {
		return u, of, err
	}
	begun := s.now()
	keys, err := p.Prove(ctx, pool, of)
	if err != nil {
		return u, of, err
	}
	now := s.now()
	keys.UnionID, keys.Identity = of.UnionID, of.Identity
	in := &signIn{
		pool: pool, keys: keys, profile: of.Profile, now: now, id: NewID(now), method: of.Method,
		proof: p.Way(), mayRegister: of.MayRegister && !pool.BindOnly, finishing: true, begun: begun,
	}
	if of.UserID != "" {
		in.begun, in.cleared = key.IssuedAt(), of.UserID
	}
	for {
		u, err = s.store.FinishUnfinished(ctx, Finish{PoolID: pool.ID, Key: key, Now: now, Keys: keys},
			func(_ Unfinished, m Matches) (User, audit.Event, error) {
				u, err := in.finish(of, m)
				return u, in.event(audit.By(ctx)), err
			})
		if err != errSecondFactor {
			break
		}
		if err := s.clear(ctx, in); errors.Is(err, ErrMFA) {
			return User{}, of, s.begin(ctx, in, of.SourceApp, in.user.ID)
		} else if err != nil {
			return User{}, of, err
		}
	}
	if err != nil {
		return User{}, of, err
	}
	in.report(s)
	return u, of, in.enrolled()
}

// finish is resolve for a sign-in that was begun.
func (in *signIn) finish(of Unfinished, m Matches) (User, error) {
	for _, u := range []*User{m.ByUnionID, m.ByIdentity} {
		if u != nil && u.ID != of.UserID {
			return User{}, ErrStateInvalid // another sign-in was faster
		}
	}
	// Who was signed out since, or has lost the second factor, begins anew.
	if of.UserID != "" && (m.ByID == nil || in.outdated(*m.ByID)) {
		return User{}, ErrStateInvalid
	}
	u, err := in.resolve(m)
	if errors.Is(err, ErrUnchanged) {
		err = nil // the sign-in is finished, whatever becomes of the user
	}
	return u, err
}

// account returns whose account it is that a WeChat user wants whom the pool does
// not know: known by the proof, or one to be made.
func (in *signIn) account(m Matches) (u User, known bool, err error) {
	switch {
	case !in.finishing && in.pool.Signup == SignupOpen:
		return User{}, false, nil
	case !in.finishing && in.pool.Signup != SignupBind:
		return User{}, false, ErrSignupClosed
	case in.proof == "":
		return User{}, false, ErrUnfinished
	case in.keys.UserID != "":
		if u, err = in.owner(m.ByID); err != nil {
			return User{}, false, err
		}
		in.bound = true
		return u, true, nil
	}
	switch shown := m.shown(); {
	case len(shown) > 1:
		return User{}, false, ErrAccountUnclear
	case len(shown) == 1 && in.another(shown[0]):
		return User{}, false, ErrIdentityTaken
	case len(shown) == 1:
		in.bound = true
		return shown[0], true, nil
	case !in.mayRegister:
		return User{}, false, ErrAccountNotFound
	}
	in.registered = true
	return User{}, false, nil
}

// owner returns the account of the user whom a proof has named. Who was signed
// out since the proof was looked at may have been so because the password is not
// what it was.
func (in *signIn) owner(u *User) (User, error) {
	switch {
	case u == nil || in.outdated(*u):
		return User{}, ErrPasswordWrong
	case in.another(*u):
		return User{}, ErrIdentityTaken
	}
	return *u, nil
}

// outdated tells whether the user was signed out since the sign-in began, or the
// look at its proof: in the same millisecond, too, as NotBefore voids what was
// issued at that moment.
func (in *signIn) outdated(u User) bool {
	return !in.begun.IsZero() && !u.NotBefore.Before(in.begun)
}

// shown returns the users who have what a proof shows, which is one thing.
func (m Matches) shown() []User {
	if m.ByEmail != nil {
		return []User{*m.ByEmail}
	}
	return m.ByPhone
}

// fails tells whether the error counts as a failure of a sign-in.
func fails(err error) bool {
	return errors.Is(err, ErrCode) || errors.Is(err, ErrCodeWrong) || errors.Is(err, ErrPasswordWrong) || errors.Is(err, ErrTOTPWrong) ||
		errors.Is(err, ErrAccountNotFound) || errors.Is(err, ErrIdentityTaken) ||
		errors.Is(err, ErrAccountUnclear) || errors.Is(err, ErrBlocked)
}

// ended tells whether the error says that a sign-in cannot be finished any more.
func ended(err error) bool {
	return errors.Is(err, ErrStateInvalid) || errors.Is(err, ErrStateExpired) || errors.Is(err, ErrTooManyTries)
}
