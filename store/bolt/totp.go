package bolt

import (
	"context"

	"app2wxapp/audit"
	"app2wxapp/store/record"
	"app2wxapp/userpool"
)

// totp returns the user's second factor, the zero one if there is none.
func (t *tx) totp(poolID, userID string) (userpool.TOTP, error) {
	rec, ok, err := t.get(bucketTOTP, t.userKey(poolID, userID))
	if err != nil || !ok {
		return userpool.TOTP{}, err
	}
	f, err := record.DecodeTOTP(rec)
	if err != nil {
		return userpool.TOTP{}, corrupt(bucketTOTP, err)
	}
	return f, nil
}

// TOTP implements userpool.Store.
func (s *Store) TOTP(_ context.Context, poolID, userID string) (f userpool.TOTP, err error) {
	err = s.view(func(t *tx) error {
		f, err = t.totp(poolID, userID)
		return err
	})
	return f, err
}

// UpdateTOTP implements userpool.Store.
func (s *Store) UpdateTOTP(_ context.Context, poolID, userID string, change func(*userpool.User, *userpool.TOTP) (audit.Event, error)) (u userpool.User, err error) {
	err = s.update(func(t *tx) error {
		f, err := t.totp(poolID, userID)
		if err != nil {
			return err
		}
		u, err = t.updateUser(poolID, userID, func(u *userpool.User) (audit.Event, error) { return change(u, &f) })
		if err != nil {
			return err
		}
		key := t.userKey(poolID, userID)
		if f.Secret == "" {
			return t.delete(bucketTOTP, key)
		}
		return t.put(bucketTOTP, key, record.EncodeTOTP(f))
	})
	return u, err
}
