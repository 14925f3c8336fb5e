package storetest

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"app2wxapp/audit"
	"app2wxapp/store"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

// event returns an event with every field set but the id.
func event(at time.Time, typ audit.Type, poolID string) audit.Event {
	return audit.Event{
		At: at, Type: typ, PoolID: poolID, UserID: "u", By: audit.Actor{Role: audit.Caller, Addr: netip.MustParseAddr("2001:db8::7")},
		Detail: map[string]string{audit.Reason: "expired", audit.Count: "7"},
	}
}

// list returns everything that the query finds, page by page.
func list(t *testing.T, s store.Store, q audit.Query) (all []audit.Event) {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = 100
	}
	for more := true; more; more = q.Before != "" {
		events, next, err := s.Events(ctx, q)
		check(t, err)
		if len(events) > q.Limit {
			t.Fatalf("a page of %d events, want %d at most", len(events), q.Limit)
		}
		all, q.Before = append(all, events...), next
	}
	return all
}

// told returns the events' types, the newest first.
func told(events []audit.Event) string {
	var types []string
	for _, e := range events {
		types = append(types, string(e.Type))
	}
	return strings.Join(types, " ")
}

func wantTold(t *testing.T, what string, s store.Store, want string) {
	t.Helper()
	if got := told(list(t, s, audit.Query{})); got != want {
		t.Errorf("%s: events %q, want %q", what, got, want)
	}
}

// whole fails the test unless that many rows hang together.
func whole(t *testing.T, s store.Store, n int) audit.Chain {
	t.Helper()
	chain, err := s.VerifyEvents(ctx)
	check(t, err)
	if chain.Broken != "" || chain.Events != n || (chain.Head == [32]byte{}) != (n == 0) {
		t.Errorf("chain %+v, want %d rows, whole", chain, n)
	}
	return chain
}

func testEvents(t *testing.T, s store.Store) {
	wantTold(t, "empty store", s, "")
	whole(t, s, 0)
	want := []audit.Event{
		event(T0.Add(time.Hour), audit.RedeemRefused, "p"),
		{At: T0.Add(2 * time.Hour), Type: audit.ClockPutBack, By: audit.Actor{Role: audit.Program}},
		event(T0.Add(3*time.Hour), audit.TicketRepeated, "p"),
		event(T0.Add(3*time.Hour), audit.RedeemRefused, "q"),
	}
	check(t, s.RecordEvents(ctx, want[:3]))
	head := whole(t, s, 3).Head
	check(t, s.RecordEvents(ctx, append([]audit.Event{{}}, want[3:]...))) // the zero event is none
	if whole(t, s, 4).Head == head {
		t.Error("a new row left the head as it was")
	}
	slices.Reverse(want)
	got := list(t, s, audit.Query{})
	for i := range got {
		if i > 0 && got[i].ID >= got[i-1].ID {
			t.Errorf("id %s after %s", got[i-1].ID, got[i].ID)
		}
		want[i].ID = got[i].ID
	}
	same(t, "newest first", got, want)

	for _, row := range []struct {
		name string
		q    audit.Query
		want []audit.Event
	}{
		{"pool", audit.Query{PoolID: "p"}, []audit.Event{want[1], want[3]}},
		{"type", audit.Query{Type: audit.RedeemRefused}, []audit.Event{want[0], want[3]}},
		{"pool and type", audit.Query{PoolID: "p", Type: audit.RedeemRefused}, want[3:]},
		{"since that instant", audit.Query{Since: T0.Add(2 * time.Hour)}, want[:3]},
		{"since a moment later", audit.Query{Since: T0.Add(2*time.Hour + time.Microsecond)}, want[:2]},
		{"since the future", audit.Query{Since: T0.Add(4 * time.Hour)}, nil},
		{"another pool", audit.Query{PoolID: "r"}, nil},
		{"before one", audit.Query{Before: want[1].ID}, want[2:]},
		{"before the oldest", audit.Query{Before: want[3].ID}, nil},
		{"before an id that is not there", audit.Query{Before: "zz"}, want},
	} {
		for _, limit := range []int{1, 2, 100} {
			row.q.Limit = limit
			same(t, fmt.Sprint(row.name, ", pages of ", limit), list(t, s, row.q), row.want)
		}
	}
	if events, next, err := s.Events(ctx, audit.Query{Limit: 4}); len(events) != 4 || next != "" || err != nil {
		t.Errorf("a page of all: %d events, next %q, %v", len(events), next, err)
	}
}

// Whatever clocks say, events stay in the order in which they were written.
func testEventsOrder(t *testing.T, s store.Store) {
	var want []string
	for i := range 50 {
		user := fmt.Sprint("u", i)
		at := T0.Add(-time.Duration(i%7) * time.Hour)
		check(t, s.RecordEvents(ctx, []audit.Event{{At: at, Type: audit.UserBlocked, UserID: user}}))
		want = append([]string{user}, want...)
	}
	var got []string
	for _, e := range list(t, s, audit.Query{Limit: 7}) {
		got = append(got, e.UserID)
	}
	same(t, "users, newest first", got, want)
	whole(t, s, 50)
	if n := len(list(t, s, audit.Query{Since: T0})); n != 8 {
		t.Errorf("since T0: %d events, want the 8 of that moment", n)
	}
}

