package captcha_test

import (
	"context"
	"crypto/aes"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"app2wxapp/captcha"
	"app2wxapp/store"
	"app2wxapp/store/postgres/pgtest"
	"app2wxapp/userpool"
)

var (
	ctx   = context.Background()
	t0    = time.Date(2026, 11, 20, 8, 30, 0, 412e6, time.UTC)
	addr  = netip.MustParseAddr("203.0.113.7")
	other = netip.MustParseAddr("198.51.100.9")
)

const (
	phone = "+8613800138000"
	mail  = "user@example.com"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// rig is captchas on a store, with a clock to turn.
type rig struct {
	*captcha.Service
	t    testing.TB
	time time.Time
	pool userpool.Pool
}

func newRig(t testing.TB) *rig {
	t.Helper()
	return newRigOn(t, openStore(t, "bolt:"+filepath.Join(t.TempDir(), "store.db")))
}

func newRigOn(t testing.TB, claims captcha.Claims) *rig {
	r := &rig{t: t, time: t0, pool: newPool("a")}
	r.Service = captcha.New(captcha.Config{Claims: claims, Now: func() time.Time { return r.time }, Limits: new(userpool.Limits)})
	return r
}

// newPool returns a pool; all of them have the same jwtSecret.
func newPool(id string) userpool.Pool {
	return userpool.Pool{ID: id, JWTSecret: "planted-jwt-secret-0123456789abcdef"}
}

func openStore(t testing.TB, url string) store.Store {
	t.Helper()
	s, err := store.Open(store.Config{URL: url, Key: [32]byte{1}, Log: slog.New(slog.DiscardHandler), Reg: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// ask returns a challenge of that form and the answer to it.
func (r *rig) ask(form captcha.Form) (c captcha.Challenge, answer string) {
	r.t.Helper()
	c, err := r.Challenge(ctx, r.pool, captcha.Ask{Form: form, Addr: addr})
	if err != nil {
		r.t.Fatal(err)
	}
	if form == captcha.Puzzle {
		return c, fmt.Sprintf(`{"x":%d.0,"y":5.0}`, captcha.Place(r.pool, c.Token))
	}
	return c, captcha.Typed(r.pool, c.Token)
}

// verify answers from an address of its own.
func (r *rig) verify(token, answer string) (string, error) {
	return r.Verify(ctx, r.pool, captcha.Attempt{Token: token, Answer: answer, Sender: phone, Addr: addr})
}

// solved returns a captcha token for the phone.
func (r *rig) solved() string {
	r.t.Helper()
	c, answer := r.ask(captcha.Digits)
	token, err := r.verify(c.Token, answer)
	if err != nil {
		r.t.Fatal(err)
	}
	return token
}

// encrypted does to an answer what AJ-Captcha's clients do.
func encrypted(t testing.TB, key, text string) string {
	t.Helper()
	block, err := aes.NewCipher([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	b := []byte(text)
	for pad := aes.BlockSize - len(b)%aes.BlockSize; len(b)%aes.BlockSize != 0 || len(b) == len(text); {
		b = append(b, byte(pad))
	}
	for i := 0; i < len(b); i += aes.BlockSize {
		block.Encrypt(b[i:], b[i:])
	}
	return base64.StdEncoding.EncodeToString(b)
}
