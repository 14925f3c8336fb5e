package bolt

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"app2wxapp/store/record"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

func drawTime(t *rapid.T, name string) time.Time {
	ms := rapid.Int64Range(-1<<40, 1<<45).Draw(t, name)
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func drawUser(t *rapid.T) userpool.User {
	text := rapid.String()
	u := userpool.User{
		PoolID: "p", ID: "u", UnionID: text.Draw(t, "unionid"), Phone: userpool.Phone(text.Draw(t, "phone")),
		Profile: userpool.Profile{
			Nickname: text.Draw(t, "nickname"), AvatarURL: text.Draw(t, "avatar"), Gender: rapid.IntRange(-1, 2).Draw(t, "gender"),
			Language: text.Draw(t, "language"), City: text.Draw(t, "city"), Province: text.Draw(t, "province"), Country: text.Draw(t, "country"),
		},
		RegisterMethod: text.Draw(t, "method"), SignedUp: drawTime(t, "signed up"), UpdatedAt: drawTime(t, "updated"),
	}
	for range rapid.IntRange(0, 4).Draw(t, "identities") {
		u.Identities = append(u.Identities, userpool.Identity{AppID: text.Draw(t, "app"), OpenID: text.Draw(t, "openid")})
	}
	u.Username = text.Draw(t, "username")
	if a := rapid.MapOfN(text, text, 0, 4).Draw(t, "attributes"); len(a) > 0 {
		u.Attributes = a
	}
	return u
}

func drawAccess(t *rapid.T) access {
	a := access{blocked: rapid.Bool().Draw(t, "blocked"), notBefore: drawTime(t, "not before")}
	a.logins = userpool.Logins{Count: rapid.Uint64().Draw(t, "count"), Last: drawTime(t, "last")}
	a.logins.Addr = drawAddr(t)
	a.counted = rapid.Uint64().Draw(t, "counted")
	return a
}

func drawAddr(t *rapid.T) netip.Addr {
	return rapid.SampledFrom([]netip.Addr{
		{}, netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("2001:db8::7"), netip.MustParseAddr("::ffff:203.0.113.7"),
	}).Draw(t, "addr")
}

func drawKey(t *rapid.T) ticket.Key {
	return ticket.Key(rapid.SliceOfN(rapid.Byte(), 38, 38).Draw(t, "key"))
}

func drawBytes(t *rapid.T, name string) string {
	return string(rapid.SliceOf(rapid.Byte()).Draw(t, name))
}

// drawID draws an id of any form, and what nearly is one.
func drawID(t *rapid.T, name string) string {
	return rapid.OneOf(
		rapid.String(),
		rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`),
		rapid.StringMatching(`[0-9A-Fa-f-]{36}`),
		rapid.StringMatching(`(wx)?([0-9a-f]{2}){0,40}[0-9a-fA-F]?`),
	).Draw(t, name)
}

func drawTicket(t *rapid.T) ticketRecord {
	text := rapid.String()
	r := ticketRecord{
		Ticket: ticket.Ticket{
			Key: drawKey(t), PoolID: drawID(t, "pool"), UserID: drawID(t, "user"), AppID: drawID(t, "app"),
			SourceApp: drawID(t, "source"), Challenge: text.Draw(t, "challenge"), ExpiresAt: drawTime(t, "expires"),
		},
		epoch: drawBytes(t, "epoch"), void: rapid.Bool().Draw(t, "void"), redeemedAt: drawTime(t, "redeemed"), jti: drawID(t, "jti"),
		tokenEnd: drawTime(t, "token end"), idem: drawBytes(t, "idem"), answer: drawBytes(t, "answer"), revoked: rapid.Bool().Draw(t, "revoked"),
		addr: drawAddr(t), number: rapid.Uint64().Draw(t, "number"), voids: rapid.Uint64().Draw(t, "voids"),
	}
	if r.idem == "" {
		r.answer = ""
	}
	return r
}

func TestCodecRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := drawUser(t)
		if got, err := record.DecodeUser("p", "u", string(record.EncodeUser(u))); err != nil || !reflect.DeepEqual(got, u) {
			t.Errorf("user: got %#v, %v, want %#v", got, err, u)
		}
		a := drawAccess(t)
		if got, err := decodeAccess(string(a.encode(nil))); err != nil || !reflect.DeepEqual(got, a) {
			t.Errorf("access: got %+v, %v, want %+v", got, err, a)
		}
		r := drawTicket(t)
		if got, err := decodeTicket(r.Key, string(r.encode(nil))); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("ticket: got %+v, %v, want %+v", got, err, r)
		}
		a.of(&u)
		if got, err := decodeAnswer("p", "u", encodeAnswer(u)); err != nil || !reflect.DeepEqual(got, u) {
			t.Errorf("answer: got %+v, %v, want %+v", got, err, u)
		}
	})
}

// A record that was cut off is an error, or has zero values for the fields that
// are missing as a whole; it is never misread.
func TestCodecTruncated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawTicket(t)
		whole := r.encode(nil)
		for n := range whole {
			got, err := decodeTicket(r.Key, string(whole[:n]))
			if err != nil {
				continue
			}
			if again := got.encode(nil); !bytes.HasPrefix(again, whole[:n]) || len(bytes.Trim(again[n:], "\x00")) > 0 {
				t.Errorf("%d of %d bytes were read as %+v", n, len(whole), got)
			}
		}
		a := drawAccess(t)
		whole = a.encode(nil)
		for n := range whole {
			if got, err := decodeAccess(string(whole[:n])); err == nil && !bytes.HasPrefix(got.encode(nil), whole[:n]) {
				t.Errorf("%d of %d bytes were read as %+v", n, len(whole), got)
			}
		}
	})
}

// A redemption changes no record's size, so that no page splits.
func TestRedemptionFits(t *testing.T) {
	for _, addr := range []string{"203.0.113.7", "2001:db8::7"} {
		r := ticketRecord{Ticket: ticket.Ticket{
			PoolID: "62656e63686265636e632e2e", UserID: "0193ffff-ffff-7fff-bfff-ffffffffffff", AppID: "wx62656e6368626e63", ExpiresAt: t0,
		}, epoch: "12345678"}
		fresh := len(r.encode(nil))
		r.redeemedAt, r.tokenEnd = t0, t0.Add(14*24*time.Hour)
		r.jti, r.addr, r.revoked, r.void, r.number, r.voids = "0194ffff-ffff-7fff-bfff-ffffffffffff", netip.MustParseAddr(addr), true, true, 1<<42-1, 1<<42-1
		if redeemed := len(r.encode(nil)); redeemed != fresh || fresh > 124 {
			t.Errorf("by %s: %d bytes, then %d, want the same and at most 124", addr, fresh, redeemed)
		}
	}
}

// listing is a user's access as an earlier version wrote it, which listed tickets.
func listing(keys ...ticket.Key) []byte {
	var e record.Encoder
	e.Flag(false)
	e.Time(time.Time{})
	e.Num(3)
	e.Time(t0)
	e.Bytes(nil)
	e.Num(uint64(len(keys)))
	for _, k := range keys {
		e.Bytes(k[:])
		e.Time(t0.Add(2 * time.Minute))
	}
	return e
}

// What a program wrote that knew no format is read.
func TestFirstTicketRecord(t *testing.T) {
	want := ticketRecord{
		Ticket: ticket.Ticket{
			Key: testTicket("a", 1).Key, PoolID: "pool", UserID: "0193ffff-ffff-7fff-bfff-ffffffffffff", AppID: "wx1", SourceApp: "wx2",
			Challenge: "ch", ExpiresAt: time.UnixMilli(1_700_000_120_000).UTC(),
		},
		epoch: "01234567", void: true, redeemedAt: time.UnixMilli(1_700_000_001_000).UTC(), jti: "jti-1",
		tokenEnd: time.UnixMilli(1_701_000_000_000).UTC(), idem: "i", answer: "an", revoked: true, addr: netip.MustParseAddr("203.0.113.7"),
	}
	const rec = "\x04pool" + "\x240193ffff-ffff-7fff-bfff-ffffffffffff" + "\x03wx1" + "\x03wx2" + "\x02ch" + "\xc0\xf9\x9c\xff\xbc\x31" +
		"\x100123456789abcdef" + "\x01" + "\xe8\xd7\x95\xff\xbc\x31" + "\x05jti-1" + "\x80\xe4\x80\xdc\xc0\x31" +
		"\x01i" + "\x02an" + "\x01" + "\x04\xcb\x00\x71\x07"
	if got, err := decodeTicket(want.Key, rec); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestCodecRefuses(t *testing.T) {
	for name, b := range map[string][]byte{
		"text longer than the record":  {5, 'a'},
		"number without end":           {0x80},
		"number too large":             bytes.Repeat([]byte{0xff}, 11),
		"more identities than bytes":   {0, 200},
		"length that overflows an int": {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
	} {
		if u, err := record.DecodeUser("p", "u", string(b)); err == nil {
			t.Errorf("%s: read as %+v", name, u)
		}
	}
}

// FuzzDecodeRecord: no bytes make a decoder panic or take memory beyond what
// their length explains, and what it reads it writes the same again.
func FuzzDecodeRecord(f *testing.F) {
	f.Add(record.EncodeUser(testUser("a")))
	f.Add(access{counted: 1 << 40}.encode(nil))
	f.Add(listing(testTicket("a", 1).Key))
	f.Add(ticketRecord{Ticket: testTicket("a", 1), epoch: "\x01", idem: "\x02"}.encode(nil))
	f.Add([]byte("\x01p\x01u\x03wx1\x00\x00\x00\x0e0123456789abcd")) // of no format
	f.Add([]byte(encodeAnswer(testUser("a"))))
	f.Add([]byte{0, 200, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		if u, err := record.DecodeUser("p", "u", string(b)); err == nil {
			again, err := record.DecodeUser("p", "u", string(record.EncodeUser(u)))
			if err != nil || !reflect.DeepEqual(again, u) {
				t.Errorf("user: %+v, then %+v, %v", u, again, err)
			}
		}
		if a, err := decodeAccess(string(b)); err == nil {
			a.listed = nil // that is only read
			again, err := decodeAccess(string(a.encode(nil)))
			if err != nil || !reflect.DeepEqual(again, a) {
				t.Errorf("access: %+v, then %+v, %v", a, again, err)
			}
		}
		if r, err := decodeTicket(ticket.Key{}, string(b)); err == nil {
			again, err := decodeTicket(ticket.Key{}, string(r.encode(nil)))
			if err != nil || !bytes.Equal(again.encode(nil), r.encode(nil)) {
				t.Errorf("ticket: %+v, then %+v, %v", r, again, err)
			}
		}
		if u, err := decodeAnswer("p", "u", string(b)); err == nil {
			again, err := decodeAnswer("p", "u", encodeAnswer(u))
			if err != nil || !reflect.DeepEqual(again, u) {
				t.Errorf("answer: %+v, then %+v, %v", u, again, err)
			}
		}
	})
}
