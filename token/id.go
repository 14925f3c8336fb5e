package token

import (
	"strings"

	"github.com/google/uuid"
)

// idTime returns the milliseconds since 1970 of a jti made by userpool.NewID,
// to which "sign out everywhere" is exact although iat has whole seconds, and
// whether it can be one.
func idTime(id string) (ms int64, ok bool) {
	u, err := uuid.Parse(id)
	if err != nil || u.Version() != 7 || u.Variant() != uuid.RFC4122 || len(id) != 36 || strings.ToLower(id) != id {
		return 0, false
	}
	for _, octet := range u[:6] {
		ms = ms<<8 | int64(octet)
	}
	return ms, true
}
