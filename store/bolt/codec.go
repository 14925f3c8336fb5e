package bolt

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

// The records that a login touches are coded by hand: fields in a fixed order,
// texts and counts as uvarints, times as milliseconds since 1970 (0 for none).
// A new field goes to the end; a record that ends before it has its zero value.
// Records that change rarely are JSON. What is decoded shares the record's
// memory.

var errShort = errors.New("the record is cut off")

type encoder []byte

func (e *encoder) text(s string)  { *e = appendText(*e, s) }
func (e *encoder) num(n uint64)   { *e = binary.AppendUvarint(*e, n) }
func (e *encoder) bytes(b []byte) { *e = appendText(*e, b) }
func (e *encoder) flag(b bool) {
	if b {
		e.num(1)
	} else {
		e.num(0)
	}
}
func (e *encoder) time(t time.Time) {
	if t.IsZero() {
		e.num(0)
	} else {
		e.num(uint64(t.UnixMilli())) // #nosec G115 -- the reader turns it back by the same conversion
	}
}

type decoder struct {
	rest string
	err  error
}

func (d *decoder) num() uint64 {
	if len(d.rest) == 0 || d.err != nil {
		return 0
	}
	n, size := binary.Uvarint([]byte(d.rest[:min(len(d.rest), binary.MaxVarintLen64)]))
	if size <= 0 {
		d.err = errShort
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

func (d *decoder) text() string {
	n := d.num()
	if n > uint64(len(d.rest)) {
		d.err = errShort
		return ""
	}
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

func (d *decoder) flag() bool { return d.num() != 0 }
func (d *decoder) addr() netip.Addr {
	a, _ := netip.AddrFromSlice([]byte(d.text()))
	return a
}
func (d *decoder) time() time.Time {
	if ms := d.num(); ms != 0 {
		return time.UnixMilli(int64(ms)).UTC() // #nosec G115 -- the writer converted it the other way
	}
	return time.Time{}
}

// count returns a number of things that follow, each at least a byte long.
func (d *decoder) count() int {
	n := d.num()
	if n > uint64(len(d.rest)) {
		d.err = errShort
		return 0
	}
	return int(n) // #nosec G115 -- n is at most the bytes that are left
}

// encodeUser codes what a login does not change.
func encodeUser(u userpool.User) []byte {
	e := make(encoder, 0, 512) // most fit
	e.text(u.UnionID)
	e.num(uint64(len(u.Identities)))
	for _, id := range u.Identities {
		e.text(id.AppID)
		e.text(id.OpenID)
	}
	e.text(string(u.Phone))
	p := u.Profile
	for _, s := range []string{p.Nickname, p.AvatarURL, p.Language, p.City, p.Province, p.Country} {
		e.text(s)
	}
	e.num(uint64(p.Gender)) // #nosec G115 -- the reader turns it back by the same conversion
	e.text(u.RegisterMethod)
	e.time(u.SignedUp)
	e.time(u.UpdatedAt)
	return e
}

func decodeUser(poolID, id, record string) (userpool.User, error) {
	d := decoder{rest: record}
	u := userpool.User{PoolID: poolID, ID: id, UnionID: d.text()}
	if n := d.count(); n > 0 {
		u.Identities = make([]userpool.Identity, n)
		for i := range u.Identities {
			u.Identities[i] = userpool.Identity{AppID: d.text(), OpenID: d.text()}
		}
	}
	u.Phone = userpool.Phone(d.text())
	p := &u.Profile
	for _, s := range []*string{&p.Nickname, &p.AvatarURL, &p.Language, &p.City, &p.Province, &p.Country} {
		*s = d.text()
	}
	p.Gender = int(d.num()) // #nosec G115 -- the writer converted it the other way
	u.RegisterMethod = d.text()
	u.SignedUp = d.time()
	u.UpdatedAt = d.time()
	return u, d.err
}

// access is the part of a user that a login reads and changes, and the user's
// live tickets, which only the store knows.
type access struct {
	blocked   bool
	notBefore time.Time
	logins    userpool.Logins
	// live are the tickets that may be live, oldest first. One of them that has
	// been redeemed is a login that logins lacks.
	live []liveTicket
}

type liveTicket struct {
	key       ticket.Key
	expiresAt time.Time
}

func (a access) of(u *userpool.User) {
	u.Blocked, u.NotBefore, u.Logins = a.blocked, a.notBefore, a.logins
}

// encode returns the record, in buf's memory if that is large enough.
func (a access) encode(buf []byte) []byte {
	e := encoder(buf[:0])
	e.flag(a.blocked)
	e.time(a.notBefore)
	e.num(a.logins.Count)
	e.time(a.logins.Last)
	e.bytes(a.logins.Addr.AsSlice())
	e.num(uint64(len(a.live)))
	for _, t := range a.live {
		e.bytes(t.key[:])
		e.time(t.expiresAt)
	}
	return e
}

func decodeAccess(record string) (access, error) {
	d := decoder{rest: record}
	a := access{blocked: d.flag(), notBefore: d.time()}
	a.logins.Count = d.num()
	a.logins.Last = d.time()
	a.logins.Addr = d.addr()
	if n := d.count(); n > 0 {
		a.live = make([]liveTicket, n)
		for i := range a.live {
			copy(a.live[i].key[:], d.text())
			a.live[i].expiresAt = d.time()
		}
	}
	return a, d.err
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
}

// encode returns the record, in buf's memory if that is large enough.
func (t ticketRecord) encode(buf []byte) []byte {
	e := encoder(buf[:0])
	e.text(t.PoolID)
	e.text(t.UserID)
	e.text(t.AppID)
	e.text(t.SourceApp)
	e.text(t.Challenge)
	e.time(t.ExpiresAt)
	e.text(t.epoch)
	e.flag(t.void)
	e.time(t.redeemedAt)
	e.text(t.jti)
	e.time(t.tokenEnd)
	e.text(t.idem)
	e.text(t.answer)
	e.flag(t.revoked)
	e.bytes(t.addr.AsSlice())
	return e
}

func decodeTicket(key ticket.Key, record string) (ticketRecord, error) {
	d := decoder{rest: record}
	t := ticketRecord{Ticket: ticket.Ticket{
		Key: key, PoolID: d.text(), UserID: d.text(), AppID: d.text(), SourceApp: d.text(), Challenge: d.text(), ExpiresAt: d.time(),
	}}
	t.epoch = d.text()
	t.void = d.flag()
	t.redeemedAt = d.time()
	t.jti = d.text()
	t.tokenEnd = d.time()
	t.idem = d.text()
	t.answer = d.text()
	t.revoked = d.flag()
	t.addr = d.addr()
	return t, d.err
}

// encodeAnswer codes a user as a redemption answered, login included.
func encodeAnswer(u userpool.User) string {
	var e encoder
	e.bytes(encodeUser(u))
	e.bytes(access{blocked: u.Blocked, notBefore: u.NotBefore, logins: u.Logins}.encode(nil))
	return string(e)
}

func decodeAnswer(poolID, id, record string) (userpool.User, error) {
	d := decoder{rest: record}
	u, err := decodeUser(poolID, id, d.text())
	if err != nil {
		return u, err
	}
	a, err := decodeAccess(d.text())
	a.of(&u)
	if d.err != nil {
		err = d.err
	}
	return u, err
}
