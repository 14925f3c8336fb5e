// Package storetest is the contract of a store as tests. Every store runs them.
package storetest

import (
	"context"
	"errors"
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
		{"PutUserInPlace", testPutUserInPlace},
		{"PutUserErrors", testPutUserErrors},
		{"PutUserRace", testPutUserRace},
		{"UpdateUser", testUpdateUser},
		{"NamesAndIDs", testNamesAndIDs},
		{"NamesAndIDsRace", testNamesAndIDsRace},
		{"FindUsersByID", testFindUsersByID},
		{"Passwords", testPasswords},
		{"PasswordsCreate", testPasswordsCreate},
		{"PasswordsReplace", testPasswordsReplace},
		{"PasswordsRace", testPasswordsRace},
		{"TOTP", testTOTP},
		{"TOTPOfUser", testTOTPOfUser},
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
		{"LoginsKeepLatest", testLoginsKeepLatest},
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
		{"RevokeTokenSeconds", testRevokeTokenSeconds},
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

// finer are errors that wrap another one of the contract, and say more than it.
var finer = []error{token.ErrSessionExpired, token.ErrReused, userpool.ErrStateUsed}

// wantErr fails the test unless the error is that one, and no finer one.
func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
		return
	}
	for _, e := range finer {
		if errors.Is(got, e) && !errors.Is(want, e) {
			t.Errorf("%s: got %v, want %v itself", what, got, want)
		}
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
