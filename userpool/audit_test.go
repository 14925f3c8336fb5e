package userpool_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"app2wxapp/audit"
	"app2wxapp/userpool"
)

// told returns what the store has been told since it was made, the newest
// first.
func (r *rig) told() []audit.Event {
	r.t.Helper()
	events, _, err := r.store.Events(ctx, audit.Query{Limit: 100})
	if err != nil {
		r.t.Fatal(err)
	}
	return events
}

// Every act of an operator is told, with who did it and when.
func TestActsAreTold(t *testing.T) {
	r := newRig(t)
	by := audit.Actor{Role: audit.Operator, Addr: netip.MustParseAddr("192.0.2.7")}
	ctx := audit.With(ctx, by)
	var secret userpool.PoolSecret
	var u userpool.User
	p, _, err := r.CreatePool(ctx, userpool.NewPool{Settings: settings(game)})
	if err != nil {
		t.Fatal(err)
	}
	if u, err = r.CreateUser(ctx, userpool.User{PoolID: p.ID, ID: "u"}); err != nil {
		t.Fatal(err)
	}
	acts := []struct {
		event  string
		detail func() string
		act    func() error
	}{
		{"pool.changed", func() string { return "map[settings:name,ticketTTL]" }, func() error {
			_, err := r.UpdatePool(ctx, p.ID, func(s *userpool.Settings) error { s.Name, s.TicketTTL = "new", time.Minute; return nil })
			return err
		}},
		{"secret.added", func() string { return "map[secret:" + secret.ID + "]" }, func() (err error) {
			secret, _, err = r.AddSecret(ctx, p.ID)
			return err
		}},
		{"secret.deleted", func() string { return "map[secret:" + p.Secrets[0].ID + "]" }, func() error { return r.DeleteSecret(ctx, p.ID, p.Secrets[0].ID) }},
		{"user.blocked", nil, func() error { _, err := r.SetBlocked(ctx, p.ID, u.ID, true); return err }},
		{"user.unblocked", nil, func() error { _, err := r.SetBlocked(ctx, p.ID, u.ID, false); return err }},
		{"user.signed_out", nil, func() error { _, err := r.SignOut(ctx, p.ID, u.ID); return err }},
	}
	for i, row := range acts {
		r.turn(time.Second)
		if err := row.act(); err != nil {
			t.Fatalf("%s: %v", row.event, err)
		}
		events := r.told()
		want := audit.Event{ID: events[0].ID, At: r.now(), Type: audit.Type(row.event), PoolID: p.ID, By: by}
		if strings.HasPrefix(row.event, "user.") {
			want.UserID = u.ID
		}
		detail := "map[]"
		if row.detail != nil {
			detail = row.detail()
		}
		got := events[0]
		if fmt.Sprint(got.Detail) != detail {
			t.Errorf("%s: detail %v, want %s", row.event, got.Detail, detail)
		}
		if got.Detail = nil; !reflect.DeepEqual(got, want) || len(events) != i+2 {
			t.Errorf("event %d: %+v, want %+v", len(events), got, want)
		}
	}
	if first := r.told()[len(acts)]; first.Type != audit.PoolCreated || first.By != by || first.PoolID != p.ID {
		t.Errorf("first event %+v, want pool.created", first)
	}

	// What did not happen, or changed nothing, is not told.
	before := len(r.told())
	r.UpdatePool(ctx, p.ID, func(s *userpool.Settings) error { s.TicketTTL = time.Second; return nil })
	r.UpdatePool(ctx, p.ID, func(*userpool.Settings) error { return nil })
	r.DeleteSecret(ctx, p.ID, "none")
	r.SetBlocked(ctx, p.ID, "nobody", true)
	r.CreatePool(ctx, userpool.NewPool{ID: p.ID, Settings: settings(game)})
	if events := r.told(); len(events) != before {
		t.Errorf("told %+v", events[:len(events)-before])
	}
}

