package userpool

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"time"
	"unicode/utf8"

	"app2wxapp/audit"
)

// RegisterMethod is Authing's name for users who came by this flow.
const RegisterMethod = "oauth:app2wxapp"

const (
	maxProfileText = 64  // characters
	maxAvatarURL   = 512 // bytes
	maxCode        = 512 // bytes
)

// Login is a mini program's request to sign a user in.
type Login struct {
	Code      string // of wx.login
	PhoneCode string // of the phone button, "" if the user was not asked
	Profile   Profile
	SourceApp string // AppID of the app that launched the mini program, "" if unknown
	// Addr is where the request comes from, whose refused codes are counted; zero
	// for a caller who has shown the pool's secret.
	Addr netip.Addr

	// What clients of an old SDK send in place of PhoneCode and Profile; one of
	// them at most.
	SealedPhone   Sealed
	SealedProfile Sealed
	// Method is the RegisterMethod of a user who is made; "" means that of this
	// package.
	Method string

	// Newcomer is Profile for a user who is made; it fills nothing of others.
	Newcomer Profile
	// Named gives a user who has no username one: Username, unless that is taken
	// or cannot be chosen, else "wechat-" and the openid.
	Named    bool
	Username string

	// Finishable says that the client can finish a sign-in: if the pool's signup
	// is "bind", an unknown user gets an *UnfinishedError, or with a phone the
	// account that it shows. Without it such a user is refused: ErrSignupClosed.
	Finishable bool
}

// SignIn asks WeChat who the codes stand for and returns that user of the pool,
// created or brought up to date. Only WeChat's answers are identity; the
// profile fills what is empty and overwrites nothing.
//
// If the pool's signup is "bind" and the login can be finished, a user whom the
// pool does not know gets an *UnfinishedError, and is bound or created by Finish;
// or here, if the phone came along and is one of the pool's ways.
//
// It returns an *InvalidError, ErrAppNotAllowed, or past 300 refused codes a
// minute from the address a *RateLimitError, before any code is spent;
// ErrCode (also for a code that was sent before), ErrWeChatRisk,
// ErrWeChatUnavailable, ErrWeChatSetup; ErrSignupClosed, ErrPhoneRequired,
// ErrBlocked, and ErrAccountNotFound, ErrIdentityTaken, ErrAccountUnclear, which
// store nothing.
func (s *Service) SignIn(ctx context.Context, pool Pool, l Login) (User, error) {
	if err := l.validate(); err != nil {
		return User{}, err
	}
	if !pool.AllowsApp(l.SourceApp) {
		return User{}, ErrAppNotAllowed
	}
	var in *signIn
	err := s.unlessRefused(l.Addr, func() (err error) {
		in, err = s.askWeChat(ctx, pool, l)
		return err
	})
	if err != nil {
		return User{}, err
	}
	u, err := s.enter(ctx, in)
	switch {
	case errors.Is(err, ErrUnfinished) && l.Finishable:
		return User{}, s.begin(ctx, in, l.SourceApp, "")
	case errors.Is(err, ErrMFA) && l.Finishable:
		return User{}, s.begin(ctx, in, l.SourceApp, in.user.ID)
	case err != nil:
		return User{}, err
	}
	in.report(s)
	return u, in.enrolled()
}

// enter lets in whom admit does, when a name is found for them and nothing asks
// for a second factor. It returns ErrMFA or ErrMFAUnenrolled otherwise, and has
// stored nothing then.
func (s *Service) enter(ctx context.Context, in *signIn) (User, error) {
	for {
		u, err := s.admit(ctx, in)
		switch {
		case (err == errNextName || in.named && errors.Is(err, ErrUserExists)) && in.nextName():
			// The name may also be somebody's id, which only the store finds.
		case err == errSecondFactor:
			if err := s.clear(ctx, in); err != nil {
				return User{}, err
			}
		default:
			return u, err
		}
	}
}

// enrolled returns ErrMFAUnenrolled for a user who was made just now in a pool
// that requires a second factor: an operator finds them there, and enrols them.
func (in *signIn) enrolled() error {
	if in.made && in.pool.MFA == MFARequired {
		return ErrMFAUnenrolled
	}
	return nil
}

// admit lets in whom the keys find, or whom resolve makes.
func (s *Service) admit(ctx context.Context, in *signIn) (User, error) {
	found, err := s.store.FindUsers(ctx, in.pool.ID, in.keys)
	if err != nil {
		return User{}, err
	}
	u, err := in.resolve(found)
	switch {
	case err == nil:
		u, err = s.store.PutUser(ctx, in.pool.ID, in.keys, func(m Matches) (User, audit.Event, error) {
			u, err := in.resolve(m)
			return u, in.event(audit.By(ctx)), err
		})
	case errors.Is(err, ErrUnchanged):
		err = nil
	}
	if errors.Is(err, ErrUnchanged) { // somebody stored the same in between
		u, err = in.user, nil
	}
	return u, err
}