// Many at once make one chain.
func testEventsRace(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), event(T0, audit.PoolCreated, "p")))
	together(40, func(i int) {
		if err := s.RecordEvents(ctx, []audit.Event{event(T0, audit.RedeemRefused, "p"), event(T0, audit.TicketRepeated, "p")}); err != nil {
			t.Error(err)
		}
		if err := second(s.UpdatePool(ctx, "p", func(p *userpool.Pool) (audit.Event, error) { return event(T0, audit.PoolChanged, "p"), nil })); err != nil {
			t.Error(err)
		}
	})
	whole(t, s, 121)
	if n := len(list(t, s, audit.Query{Limit: 50})); n != 121 {
		t.Errorf("%d events, want 121", n)
	}
}

// An event is there if and only if the act that it tells of was done.
func testEventsOfActs(t *testing.T, s store.Store) {
	refused := errors.New("refused")
	tell := func(typ audit.Type) audit.Event { return event(T0, typ, "p") }
	check(t, s.CreatePool(ctx, Pool("p"), tell(audit.PoolCreated)))
	wantErr(t, "created again", s.CreatePool(ctx, Pool("p"), tell(audit.PoolCreated)), userpool.ErrPoolExists)
	wantTold(t, "pool", s, "pool.created")

	changePool := func(e audit.Event, err error) error {
		return second(s.UpdatePool(ctx, "p", func(*userpool.Pool) (audit.Event, error) { return e, err }))
	}
	check(t, changePool(tell(audit.PoolChanged), nil))
	check(t, changePool(audit.Event{}, nil))
	wantErr(t, "refused change", changePool(tell(audit.SecretAdded), refused), refused)
	wantTold(t, "changed pool", s, "pool.changed pool.created")

	put := func(id string, e audit.Event, err error) error {
		return second(s.PutUser(ctx, "p", userpool.Keys{}, func(userpool.Matches) (userpool.User, audit.Event, error) {
			return User("p", id), e, err
		}))
	}
	check(t, put("a", tell(audit.UserPhoneMatched), nil))
	check(t, put("a", audit.Event{}, nil))
	wantErr(t, "unchanged", put("a", tell(audit.UserPhoneChanged), userpool.ErrUnchanged), userpool.ErrUnchanged)
	wantTold(t, "user put", s, "user.phone_matched pool.changed pool.created")

	changeUser := func(e audit.Event, err error) error {
		return second(s.UpdateUser(ctx, "p", "a", func(*userpool.User) (audit.Event, error) { return e, err }))
	}
	check(t, changeUser(tell(audit.UserBlocked), nil))
	wantErr(t, "refused change", changeUser(tell(audit.UserUnblocked), refused), refused)
	err := second(s.UpdateUser(ctx, "p", "nobody", func(*userpool.User) (audit.Event, error) { return tell(audit.UserSignedOut), nil }))
	wantErr(t, "unknown user", err, userpool.ErrUserNotFound)
	wantTold(t, "user changed", s, "user.blocked user.phone_matched pool.changed pool.created")
	whole(t, s, 4)
}

// Of a ticket only the replay that revokes is told, and once.
func testEventsOfReplay(t *testing.T, s store.Store) {
	seeded(t, s)
	tk := issue(t, s, T0, 1)
	r := attempt(tk, T0.Add(time.Second), "j1")
	r.Idempotency = [32]byte{1}
	check(t, second(s.RedeemTicket(ctx, r)))
	check(t, second(s.RedeemTicket(ctx, r))) // a repeat
	replay := attempt(tk, T0.Add(2*time.Second), "j2")
	keep := replay
	keep.RevokeOnReplay = false
	wantErr(t, "replay that revokes nothing", second(s.RedeemTicket(ctx, keep)), ticket.ErrRedeemed)
	invalid := replay
	invalid.Challenge = "wrong"
	wantErr(t, "invalid replay", second(s.RedeemTicket(ctx, invalid)), ticket.ErrVerifier)
	wantTold(t, "redemption, repeat, replay that revokes nothing, invalid replay", s, "")

	together(8, func(int) { wantErr(t, "replay", second(s.RedeemTicket(ctx, replay)), ticket.ErrRedeemed) })
	got := list(t, s, audit.Query{})
	if len(got) != 1 {
		t.Fatalf("after 8 replays: %q, want one event", told(got))
	}
	same(t, "event", got[0], audit.Event{
		ID: got[0].ID, At: replay.Now, Type: audit.TicketReplayed, PoolID: "p", UserID: "u",
		By:     audit.Actor{Role: audit.Caller, Addr: netip.MustParseAddr("203.0.113.7")},
		Detail: map[string]string{audit.Revoked: "true", audit.JTI: "j1"},
	})
	whole(t, s, 1)
}

func testEventsSweep(t *testing.T, s store.Store) {
	for i := range 5 {
		check(t, s.RecordEvents(ctx, []audit.Event{event(T0.Add(time.Duration(i)*time.Hour), audit.RedeemRefused, "p")}))
	}
	sweep := func(now time.Time, limit, want int) {
		t.Helper()
		if n := must[int](t)(s.SweepTickets(ctx, now, limit)); n != want {
			t.Errorf("sweep: %d, want %d", n, want)
		}
	}
	end := T0.Add(audit.RetainFor)
	sweep(end.Add(-time.Millisecond), 10, 0)
	sweep(end, 10, 1)
	whole(t, s, 4)
	sweep(end.Add(24*time.Hour), 2, 2)
	sweep(end.Add(24*time.Hour), 2, 1)
	sweep(end.Add(24*time.Hour), 2, 0) // the newest stays
	whole(t, s, 1)
	check(t, s.RecordEvents(ctx, []audit.Event{event(end, audit.RedeemRefused, "p")}))
	whole(t, s, 2)
}
