package userpool

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"

	"app2wxapp/audit"
)

// ErrIdentityNotFound is about an identity that the user does not have.
var ErrIdentityNotFound = errors.New("userpool: the user has no such identity")

// IdentityID names one of the user's identities where its openid must not stand,
// such as in a URL: 32 hexadecimal digits.
func (u User) IdentityID(id Identity) string {
	sum := sha256.Sum256([]byte(u.PoolID + "\x00" + u.ID + "\x00" + id.AppID + "\x00" + id.OpenID))
	return hex.EncodeToString(sum[:16])
}

// Unbind takes the identity of that id from the user, and the unionid, by which
// the same WeChat user would come in again, and ends the user's live tickets and
// tokens. Identities of other mini programs stay; by them a unionid comes back. It
// returns ErrIdentityNotFound, ErrUserNotFound or ErrPoolNotFound.
func (s *Service) Unbind(ctx context.Context, poolID, userID, identityID string) (User, error) {
	if !ValidID(poolID) || !ValidID(userID) {
		return User{}, s.whichMissing(ctx, poolID, ErrUserNotFound)
	}
	now := s.now()
	u, err := s.store.UpdateUser(ctx, poolID, userID, func(u *User) (audit.Event, error) {
		i := slices.IndexFunc(u.Identities, func(id Identity) bool { return u.IdentityID(id) == identityID })
		if i < 0 {
			return audit.Event{}, ErrIdentityNotFound
		}
		gone := u.Identities[i]
		u.Identities = slices.Delete(slices.Clone(u.Identities), i, i+1)
		u.UnionID = ""
		u.UpdatedAt = now
		u.endSessions(now)
		return audit.Event{
			At: now, Type: audit.IdentityUnbound, PoolID: poolID, UserID: userID, By: audit.By(ctx),
			Detail: map[string]string{audit.AppID: gone.AppID},
		}, nil
	})
	return u, s.whichMissing(ctx, poolID, err)
}