func (l Login) validate() error {
	if l.Code == "" {
		return Invalid("code", "is required: the code of wx.login", "必填：wx.login 返回的 code")
	}
	if len(l.Code) > maxCode {
		return Invalid("code", "is too long", "过长")
	}
	if len(l.PhoneCode) > maxCode {
		return Invalid("phoneCode", "is too long", "过长")
	}
	if l.SealedPhone.Given() && l.SealedProfile.Given() {
		return Invalid("encryptedData", "must hold a phone or a profile, not both", "只能是手机号或用户信息之一")
	}
	if err := l.Newcomer.validate(); err != nil {
		return err
	}
	return l.Profile.validate()
}

func (p Profile) validate() error {
	for _, f := range []struct{ name, value string }{
		{"nickName", p.Nickname}, {"language", p.Language}, {"city", p.City}, {"province", p.Province}, {"country", p.Country},
	} {
		if utf8.RuneCountInString(f.value) > maxProfileText {
			return Invalid("userInfo."+f.name, "must be at most 64 characters", "最多 64 个字符")
		}
		if hasControl(f.value) {
			return Invalid("userInfo."+f.name, "must have no control characters", "不能含控制字符")
		}
	}
	if p.Gender < 0 || p.Gender > 2 {
		return Invalid("userInfo.gender", "must be 0, 1 or 2", "必须为 0、1 或 2")
	}
	if p.AvatarURL == "" {
		return nil
	}
	if u, err := url.Parse(p.AvatarURL); err != nil || !secure(u) || u.Host == "" || len(p.AvatarURL) > maxAvatarURL {
		return Invalid("userInfo.avatarUrl", "must be an https URL of at most 512 bytes", "必须为 https 地址，最多 512 字节")
	}
	return nil
}

// Usable returns the profile without what cannot be kept. It is for clients who
// expect to get in whatever they say of themselves.
func (p Profile) Usable() Profile {
	for _, f := range []struct {
		value *string
		alone Profile
	}{
		{&p.Nickname, Profile{Nickname: p.Nickname}}, {&p.AvatarURL, Profile{AvatarURL: p.AvatarURL}}, {&p.Language, Profile{Language: p.Language}},
		{&p.City, Profile{City: p.City}}, {&p.Province, Profile{Province: p.Province}}, {&p.Country, Profile{Country: p.Country}},
	} {
		if f.alone.validate() != nil {
			*f.value = ""
		}
	}
	if (Profile{Gender: p.Gender}).validate() != nil {
		p.Gender = 0
	}
	return p
}

// secure tells whether what the URL names comes unaltered: by https, or from
// this very machine, as in a sandbox.
func secure(u *url.URL) bool {
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && err == nil && addr.IsLoopback()
}

// signIn is one WeChat user at one pool's door.
type signIn struct {
	pool    Pool
	keys    Keys
	profile Profile
	now     time.Time
	method  string // RegisterMethod of a user who is made

	newcomer Profile
	id       string   // of a user who is made
	named    bool     // the user must have a username
	names    []string // which it may be, the best last, without those that are taken

	proof       Way       // what shows whose account it is, "" for nothing
	mayRegister bool      // a user whom the proof finds no account for is made
	finishing   bool      // a sign-in that was begun, with a proof
	begun       time.Time // when the proof was about to be looked at, zero if nobody noted it

	// cleared is the id of the user of whom no second factor is asked any more.
	cleared string

	// What resolve found; each call of it sets them anew.
	user         User   // the one who signs in
	made         bool   // who was not there before
	twin         string // another user who has the openid
	holder       string // another user who has the phone
	matchedPhone bool
	changedPhone bool
	movedUnion   bool
	bound        bool // by the proof, to a user whom WeChat's ids did not find
	registered   bool // by the proof
}

// resolve decides who signs in, by the first that is found: unionid, then
// (AppID, openid), then the phone if the pool matches by it, then the account
// that a proof shows if the pool's signup is "bind", then a new user if the pool
// takes one. It returns ErrUnchanged if that user needs no writing.
func (in *signIn) resolve(m Matches) (User, error) {
	in.twin, in.holder, in.matchedPhone, in.changedPhone, in.movedUnion = "", "", false, false, false
	in.bound, in.registered = false, false
	u, known := in.find(m)
	if !known {
		var err error
		if u, known, err = in.account(m); err != nil {
			return User{}, err
		}
	}
	if u.Blocked {
		return User{}, ErrBlocked
	}
	if known && in.pool.MFA != MFAOff && u.ID != in.cleared {
		in.user = u
		return User{}, errSecondFactor
	}
	in.made = !known
	changed := !known
	if !known {
		u = User{PoolID: in.pool.ID, ID: in.id, RegisterMethod: in.method, SignedUp: in.now}
	}
	if union := in.keys.UnionID; union != "" && u.UnionID != union {
		in.movedUnion = u.UnionID != ""
		u.UnionID, changed = union, true
	}
	// An openid that another user has stays with them: two users that turn out
	// to be one are reported, never merged silently.
	if in.twin == "" && !slices.Contains(u.Identities, in.keys.Identity) {
		u.Identities, changed = append(u.Identities[:len(u.Identities):len(u.Identities)], in.keys.Identity), true
	}
	// Who is known by WeChat keeps their account, whoever else has the phone:
	// numbers are given out again, and nobody is let into another's account by
	// one, nor moved from their own.
	for _, other := range m.ByPhone {
		if known && other.ID != u.ID {
			in.holder = other.ID
		}
	}
	if phone := in.keys.Phone; phone != "" && u.Phone != phone {
		in.changedPhone = u.Phone != ""
		u.Phone, changed = phone, true
	}
	// Nobody who has an address proves another one: a proof finds its account by it.
	if email := in.keys.Email; email != "" && u.Email != email {
		u.Email, changed = email, true
	}
	if u.Phone == "" && in.pool.PhoneRequired {
		return User{}, ErrPhoneRequired
	}
	if u.Profile.fill(in.profile) {
		changed = true
	}
	if !known {
		u.Profile.fill(in.newcomer)
	}
	if in.named && u.Username == "" {
		if in.keys.Username == "" || m.ByUsername != nil {
			return User{}, errNextName
		}
		u.Username, changed = in.keys.Username, true
	}
	in.user = u
	if !changed {
		return u, ErrUnchanged
	}
	u.UpdatedAt = in.now
	in.user = u
	return u, nil
}

