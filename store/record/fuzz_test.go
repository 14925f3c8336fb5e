package record

import (
	"bytes"
	"testing"
	"time"

	"app2wxapp/ticket"
	"app2wxapp/token"
	"app2wxapp/upload"
	"app2wxapp/userpool"
)

// stable fails if bytes that a decoder reads are not written the same again.
func stable[T any](t *testing.T, what, b string, decode func(string) (T, error), encode func(T) []byte) {
	t.Helper()
	read, err := decode(b)
	if err != nil {
		return
	}
	first := encode(read)
	again, err := decode(string(first))
	if err != nil {
		t.Fatalf("%s: %+v is written as %q, which is not read: %v", what, read, first, err)
	}
	if second := encode(again); !bytes.Equal(first, second) {
		t.Errorf("%s: %+v is written as %q, then as %q", what, read, first, second)
	}
}

// FuzzDecode: no bytes make a decoder panic or take memory beyond what their
// length explains, and what it reads it writes the same again.
func FuzzDecode(f *testing.F) {
	now := time.UnixMilli(1_700_000_000_123).UTC()
	user := userpool.User{PoolID: "p", ID: "u", UnionID: "o", Phone: "+8613800138000", Username: "n", SignedUp: now, UpdatedAt: now}
	pool, err := EncodePool(userpool.Pool{ID: "p", JWTSecret: "s", CreatedAt: now, UpdatedAt: now})
	if err != nil {
		f.Fatal(err)
	}
	for _, b := range [][]byte{
		EncodeUser(user), EncodeWholeUser(user), EncodeRedemption(Redemption{}), EncodePassword(userpool.Password{}),
		EncodePicture(upload.Picture{}), EncodeRecipient(userpool.Recipient{}), EncodeSession(token.Session{ID: "s"}),
		EncodeTOTP(userpool.TOTP{}), EncodeUnfinished(userpool.Unfinished{PoolID: "p", ExpiresAt: now}), pool, {0, 200, 0xff}, nil,
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		b := string(raw)
		stable(t, "user", b, func(b string) (userpool.User, error) { return DecodeUser("p", "u", b) }, EncodeUser)
		stable(t, "whole user", b, func(b string) (userpool.User, error) { return DecodeWholeUser("p", "u", b) }, EncodeWholeUser)
		stable(t, "redemption", b, func(b string) (Redemption, error) { return DecodeRedemption(ticket.Key{}, b) }, EncodeRedemption)
		stable(t, "password", b, DecodePassword, EncodePassword)
		stable(t, "picture", b, func(b string) (upload.Picture, error) { return DecodePicture("i", b) }, EncodePicture)
		stable(t, "recipient", b, DecodeRecipient, EncodeRecipient)
		stable(t, "session", b, func(b string) (token.Session, error) { return DecodeSession("s", b) }, EncodeSession)
		stable(t, "second factor", b, DecodeTOTP, EncodeTOTP)
		stable(t, "sign-in", b, func(b string) (userpool.Unfinished, error) { return DecodeUnfinished(userpool.OneTimeKey{}, b) }, EncodeUnfinished)
		stable(t, "pool", b, func(b string) (userpool.Pool, error) { return DecodePool("p", b) }, func(p userpool.Pool) []byte {
			b, err := EncodePool(p)
			if err != nil {
				t.Fatal(err)
			}
			return b
		})
		_, _ = DecodeEvent("e", b) // written by Chain.Append
	})
}
