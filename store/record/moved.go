package record

import (
	"net/netip"
	"time"

	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

// What stores keep differently has one form in which it moves between them, so
// that both ends can be compared.

// EncodeWholeUser codes all of a user but the ids, and DecodeWholeUser is the
// reverse.
func EncodeWholeUser(u userpool.User) []byte {
	var e Encoder
	e.Bytes(EncodeUser(u))
	e.Flag(u.Blocked)
	e.Time(u.NotBefore)
	e.Num(u.Logins.Count)
	e.Time(u.Logins.Last)
	e.Bytes(u.Logins.Addr.AsSlice())
	return e
}

func DecodeWholeUser(poolID, id, record string) (userpool.User, error) {
	d := NewDecoder(record)
	u, err := DecodeUser(poolID, id, d.Text())
	if err != nil {
		return u, err
	}
	u.Blocked = d.Flag()
	u.NotBefore = d.Time()
	u.Logins = userpool.Logins{Count: d.Num(), Last: d.Time()}
	u.Logins.Addr = d.Addr()
	return u, d.Err
}

// Redemption is a ticket that was redeemed: what refuses it, revokes its token
// on a replay, and answers a repeat.
type Redemption struct {
	ticket.Ticket
	At       time.Time
	JTI      string
	TokenEnd time.Time
	Revoked  bool // a replay put the token on the deny-list
	// Idempotency is the SHA-256 of the Idempotency-Key, "" if none was sent:
	// then there is no answer to repeat, and what follows is zero.
	Idempotency string
	Answer      string     // the user as answered, by EncodeUser
	Login       uint64     // which of the user's logins it was
	Addr        netip.Addr // who redeemed it
}

// EncodeRedemption codes a redemption but for the ticket's key.
func EncodeRedemption(r Redemption) []byte {
	var e Encoder
	e.Text(r.PoolID)
	e.Text(r.UserID)
	e.Text(r.AppID)
	e.Text(r.SourceApp)
	e.Text(r.Challenge)
	e.Time(r.ExpiresAt)
	e.Time(r.At)
	e.Text(r.JTI)
	e.Time(r.TokenEnd)
	e.Flag(r.Revoked)
	e.Text(r.Idempotency)
	e.Text(r.Answer)
	e.Num(r.Login)
	e.Bytes(r.Addr.AsSlice())
	return e
}

// DecodeRedemption is the reverse of EncodeRedemption.
func DecodeRedemption(key ticket.Key, record string) (Redemption, error) {
	d := NewDecoder(record)
	r := Redemption{Ticket: ticket.Ticket{
		Key: key, PoolID: d.Text(), UserID: d.Text(), AppID: d.Text(), SourceApp: d.Text(), Challenge: d.Text(), ExpiresAt: d.Time(),
	}}
	r.At = d.Time()
	r.JTI = d.Text()
	r.TokenEnd = d.Time()
	r.Revoked = d.Flag()
	r.Idempotency = d.Text()
	r.Answer = d.Text()
	r.Login = d.Num()
	r.Addr = d.Addr()
	return r, d.Err
}
