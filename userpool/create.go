package userpool

import (
	"context"
	"fmt"
	"unicode/utf8"
)

// CreateUser stores a user who comes from elsewhere, under the id they had
// there or a new one. It returns an *InvalidError, ErrPoolNotFound or
// ErrUserExists.
func (s *Service) CreateUser(ctx context.Context, u User) (User, error) {
	u, err := s.newcomer(ctx, u)
	if err != nil {
		return User{}, err
	}
	return u, s.store.CreateUser(ctx, u)
}

// newcomer checks a user who comes from elsewhere, and fills in what is missing.
func (s *Service) newcomer(ctx context.Context, u User) (User, error) {
	if _, err := s.Pool(ctx, u.PoolID); err != nil {
		return User{}, err
	}
	now := s.now()
	if u.ID == "" {
		u.ID = NewID(now)
	}
	if !ValidID(u.ID) {
		return User{}, Invalid("id", "must be 1 to 64 of A-Z a-z 0-9 _ -", "必须为 1 到 64 个字符，只含 A-Z a-z 0-9 _ -")
	}
	if u.Phone != "" && !u.Phone.valid() {
		return User{}, invalidPhone
	}
	if u.Email != "" {
		var ok bool
		if u.Email, ok = ParseEmail(string(u.Email)); !ok {
			return User{}, invalidEmail
		}
	}
	if u.UnionID != "" && !validCredential(u.UnionID) {
		return User{}, Invalid("unionid", "must be printable ASCII", "必须为可打印的 ASCII 字符")
	}
	for i, id := range u.Identities {
		if !validCredential(id.AppID) || !validCredential(id.OpenID) {
			return User{}, Invalid(fmt.Sprintf("identities[%d]", i), "must have appId and openid", "必须有 appId 和 openid")
		}
	}
	if err := u.Profile.validate(); err != nil {
		return User{}, err
	}
	if u.Username != "" && !validUsername(u.Username) {
		return User{}, Invalid("username", "must be at most 255 bytes without spaces and slashes", "最多 255 字节，不能含空格和斜杠")
	}
	if err := validateAttributes(u.Attributes); err != nil {
		return User{}, err
	}
	if u.RegisterMethod == "" {
		u.RegisterMethod = "import"
	}
	if utf8.RuneCountInString(u.RegisterMethod) > maxProfileText || hasControl(u.RegisterMethod) {
		return User{}, Invalid("registerMethod", "must be at most 64 characters", "最多 64 个字符")
	}
	if u.SignedUp.IsZero() {
		u.SignedUp = now
	}
	u.UpdatedAt = now
	return u, nil
}
