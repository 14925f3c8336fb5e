package ticket

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

var formatTime = time.Date(2026, 11, 20, 8, 30, 0, 412_345_678, time.UTC)

func TestTicketFormat(t *testing.T) {
	seen := map[string]bool{}
	for range 200 {
		text, key := newTicket(formatTime)
		raw, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || len(text) != 51 || len(raw) != 38 {
			t.Fatalf("ticket %q: %d bytes, %v; want 51 characters of 38 bytes", text, len(raw), err)
		}
		if !unreserved(text) {
			t.Errorf("ticket %q does not survive a query string", text)
		}
		ms := int64(0)
		for _, b := range raw[:6] {
			ms = ms<<8 | int64(b)
		}
		if want := formatTime.UnixMilli(); ms != want || key.IssuedAt().UnixMilli() != want {
			t.Errorf("time prefix %d, key's %v, want %d", ms, key.IssuedAt(), want)
		}
		if sum := sha256.Sum256([]byte(text)); string(key[6:]) != string(sum[:]) || string(key[:6]) != string(raw[:6]) {
			t.Errorf("key %x, want time and hash", key)
		}
		if strings.Contains(string(key[:]), string(raw[6:])) {
			t.Error("the key holds the random bytes")
		}
		if parseKey(text) != key {
			t.Errorf("parseKey(%q) is another key", text)
		}
		random := string(raw[6:])
		if seen[random] {
			t.Error("the same random bits twice")
		}
		seen[random] = true
	}
}

func TestKeysSortByTime(t *testing.T) {
	var last Key
	for i := range 100 {
		_, k := newTicket(formatTime.Add(time.Duration(i) * time.Millisecond))
		if string(k[:]) <= string(last[:]) {
			t.Errorf("key %d sorts before its predecessor", i)
		}
		last = k
	}
}

// What cannot be a ticket gets the key that no ticket has; what can, but is
// not, gets another one than the ticket's.
func TestParseKeyOfRubbish(t *testing.T) {
	text, key := newTicket(formatTime)
	for _, bad := range []string{
		"", "x", "ticket", text[:50], text + "A", text + "=", text[:50] + "=", " " + text[1:], text[:25] + "." + text[26:],
		text[:25] + "+" + text[26:], text[:25] + "界" + text[28:], strings.Repeat("A", 512), "\x00" + text[1:],
		strings.Repeat("A", 50) + "B", // bits that base64 has no use for
	} {
		if got := parseKey(bad); got != (Key{}) {
			t.Errorf("parseKey(%q): %x, want the zero key", bad, got)
		}
	}
	raw, err := encoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		raw[i] ^= 1
		if other := parseKey(encoding.EncodeToString(raw)); other == key || other == (Key{}) {
			t.Errorf("byte %d changed: key %x", i, other)
		}
		raw[i] ^= 1
	}
	// The decoder passes over line ends; the hash does not.
	if parseKey(text+"\n") == key || parseKey(text[:20]+"\r\n"+text[20:]) == key {
		t.Error("a ticket with a line end is taken for the ticket")
	}
}

func TestChallengeForm(t *testing.T) {
	good := encoding.EncodeToString(make([]byte, 32))
	for _, row := range []struct {
		s    string
		want bool
	}{
		{good, true},
		{"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", true}, // RFC 7636 appendix B
		{good[:42], false},
		{good + "A", false},
		{good + "=", false},
		{good[:42] + "B", false}, // bits left over
		{good + "\n", false},
		{good[:20] + "\r\n" + good[20:], false},
		{good[:20] + "\n" + good[21:], false},
		{"+" + good[1:], false},
		{"", false},
	} {
		if got := validChallenge(row.s); got != row.want {
			t.Errorf("validChallenge(%q): got %v, want %v", row.s, got, row.want)
		}
	}
}

func TestAgeRatio(t *testing.T) {
	_, key := newTicket(formatTime)
	issued := key.IssuedAt()
	tk := Ticket{Key: key, ExpiresAt: issued.Add(120 * time.Second)}
	for after, want := range map[time.Duration]float64{0: 0, 30 * time.Second: .25, 120 * time.Second: 1} {
		if got := tk.AgeRatio(issued.Add(after)); got != want {
			t.Errorf("after %v: %v, want %v", after, got, want)
		}
	}
}
