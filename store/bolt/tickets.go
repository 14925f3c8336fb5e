package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"time"

	"app2wxapp/ticket"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// ticket returns the record, ticket.ErrUnknown if there is none.
func (t *tx) ticket(k ticket.Key) (ticketRecord, error) {
	record, ok, err := t.get(bucketTickets, k[:])
	if err != nil {
		return ticketRecord{}, err
	}
	if !ok {
		return ticketRecord{}, ticket.ErrUnknown
	}
	r, err := decodeTicket(k, record)
	if err != nil {
		return ticketRecord{}, corrupt(bucketTickets, err)
	}
	return r, nil
}

func (t *tx) putTicket(r ticketRecord) error {
	t.plain = r.encode(t.plain)
	t.note(r)
	return t.put(bucketTickets, r.Key[:], t.plain)
}

// CreateTicket implements ticket.Store.
func (s *Store) CreateTicket(_ context.Context, created ticket.Ticket, now time.Time) error {
	if err := s.heed(now); err != nil {
		return err
	}
	return s.update(func(t *tx) error {
		if t.sealed(bucketAccess, t.userKey(created.PoolID, created.UserID)) == nil {
			return corrupt(bucketAccess, errNoUser)
		}
		voids, err := t.makeRoom(created, now)
		if err != nil {
			return err
		}
		number, err := t.nextNumber()
		if err != nil {
			return err
		}
		if err := t.putTicket(ticketRecord{Ticket: created, epoch: s.epoch, number: number, voids: voids}); err != nil {
			return err
		}
		return t.markClock(now)
	})
}

// makeRoom returns up to which number the user's live tickets are over with the one
// that is created: those that have ended by now, lest another clock takes them for
// live, and the oldest, lest there are more than ticket.MaxLive. What no number
// tells, as one between two that live, it voids in its own record; likewise what
// could live longer than the one that says it is over.
func (t *tx) makeRoom(created ticket.Ticket, now time.Time) (voids uint64, err error) {
	list := t.liveOf(hashOf(t.userKey(created.PoolID, created.UserID)))
	ended := func(l liveTicket) bool { return l.end <= now.UnixMilli() }
	live := len(slices.DeleteFunc(slices.Clone(list), ended))
	first := true // all so far are over
	for _, l := range list {
		switch {
		case ended(l):
		case live >= ticket.MaxLive:
			live--
		default:
			first = false
			continue
		}
		if first && l.number > 0 && l.end <= created.ExpiresAt.UnixMilli() {
			voids = l.number
		} else if err := t.void(l.key); err != nil {
			return 0, err
		}
	}
	return voids, nil
}

func (t *tx) void(k ticket.Key) error {
	r, err := t.ticket(k)
	if errors.Is(err, ticket.ErrUnknown) {
		return nil // swept
	}
	if err != nil {
		return err
	}
	r.void = true
	return t.putTicket(r)
}

func (a *access) count(at time.Time, addr netip.Addr) {
	a.logins.Count++
	if !at.Before(a.logins.Last) {
		a.logins.Last, a.logins.Addr = at, addr
	}
}

// judge says whether an attempt can redeem the ticket: nil, or why not. repeated
// tells that the first answer is due again.
func (s *Store) judge(r ticketRecord, attempt ticket.Redemption) (repeated bool, err error) {
	expired := !attempt.Now.Before(r.ExpiresAt)
	redeemed := !r.redeemedAt.IsZero()
	repeated = redeemed && !expired && r.idem != "" && r.idem == string(attempt.Idempotency[:])
	switch {
	case r.PoolID != attempt.PoolID, r.epoch != s.epoch:
		return false, ticket.ErrUnknown
	case r.Challenge != attempt.Challenge:
		return false, ticket.ErrVerifier
	case redeemed && !repeated:
		return false, ticket.ErrRedeemed
	case expired:
		return false, ticket.ErrExpired
	}
	return repeated, nil
}

// judgeUser says whether the ticket's user, with this access, may still come in.
func (t *tx) judgeUser(r ticketRecord, a access) error {
	switch {
	case a.blocked:
		return userpool.ErrBlocked
	case r.redeemedAt.IsZero() && !t.isLive(r), !r.Key.IssuedAt().After(a.notBefore):
		return ticket.ErrVoid
	}
	return nil
}

