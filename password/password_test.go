package password

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

var ctx = context.Background()

func turn(t *testing.T, h *Hasher, kept string) *Turn {
	t.Helper()
	got, err := h.Turn(ctx, kept)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(got.End)
	return got
}

func compare(t *testing.T, kept, text string) (right, stale bool) {
	t.Helper()
	got, err := NewHasher(func() {}).Turn(ctx, kept)
	if err != nil {
		t.Fatal(err)
	}
	defer got.End()
	return got.Compare(text)
}

const long = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are ignored"

// What others made: argon2id's are of the reference implementation's tests,
// bcrypt's of Openwall's crypt_blowfish.
func TestHashesOfOthers(t *testing.T) {
	for _, row := range []struct {
		hash, text   string
		right, stale bool
	}{
		{"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password", true, true},
		{"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "password", true, true},
		{"$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc", "password", true, true},
		{"$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc", "passwore", false, false},
		{"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U", true, true},
		{"$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U", true, true},
		{"$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U", true, true},
		{"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*V", false, false},
		{"$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a", "U*U*U", true, true},
		// bcrypt looks at 72 bytes. What follows may be mistyped, so the hash stays.
		{"$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui", long, true, false},
		{"$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui", long[:72], true, true},
		{"$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui", long[:71], false, false},
		{"", "password", false, false},
		{"rubbish", "password", false, false},
	} {
		if right, stale := compare(t, row.hash, row.text); right != row.right || stale != row.stale {
			t.Errorf("%.24s of %.12s: right %v, stale %v, want %v, %v", row.hash, row.text, right, stale, row.right, row.stale)
		}
		if known := Known(row.hash); known != (len(row.hash) > 20) {
			t.Errorf("Known(%q): %v", row.hash, known)
		}
	}
}

func TestOwnHashes(t *testing.T) {
	w := turn(t, NewHasher(func() {}), "")
	made, again := w.Make("correct horse"), w.Make("correct horse")
	if made == again || !strings.HasPrefix(made, "$argon2id$v=19$m=19456,t=2,p=1$") || !Known(made) {
		t.Errorf("made %s and %s", made, again)
	}
	if right, stale := compare(t, made, "correct horse"); !right || stale {
		t.Errorf("the right one: right %v, stale %v", right, stale)
	}
	if right, _ := compare(t, made, "Correct horse"); right {
		t.Error("a wrong one is right")
	}
	// One password, typed as one character or as two.
	composed, decomposed := "pass-caf\u00e9", "pass-cafe\u0301"
	if right, _ := compare(t, w.Make(decomposed), composed); !right {
		t.Error("é as two characters, then as one: wrong")
	}
	if right, _ := compare(t, w.Make(composed), decomposed); !right {
		t.Error("é as one character, then as two: wrong")
	}
}

func TestFits(t *testing.T) {
	for text, want := range map[string]bool{
		"12345678": true, "1234567": false, "密码密码密码密码": true, "密码密码密码密": false, "        ": true,
		"":                       false,
		strings.Repeat("a", 256): true, strings.Repeat("a", 257): false,
		strings.Repeat("e\u0301", 8):  true,
		"123456e\u0301":               false, // seven characters, the last of them as two
		"12345678\n":                  false,
		"12345678\xff":                false,
		strings.Repeat("\u0958", 43):  false, // 129 bytes, which normalize to 258
		strings.Repeat("\u5bc6", 85):  true,
		strings.Repeat("\u5bc6", 86):  false,
		strings.Repeat("e\u0301", 86): false,
	} {
		if got := Fits(text); got != want {
			t.Errorf("Fits(%q): %v, want %v", text, got, want)
		}
	}
	if !Possible("short") || Possible("") {
		t.Error("Possible: a hash from elsewhere may be of a short password, and none of no password")
	}
}

// A hash that would keep the server busy, or that this package cannot read, is
// none.
func TestUnknownHashes(t *testing.T) {
	const salt, key = "$c29tZXNhbHQ", "$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	for _, hash := range []string{
		"", "password", "5f4dcc3b5aa765d61d8327deb882cf99",
		"$argon2id$v=19$m=65537,t=2,p=1" + salt + key, "$argon2id$v=19$m=4294967295,t=2,p=1" + salt + key, "$argon2id$v=19$m=65536,t=5,p=1" + salt + key,
		"$argon2id$v=19$m=256,t=17,p=1" + salt + key, "$argon2id$v=19$m=256,t=2,p=17" + salt + key, "$argon2id$v=19$m=8,t=2,p=2" + salt + key,
		"$argon2id$v=19$m=0,t=2,p=1" + salt + key, "$argon2id$v=19$m=256,t=0,p=1" + salt + key, "$argon2id$v=19$m=256,t=1,p=0" + salt + key,
		"$argon2id$v=16$m=256,t=2,p=1" + salt + key, "$argon2i$v=19$m=256,t=2,p=1" + salt + key, "$argon2d$v=19$m=256,t=2,p=1" + salt + key,
		"$argon2id$v=19$t=2,m=256,p=1" + salt + key, "$argon2id$m=256,t=2,p=1" + salt + key,
		"$argon2id$v=19$m=256,t=2,p=1" + salt + "$short", "$argon2id$v=19$m=256,t=2,p=1$a" + key, "$argon2id$v=19$m=256,t=2,p=1" + salt + key + "=",
		"$argon2id$v=19$m=256,t=2,p=1" + salt + key + "\n", "$argon2id$v=19$m=256,t=2,p=1" + salt + "$" + strings.Repeat("A", 87),
		"$2a$15$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "$2a$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
		"$2a$03$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
		"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeWW",
	} {
		if Known(hash) {
			t.Errorf("%q is known", hash)
		}
	}
}

// Two hash at a time, and one of much memory alone; who waits too long is told.
func TestTurns(t *testing.T) {
	const large = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	h := NewHasher(func() {})
	h.patience = 0
	first, err := h.Turn(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	second, err := h.Turn(ctx, "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Turn(ctx, ""); !errors.Is(err, ErrBusy) {
		t.Errorf("a third: %v, want ErrBusy", err)
	}
	second.End()
	if _, err := h.Turn(ctx, large); !errors.Is(err, ErrBusy) {
		t.Errorf("a large one beside another: %v, want ErrBusy", err)
	}
	first.End()
	alone, err := h.Turn(ctx, large)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Turn(ctx, ""); !errors.Is(err, ErrBusy) {
		t.Errorf("another beside a large one: %v, want ErrBusy", err)
	}

	h.patience = time.Hour
	next := make(chan error)
	go func() {
		w, err := h.Turn(ctx, "")
		if err == nil {
			w.End()
		}
		next <- err
	}()
	alone.End()
	if err := <-next; err != nil {
		t.Errorf("one who waited: %v", err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	turn(t, h, large)
	if _, err := h.Turn(gone, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("one who left: %v, want the context's error", err)
	}
}

// Whether there is a hash or not, a comparison is one hashing.
func TestHashingsAreCounted(t *testing.T) {
	n := 0
	h := NewHasher(func() { n++ })
	for _, kept := range []string{"", turn(t, h, "").Make("12345678"), "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"} {
		n = 0
		w, err := h.Turn(ctx, kept)
		if err != nil {
			t.Fatal(err)
		}
		if w.Compare("wrong"); n != 1 {
			t.Errorf("compared with %.10q: %d hashings, want 1", kept, n)
		}
		w.End()
	}
}
