// Package ticket issues and redeems the one-time ticket that carries a sign-in
// from the mini program to the app.
//
// A ticket's life:
//
//	            Issue                 Redeem
//	(nothing) ────────▶  live  ──────────────────▶ redeemed ─┐
//	                      │  ▲ a refused caller               │ RetainFor
//	                      │  └ uses nothing up                │ after the
//	      ExpiresAt, or   ▼                                   ▼ end
//	      voided:        over ─────────────────────────▶  (swept)
//
// It is live while now < ExpiresAt, and is over earlier if the user is blocked
// or signed out, or if MaxLive younger ones were issued. Of any number of
// redemptions at most one succeeds, whatever crashes in between. A redeemed
// ticket stays as a mark, so that a second use is told from a guess in logs and
// metrics, never to the caller.
//
// Service.Redeem holds the order of checks, once, for every dialect.
package ticket

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"app2wxapp/audit"
	"app2wxapp/userpool"
)

const (
	// MaxLive is how many live tickets a user has at most in a pool.
	MaxLive = 5
	// RetainFor is how long a ticket's record stays after its end.
	RetainFor = 10 * time.Minute
)

// ErrInvalid is what a caller learns of every ticket that is refused. The
// others wrap it, for metrics and logs.
var (
	ErrInvalid  = errors.New("ticket: invalid")
	ErrUnknown  = fmt.Errorf("%w: unknown", ErrInvalid)
	ErrExpired  = fmt.Errorf("%w: expired", ErrInvalid)
	ErrVoid     = fmt.Errorf("%w: voided", ErrInvalid)
	ErrVerifier = fmt.Errorf("%w: verifier does not fit", ErrInvalid)
	// ErrRedeemed is a replay: the ticket was redeemed before.
	ErrRedeemed = fmt.Errorf("%w: redeemed before", ErrInvalid)
)

// Key is what a store keeps of a ticket.
type Key = userpool.OneTimeKey

// newTicket returns a fresh ticket, 51 characters of base64url, and its key.
func newTicket(now time.Time) (string, Key) { return userpool.NewOneTime(now) }

// parseKey returns the key of a ticket. A text that cannot be a ticket gets a
// key that no ticket has, so that it is refused as every unknown one is.
func parseKey(text string) Key { return userpool.ParseOneTime(text) }

// encoding is that of what callers show beside tickets.
var encoding = base64.RawURLEncoding.Strict()

// Ticket is the record of a ticket. The ticket itself is never stored.
type Ticket struct {
	Key       Key
	PoolID    string
	UserID    string
	AppID     string // the mini program that asked
	SourceApp string // the app that launched it, as the mini program says
	Challenge string // RFC 7636 code_challenge by S256, "" if none
	ExpiresAt time.Time
}

// AgeRatio is the ticket's life so far as a share of its whole life, from 0 to 1.
func (t Ticket) AgeRatio(now time.Time) float64 {
	issued := t.Key.IssuedAt()
	return float64(now.Sub(issued)) / float64(t.ExpiresAt.Sub(issued))
}

// Redemption is an attempt to redeem, after the caller has been authenticated.
type Redemption struct {
	PoolID    string
	Key       Key
	Challenge string // S256 of the verifier shown, "" if none was
	// Idempotency is the SHA-256 of the Idempotency-Key, zero if none was sent.
	Idempotency [sha256.Size]byte
	Addr        netip.Addr // the caller's, kept as the user's last address
	Now         time.Time

	// JTI and TokenExpiresAt name the token that the redemption will give.
	JTI            string
	TokenExpiresAt time.Time // whole seconds
	// RevokeOnReplay puts the first token on the deny-list if this attempt
	// turns out to be a replay.
	RevokeOnReplay bool
}

// Replayed returns the event of an attempt that turned out to be a replay of
// what was redeemed before.
func (r Redemption) Replayed(before Redeemed) audit.Event {
	return audit.Event{
		At: r.Now, Type: audit.TicketReplayed, PoolID: r.PoolID, UserID: before.Ticket.UserID, By: audit.Actor{Role: audit.Caller, Addr: r.Addr},
		Detail: map[string]string{audit.Revoked: strconv.FormatBool(before.Revoked), audit.JTI: before.JTI},
	}
}

// Redeemed is what a redemption gave.
type Redeemed struct {
	Ticket   Ticket
	User     userpool.User // this login counted, as the last whatever other clocks say
	At       time.Time     // of the first success; the token's iat
	Repeated bool          // the answer of an earlier success with the same Idempotency-Key
	// JTI and TokenExpiresAt name the token of the first success.
	JTI            string
	TokenExpiresAt time.Time
	// Revoked, with ErrRedeemed, tells that this replay revoked the first
	// token; it is true once.
	Revoked bool
}

// Store keeps tickets.
type Store interface {
	// CreateTicket stores the ticket of an existing user, and voids the user's
	// oldest live tickets in the pool until it is one of at most MaxLive, as
	// one step.
	CreateTicket(ctx context.Context, t Ticket, now time.Time) error

	// RedeemTicket marks the pool's ticket redeemed at r.Now and counts a login
	// of its user, as one step; when it returns, that is on disk. Of any number
	// of concurrent calls for one ticket exactly one succeeds.
	//
	// It refuses, and changes nothing, in this order: with ErrUnknown (also
	// another pool's ticket and one issued before a restore), ErrVerifier
	// (r.Challenge is not the ticket's), ErrRedeemed as below, ErrExpired from
	// ExpiresAt on, userpool.ErrBlocked, and ErrVoid. A ticket that had ended by
	// the clock that issued the user's next one is over by every clock: to one that
	// is behind it has ended, or is void. With each refusal but ErrUnknown comes the
	// Ticket.
	//
	// A ticket that is redeemed already gives ErrRedeemed, with Ticket and JTI
	// of the first success, and revokes that token and ends the session of that
	// id (token.Tombstone) if r says so, which is once and writes the event
	// r.Replayed; unless r.Idempotency is that of the first success and the
	// ticket has not expired: then the first answer is returned again, Repeated,
	// if the user may still come in.
	RedeemTicket(ctx context.Context, r Redemption) (Redeemed, error)

	// SweepTickets deletes up to limit tickets whose end is RetainFor or more
	// before now, deny-list entries of tokens that have expired, sessions that
	// have, what replicas told each other and is over, sign-ins that could be
	// finished until userpool.UnfinishedRetain or more before now, and audit events
	// that are audit.RetainFor old, but for the newest. It returns how many it
	// deleted.
	SweepTickets(ctx context.Context, now time.Time, limit int) (int, error)
}
