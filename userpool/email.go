package userpool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"app2wxapp/audit"
)

// Email is an e-mail address that was verified, in the one spelling that ParseEmail
// gives it. fmt and slog show it masked; string(e) is the address.
type Email string

func (e Email) String() string               { return e.Masked() }
func (e Email) LogValue() slog.Value         { return slog.StringValue(e.Masked()) }
func (e Email) MarshalText() ([]byte, error) { return []byte(e.Masked()), nil }

// Format is for every verb, as Secret's.
func (e Email) Format(f fmt.State, _ rune) { io.WriteString(f, e.Masked()) }

// Masked returns the address with most of what stands before the @ hidden:
// "a****@example.com".
func (e Email) Masked() string {
	at := strings.LastIndexByte(string(e), '@')
	if at < 1 {
		return strings.Repeat("*", 4*min(len(e), 1))
	}
	return string(e[:1]) + "****" + string(e[at:])
}

// Limits of RFC 5321 §4.5.3.1 and RFC 1035 §2.3.4, in bytes.
const (
	maxEmail      = 254
	maxEmailLocal = 64
	maxLabel      = 63
)

// ParseEmail returns the address in lower case, and whether it can be one. Two that
// differ in case only are one: no mail service that people use tells them apart,
// and whoever has the lower one gets the code. It must be ASCII, since letters
// that look alike would be others' addresses; a domain in other letters is written
// as xn--.
func ParseEmail(s string) (Email, bool) {
	for _, c := range []byte(s) {
		if c >= 0x80 { // some of those have an ASCII letter as their lower case
			return "", false
		}
	}
	local, domain, ok := strings.Cut(strings.ToLower(s), "@")
	if !ok || len(s) > maxEmail || len(local) > maxEmailLocal || !strings.Contains(domain, ".") {
		return "", false
	}
	for _, part := range strings.Split(local, ".") {
		if part == "" || strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-/=?^_`{|}~") != "" {
			return "", false
		}
	}
	for _, label := range strings.Split(domain, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return "", false
		}
	}
	return Email(local + "@" + domain), true
}

// ShownEmail returns the address to show of the user, and whether it was verified;
// one that was not is what the user says.
func (u User) ShownEmail() (address string, verified bool) {
	if u.Email != "" {
		return string(u.Email), true
	}
	return u.Attributes["email"], false
}

// SetEmail makes the address the user's verified one; "" takes it away. It is for
// operators, who answer for it. It returns an *InvalidError, ErrUserExists if another
// user of the pool has it, ErrUserNotFound or ErrPoolNotFound.
func (s *Service) SetEmail(ctx context.Context, poolID, userID, address string) (User, error) {
	email, ok := ParseEmail(address)
	if address != "" && !ok {
		return User{}, invalidEmail
	}
	if !ValidID(poolID) || !ValidID(userID) {
		return User{}, s.whichMissing(ctx, poolID, ErrUserNotFound)
	}
	now := s.now()
	var same User
	u, err := s.store.UpdateUser(ctx, poolID, userID, func(u *User) (audit.Event, error) {
		if u.Email == email {
			same = *u
			return audit.Event{}, ErrUnchanged
		}
		u.Email, u.UpdatedAt = email, now
		return audit.Event{At: now, Type: audit.UserEmailChanged, PoolID: poolID, UserID: userID, By: audit.By(ctx)}, nil
	})
	if errors.Is(err, ErrUnchanged) {
		return same, nil
	}
	return u, s.whichMissing(ctx, poolID, err)
}
