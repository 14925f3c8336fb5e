package userpool

import (
	"context"
	"slices"
)

// SignInBy returns the user whose account the proof shows, by its word alone: no
// WeChat user is known, so that nobody is made and nothing is bound. The pool has
// to let it, by LoginWays: whoever has got a number that was given out again
// comes in by it.
//
// It returns, before the proof is looked at, ErrAppNotAllowed and ErrWayClosed;
// the proof's errors; ErrAccountNotFound, ErrAccountUnclear, ErrBlocked; ErrMFA and ErrMFAUnenrolled,
// since there is no WeChat user whose sign-in could be finished.
func (s *Service) SignInBy(ctx context.Context, pool Pool, p Proof) (User, error) {
	switch {
	case !pool.AllowsApp(""):
		return User{}, ErrAppNotAllowed
	case !slices.Contains(pool.LoginWays, p.Way()):
		return User{}, ErrWayClosed
	}
	begun := s.now()
	keys, err := p.Prove(ctx, pool, Unfinished{PoolID: pool.ID})
	if err != nil {
		return User{}, err
	}
	found, err := s.store.FindUsers(ctx, pool.ID, keys)
	if err != nil {
		return User{}, err
	}
	in := &signIn{pool: pool, keys: keys, proof: p.Way(), finishing: true, begun: begun}
	u, _, err := in.account(found)
	switch {
	case err != nil:
		return User{}, err
	case u.Blocked:
		return User{}, ErrBlocked
	case pool.MFA != MFAOff:
		in.user = u
		err = s.clear(ctx, in)
	}
	if err != nil {
		return User{}, err
	}
	return u, nil
}