// RedeemTicket implements ticket.Store. A bad ticket is refused by a read: nobody
// can make the disk work by guessing. Only who has a ticket that was good, or a
// replay that may have a token to revoke, enters the queue of writes, where it
// is judged again, and the user too. So does one with the Idempotency-Key of the
// first success: a read may see that one before it is on disk, a write may not.
func (s *Store) RedeemTicket(_ context.Context, attempt ticket.Redemption) (ticket.Redeemed, error) {
	var r ticketRecord
	var u userpool.User
	var repeated bool
	if err := s.heed(attempt.Now); err != nil {
		return ticket.Redeemed{}, err
	}
	err := s.view(func(t *tx) (err error) {
		if r, err = t.ticket(attempt.Key); err != nil {
			return err
		}
		if repeated, err = s.judge(r, attempt); err != nil {
			return err
		}
		if u, err = t.profile(r.PoolID, r.UserID); errors.Is(err, userpool.ErrUserNotFound) {
			return corrupt(bucketTickets, errNoUser)
		}
		return err
	})
	switch {
	case errors.Is(err, ticket.ErrRedeemed):
		return s.replay(r, attempt)
	case err != nil:
		return r.refused(err)
	}

	err = s.update(func(t *tx) (err error) {
		if r, err = t.ticket(attempt.Key); err != nil {
			return err
		}
		if repeated, err = s.judge(r, attempt); err != nil {
			return err
		}
		a, err := t.access(r.PoolID, r.UserID)
		if err != nil {
			return err
		}
		if err = t.judgeUser(r, a); err != nil || repeated {
			return err
		}
		if err = t.numberAbove(a.counted); err != nil {
			return err
		}
		if r.number, err = t.nextNumber(); err != nil {
			return err
		}
		a.count(attempt.Now, attempt.Addr)
		a.of(&u)
		u.Logins.Last, u.Logins.Addr = attempt.Now, attempt.Addr
		r.redeemedAt, r.addr, r.jti, r.tokenEnd = attempt.Now, attempt.Addr, attempt.JTI, attempt.TokenExpiresAt
		if attempt.Idempotency != ([32]byte{}) {
			r.idem, r.answer = string(attempt.Idempotency[:]), encodeAnswer(u)
		}
		if err := t.putTicket(r); err != nil {
			return err
		}
		return t.markClock(attempt.Now)
	})
	switch {
	case repeated && err == nil:
		return r.answered()
	case errors.Is(err, ticket.ErrRedeemed):
		return s.replay(r, attempt)
	case err != nil:
		return r.refused(err)
	}
	return ticket.Redeemed{Ticket: r.Ticket, User: u, JTI: r.jti, TokenExpiresAt: r.tokenEnd, At: r.redeemedAt}, nil
}

// refused is the answer to an attempt that is refused. Of a ticket that is unknown
// to the caller it tells nothing, not even whose it is.
func (r ticketRecord) refused(err error) (ticket.Redeemed, error) {
	if errors.Is(err, ticket.ErrUnknown) {
		return ticket.Redeemed{}, err
	}
	return ticket.Redeemed{Ticket: r.Ticket}, err
}

// answered returns the answer that the ticket's redemption gave.
func (r ticketRecord) answered() (ticket.Redeemed, error) {
	u, err := decodeAnswer(r.PoolID, r.UserID, r.answer)
	if err != nil {
		return ticket.Redeemed{}, corrupt(bucketTickets, err)
	}
	return ticket.Redeemed{Ticket: r.Ticket, User: u, JTI: r.jti, TokenExpiresAt: r.tokenEnd, At: r.redeemedAt, Repeated: true}, nil
}

