// Package storetest is the contract of a store as tests. Every store runs them.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"app2wxapp/audit"
	"app2wxapp/store"
	"app2wxapp/ticket"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// T0 is the moment at which the tests begin.
var T0 = time.Date(2026, 11, 20, 8, 30, 0, 412e6, time.UTC)

// Run runs the contract against stores that open makes, each of them empty.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, store.Store)
	}{
		{"Pools", testPools},
		{"PoolsList", testPoolsList},
		{"UpdatePoolAtomic", testUpdatePoolAtomic},
		{"TouchSecrets", testTouchSecrets},
		{"Users", testUsers},
		{"CreateUserTaken", testCreateUserTaken},
		{"FindUsers", testFindUsers},
		{"FindUsersStaysInPool", testFindUsersStaysInPool},
		{"PutUserMovesIndexes", testPutUserMovesIndexes},
		{"PutUserErrors", testPutUserErrors},
		{"PutUserRace", testPutUserRace},
		{"UpdateUser", testUpdateUser},
		{"FindUsersByID", testFindUsersByID},
		{"Passwords", testPasswords},
		{"PasswordsCreate", testPasswordsCreate},
		{"PasswordsReplace", testPasswordsReplace},
		{"PasswordsRace", testPasswordsRace},
		{"TOTP", testTOTP},
		{"TOTPRace", testTOTPRace},
		{"Codes", testCodes},
		{"CodesRace", testCodesRace},
		{"ShareCounts", testShareCounts},
		{"Redeem", testRedeem},
		{"RedeemRefusals", testRedeemRefusals},
		{"RedeemOrderOfRefusals", testRedeemOrder},
		{"RedeemBlocked", testRedeemBlocked},
		{"RedeemBoundary", testRedeemBoundary},
		{"EndedByAnotherClock", testEndedByAnotherClock},
		{"RedeemRace", testRedeemRace},
		{"RedeemManyRaces", testRedeemManyRaces},
		{"Replay", testReplay},
		{"ReplayKeepsToken", testReplayKeepsToken},
		{"InvalidReplayRevokesNothing", testInvalidReplay},
		{"Idempotent", testIdempotent},
		{"IdempotentRace", testIdempotentRace},
		{"SixthVoidsOldest", testSixthVoidsOldest},
		{"VoidingLeavesRedeemed", testVoidingLeavesRedeemed},
		{"RedeemedMakesRoom", testRedeemedMakesRoom},
		{"SignOutVoids", testSignOutVoids},
		{"LoginsOutliveTickets", testLoginsOutliveTickets},
		{"Sweep", testSweep},
		{"Events", testEvents},
		{"EventsOrder", testEventsOrder},
		{"EventsRace", testEventsRace},
		{"EventsOfActs", testEventsOfActs},
		{"EventsOfReplay", testEventsOfReplay},
		{"EventsSweep", testEventsSweep},
		{"SigningKeys", testSigningKeys},
		{"FirstSigningKeyRace", testFirstSigningKeyRace},
		{"Pictures", testPictures},
		{"PicturesHeld", testPicturesHeld},
		{"PicturesBound", testPicturesBound},
		{"PicturesRace", testPicturesRace},
		{"Sessions", testSessions},
		{"SessionsRotate", testSessionsRotate},
		{"SessionsRefusals", testSessionsRefusals},
		{"SessionsReuse", testSessionsReuse},
		{"SessionsRace", testSessionsRace},
		{"SessionsGrace", testSessionsGrace},
		{"SessionsOfUsers", testSessionsOfUsers},
		{"SessionsOfReplay", testSessionsOfReplay},
		{"SessionsOfReplayRace", testSessionsOfReplayRace},
		{"SessionsEnd", testSessionsEnd},
		{"SessionsSweep", testSessionsSweep},
		{"RevokeToken", testRevokeToken},
		{"Unfinished", testUnfinished},
		{"UnfinishedRefusals", testUnfinishedRefusals},
		{"UnfinishedFails", testUnfinishedFails},
		{"UnfinishedRace", testUnfinishedRace},
		{"UnfinishedSweep", testUnfinishedSweep},
		{"SentCodes", testSentCodes},
		{"SentCodesRefusals", testSentCodesRefusals},
		{"SentCodesLimits", testSentCodesLimits},
		{"SentCodesOfSignIns", testSentCodesOfSignIns},
		{"SentCodesRace", testSentCodesRace},
		{"SentCodesSweep", testSentCodesSweep},
		{"EmailRace", testEmailRace},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

var ctx = context.Background()

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// same compares values and shows the difference; nil and empty lists are alike.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	opts := cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{}), cmp.Transformer("Secret", func(s userpool.Secret) string { return string(s) }), cmp.Transformer("Phone", func(p userpool.Phone) string { return string(p) }), cmp.Transformer("Email", func(e userpool.Email) string { return string(e) })}
	if d := cmp.Diff(want, got, opts); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// Pool returns a pool with every field set.
func Pool(id string) userpool.Pool {
	return userpool.Pool{
		ID: id,
		Settings: userpool.Settings{
			Name: "示例", AppID: "wx0123456789abcdef", AppSecret: "planted-app-secret", SecretOptional: true, TicketTTL: 60 * time.Second,
			PKCERequired: true, Envelope: true, KeepOnReplay: true, TokenTTL: time.Hour, TokenAlg: "ES256", Signup: userpool.SignupClosed,
			MatchPhone: true, PhoneRequired: true, MFA: userpool.MFARequired, AllowedApps: []string{"wxaaaa"},
			LoginWays: []userpool.Way{userpool.WayWeChatPhone}, SessionTokenTTL: time.Hour, SessionTokenSliding: true,
			BindWays: []userpool.Way{userpool.WayWeChatPhone}, BindOnly: true, NoCaptcha: true,
			SMS: userpool.Sender{Provider: userpool.ProviderTencent, Tencent: userpool.TencentSender{
				SecretID: "AKIDexample", SecretKey: "planted-sms-key", SDKAppID: "1400006666", SignName: "示例", TemplateID: "1110",
				TemplateIDAbroad: "1111", TemplateParams: "code,minutes", Region: "ap-beijing", Endpoint: "http://127.0.0.1:1",
			}},
			Email: userpool.Sender{Provider: userpool.ProviderSMTP, SMTP: userpool.SMTPSender{
				Host: "mail.example.com", Port: 2525, TLS: userpool.SMTPImplicit, Username: "user", Password: "planted-mail-password",
				From: "no-reply@example.com", FromName: "示例",
			}},
		},
		JWTSecret: "planted-jwt-secret", CreatedAt: T0, UpdatedAt: T0,
		Secrets: []userpool.PoolSecret{{ID: "s1", Hash: [32]byte{1}, CreatedAt: T0}},
	}
}

// User returns a user with every field set.
func User(poolID, id string) userpool.User {
	return userpool.User{
		PoolID: poolID, ID: id, UnionID: "oU-" + id,
		Identities:     []userpool.Identity{{AppID: "wx1", OpenID: "o1-" + id}, {AppID: "wx2", OpenID: "o2-" + id}},
		Phone:          userpool.Phone("+8613800138000"),
		Email:          userpool.Email(id + "@planted.example"),
		Profile:        userpool.Profile{Nickname: "示例用户", AvatarURL: "https://example.com/a", Gender: 1, Language: "zh_CN", City: "Hangzhou", Province: "Zhejiang", Country: "China"},
		Username:       "name-" + id,
		Attributes:     map[string]string{"birthdate": "1990-01-01", "company": "示例公司"},
		RegisterMethod: userpool.RegisterMethod, SignedUp: T0, UpdatedAt: T0,
		Logins: userpool.Logins{Count: 3, Last: T0.Add(-time.Hour), Addr: netip.MustParseAddr("2001:db8::7")},
	}
}

func testPools(t *testing.T, s store.Store) {
	want := Pool("p1")
	_, err := s.Pool(ctx, "p1")
	wantErr(t, "unknown pool", err, userpool.ErrPoolNotFound)
	check(t, s.CreatePool(ctx, want, audit.Event{}))
	wantErr(t, "created again", s.CreatePool(ctx, Pool("p1"), audit.Event{}), userpool.ErrPoolExists)
	same(t, "pool", must[userpool.Pool](t)(s.Pool(ctx, "p1")), want)

	refused := errors.New("refused")
	_, err = s.UpdatePool(ctx, "p1", silent(func(p *userpool.Pool) error { p.Name = "lost"; return refused }))
	wantErr(t, "refused change", err, refused)
	_, err = s.UpdatePool(ctx, "p2", silent(func(*userpool.Pool) error { return nil }))
	wantErr(t, "change of an unknown pool", err, userpool.ErrPoolNotFound)
	want.Name, want.SecretOptional = "new", false
	got := must[userpool.Pool](t)(s.UpdatePool(ctx, "p1", silent(func(p *userpool.Pool) error { p.Name, p.SecretOptional = "new", false; return nil })))
	same(t, "returned", got, want)
	same(t, "stored", must[userpool.Pool](t)(s.Pool(ctx, "p1")), want)
}

func testPoolsList(t *testing.T, s store.Store) {
	for _, id := range []string{"c", "a", "b", "d"} {
		check(t, s.CreatePool(ctx, Pool(id), audit.Event{}))
	}
	for _, row := range []struct {
		after string
		limit int
		want  string
	}{{"", 10, "[a b c d]"}, {"", 2, "[a b]"}, {"b", 2, "[c d]"}, {"bb", 1, "[c]"}, {"d", 5, "[]"}} {
		ids := []string{}
		for _, p := range must[[]userpool.Pool](t)(s.Pools(ctx, row.after, row.limit)) {
			ids = append(ids, p.ID)
		}
		if got := fmt.Sprint(ids); got != row.want {
			t.Errorf("Pools(%q, %d): got %s, want %s", row.after, row.limit, got, row.want)
		}
	}
}

func testUpdatePoolAtomic(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	together(50, func(i int) {
		_, err := s.UpdatePool(ctx, "p", silent(func(p *userpool.Pool) error {
			p.AllowedApps = append(p.AllowedApps, fmt.Sprint(i))
			return nil
		}))
		if err != nil {
			t.Error(err)
		}
	})
	if got := len(must[userpool.Pool](t)(s.Pool(ctx, "p")).AllowedApps); got != 51 {
		t.Errorf("after 50 appends at once: %d entries, want 51", got)
	}
}

func testTouchSecrets(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	last := func() time.Time { return must[userpool.Pool](t)(s.Pool(ctx, "p")).Secrets[0].LastUsedAt }
	check(t, s.TouchSecrets(ctx, "p", map[string]time.Time{"s1": T0, "gone": T0}))
	if got := last(); !got.Equal(T0) {
		t.Errorf("last use: %v, want %v", got, T0)
	}
	check(t, s.TouchSecrets(ctx, "p", map[string]time.Time{"s1": T0.Add(-time.Hour)}))
	if got := last(); !got.Equal(T0) {
		t.Errorf("after an older time: %v, want %v", got, T0)
	}
}

func testUsers(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	want := User("p", "u1")
	want.Blocked, want.NotBefore = true, T0
	_, err := s.User(ctx, "p", "u1")
	wantErr(t, "unknown user", err, userpool.ErrUserNotFound)
	check(t, s.CreateUser(ctx, want))
	same(t, "user", must[userpool.User](t)(s.User(ctx, "p", "u1")), want)

	bare := userpool.User{PoolID: "p", ID: "u2", SignedUp: T0, UpdatedAt: T0}
	check(t, s.CreateUser(ctx, bare))
	same(t, "user without anything", must[userpool.User](t)(s.User(ctx, "p", "u2")), bare)
	_, err = s.User(ctx, "other", "u1")
	wantErr(t, "the user in another pool", err, userpool.ErrUserNotFound)
	wantErr(t, "user of an unknown pool", s.CreateUser(ctx, User("nope", "u")), userpool.ErrPoolNotFound)
}

func testCreateUserTaken(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	check(t, s.CreatePool(ctx, Pool("q"), audit.Event{}))
	check(t, s.CreateUser(ctx, User("p", "u")))
	id := User("p", "other")
	id.ID = "u"
	union := User("p", "other")
	union.UnionID = "oU-u"
	open := User("p", "other")
	open.Identities[1].OpenID = "o2-u"
	name := User("p", "other")
	name.Username = "name-u"
	mail := User("p", "other")
	mail.Email = "u@planted.example"
	for name, u := range map[string]userpool.User{"id": id, "unionid": union, "openid": open, "username": name, "e-mail": mail} {
		wantErr(t, "same "+name, s.CreateUser(ctx, u), userpool.ErrUserExists)
	}
	// A refused user leaves nothing behind.
	check(t, s.CreateUser(ctx, User("p", "other")))
	check(t, s.CreateUser(ctx, User("q", "u")))
}

func ids(m userpool.Matches) string {
	id := func(u *userpool.User) string {
		if u == nil {
			return "-"
		}
		return u.ID
	}
	s := id(m.ByUnionID) + " " + id(m.ByIdentity)
	for _, u := range m.ByPhone {
		s += " " + u.ID
	}
	if m.ByUsername != nil {
		s += " named " + m.ByUsername.ID
	}
	if m.ByEmail != nil {
		s += " mailed " + m.ByEmail.ID
	}
	return s
}

func testFindUsers(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	a, b := User("p", "a"), User("p", "b")
	b.Phone = "+8613800138001"
	c := User("p", "c")
	c.Phone = "+8613800138001"
	d := User("p", "d")
	d.Phone = "+8613800138001"
	for _, u := range []userpool.User{a, b, c, d} {
		check(t, s.CreateUser(ctx, u))
	}
	for _, row := range []struct {
		keys userpool.Keys
		want string
	}{
		{userpool.Keys{}, "- -"},
		{userpool.Keys{UnionID: "oU-a"}, "a -"},
		{userpool.Keys{Identity: userpool.Identity{AppID: "wx2", OpenID: "o2-b"}}, "- b"},
		{userpool.Keys{Identity: userpool.Identity{AppID: "wx1", OpenID: "o2-b"}}, "- -"},
		{userpool.Keys{UnionID: "oU-a", Identity: userpool.Identity{AppID: "wx1", OpenID: "o1-b"}}, "a b"},
		{userpool.Keys{Phone: "+8613800138000"}, "- - a"},
		{userpool.Keys{Phone: "+8613800138001"}, "- - b c"}, // two at most
		{userpool.Keys{Phone: "+861380013800"}, "- -"},
		{userpool.Keys{Username: "name-a"}, "- - named a"},
		{userpool.Keys{Username: "Name-a"}, "- -"}, // another letter case is another name
		{userpool.Keys{UnionID: "oU-a", Phone: "+8613800138000", Username: "name-b"}, "a - a named b"},
		{userpool.Keys{Email: "a@planted.example"}, "- - mailed a"},
		{userpool.Keys{Email: "A@planted.example"}, "- -"}, // the domain has one spelling
		{userpool.Keys{Email: "a@planted.example", Phone: "+8613800138000", Username: "name-b"}, "- - a named b mailed a"},
	} {
		if got := ids(must[userpool.Matches](t)(s.FindUsers(ctx, "p", row.keys))); got != row.want {
			t.Errorf("FindUsers(%+v): got %q, want %q", row.keys, got, row.want)
		}
	}
	m := must[userpool.Matches](t)(s.FindUsers(ctx, "p", userpool.Keys{UnionID: "oU-a"}))
	same(t, "found user", *m.ByUnionID, a)
}

func testFindUsersStaysInPool(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	check(t, s.CreatePool(ctx, Pool("q"), audit.Event{}))
	check(t, s.CreateUser(ctx, User("p", "a")))
	keys := userpool.Keys{UnionID: "oU-a", Identity: userpool.Identity{AppID: "wx1", OpenID: "o1-a"}, Phone: "+8613800138000", Username: "name-a", Email: "a@planted.example"}
	if got := ids(must[userpool.Matches](t)(s.FindUsers(ctx, "q", keys))); got != "- -" {
		t.Errorf("another pool finds %q", got)
	}
}

func testPutUserMovesIndexes(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	u := User("p", "a")
	check(t, s.CreateUser(ctx, u))
	old := userpool.Keys{UnionID: u.UnionID, Identity: u.Identities[0], Phone: u.Phone, Username: u.Username, Email: u.Email}
	want := u
	want.UnionID, want.Phone, want.Username, want.Email, want.Attributes = "oU-new", "+85261234567", "new", "new@planted.example", nil
	want.Identities = []userpool.Identity{u.Identities[1], {AppID: "wx3", OpenID: "o3"}}
	got := must[userpool.User](t)(s.PutUser(ctx, "p", old, silently(func(m userpool.Matches) (userpool.User, error) {
		if ids(m) != "a a a named a mailed a" {
			t.Errorf("PutUser found %q, want a five times", ids(m))
		}
		return want, nil
	})))
	same(t, "returned", got, want)
	same(t, "stored", must[userpool.User](t)(s.User(ctx, "p", "a")), want)
	if got := ids(must[userpool.Matches](t)(s.FindUsers(ctx, "p", old))); got != "- -" {
		t.Errorf("old keys find %q", got)
	}
	fresh := userpool.Keys{UnionID: "oU-new", Identity: want.Identities[1], Phone: want.Phone, Username: "new", Email: want.Email}
	if got := ids(must[userpool.Matches](t)(s.FindUsers(ctx, "p", fresh))); got != "a a a named a mailed a" {
		t.Errorf("new keys find %q, want a five times", got)
	}
}

func testPutUserErrors(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	check(t, s.CreateUser(ctx, User("p", "a")))
	check(t, s.CreateUser(ctx, User("p", "b")))
	_, err := s.PutUser(ctx, "p", userpool.Keys{}, silently(func(userpool.Matches) (userpool.User, error) {
		return User("p", "c"), userpool.ErrUnchanged
	}))
	wantErr(t, "unchanged", err, userpool.ErrUnchanged)
	_, err = s.User(ctx, "p", "c")
	wantErr(t, "user of a refused call", err, userpool.ErrUserNotFound)
	_, err = s.PutUser(ctx, "p", userpool.Keys{}, silently(func(userpool.Matches) (userpool.User, error) {
		u := User("p", "b")
		u.UnionID = "oU-a"
		return u, nil
	}))
	wantErr(t, "somebody else's unionid", err, userpool.ErrUserExists)
	_, err = s.PutUser(ctx, "p", userpool.Keys{}, silently(func(userpool.Matches) (userpool.User, error) {
		u := User("p", "b")
		u.Username = "name-a"
		return u, nil
	}))
	wantErr(t, "somebody else's username", err, userpool.ErrUserExists)
	_, err = s.UpdateUser(ctx, "p", "b", silent(func(u *userpool.User) error { u.Email = "a@planted.example"; return nil }))
	wantErr(t, "somebody else's e-mail address", err, userpool.ErrUserExists)
	same(t, "the user meanwhile", must[userpool.User](t)(s.User(ctx, "p", "b")), User("p", "b"))
}

// Of many first sign-ins of one WeChat user at once, one makes the user.
func testPutUserRace(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	keys := userpool.Keys{UnionID: "oU", Identity: userpool.Identity{AppID: "wx1", OpenID: "o"}}
	var mu sync.Mutex
	made := map[string]bool{}
	together(32, func(i int) {
		u, err := s.PutUser(ctx, "p", keys, silently(func(m userpool.Matches) (userpool.User, error) {
			if m.ByUnionID != nil {
				return *m.ByUnionID, nil
			}
			return userpool.User{PoolID: "p", ID: fmt.Sprint("u", i), UnionID: "oU", Identities: []userpool.Identity{keys.Identity}}, nil
		}))
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		made[u.ID] = true
		mu.Unlock()
	})
	if len(made) != 1 {
		t.Errorf("32 first sign-ins at once made %d users, want 1", len(made))
	}
}

func testUpdateUser(t *testing.T, s store.Store) {
	check(t, s.CreatePool(ctx, Pool("p"), audit.Event{}))
	want := User("p", "a")
	check(t, s.CreateUser(ctx, want))
	_, err := s.UpdateUser(ctx, "p", "b", silent(func(*userpool.User) error { return nil }))
	wantErr(t, "unknown user", err, userpool.ErrUserNotFound)
	want.Blocked, want.NotBefore, want.Phone = true, T0, ""
	got := must[userpool.User](t)(s.UpdateUser(ctx, "p", "a", silent(func(u *userpool.User) error {
		u.Blocked, u.NotBefore, u.Phone = true, T0, ""
		return nil
	})))
	same(t, "returned", got, want)
	same(t, "stored", must[userpool.User](t)(s.User(ctx, "p", "a")), want)

	// An identity that change writes over is found no more.
	old := want.Identities[0]
	check(t, second(s.UpdateUser(ctx, "p", "a", silent(func(u *userpool.User) error { u.Identities[0].OpenID = "o1-new"; return nil }))))
	if got := ids(must[userpool.Matches](t)(s.FindUsers(ctx, "p", userpool.Keys{Identity: old}))); got != "- -" {
		t.Errorf("the old identity finds %q", got)
	}
}

func testSigningKeys(t *testing.T, s store.Store) {
	if keys := must[[]token.Key](t)(s.SigningKeys(ctx)); len(keys) != 0 {
		t.Errorf("an empty store has keys: %d", len(keys))
	}
	second := token.Key{ID: "a", Alg: "EdDSA", Private: []byte{2}, CreatedAt: T0.Add(time.Second)}
	first := token.Key{ID: "b", Alg: "ES256", Private: []byte{1}, CreatedAt: T0}
	same(t, "second", must[token.Key](t)(s.AddFirstSigningKey(ctx, second)), second)
	same(t, "first", must[token.Key](t)(s.AddFirstSigningKey(ctx, first)), first)
	other := token.Key{ID: "c", Alg: "ES256", Private: []byte{3}, CreatedAt: T0}
	same(t, "another of the same algorithm", must[token.Key](t)(s.AddFirstSigningKey(ctx, other)), first)
	same(t, "all, oldest first", must[[]token.Key](t)(s.SigningKeys(ctx)), []token.Key{first, second})
}

func testFirstSigningKeyRace(t *testing.T, s store.Store) {
	var mu sync.Mutex
	got := map[string]bool{}
	together(16, func(i int) {
		k, err := s.AddFirstSigningKey(ctx, token.Key{ID: fmt.Sprint(i), Alg: "RS256", Private: []byte{1}, CreatedAt: T0})
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		got[k.ID] = true
		mu.Unlock()
	})
	if len(got) != 1 {
		t.Errorf("16 first keys at once: callers got %d different ones, want 1", len(got))
	}
}

// silent is a change that nothing is written of.
func silent[T any](change func(*T) error) func(*T) (audit.Event, error) {
	return func(v *T) (audit.Event, error) { return audit.Event{}, change(v) }
}

// silently is silent for PutUser.
func silently(resolve func(userpool.Matches) (userpool.User, error)) func(userpool.Matches) (userpool.User, audit.Event, error) {
	return func(m userpool.Matches) (userpool.User, audit.Event, error) {
		u, err := resolve(m)
		return u, audit.Event{}, err
	}
}

// together runs do n times at once.
func together(n int, do func(i int)) {
	var wg sync.WaitGroup
	gate := make(chan struct{})
	for i := range n {
		wg.Go(func() { <-gate; do(i) })
	}
	close(gate)
	wg.Wait()
}

var _ ticket.Store = store.Store(nil)
