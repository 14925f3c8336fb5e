package token

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"app2wxapp/quote"
	"app2wxapp/userpool"
)

// managementLife is how long a management token holds: over an hour, since
// Authing's SDK asks for the next one an hour before the end of the last.
const managementLife = 2 * time.Hour

// IssueManagement returns a token with which whoever showed that secret of the
// pool may read and change the pool's settings. It is never signed with the
// jwtSecret, which the pool's servers have and which is for users' tokens.
func (s *Service) IssueManagement(ctx context.Context, pool userpool.Pool, secretID string) (Token, error) {
	now := s.now().UTC().Truncate(time.Second)
	t := Token{IssuedAt: now, ExpiresAt: now.Add(managementLife)}
	var b []byte
	text := func(before, value string) { b = quote.Append(append(b, before...), value) }
	text(`{"iss":`, s.issuer)
	text(`,"sub":`, pool.ID)
	text(`,"aud":`, pool.ID)
	text(`,"secret_id":`, secretID)
	text(`,"jti":`, userpool.NewID(now))
	b = strconv.AppendInt(append(b, `,"iat":`...), t.IssuedAt.Unix(), 10)
	b = append(strconv.AppendInt(append(b, `,"exp":`...), t.ExpiresAt.Unix(), 10), '}')
	var err error
	t.Raw, err = s.Sign(ctx, pool, algEdDSA, typeManagement, b)
	return t, err
}

// VerifyManagement returns the pool that a management token is for. It holds
// while the secret that it was given for does. The errors are those of Verify.
func (s *Service) VerifyManagement(ctx context.Context, raw string) (userpool.Pool, error) {
	t, err := s.authentic(ctx, raw, []Kind{KindManagement})
	if err != nil {
		return userpool.Pool{}, err
	}
	if s.now().Unix() >= t.payload.ExpiresAt {
		return userpool.Pool{}, ErrExpired
	}
	pool, err := s.users.Pool(ctx, t.poolID())
	if err != nil {
		return userpool.Pool{}, fmt.Errorf("verify token: %w", err)
	}
	if !slices.ContainsFunc(pool.Secrets, func(p userpool.PoolSecret) bool { return p.ID == *t.payload.SecretID }) {
		return userpool.Pool{}, invalid("the secret that it was given for was deleted")
	}
	return pool, nil
}
