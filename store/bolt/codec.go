package bolt

import (
	"net/netip"
	"time"

	"app2wxapp/store/record"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

// access is the part of a user that a login reads and changes, and the user's
// live tickets, which only the store knows.
type access struct {
	blocked   bool
	notBefore time.Time
	logins    userpool.Logins
	live      []liveTicket // oldest first
}

type liveTicket struct {
	key       ticket.Key
	expiresAt time.Time
}

func (a access) of(u *userpool.User) {
	u.Blocked, u.NotBefore, u.Logins = a.blocked, a.notBefore, a.logins
}

func (a access) encode() []byte {
	var e record.Encoder
	e.Flag(a.blocked)
	e.Time(a.notBefore)
	e.Num(a.logins.Count)
	e.Time(a.logins.Last)
	e.Bytes(a.logins.Addr.AsSlice())
	e.Num(uint64(len(a.live)))
	for _, t := range a.live {
		e.Bytes(t.key[:])
		e.Time(t.expiresAt)
	}
	return e
}

func decodeAccess(b []byte) (access, error) {
	d := record.NewDecoder(b)
	a := access{blocked: d.Flag(), notBefore: d.Time()}
	a.logins.Count = d.Num()
	a.logins.Last = d.Time()
	a.logins.Addr, _ = netip.AddrFromSlice(d.Bytes())
	if n := d.Count(); n > 0 {
		a.live = make([]liveTicket, n)
		for i := range a.live {
			copy(a.live[i].key[:], d.Bytes())
			a.live[i].expiresAt = d.Time()
		}
	}
	return a, d.Err
}

// ticketRecord is a ticket and what became of it.
type ticketRecord struct {
	ticket.Ticket
	epoch      []byte
	void       bool
	redeemedAt time.Time
	jti        string
	tokenEnd   time.Time
	idem       []byte // SHA-256 of the Idempotency-Key, empty if none was sent
	answer     []byte // the user as answered, kept if idem is
	revoked    bool   // a replay put the token on the deny-list
}

func (t ticketRecord) encode() []byte {
	var e record.Encoder
	e.Text(t.PoolID)
	e.Text(t.UserID)
	e.Text(t.AppID)
	e.Text(t.SourceApp)
	e.Text(t.Challenge)
	e.Time(t.ExpiresAt)
	e.Bytes(t.epoch)
	e.Flag(t.void)
	e.Time(t.redeemedAt)
	e.Text(t.jti)
	e.Time(t.tokenEnd)
	e.Bytes(t.idem)
	e.Bytes(t.answer)
	e.Flag(t.revoked)
	return e
}

func decodeTicket(key ticket.Key, b []byte) (ticketRecord, error) {
	d := record.NewDecoder(b)
	t := ticketRecord{Ticket: ticket.Ticket{
		Key: key, PoolID: d.Text(), UserID: d.Text(), AppID: d.Text(), SourceApp: d.Text(), Challenge: d.Text(), ExpiresAt: d.Time(),
	}}
	t.epoch = d.Bytes()
	t.void = d.Flag()
	t.redeemedAt = d.Time()
	t.jti = d.Text()
	t.tokenEnd = d.Time()
	t.idem = d.Bytes()
	t.answer = d.Bytes()
	t.revoked = d.Flag()
	return t, d.Err
}

// encodeAnswer codes a user as a redemption answered, login included.
func encodeAnswer(u userpool.User) []byte {
	var e record.Encoder
	e.Bytes(record.EncodeUser(u))
	e.Bytes(access{blocked: u.Blocked, notBefore: u.NotBefore, logins: u.Logins}.encode())
	return e
}

func decodeAnswer(poolID, id string, b []byte) (userpool.User, error) {
	d := record.NewDecoder(b)
	u, err := record.DecodeUser(poolID, id, d.Bytes())
	if err != nil {
		return u, err
	}
	a, err := decodeAccess(d.Bytes())
	a.of(&u)
	if d.Err != nil {
		err = d.Err
	}
	return u, err
}
