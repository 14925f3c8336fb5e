// Package audit is the record of who did what: the acts of operators, what
// became of a user's account, and what was refused.
//
// An act's event is written in the transaction of the act: neither is there
// without the other. What anybody can cause as often as they like, refusals
// above all, is counted by a Tally and written once a minute, so that nobody
// can make the disk work by being refused.
//
// Sign-ins, issued tickets and plain redemptions are not events. A redemption
// writes its mark on the ticket and the user's login count, and these are its
// record; a row of its own would double what the store writes for it.
//
// An event holds ids, addresses, names and reasons; never a ticket, a secret, a
// phone number or anything that a user typed. Each row has the SHA-256 of the
// one before it, so that one that is altered or taken out later shows.
//
// The package imports nothing of this program.
package audit

import (
	"context"
	"net/netip"
	"slices"
	"time"
)

// RetainFor is how long an event is kept.
const RetainFor = 180 * 24 * time.Hour

// Type says what happened.
type Type string

// The types, and what their Detail has.
const (
	PoolCreated      Type = "pool.created"
	PoolChanged      Type = "pool.changed"       // settings
	SecretAdded      Type = "secret.added"       // secret
	SecretDeleted    Type = "secret.deleted"     // secret
	UserBlocked      Type = "user.blocked"       //
	UserUnblocked    Type = "user.unblocked"     //
	UserSignedOut    Type = "user.signed_out"    //
	UserPhoneMatched Type = "user.phone_matched" // an existing user was found by a verified phone
	UserPhoneChanged Type = "user.phone_changed" //
	UserEmailChanged Type = "user.email_changed" // by an operator: set, changed or removed
	UserBound        Type = "user.bound"         // way, by which a WeChat user showed that the account is theirs
	UserRegistered   Type = "user.registered"    // way, likewise, and there was no account
	IdentityUnbound  Type = "identity.unbound"   // app_id
	PasswordSet      Type = "password.set"       //
	PasswordRemoved  Type = "password.removed"   //
	TOTPAdded        Type = "totp.added"         // not in force yet
	TOTPConfirmed    Type = "totp.confirmed"     //
	TOTPRemoved      Type = "totp.removed"       //
	RecoveryUsed     Type = "totp.recovery_used" // a recovery code in place of a code
	SenderTested     Type = "sender.tested"      // channel, provider, result
	TicketReplayed   Type = "ticket.replayed"    // revoked; jti, or count if it was false
	TicketRepeated   Type = "ticket.repeated"    // count
	SessionReused    Type = "session.reused"     // jti, of its newest access token
	RedeemRefused    Type = "redeem.refused"     // reason, count
	AdminLoginFailed Type = "admin.login_failed" // count
	ClockPutBack     Type = "clock.put_back"     // latest_seen
	StoreRestored    Type = "store.restored"     // backed_up
	StoreMigrated    Type = "store.migrated"     // from
)

// Types are all of them.
var Types = []Type{
	PoolCreated, PoolChanged, SecretAdded, SecretDeleted, UserBlocked, UserUnblocked, UserSignedOut, UserPhoneMatched,
	UserPhoneChanged, UserEmailChanged, UserBound, UserRegistered, IdentityUnbound, PasswordSet, PasswordRemoved, SenderTested,
	TOTPAdded, TOTPConfirmed, TOTPRemoved, RecoveryUsed,
	TicketReplayed, TicketRepeated, SessionReused, RedeemRefused, AdminLoginFailed, ClockPutBack,
	StoreRestored, StoreMigrated,
}

// Known tells whether there is such a type.
func (t Type) Known() bool { return slices.Contains(Types, t) }

// Names of what a Detail may have.
const (
	Settings   = "settings"    // names of the settings that changed, with commas
	SecretID   = "secret"      // id of a pool secret
	JTI        = "jti"         // of the first token, or of a session's newest
	Revoked    = "revoked"     // whether this replay revoked it: "true" or "false"
	Reason     = "reason"      // as in app2wxapp_ticket_redemptions_total
	Way        = "way"         // a pool's way to bind
	AppID      = "app_id"      // a mini program's
	Channel    = "channel"     // "sms" or "email"
	Provider   = "provider"    // of codes
	Result     = "result"      // as in app2wxapp_sends_total
	Count      = "count"       // how many times, since the row before
	LatestSeen = "latest_seen" // RFC 3339
	BackedUp   = "backed_up"   // RFC 3339, when the backup was made; "" if the file does not say
	From       = "from"        // the store that it was, without user and password
)

// Event is something that happened. The zero Event is none.
type Event struct {
	ID     string // given by the store: a UUIDv7, greater than every earlier one
	At     time.Time
	Type   Type
	PoolID string // "" if it concerns no pool
	UserID string // "" if it concerns no user
	By     Actor
	Detail map[string]string
}

// Actor is who did it.
type Actor struct {
	Role Role
	Addr netip.Addr // zero if unknown
}

// Role is what an actor showed, not who they are: there is one admin token.
type Role string

const (
	Program  Role = "program"  // this program itself
	Operator Role = "operator" // showed the admin token
	User     Role = "user"     // came through the mini program
	Caller   Role = "caller"   // called the public or the admin API
)

type actorKey struct{}

// With returns a context in which the actor acts.
func With(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// By returns who acts in the context: the program itself if nobody was named.
func By(ctx context.Context) Actor {
	if a, ok := ctx.Value(actorKey{}).(Actor); ok {
		return a
	}
	return Actor{Role: Program}
}

// Query asks for events. The zero value of a field asks for any.
type Query struct {
	PoolID string
	Type   Type
	Since  time.Time // At or later
	Before string    // events older than the one with this id
	Limit  int       // at least 1
}

// Chain is what a look at all rows found.
type Chain struct {
	Events int      // rows that hang together, from the oldest that is kept
	Head   [32]byte // of the newest row; zero if there is none
	Broken string   // id of the row from which they do not, "" if all do
}

// Store keeps events. The acts' own events are written by the stores of the
// domain, with the acts.
type Store interface {
	// RecordEvents writes the events, in this order, as one step.
	RecordEvents(ctx context.Context, events []Event) error
	// Events returns up to q.Limit events, newest first. next is the Before of
	// the page that follows, "" if there is none; a page may have fewer events
	// than asked for, or none, and not be the last.
	Events(ctx context.Context, q Query) (events []Event, next string, err error)
	// VerifyEvents looks at every row, oldest first, and stops at the first
	// that is not what the others say it is. It cannot tell rows that were
	// swept from oldest ones that somebody took out.
	VerifyEvents(ctx context.Context) (Chain, error)
}
