package userpool

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"

	"app2wxapp/audit"
)

// errNotProfile is a mistake of a caller in this program.
var errNotProfile = errors.New("userpool: UpdateProfile changes profile, attributes, phone and a missing username only")

// UpdateProfile lets change alter what a user may say of themselves: Profile,
// Attributes, and the Username of one who has none. It may alter Phone as well,
// which is for callers who have proved the number or the pool's secret. changed
// tells whether anything was. An attribute that is made empty is removed.
//
// It returns an *InvalidError with the field as SignIn spells it, change's own
// error, ErrUserNotFound, ErrPoolNotFound, or ErrUserExists for a username that
// is taken; each of them changes nothing.
func (s *Service) UpdateProfile(ctx context.Context, poolID, userID string, change func(*User) error) (u User, changed bool, err error) {
	if !ValidID(poolID) || !ValidID(userID) {
		return User{}, false, s.whichMissing(ctx, poolID, ErrUserNotFound)
	}
	now := s.now()
	var same User
	u, err = s.store.UpdateUser(ctx, poolID, userID, func(u *User) (audit.Event, error) {
		old := *u
		old.Identities = slices.Clone(u.Identities)
		u.Attributes = maps.Clone(u.Attributes) // the old ones may be shared
		if u.Attributes == nil {
			u.Attributes = map[string]string{}
		}
		if err := change(u); err != nil {
			return audit.Event{}, err
		}
		maps.DeleteFunc(u.Attributes, func(_, v string) bool { return v == "" })
		if len(u.Attributes) == 0 {
			u.Attributes = nil
		}
		e, err := profileEvent(old, *u)
		if err != nil {
			same = old
			return audit.Event{}, err
		}
		if e.Type != "" {
			e.At, e.PoolID, e.UserID, e.By = now, poolID, userID, audit.By(ctx)
		}
		u.UpdatedAt = now
		return e, nil
	})
	if errors.Is(err, ErrUnchanged) {
		return same, false, nil
	}
	return u, err == nil, s.whichMissing(ctx, poolID, err)
}

// profileEvent returns the event of a change by UpdateProfile, ErrUnchanged if it
// is none, or why it cannot be.
func profileEvent(old, u User) (e audit.Event, err error) {
	rest := u
	rest.Profile, rest.Attributes, rest.Phone = old.Profile, old.Attributes, old.Phone
	if old.Username == "" {
		rest.Username = ""
	}
	if !reflect.DeepEqual(rest, old) {
		return e, errNotProfile
	}
	if old.Profile == u.Profile && maps.Equal(old.Attributes, u.Attributes) && old.Phone == u.Phone && old.Username == u.Username {
		return e, ErrUnchanged
	}
	if err := u.Profile.validate(); err != nil {
		return e, err
	}
	if err := validateAttributes(u.Attributes); err != nil {
		return e, err
	}
	if old.Username != u.Username && !ChosenUsername(u.Username) {
		return e, invalidUsername
	}
	if old.Phone != u.Phone {
		if u.Phone != "" && !u.Phone.valid() {
			return e, invalidPhone
		}
		if old.Phone != "" {
			e.Type = audit.UserPhoneChanged
		}
	}
	return e, nil
}

var (
	invalidUsername = Invalid("username", `must be 1 to 255 letters and digits, with single "-", "." or "_" between them, and no UUID`,
		"必须为 1 到 255 个字母和数字，中间可用单个 - . _，且不能是 UUID")
	invalidEmail = Invalid("email", "must be an e-mail address, such as user@example.com, in ASCII", "必须为邮箱地址（ASCII），例如 user@example.com")
	invalidPhone = Invalid("phone", "must be in E.164, such as +8613800138000", "必须为 E.164 格式，例如 +8613800138000")
)