// replay refuses a ticket that was redeemed before, and puts the token that it
// gave on the deny-list if that is wanted and was not done yet.
func (s *Store) replay(r ticketRecord, attempt ticket.Redemption) (ticket.Redeemed, error) {
	revoked := false
	if attempt.RevokeOnReplay && !r.revoked {
		err := s.update(func(t *tx) (err error) {
			revoked = false
			if r, err = t.ticket(attempt.Key); err != nil || r.revoked {
				return err
			}
			if r.redeemedAt.IsZero() {
				return errReopening // a read saw a redemption whose commit then failed
			}
			r.revoked, revoked = true, true
			if err := t.putTicket(r); err != nil {
				return err
			}
			if err := t.record(attempt.Replayed(ticket.Redeemed{Ticket: r.Ticket, JTI: r.jti, Revoked: true})); err != nil {
				return err
			}
			if err := t.entomb(token.Tombstone(r.jti, r.PoolID, r.UserID, attempt.Now, r.tokenEnd)); err != nil {
				return err
			}
			return t.put(bucketRevoked, revokedKey(r.jti, r.tokenEnd), nil)
		})
		if err != nil {
			return r.refused(err)
		}
	}
	return ticket.Redeemed{Ticket: r.Ticket, JTI: r.jti, TokenExpiresAt: r.tokenEnd, At: r.redeemedAt, Revoked: revoked}, ticket.ErrRedeemed
}

// SweepTickets implements ticket.Store, after it has counted the logins of tickets
// (settle). A record that does not open holds up nothing: its error is returned
// after the others were swept, and the record itself is swept when a ticket of its
// age has ended for certain. Tickets of a short life may wait for lookBatch older
// ones of a longer. What is found by a read may have been renewed before the write:
// that is looked at again there, but for what ends with the time in its key.
func (s *Store) SweepTickets(ctx context.Context, now time.Time, limit int) (int, error) {
	s.lookForFile()
	if err := s.settle(ctx, now); err != nil {
		return 0, err
	}
	var old []ticket.Key
	var ended, sessions, unfinished, recipients, events [][]byte
	var damaged error
	err := s.view(func(t *tx) error {
		kept := 0 // keys are in order of issue: behind so many hardly one has ended
		c := t.Bucket([]byte(bucketTickets)).Cursor()
		for k, _ := c.First(); k != nil && len(old) < limit && kept < lookBatch; k, _ = c.Next() {
			key := ticket.Key(k)
			end := key.IssuedAt().Add(userpool.MaxTicketTTL)
			if now.Before(end.Add(ticket.RetainFor)) {
				r, err := t.ticket(key)
				if err != nil {
					damaged = err
				} else {
					end = r.ExpiresAt
				}
			}
			if now.Before(end.Add(ticket.RetainFor)) {
				kept++
			} else {
				old = append(old, key)
			}
		}
		c = t.Bucket([]byte(bucketRevoked)).Cursor()
		for k, _ := c.First(); k != nil && len(old)+len(ended) < limit && !now.Before(revokedEnd(k)); k, _ = c.Next() {
			ended = append(ended, bytes.Clone(k))
		}
		sessions = t.oldSessions(now, limit-len(old)-len(ended))
		unfinished = t.oldUnfinished(now, limit-len(old)-len(ended)-len(sessions))
		recipients = t.oldRecipients(now, limit-len(old)-len(ended)-len(sessions)-len(unfinished))
		events = t.oldEvents(now, limit-len(old)-len(ended)-len(sessions)-len(unfinished)-len(recipients))
		return nil
	})
	if err != nil || len(old)+len(ended)+len(sessions)+len(unfinished)+len(recipients)+len(events) == 0 {
		return 0, errors.Join(err, damaged)
	}
	var total int
	err = s.updateLater(func(t *tx) error {
		for _, k := range old {
			if err := t.delete(bucketTickets, k[:]); err != nil {
				return err
			}
		}
		for _, k := range ended {
			if err := t.delete(bucketRevoked, k); err != nil {
				return err
			}
		}
		for _, k := range unfinished {
			if err := t.delete(bucketUnfinished, k); err != nil {
				return err
			}
		}
		for _, k := range events {
			if err := t.delete(bucketAudit, k); err != nil {
				return err
			}
		}
		forgotten, err := t.sweepRecipients(recipients)
		if err != nil {
			return err
		}
		over, err := t.sweepSessions(sessions)
		total = len(old) + len(ended) + len(unfinished) + len(events) + forgotten + over
		return err
	})
	if err != nil {
		return 0, err
	}
	return total, damaged
}

// revokedKey sorts the deny-list by the tokens' end, so that it is swept from
// the front.
func revokedKey(jti string, end time.Time) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(end.Unix())), jti...) // #nosec G115 -- a time after 1970
}

func revokedEnd(key []byte) time.Time {
	return time.Unix(int64(binary.BigEndian.Uint64(key)), 0).UTC() // #nosec G115 -- revokedKey converted it the other way
}
