package bridge_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"app2wxapp/bridge/bridgetest"
	"app2wxapp/ticket"
)

// answered returns the user of a 200, in either format.
func answered(t interface{ Fatalf(string, ...any) }, body string) (u redeemed) {
	var envelope struct{ Data *string }
	if err := json.Unmarshal([]byte(body), &envelope); err == nil && envelope.Data != nil {
		body = *envelope.Data
	}
	if err := json.Unmarshal([]byte(body), &u); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return u
}

// codeOf returns the code of a refusal.
func codeOf(t interface{ Fatalf(string, ...any) }, body string) int {
	var got struct{ Code int }
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return got.Code
}

// paperTicket is what a caller of the API would note of a ticket.
type paperTicket struct {
	text     string
	user     int
	bound    bool // has a challenge
	issued   time.Time
	voided   bool
	redeemed bool
	key      string
	token    string
	at       time.Time
	logins   int
	revoked  bool
	lost     bool // issued before a restore
	ends     time.Time
}

type paperUser struct {
	id        string // as answered
	made      bool   // has had a ticket
	blocked   bool
	notBefore time.Time
	logins    int
}

// paper is a pool as its callers should see it.
type paper struct {
	now            time.Time
	secretOptional bool
	pkceRequired   bool
	keepOnReplay   bool
	envelope       bool
	tickets        []*paperTicket
	users          [2]paperUser
}

// copy returns what a backup has.
func (m *paper) copy() *paper {
	c := *m
	c.tickets = nil
	for _, t := range m.tickets {
		was := *t
		c.tickets = append(c.tickets, &was)
	}
	return &c
}

// restore makes everything what it was, but for the clock. Every ticket that was
// ever issued is lost. A token that came after the backup is good again if its
// user was known then, whatever ended it since.
func (m *paper) restore(was *paper) {
	since, now := m.tickets, m.now
	*m = *was.copy()
	m.now = now
	known := map[string]bool{}
	for _, t := range m.tickets {
		known[t.text], t.lost = true, true
	}
	for _, t := range since {
		if !known[t.text] {
			t.lost, t.revoked = true, !m.users[t.user].made
			m.tickets = append(m.tickets, t)
			continue
		}
		for _, have := range m.tickets { // the token was not there to be noted
			if have.text == t.text && have.token == "" {
				have.token, have.at = t.token, t.at
				have.revoked = !m.users[t.user].made
			}
		}
	}
}

// refusal is a line of the contract's section 4.3.
type refusal struct {
	status, code int
	slug         string
}

var (
	success        = refusal{200, 200, ""}
	invalidRequest = refusal{400, 2231, "invalid_request"}
	invalidTicket  = refusal{400, 4001, "invalid_ticket"}
	secretRequired = refusal{401, 4010, "secret_required"}
	secretWrong    = refusal{401, 4011, "invalid_secret"}
	userBlocked    = refusal{403, 2005, "user_blocked"}
)

// redeem says what must come of an attempt, and notes what follows from a
// replay. repeated: the first answer is due again.
func (m *paper) redeem(t *paperTicket, secret string, verified bool, key string) (want refusal, repeated bool) {
	u := &m.users[t.user]
	expired := !m.now.Before(t.ends)
	repeat := t.redeemed && !expired && key != "" && key == t.key
	switch {
	case secret == "wrong":
		return secretWrong, false
	case secret == "" && !m.secretOptional:
		return secretRequired, false
	case t.lost, m.pkceRequired && !verified, verified != t.bound:
		return invalidTicket, false
	case t.redeemed && !repeat:
		t.revoked = t.revoked || !m.keepOnReplay
		return invalidTicket, false
	case expired:
		return invalidTicket, false
	case u.blocked:
		return userBlocked, false
	case t.voided, !t.issued.After(u.notBefore):
		return invalidTicket, false
	}
	return success, repeat
}

// tokenCode says what /authing/token must say of the ticket's token.
func (m *paper) tokenCode(t *paperTicket) int {
	u := m.users[t.user]
	if t.revoked || u.blocked || !t.at.After(u.notBefore) {
		return 2207
	}
	return 200
}

func (m *paper) issue(t *paperTicket) {
	var live []*paperTicket
	for _, o := range m.tickets {
		if o.user == t.user && !o.redeemed && !o.voided && !o.lost && m.now.Before(o.ends) {
			live = append(live, o)
		}
	}
	for ; len(live) >= ticket.MaxLive; live = live[1:] {
		live[0].voided = true
	}
	m.tickets = append(m.tickets, t)
}

// callers have an address each, so that none of them is limited: that has tests
// of its own.
type callers struct{ n int }

func (c *callers) next() string {
	c.n++
	return from(netip.AddrFrom4([4]byte{100, byte(c.n >> 16), byte(c.n >> 8), byte(c.n)}).String())
}

const machineTTL = 60 * time.Second

