package userpool

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"
)

// refusedPerMinute bounds the codes from an address that WeChat refuses. Each
// invented one is a call of the pool's quota; carriers put many users behind
// one address, but their codes are WeChat's.
const refusedPerMinute = 300

// unlessRefused lets ask ask WeChat, unless too many codes from the address were
// refused, and counts if this one is.
func (s *Service) unlessRefused(addr netip.Addr, ask func() error) error {
	if !addr.IsValid() {
		return ask()
	}
	from := AddrKey(addr)
	if err := s.refused.Check(from, s.now()); err != nil {
		return err
	}
	err := ask()
	if errors.Is(err, ErrCode) {
		s.refused.Count(from, s.now())
	}
	return err
}

// askWeChat spends the codes. The login code goes first: if it is refused the
// phone code, which cost the user a tap and the operator money, is still good.
func (s *Service) askWeChat(ctx context.Context, pool Pool, l Login) (*signIn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	app := App{ID: pool.AppID, Secret: pool.AppSecret}
	now := s.now()
	in := &signIn{pool: pool, profile: l.Profile, newcomer: l.Newcomer, now: now, id: NewID(now), method: cmp.Or(l.Method, RegisterMethod)}
	var session Session
	if err := s.spend(ctx, "login", app.ID, l.Code, now, func() (err error) {
		switch {
		case l.SealedPhone.Given():
			var g PhoneGrant
			session, g, err = s.wechat.OpenPhone(ctx, app, l.Code, l.SealedPhone)
			in.keys.Phone = g.Phone
		case l.SealedProfile.Given():
			session, in.profile, err = s.wechat.OpenProfile(ctx, app, l.Code, l.SealedProfile)
		default:
			session, err = s.wechat.Code2Session(ctx, app, l.Code)
		}
		return err
	}); err != nil {
		return nil, err
	}
	in.keys.UnionID, in.keys.Identity = session.UnionID, Identity{AppID: app.ID, OpenID: session.OpenID}
	if l.SealedPhone.Given() {
		s.metrics.phones.WithLabelValues(pool.ID).Inc()
	}
	if l.SealedProfile.Given() {
		if err := in.profile.validate(); err != nil {
			return nil, err
		}
	}
	if l.Named {
		in.name(l.Username)
	}
	if l.PhoneCode != "" {
		var err error
		if in.keys.Phone, err = s.askPhone(ctx, pool, session.OpenID, l.PhoneCode, now); err != nil {
			return nil, err
		}
	}
	in.mayRegister = !pool.BindOnly
	if l.Finishable && in.keys.Phone != "" && slices.Contains(pool.WaysToBind(), WayWeChatPhone) {
		in.proof = WayWeChatPhone
	}
	return in, nil
}

// askPhone spends the code of a phone button that the user with this openid
// tapped: WeChat refuses one of another user.
func (s *Service) askPhone(ctx context.Context, pool Pool, openID, code string, now time.Time) (Phone, error) {
	return s.spendPhone(ctx, pool, code, now, func(app App) (Phone, error) { return s.wechat.Phone(ctx, app, openID, code) })
}

// askAnyPhone is askPhone of whoever tapped.
func (s *Service) askAnyPhone(ctx context.Context, pool Pool, _, code string, now time.Time) (Phone, error) {
	return s.spendPhone(ctx, pool, code, now, func(app App) (Phone, error) { return s.wechat.AnyPhone(ctx, app, code) })
}

func (s *Service) spendPhone(ctx context.Context, pool Pool, code string, now time.Time, ask func(App) (Phone, error)) (phone Phone, err error) {
	err = s.spend(ctx, "phone", pool.AppID, code, now, func() (err error) {
		phone, err = ask(App{ID: pool.AppID, Secret: pool.AppSecret})
		return err
	})
	if err == nil {
		s.metrics.phones.WithLabelValues(pool.ID).Inc()
	}
	return phone, err
}
