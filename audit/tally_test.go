package audit_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"app2wxapp/audit"
)

var (
	ctx = context.Background()
	t0  = time.Date(2026, 11, 20, 8, 30, 0, 0, time.UTC)
)

// kept is a store that keeps what it is given, or fails.
type kept struct {
	audit.Store
	events []audit.Event
	calls  int
	err    error
}

func (k *kept) RecordEvents(_ context.Context, events []audit.Event) error {
	k.calls++
	if k.err == nil {
		k.events = append(k.events, events...)
	}
	return k.err
}

func (k *kept) take() (list string) {
	for _, e := range k.events {
		addr := ""
		if e.By.Addr.IsValid() {
			addr = e.By.Addr.String()
		}
		list += fmt.Sprintf("%s %s %s %q %q %s\n", e.At.Sub(t0), e.Type, e.PoolID, e.UserID, addr, e.Detail)
	}
	k.events = nil
	return list
}

func refusal(after time.Duration, pool, user, addr, reason string) audit.Event {
	return audit.Event{
		At: t0.Add(after), Type: audit.RedeemRefused, PoolID: pool, UserID: user,
		By: audit.Actor{Role: audit.Caller, Addr: netip.MustParseAddr(addr)}, Detail: map[string]string{audit.Reason: reason},
	}
}

// However often something happens, a flush writes one row of it.
func TestTally(t *testing.T) {
	tally, store := audit.NewTally(), &kept{}
	flush := func(want string) {
		t.Helper()
		if err := tally.Flush(ctx, store); err != nil {
			t.Error(err)
		}
		if got := store.take(); got != want {
			t.Errorf("written\n%swant\n%s", got, want)
		}
	}
	flush("")
	if store.calls != 0 {
		t.Error("the store was asked to write nothing")
	}
	for i := range 1000 {
		tally.Count(refusal(time.Duration(i)*time.Millisecond, "p", "", "192.0.2.1", "unknown"))
	}
	tally.Count(refusal(time.Second, "p", "u", "192.0.2.1", "expired"))
	tally.Count(refusal(2*time.Second, "q", "u", "192.0.2.1", "expired"))
	tally.Count(refusal(3*time.Second, "p", "u", "192.0.2.2", "expired"))
	tally.Count(refusal(4*time.Second, "p", "v", "192.0.2.2", "expired")) // another user
	tally.Count(audit.Event{At: t0.Add(5 * time.Second), Type: audit.TicketRepeated, PoolID: "p", UserID: "u"})
	flush(`999ms redeem.refused p "" "192.0.2.1" map[count:1000 reason:unknown]
1s redeem.refused p "u" "192.0.2.1" map[count:1 reason:expired]
2s redeem.refused q "u" "192.0.2.1" map[count:1 reason:expired]
4s redeem.refused p "" "192.0.2.2" map[count:2 reason:expired]
5s ticket.repeated p "u" "" map[count:1]
`)
	flush("")
}

// What the store did not take is written later, with what came meanwhile.
func TestTallyKeepsWhatFailed(t *testing.T) {
	tally, store := audit.NewTally(), &kept{err: errors.New("planted")}
	tally.Count(refusal(0, "p", "u", "192.0.2.1", "expired"))
	if err := tally.Flush(ctx, store); !errors.Is(err, store.err) {
		t.Errorf("got %v, want the store's error", err)
	}
	tally.Count(refusal(time.Second, "p", "u", "192.0.2.1", "expired"))
	store.err = nil
	if err := tally.Flush(ctx, store); err != nil {
		t.Error(err)
	}
	if got, want := store.take(), "1s redeem.refused p \"u\" \"192.0.2.1\" map[count:2 reason:expired]\n"; got != want {
		t.Errorf("written %s, want %s", got, want)
	}
}

// Who has many addresses makes 32 rows, and one for all the others.
func TestTallyIsBounded(t *testing.T) {
	tally, store := audit.NewTally(), &kept{}
	var work sync.WaitGroup
	for i := range 20 {
		work.Go(func() {
			for j := range 250 {
				tally.Count(refusal(0, "p", "", fmt.Sprintf("10.%d.0.%d", i, j), "unknown"))
			}
		})
	}
	work.Wait()
	if err := tally.Flush(ctx, store); err != nil {
		t.Error(err)
	}
	rows, others := len(store.events), ""
	for _, e := range store.events {
		if !e.By.Addr.IsValid() {
			others = e.Detail[audit.Count]
		}
	}
	if rows != 33 || others != "4968" {
		t.Errorf("%d rows, %q without an address; want 33 and 4968", rows, others)
	}
}

func TestBy(t *testing.T) {
	if got := audit.By(ctx); got != (audit.Actor{Role: audit.Program}) {
		t.Errorf("nobody named: %+v, want the program", got)
	}
	want := audit.Actor{Role: audit.Operator, Addr: netip.MustParseAddr("192.0.2.1")}
	if got := audit.By(audit.With(ctx, want)); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