var (
	machineFor  = flag.Duration("machine.for", 7*time.Second, "how long TestMachine begins new runs, of which there are -rapid.checks at most")
	machineRuns = flag.Int("machine.runs", 25, "how many it makes at least")
)

// A ticket's life over HTTP by random steps, with restarts and changing
// settings, against the model: status, code, slug and loginsCount.
func TestMachine(t *testing.T) {
	b := bridgetest.New(t, quiet, bridgetest.TrustProxies)
	caller := &callers{}
	run, end := 0, time.Now().Add(*machineFor)
	rapid.Check(t, func(t *rapid.T) {
		if run >= *machineRuns && time.Now().After(end) {
			return
		}
		run++
		p := b.NewPool(fmt.Sprintf(`"ticketTTL":%d`, int(machineTTL.Seconds())))
		m := &paper{now: b.Clock.Now()}
		turn := func(d time.Duration) {
			b.Clock.Turn(d)
			m.now = b.Clock.Now()
		}
		post := func(path, body string, headers ...string) bridgetest.Response {
			return b.Post(path, body, append(headers, caller.next())...)
		}
		// expect fails unless the answer is the wanted one.
		expect := func(t *rapid.T, what string, r bridgetest.Response, want refusal, envelope bool) {
			var got struct {
				Code  int
				Error string
				Data  *string
			}
			if err := json.Unmarshal([]byte(r.Body), &got); err != nil {
				t.Fatalf("%s: got %d %s: %v", what, r.Status, r.Body, err)
			}
			if envelope {
				want.status = http.StatusOK
				want.slug = ""
				if (got.Data != nil) != (want == success) {
					t.Fatalf("%s: data in %s", what, r.Body)
				}
			} else if want == success {
				got.Code = 200 // the user has none
			}
			if r.Status != want.status || got.Code != want.code || got.Error != want.slug {
				t.Fatalf("%s: got %d %s, want %+v", what, r.Status, r.Body, want)
			}
		}
		issue := func(t *rapid.T, n int, bound bool) {
			u := &m.users[n]
			members := []string{loginCode(b, fmt.Sprint(run, "-", n))}
			if bound {
				members = append(members, proofKey())
			}
			r := post(issuePath(p), object(members...))
			switch {
			case r.Status == 429:
				turn(time.Minute)
				t.Skip("rate limited")
			case m.pkceRequired && !bound:
				expect(t, "issue", r, invalidRequest, false)
				return
			case u.blocked:
				expect(t, "issue", r, userBlocked, false)
				return
			}
			var out struct {
				Code              int
				Ticket, ExpiresAt string
			}
			if err := json.Unmarshal([]byte(r.Body), &out); err != nil || r.Status != 200 || out.Code != 200 {
				t.Fatalf("issue: got %d %s", r.Status, r.Body)
			}
			ends, err := time.Parse(time.RFC3339Nano, out.ExpiresAt)
			if err != nil || !ends.Equal(m.now.Add(machineTTL)) {
				t.Fatalf("issue: expiresAt %s, %v, want %v", out.ExpiresAt, err, m.now.Add(machineTTL))
			}
			u.made = true
			m.issue(&paperTicket{text: out.Ticket, user: n, bound: bound, issued: m.now, ends: ends})
		}
		attempt := func(t *rapid.T, pt *paperTicket, shown string, verified bool, key string) {
			want, repeated := m.redeem(pt, shown, verified, key)
			members := []string{member("ticket", pt.text)}
			switch shown {
			case "right":
				members = append(members, member("secret", p.Secret))
			case "wrong":
				members = append(members, `"secret":"wrong"`)
			}
			if verified {
				members = append(members, member("code_verifier", verifier))
			}
			var headers []string
			if key != "" {
				headers = append(headers, "Idempotency-Key: "+key)
			}
			r := post(redeemPath(p), object(members...), headers...)
			what := fmt.Sprintf("redeem with secret %q, verifier %v, key %q", shown, verified, key)
			expect(t, what, r, want, m.envelope)
			if want != success {
				return
			}
			got, u := answered(t, r.Body), &m.users[pt.user]
			if !repeated {
				u.logins++
				if u.id == "" {
					u.id = got.ID
				}
				pt.redeemed, pt.key, pt.token, pt.at, pt.logins = true, key, got.Token, m.now, u.logins
			}
			if got.Token != pt.token || got.LoginsCount != pt.logins || got.ID != u.id {
				t.Fatalf("%s: got %+v, want token %s and loginsCount %d of %s", what, got, pt.token, pt.logins, u.id)
			}
		}
		settings := func(name string, value any) {
			v, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			patch(b, p, fmt.Sprintf("%q:%s", name, v))
		}
		user := rapid.IntRange(0, len(m.users)-1)
		secrets := rapid.SampledFrom([]string{"right", "right", "right", "", "wrong"})
		keys := rapid.SampledFrom([]string{"", "k1", "k2"})
		var backup string
		var saved *paper // what is in it
		pick := func(t *rapid.T) *paperTicket {
			if len(m.tickets) == 0 {
				t.Skip("no ticket yet")
			}
			return rapid.SampledFrom(m.tickets).Draw(t, "ticket")
		}
		known := func(t *rapid.T) *paperUser {
			u := &m.users[user.Draw(t, "user")]
			if u.id == "" {
				t.Skip("nobody has seen this user yet")
			}
			return u
		}
		admin := func(t *rapid.T, method, path, body string) {
			if r := b.Admin(method, "/admin/v1/pools/"+p.ID+path, body); r.Status != 200 {
				t.Fatalf("%s %s: %d %s", method, path, r.Status, r.Body)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"issue": func(t *rapid.T) { issue(t, user.Draw(t, "user"), rapid.Bool().Draw(t, "bound")) },
			"issue four": func(t *rapid.T) {
				n := user.Draw(t, "user")
				for range ticket.MaxLive - 1 {
					issue(t, n, m.pkceRequired)
				}
			},
			"redeem": func(t *rapid.T) {
				pt := pick(t)
				attempt(t, pt, "right", pt.bound, keys.Draw(t, "key"))
			},
			"redeem somehow": func(t *rapid.T) {
				attempt(t, pick(t), secrets.Draw(t, "secret"), rapid.Bool().Draw(t, "verifier"), keys.Draw(t, "key"))
			},
			"repeat": func(t *rapid.T) {
				pt := pick(t)
				if pt.key == "" {
					t.Skip("redeemed without a key")
				}
				attempt(t, pt, "right", pt.bound, pt.key)
			},
			"guess": func(t *rapid.T) {
				r := post(redeemPath(p), object(member("ticket", "x"+pick(t).text[1:]), member("secret", p.Secret)))
				expect(t, "guess", r, invalidTicket, m.envelope)
			},
			"turn the clock": func(t *rapid.T) {
				turn(rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, 20 * time.Second}).Draw(t, "by"))
			},
			"turn to a ticket's end": func(t *rapid.T) {
				to := pick(t).ends.Add(rapid.SampledFrom([]time.Duration{-time.Millisecond, 0}).Draw(t, "from the end"))
				if !to.After(m.now) {
					t.Skip("gone by")
				}
				turn(to.Sub(m.now))
			},
			"block": func(t *rapid.T) {
				u := known(t)
				u.blocked = !u.blocked
				admin(t, "PATCH", "/users/"+u.id, fmt.Sprintf(`{"blocked":%v}`, u.blocked))
				if u.blocked {
					u.notBefore = m.now
				}
			},
			"sign out": func(t *rapid.T) {
				u := known(t)
				admin(t, "POST", "/users/"+u.id+"/revoke", "")
				u.notBefore = m.now
			},
			"toggle secretRequired": func(*rapid.T) {
				m.secretOptional = !m.secretOptional
				settings("secretRequired", !m.secretOptional)
			},
			"toggle pkceRequired": func(*rapid.T) {
				m.pkceRequired = !m.pkceRequired
				settings("pkceRequired", m.pkceRequired)
			},
			"toggle revokeOnReplay": func(*rapid.T) {
				m.keepOnReplay = !m.keepOnReplay
				settings("revokeOnReplay", !m.keepOnReplay)
			},
			"toggle responseFormat": func(*rapid.T) {
				m.envelope = !m.envelope
				settings("responseFormat", map[bool]string{true: "envelope", false: "user"}[m.envelope])
			},
			"restart": func(*rapid.T) { b.Restart() },
			"back up": func(t *rapid.T) {
				if backup != "" && rapid.IntRange(0, 3).Draw(t, "again") > 0 {
					t.Skip("an older one is worse")
				}
				r := b.Admin("GET", "/admin/v1/backup", "")
				if r.Status != 200 {
					t.Fatalf("backup: %d %s", r.Status, r.Body)
				}
				backup, saved = r.Body, m.copy()
			},
			"restore": func(t *rapid.T) {
				if backup == "" {
					t.Skip("no backup yet")
				}
				b.Restore(backup)
				m.restore(saved)
			},
			"check token": func(t *rapid.T) {
				pt := pick(t)
				if pt.token == "" {
					t.Skip("not redeemed")
				}
				if got, want := tokenState(b, pt.token), m.tokenCode(pt); got != want {
					t.Fatalf("token of a ticket: code %d, want %d: %+v", got, want, *pt)
				}
			},
			"show user": func(t *rapid.T) {
				u := known(t)
				var got struct {
					LoginsCount int
					Blocked     bool
				}
				r := b.Admin("GET", "/admin/v1/pools/"+p.ID+"/users/"+u.id, "")
				if err := json.Unmarshal([]byte(r.Body), &got); err != nil || got.LoginsCount != u.logins || got.Blocked != u.blocked {
					t.Fatalf("user: %s, want %+v", strings.TrimSpace(r.Body), *u)
				}
			},
		})
	})
	t.Logf("%d runs", run)
}
