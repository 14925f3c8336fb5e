package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"app2wxapp/bridge"
	"app2wxapp/bridge/bridgetest"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

func (f *failingStore) Ready() error {
	if err := f.failure(); err != nil {
		return err
	}
	return f.Store.Ready()
}

// Pool keeps what it has read, as stores do.
func (f *failingStore) Pool(ctx context.Context, id string) (userpool.Pool, error) {
	if err := f.failure(); err != nil {
		if p, ok := f.pools.Load(id); ok {
			return p.(userpool.Pool), nil
		}
		return userpool.Pool{}, err
	}
	p, err := f.Store.Pool(ctx, id)
	if err == nil {
		f.pools.Store(id, p)
	}
	return p, err
}

func (f *failingStore) User(ctx context.Context, poolID, id string) (userpool.User, error) {
	if err := f.failure(); err != nil {
		return userpool.User{}, err
	}
	return f.Store.User(ctx, poolID, id)
}

func (f *failingStore) CreateTicket(ctx context.Context, t ticket.Ticket, now time.Time) error {
	if err := f.failure(); err != nil {
		return err
	}
	return f.Store.CreateTicket(ctx, t, now)
}

func (f *failingStore) RedeemTicket(ctx context.Context, r ticket.Redemption) (ticket.Redeemed, error) {
	if err := f.failure(); err != nil {
		return ticket.Redeemed{}, err
	}
	return f.Store.RedeemTicket(ctx, r)
}

// While the store cannot answer, callers are told to come back, whatever they
// ask; afterwards the ticket they came with is as it was.
func TestStoreUnavailable(t *testing.T) {
	t.Parallel()
	option, st := withFailing()
	b := bridgetest.New(t, option)
	p := b.NewPool()
	token := login(b, p, "alice").Token
	ticket := b.Ticket(p, "alice")

	st.fail(fmt.Errorf("%w: planted detail", userpool.ErrUnavailable))
	for call, r := range map[string]bridgetest.Response{
		"issue":        b.Issue(p, "alice"),
		"redeem":       b.Redeem(p, ticket),
		"unknown pool": b.Redeem(bridgetest.Pool{ID: "not-read-before", Secret: "s"}, ticket),
		"check token":  b.Do("GET", b.URL+"/authing/token?access_token="+token, ""),
		"show pool":    b.Admin("GET", "/admin/v1/pools/not-read-before", ""),
	} {
		r.WantError(503, 5030, "unavailable")
		if got := r.Header.Get("Retry-After"); got != "1" {
			t.Errorf("%s: Retry-After %q, want 1", call, got)
		}
		if strings.Contains(r.Body, "planted detail") {
			t.Errorf("%s: the body has the cause: %s", call, r.Body)
		}
	}
	if !strings.Contains(b.Log.String(), "planted detail") {
		t.Error("the log does not have the cause")
	}

	st.heal()
	wantUsable(t, b, p, ticket)
}

// What is our fault is told as such, with nothing of the cause, and logged with
// the id that the caller can quote.
func TestServerError(t *testing.T) {
	t.Parallel()
	option, st := withFailing()
	b := bridgetest.New(t, option)
	p := b.NewPool()
	ticket := b.Ticket(p, "alice")

	st.fail(errors.New("planted detail"))
	r := b.Redeem(p, ticket)
	r.WantError(500, 1000, "server_error")
	if strings.Contains(r.Body, "planted") {
		t.Errorf("the body has the cause: %s", r.Body)
	}
	for _, line := range strings.Split(b.Log.String(), "\n") {
		if strings.Contains(line, "planted detail") && strings.Contains(line, r.Header.Get("X-Request-Id")) {
			return
		}
	}
	t.Errorf("no line of the log has cause and request id together:\n%s", b.Log)
}

// panicking is a store that panics with what a caller sent.
type panicking struct{ bridge.Store }

func (panicking) RedeemTicket(_ context.Context, r ticket.Redemption) (ticket.Redeemed, error) {
	panic("planted value of a panic")
}

// A panic is one caller's 500. Its value may hold what that caller sent, so it
// is in no log.
func TestPanic(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t, bridgetest.WithStore(func(s bridge.Store) bridge.Store { return panicking{s} }))
	p := b.NewPool()
	b.Redeem(p, b.Ticket(p, "alice")).WantError(500, 1000, "server_error")
	if log := b.Log.String(); strings.Contains(log, "planted value") || !strings.Contains(log, "panic of type string") {
		t.Errorf("want the panic's type and not its value in the log:\n%s", log)
	}
	b.Do("GET", b.URL+"/healthz", "").Want(200)
}
