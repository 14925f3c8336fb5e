package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"app2wxapp/store/record"
	"app2wxapp/userpool"
)

// placeRecipient is where the sealed part of a recipient belongs.
const placeRecipient = "recipients.record"

func (s *Store) recipientKey(poolID, to string) []byte {
	return s.keys.Blind("recipients", poolID, to)
}

// codeHash returns the HMAC of the code as if it had been sent for that sign-in.
func (s *Store) codeHash(c userpool.OneTimeCode, of userpool.OneTimeKey) userpool.CodeHash {
	return userpool.CodeHash(s.keys.Blind("codes", c.PoolID, c.Purpose, c.To, string(of[:]), string(c.Code)))
}

const (
	makeRecipient = `
INSERT INTO recipients (key, epoch, ends_at, record) VALUES ($1, (SELECT epoch FROM meta), $2, $3)
ON CONFLICT (key) DO NOTHING`

	lockRecipient = `
SELECT r.epoch = (SELECT epoch FROM meta), r.record FROM recipients r WHERE r.key = $1 FOR UPDATE OF r`

	updateRecipient = `
UPDATE recipients SET epoch = (SELECT epoch FROM meta), ends_at = $2, record = $3 WHERE key = $1`

	sweepRecipients = `
DELETE FROM recipients WHERE key = ANY (ARRAY(
    SELECT key FROM recipients WHERE ends_at <= $1 ORDER BY ends_at LIMIT $2 FOR UPDATE SKIP LOCKED
))`
)

func (s *Store) sealRecipient(key []byte, r userpool.Recipient) []byte {
	return s.sealer.Seal(nil, placeRecipient, key, record.EncodeRecipient(r))
}

// lockRecipient returns what is kept under the key, if anything is, which nobody else
// changes before the transaction ends. Codes of another epoch are nobody's; what was sent was sent.
func (s *Store) lockRecipient(ctx context.Context, tx pgx.Tx, key []byte) (r userpool.Recipient, there bool, err error) {
	var current bool
	var sealed []byte
	switch err := tx.QueryRow(ctx, lockRecipient, key).Scan(&current, &sealed); {
	case isNone(err):
		return r, false, nil
	case err != nil:
		return r, false, failed("lock recipient", err)
	}
	plain, err := s.open(placeRecipient, key, sealed)
	if err != nil {
		return r, false, err
	}
	if r, err = record.DecodeRecipient(plain); err != nil {
		return r, false, corrupt(placeRecipient, err)
	}
	if !current {
		r.Codes = nil
	}
	return r, true, nil
}

func (s *Store) updateRecipient(ctx context.Context, tx pgx.Tx, key []byte, r userpool.Recipient) error {
	if _, err := tx.Exec(ctx, updateRecipient, key, r.EndsAt(), s.sealRecipient(key, r)); err != nil {
		return failed("write recipient", err)
	}
	return nil
}

// KeepCode implements userpool.SentCodes. It locks the sign-in before the recipient.
func (s *Store) KeepCode(ctx context.Context, c userpool.OneTimeCode, now time.Time) error {
	now, err := s.heed(ctx, now)
	if err != nil {
		return err
	}
	return s.transaction(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if c.Of != (userpool.OneTimeKey{}) {
			u, err := s.lockUnfinished(ctx, tx, c.PoolID, c.Of, now)
			if err != nil {
				return err
			}
			if err := u.CountCode(); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `UPDATE unfinished SET codes = $2 WHERE key = $1`, c.Of[:], u.Codes); err != nil {
				return failed("count code", err)
			}
		}
		key := s.recipientKey(c.PoolID, c.To)
		// A row to lock, of which nobody sees anything unless it is filled.
		if _, err := tx.Exec(ctx, makeRecipient, key, now, s.sealRecipient(key, userpool.Recipient{})); err != nil {
			return failed("make recipient", err)
		}
		r, there, err := s.lockRecipient(ctx, tx, key)
		if err != nil {
			return err
		}
		if !there {
			return errAgain // it was swept between the two statements
		}
		if err := r.Add(userpool.SentCode{Purpose: c.Purpose, Hash: s.codeHash(c, c.Of), Of: c.Of, ExpiresAt: now.Add(userpool.CodeLife)}, now); err != nil {
			return err
		}
		return s.updateRecipient(ctx, tx, key, r)
	})
}

// UseCode implements userpool.SentCodes.
func (s *Store) UseCode(ctx context.Context, c userpool.OneTimeCode, now time.Time) error {
	now, err := s.heed(ctx, now)
	if err != nil {
		return err
	}
	var judged error
	err = s.transaction(ctx, func(ctx context.Context, tx pgx.Tx) error {
		key := s.recipientKey(c.PoolID, c.To)
		r, _, err := s.lockRecipient(ctx, tx, key)
		if err != nil {
			return err
		}
		var counted bool
		counted, judged = r.Use(c.Purpose, c.Of, func(of userpool.OneTimeKey) userpool.CodeHash { return s.codeHash(c, of) }, now)
		if !counted {
			return judged
		}
		return s.updateRecipient(ctx, tx, key, r)
	})
	if err != nil {
		return err
	}
	return judged
}