func (in *signIn) find(m Matches) (u User, known bool) {
	if m.ByUnionID != nil {
		if m.ByIdentity != nil && m.ByIdentity.ID != m.ByUnionID.ID {
			in.twin = m.ByIdentity.ID
		}
		return *m.ByUnionID, true
	}
	if m.ByIdentity != nil {
		return *m.ByIdentity, true
	}
	if in.pool.MatchPhone && !in.finishing && len(m.ByPhone) == 1 && in.mayBe(m.ByPhone[0]) {
		in.matchedPhone = true
		return m.ByPhone[0], true
	}
	return User{}, false
}

// mayBe tells whether a user found by phone can be the one at the door. Numbers
// are given out again: whoever is another WeChat user is another person. Nobody
// here said that the account is theirs, so the unionid must not be in doubt.
func (in *signIn) mayBe(u User) bool {
	return !in.another(u) && (u.UnionID == "" || u.UnionID == in.keys.UnionID)
}

// another tells whether the user is another WeChat user than the one at the
// door: one of the same mini program, or of the same Open Platform account.
func (in *signIn) another(u User) bool {
	if u.UnionID != "" && in.keys.UnionID != "" && u.UnionID != in.keys.UnionID {
		return true
	}
	openID := u.OpenID(in.keys.Identity.AppID)
	return openID != "" && openID != in.keys.Identity.OpenID
}

// event returns what the audit trail keeps of what resolve found: a phone that
// let somebody in, or that replaced another, and an account that a proof gave.
// No more than one of them is true.
func (in *signIn) event(by audit.Actor) audit.Event {
	e := audit.Event{At: in.now, PoolID: in.pool.ID, UserID: in.user.ID, By: by}
	switch {
	case in.bound:
		e.Type, e.Detail = audit.UserBound, map[string]string{audit.Way: string(in.proof)}
	case in.registered:
		e.Type, e.Detail = audit.UserRegistered, map[string]string{audit.Way: string(in.proof)}
	case in.matchedPhone:
		e.Type = audit.UserPhoneMatched
	case in.changedPhone:
		e.Type = audit.UserPhoneChanged
	default:
		return audit.Event{}
	}
	return e
}

// report counts, and logs what an operator should know, without personal data.
func (in *signIn) report(s *Service) {
	if in.bound {
		s.metrics.finished.WithLabelValues(in.pool.ID, "bound").Inc()
	}
	if in.registered {
		s.metrics.finished.WithLabelValues(in.pool.ID, "registered").Inc()
	}
	if in.twin == "" && in.holder == "" && !in.movedUnion && !in.matchedPhone && !in.changedPhone && !in.bound {
		return
	}
	log := s.log.With("pool", in.pool.ID, "user", in.user.ID)
	if in.bound {
		log.Info("a WeChat user was bound to an existing user", "way", in.proof)
	}
	if in.twin != "" {
		log.Warn("two users of the pool are one WeChat user; signed in by unionid, merge them by hand", "user_by_openid", in.twin)
	}
	if in.holder != "" {
		log.Warn("another user of the pool has the same phone; signed in by WeChat, merge them by hand if they are one", "user_by_phone", in.holder)
	}
	if in.movedUnion {
		log.Warn("the user's unionid changed: the mini program moved to another Open Platform account")
	}
	if in.matchedPhone {
		log.Info("existing user found by verified phone")
	}
	if in.changedPhone {
		log.Info("the user's phone changed")
	}
}

// fill takes over what is empty in p and reports whether it changed anything.
func (p *Profile) fill(from Profile) bool {
	before := *p
	for _, f := range []struct {
		to   *string
		from string
	}{
		{&p.Nickname, from.Nickname}, {&p.AvatarURL, from.AvatarURL}, {&p.Language, from.Language},
		{&p.City, from.City}, {&p.Province, from.Province}, {&p.Country, from.Country},
	} {
		if *f.to == "" {
			*f.to = f.from
		}
	}
	if p.Gender == 0 {
		p.Gender = from.Gender
	}
	return *p != before
}