// Every setting that can be changed has its name in the event, and the event
// nothing of its value.
func TestChangedSettingsAreNamed(t *testing.T) {
	r := newRig(t)
	p := r.pool(game)
	all := reflect.TypeFor[userpool.Settings]()
	names := map[string]bool{}
	for i := range all.NumField() {
		field := all.Field(i)
		if _, err := r.UpdatePool(ctx, p.ID, func(s *userpool.Settings) error {
			v := reflect.ValueOf(s).Elem().Field(i)
			switch {
			case v.Kind() == reflect.Bool:
				v.SetBool(true)
			case field.Type == reflect.TypeFor[time.Duration]():
				v.SetInt(int64(377 * time.Second))
			case field.Name == "TokenAlg":
				s.TokenAlg = "EdDSA"
			case field.Name == "Signup":
				s.Signup = userpool.SignupClosed
			case field.Name == "MFA":
				s.MFA = userpool.MFARequired
			case field.Type == reflect.TypeFor[[]userpool.Way]():
				v.Set(reflect.ValueOf([]userpool.Way{userpool.WayWeChatPhone}))
			case field.Type == reflect.TypeFor[userpool.Sender]():
				v.Set(reflect.ValueOf(userpool.Sender{Provider: userpool.ProviderWebhook, Webhook: userpool.WebhookSender{
					URL: "https://planted-value.example.com", Secret: "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
				}}))
			case v.Kind() == reflect.Slice:
				s.AllowedApps = []string{"planted-value"}
			default:
				v.SetString("planted-value")
			}
			return nil
		}); err != nil {
			t.Fatalf("%s: %v", field.Name, err)
		}
		events := r.told()
		name := events[0].Detail[audit.Settings]
		if len(events) != i+2 || name == "" || strings.Contains(name, ",") || names[name] {
			t.Errorf("%s: event %d says %q, want a name of its own", field.Name, len(events), name)
		}
		names[name] = true
		if strings.Contains(fmt.Sprintf("%+v", events), "planted-value") {
			t.Errorf("%s: the value is in the event", field.Name)
		}
	}
	// In a list that was written to in place, too.
	if _, err := r.UpdatePool(ctx, p.ID, func(s *userpool.Settings) error { s.AllowedApps[0] = "another"; return nil }); err != nil {
		t.Fatal(err)
	}
	if events := r.told(); len(events) != all.NumField()+2 || events[0].Detail[audit.Settings] != "allowedApps" {
		t.Errorf("list changed in place: %d events, the last %v", len(events), events[0])
	}
}

// A phone that lets somebody in, or that replaces another, is told without the
// number.
func TestPhonesAreTold(t *testing.T) {
	r := newRig(t)
	p := r.pool(game, matchPhone)
	r.imported(p, userpool.User{ID: "imported", Phone: "+8613800138000"})
	by := audit.Actor{Role: audit.User, Addr: netip.MustParseAddr("203.0.113.7")}
	steps := []struct{ user, phone, want string }{
		{"alice", "13800138000", "user.phone_matched"},
		{"alice", "13800138000", ""}, // known by now
		{"alice", "13900139000", "user.phone_changed"},
		{"bob", "", ""},
		{"bob", "13700137000", ""}, // a first number is no change
	}
	told := 1 // the pool
	for _, step := range steps {
		r.turn(time.Second)
		u, err := r.SignIn(audit.With(ctx, by), p, r.login(p, step.user, step.phone))
		if err != nil {
			t.Fatal(err)
		}
		events := r.told()
		if step.want == "" {
			if len(events) != told {
				t.Errorf("%s %s: told %+v, want nothing", step.user, step.phone, events[0])
			}
			continue
		}
		told++
		want := audit.Event{ID: events[0].ID, At: r.now(), Type: audit.Type(step.want), PoolID: p.ID, UserID: u.ID, By: by}
		if len(events) != told || !reflect.DeepEqual(events[0], want) {
			t.Errorf("%s %s: %d events, the last %+v, want %+v", step.user, step.phone, len(events), events[0], want)
		}
	}
}
