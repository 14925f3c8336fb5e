package bolt

import (
	"net/netip"
	"time"

	"app2wxapp/store/record"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

// access is the part of a user that a login reads and changes.
type access struct {
	blocked   bool
	notBefore time.Time
	logins    userpool.Logins
	counted   uint64 // the number (of ticketRecord) of the last redemption that is in logins
	// listed are tickets as an earlier version of the program lists them: one of
	// them that it redeemed is a login that logins lacks.
	listed []ticket.Key
}

func (a access) of(u *userpool.User) {
	u.Blocked, u.NotBefore, u.Logins = a.blocked, a.notBefore, a.logins
}

// encode returns the record, in buf's memory if that is large enough.
func (a access) encode(buf []byte) []byte {
	e := record.Encoder(buf[:0])
	e.Flag(a.blocked)
	e.Time(a.notBefore)
	e.Num(a.logins.Count)
	e.Time(a.logins.Last)
	e.Bytes(a.logins.Addr.AsSlice())
	e.Num(0) // of listed
	e.Num(a.counted)
	return e
}

func decodeAccess(rec string) (access, error) {
	d := record.NewDecoder(rec)
	a := access{blocked: d.Flag(), notBefore: d.Time()}
	a.logins.Count = d.Num()
	a.logins.Last = d.Time()
	a.logins.Addr = d.Addr()
	if n := d.Count(); n > 0 {
		a.listed = make([]ticket.Key, n)
		for i := range a.listed {
			copy(a.listed[i][:], d.Text())
			d.Time() // its end
		}
	}
	a.counted = d.Num()
	return a, d.Err
}

// ticketRecord is a ticket and what became of it.
type ticketRecord struct {
	ticket.Ticket
	epoch      string
	void       bool
	redeemedAt time.Time
	jti        string
	tokenEnd   time.Time
	idem       string     // SHA-256 of the Idempotency-Key, empty if none was sent
	answer     string     // the user as answered, kept if idem is
	revoked    bool       // a replay put the token on the deny-list
	addr       netip.Addr // who redeemed it
	// number is a live ticket's place in the order in which the store issued them;
	// that of its redemption then, in the same count: the user's access says up to
	// which they are counted as logins. 0 for what came from elsewhere.
	number uint64
	// voids is the number up to which the user's other tickets are over since this
	// one was issued. Said here, it costs no other page.
	voids uint64
}

// A ticket's record begins with its format. What was written before there was
// one begins with the length of a pool's id, which is not 0.
const ticketFormat = 0

// epochSize is how much of the store's epoch stands in each ticket. Stores have
// epochs of that size; older ones have longer ones, of which it is the beginning.
const epochSize = 8

func shortEpoch(s string) string { return s[:min(len(s), epochSize)] }

// redeemedSize is what a redemption adds to a record, with an IPv6 address and
// without an Idempotency-Key. A fresh ticket has room for it, so that a
// redemption changes no size: tickets lie on full pages, which would split.
const redeemedSize = 2*6 + 17 + 17 + 1 + 1 + 2*6

// encode returns the record, in buf's memory if that is large enough.
func (t ticketRecord) encode(buf []byte) []byte {
	e := append(record.Encoder(buf[:0]), ticketFormat)
	e.ID(t.PoolID)
	e.ID(t.UserID)
	e.ID(t.AppID)
	e.ID(t.SourceApp)
	e.Text(t.Challenge)
	e.Time(t.ExpiresAt)
	e.Text(t.epoch)
	e.Flag(t.void)
	e.Flag(t.revoked)
	fresh := len(e)
	e.Time(t.redeemedAt)
	e.ID(t.jti)
	e.Time(t.tokenEnd)
	e.Bytes(t.addr.AsSlice())
	e.Text(t.idem)
	e.Text(t.answer)
	e.Num(t.number)
	e.Num(t.voids)
	e.Room(fresh + redeemedSize)
	return e
}

func decodeTicket(key ticket.Key, rec string) (ticketRecord, error) {
	if len(rec) > 0 && rec[0] != ticketFormat {
		return decodeFirstTicket(key, rec)
	}
	d := record.NewDecoder(rec)
	d.Num() // the format
	t := ticketRecord{Ticket: ticket.Ticket{
		Key: key, PoolID: d.ID(), UserID: d.ID(), AppID: d.ID(), SourceApp: d.ID(), Challenge: d.Text(), ExpiresAt: d.Time(),
	}}
	t.epoch = d.Text()
	t.void = d.Flag()
	t.revoked = d.Flag()
	t.redeemedAt = d.Time()
	t.jti = d.ID()
	t.tokenEnd = d.Time()
	t.addr = d.Addr()
	t.idem = d.Text()
	t.answer = d.Text()
	t.number = d.Num()
	t.voids = d.Num()
	return t, d.Err
}

// decodeFirstTicket reads a record from before there was a format.
func decodeFirstTicket(key ticket.Key, rec string) (ticketRecord, error) {
	d := record.NewDecoder(rec)
	t := ticketRecord{Ticket: ticket.Ticket{
		Key: key, PoolID: d.Text(), UserID: d.Text(), AppID: d.Text(), SourceApp: d.Text(), Challenge: d.Text(), ExpiresAt: d.Time(),
	}}
	t.epoch = shortEpoch(d.Text())
	t.void = d.Flag()
	t.redeemedAt = d.Time()
	t.jti = d.Text()
	t.tokenEnd = d.Time()
	t.idem = d.Text()
	t.answer = d.Text()
	t.revoked = d.Flag()
	t.addr = d.Addr()
	return t, d.Err
}

// encodeAnswer codes a user as a redemption answered, login included.
func encodeAnswer(u userpool.User) string {
	var e record.Encoder
	e.Bytes(record.EncodeUser(u))
	e.Bytes(access{blocked: u.Blocked, notBefore: u.NotBefore, logins: u.Logins}.encode(nil))
	return string(e)
}

func decodeAnswer(poolID, id, rec string) (userpool.User, error) {
	d := record.NewDecoder(rec)
	u, err := record.DecodeUser(poolID, id, d.Text())
	if err != nil {
		return u, err
	}
	a, err := decodeAccess(d.Text())
	a.of(&u)
	if d.Err != nil {
		err = d.Err
	}
	return u, err
}
