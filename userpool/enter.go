package userpool

import (
	"context"
	"net/netip"

	"app2wxapp/audit"
)

// entriesPerMinute is how often one user may enter.
const entriesPerMinute = 20

// Enter signs a user in, as SignIn, and counts the login, as a redemption does:
// it is for clients that get a token at once, without a ticket. Past 20 a minute
// for one user it returns a *RateLimitError.
func (s *Service) Enter(ctx context.Context, pool Pool, l Login, addr netip.Addr) (User, error) {
	l.Addr = addr
	u, err := s.SignIn(ctx, pool, l)
	if err != nil {
		return User{}, err
	}
	if err := s.Admit(pool, u.ID); err != nil {
		return User{}, err
	}
	now := s.now()
	return s.store.UpdateUser(ctx, pool.ID, u.ID, func(u *User) (audit.Event, error) {
		if u.Blocked { // since
			return audit.Event{}, ErrBlocked
		}
		u.Logins = Logins{Count: u.Logins.Count + 1, Last: now, Addr: addr}
		return audit.Event{}, nil
	})
}

// Admit counts an entry of a user who gets a token without a ticket, whatever
// the dialect. Past 20 a minute it returns a *RateLimitError and counts nothing.
func (s *Service) Admit(pool Pool, userID string) error {
	now, key := s.now(), pool.ID+"/"+userID
	if err := s.entries.Check(key, now); err != nil {
		return err
	}
	s.entries.Count(key, now)
	return nil
}
