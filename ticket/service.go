package ticket

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"app2wxapp/audit"
	"app2wxapp/userpool"
)

const (
	issuesPerMinute   = 20 // of one user
	failuresPerMinute = 60 // of one address
	maxState          = 128
	maxTicket         = 512
	maxSecret         = 256
	maxIdempotencyKey = 255
)

// Pools is what tickets need of user pools; *userpool.Service has it.
type Pools interface {
	SignIn(ctx context.Context, pool userpool.Pool, l userpool.Login) (userpool.User, error)
	Finish(ctx context.Context, pool userpool.Pool, state string, p userpool.Proof) (userpool.User, userpool.Unfinished, error)
	Authenticate(pool userpool.Pool, secret string) (proved bool, err error)
}

// Config is what a Service is made of; every field is required but
// Limits.
type Config struct {
	Store   Store
	Pools   Pools
	Now     func() time.Time
	Log     *slog.Logger
	Metrics *Metrics
	Audit   *audit.Tally // counts what is refused
	// Limits shares what is counted with other processes; nil for none.
	Limits *userpool.Limits
}

// Service issues and redeems tickets. It is safe for concurrent use.
type Service struct {
	store    Store
	pools    Pools
	now      func() time.Time
	log      *slog.Logger
	metrics  *Metrics
	audit    *audit.Tally
	issues   *userpool.Limiter[string]     // by pool and user
	failures *userpool.Limiter[netip.Addr] // by address
}

// NewService returns a Service.
func NewService(c Config) *Service {
	return &Service{
		store: c.Store, pools: c.Pools, now: c.Now, log: c.Log, metrics: c.Metrics, audit: c.Audit,
		issues:   userpool.NewSharedLimiter[string](c.Limits, "ticket.issues", issuesPerMinute),
		failures: userpool.NewSharedLimiter[netip.Addr](c.Limits, "redeem.failures", failuresPerMinute),
	}
}

// Request asks for a ticket.
type Request struct {
	Login userpool.Login
	// Challenge and ChallengeMethod are RFC 7636's; both or neither.
	Challenge       string
	ChallengeMethod string
	// State is the app's, checked here since it will stand in a query string
	// beside the ticket; the domain does nothing else with it.
	State string
}

// Issued is a fresh ticket.
type Issued struct {
	Ticket    string // 51 characters of base64url; not stored anywhere
	User      userpool.User
	ExpiresAt time.Time
	Life      time.Duration
}

// Issue signs the user in and returns a ticket for them. Whatever can be
// refused without WeChat is refused before a code is spent. It returns the
// errors of userpool's SignIn, *userpool.InvalidError, and
// *userpool.RateLimitError past 20 tickets a minute for one user.
func (s *Service) Issue(ctx context.Context, pool userpool.Pool, r Request) (Issued, error) {
	if err := r.validate(pool); err != nil {
		return Issued{}, err
	}
	u, err := s.pools.SignIn(ctx, pool, r.Login)
	if err != nil {
		return Issued{}, err
	}
	return s.issue(ctx, pool, u, r)
}

// Finish asks for the ticket of a sign-in that SignIn left to be finished.
type Finish struct {
	StateToken string
	Proof      userpool.Proof
	Request    // but for its Login
	Addr       netip.Addr
}

// Finish finishes the sign-in and returns a ticket for its user. It returns the
// errors of userpool's Finish, *userpool.InvalidError, and
// *userpool.RateLimitError past 20 tickets a minute for one user and past 60
// failures a minute from an address.
func (s *Service) Finish(ctx context.Context, pool userpool.Pool, f Finish) (Issued, error) {
	switch {
	case f.StateToken == "":
		return Issued{}, userpool.Invalid("stateToken", "is required", "必填")
	case len(f.StateToken) > maxTicket:
		return Issued{}, userpool.Invalid("stateToken", "is too long", "过长")
	}
	if err := f.validate(pool); err != nil {
		return Issued{}, err
	}
	from := userpool.AddrKey(f.Addr)
	if err := s.failures.Check(from, s.now()); err != nil {
		return Issued{}, err
	}
	u, of, err := s.pools.Finish(ctx, pool, f.StateToken, f.Proof)
	if err != nil {
		if counts(err) {
			s.failures.Count(from, s.now())
		}
		return Issued{}, err
	}
	f.Login.SourceApp = of.SourceApp
	return s.issue(ctx, pool, u, f.Request)
}

// issue stores a ticket for the user who has signed in.
func (s *Service) issue(ctx context.Context, pool userpool.Pool, u userpool.User, r Request) (Issued, error) {
	now := s.now()
	user := pool.ID + "/" + u.ID
	if err := s.issues.Check(user, now); err != nil {
		return Issued{}, err
	}
	text, key := newTicket(now)
	// A ticket's times are whole milliseconds, as in its key.
	t := Ticket{
		Key: key, PoolID: pool.ID, UserID: u.ID, AppID: pool.AppID, SourceApp: r.Login.SourceApp,
		Challenge: r.Challenge, ExpiresAt: key.IssuedAt().Add(pool.TicketLife()),
	}
	if err := s.store.CreateTicket(ctx, t, now); err != nil {
		return Issued{}, err
	}
	s.issues.Count(user, now)
	s.metrics.issued.WithLabelValues(pool.ID).Inc()
	return Issued{Ticket: text, User: u, ExpiresAt: t.ExpiresAt, Life: pool.TicketLife()}, nil
}

func (r Request) validate(pool userpool.Pool) error {
	switch {
	case r.Challenge == "" && r.ChallengeMethod != "":
		return userpool.Invalid("code_challenge", "is required with code_challenge_method", "给出 code_challenge_method 时必填")
	case r.Challenge != "" && r.ChallengeMethod != "S256":
		// A challenge without a method means "plain" in RFC 7636 §4.3.
		return userpool.Invalid("code_challenge_method", `must be "S256"`, `必须为 "S256"`)
	case r.Challenge != "" && !validChallenge(r.Challenge):
		return userpool.Invalid("code_challenge", "must be base64url(SHA-256(code_verifier)), 43 characters without padding", "必须为 base64url(SHA-256(code_verifier))，43 个字符，不带填充")
	case r.Challenge == "" && pool.PKCERequired:
		return userpool.Invalid("code_challenge", "is required by this user pool", "该用户池要求必填")
	case r.State != "" && (len(r.State) > maxState || !unreserved(r.State)):
		return userpool.Invalid("state", "must be 1 to 128 of A-Z a-z 0-9 . _ ~ -", "必须为 1 到 128 个字符，只含 A-Z a-z 0-9 . _ ~ -")
	case len(r.Login.SourceApp) > 64:
		return userpool.Invalid("launch.appId", "is too long", "过长")
	}
	return nil
}

func validChallenge(s string) bool {
	// The decoder passes over line ends, so both lengths must be right.
	b, err := encoding.DecodeString(s)
	return err == nil && len(b) == sha256.Size && len(s) == encoding.EncodedLen(sha256.Size)
}

// unreserved tells whether s has only the unreserved characters of RFC 3986
// §2.3, which survive every query string.
func unreserved(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._~-", r))
	})
}

// Attempt is a caller's attempt to redeem a ticket.
type Attempt struct {
	Ticket         string
	Secret         string // "" for none
	Verifier       string // RFC 7636 code_verifier, "" for none
	IdempotencyKey string // "" for none
	// Wanted is what the caller wants for the ticket, where there is a choice: a
	// repeat wants the same.
	Wanted string
	Addr   netip.Addr
}

// repeatable is what a repeat has in common with the first success.
func (a Attempt) repeatable() string {
	if a.Wanted == "" {
		return a.IdempotencyKey
	}
	return a.IdempotencyKey + " " + a.Wanted // there is no space in a key
}

// Redeem redeems the ticket for the caller, in this order: rate limit, secret,
// ticket and verifier, user. A refused caller uses nothing up. The returned JTI
// and At are the token's to make; with the Idempotency-Key of the first success
// the same come back again.
//
// It returns *userpool.InvalidError, *userpool.RateLimitError,
// userpool.ErrSecretRequired, userpool.ErrSecretWrong, an error that wraps
// ErrInvalid, userpool.ErrBlocked, or the store's.
func (s *Service) Redeem(ctx context.Context, pool userpool.Pool, a Attempt) (Redeemed, error) {
	now := s.now()
	done, proved, err := s.redeem(ctx, pool, a, now)
	how := result(done, err)
	s.metrics.redeemed.WithLabelValues(pool.ID, how).Inc()
	if how != resultOK {
		s.note(pool, a, now, done, how)
	}
	switch {
	case err == nil && !done.Repeated:
		s.metrics.age.Observe(done.Ticket.AgeRatio(now))
	case counts(err) && !proved:
		// Only a stranger's failures count: an app server that shows the right
		// secret has many users behind one address.
		s.failures.Count(userpool.AddrKey(a.Addr), now)
	}
	return done, err
}

// Authenticate checks the pool secret of a caller who does not redeem, as Redeem
// does and by the same limit: rate limit, then secret. A refusal is counted and
// noted as one of Redeem is. It returns
// *userpool.InvalidError, *userpool.RateLimitError, userpool.ErrSecretRequired or
// userpool.ErrSecretWrong; proved tells that a right secret was shown.
func (s *Service) Authenticate(pool userpool.Pool, secret string, addr netip.Addr) (proved bool, err error) {
	now := s.now()
	proved, err = s.authenticate(pool, secret, addr, now)
	if err != nil {
		how := result(Redeemed{}, err)
		s.metrics.redeemed.WithLabelValues(pool.ID, how).Inc()
		s.note(pool, Attempt{Addr: addr}, now, Redeemed{}, how)
	}
	return proved, err
}

func (s *Service) authenticate(pool userpool.Pool, secret string, addr netip.Addr, now time.Time) (proved bool, err error) {
	if len(secret) > maxSecret {
		return false, userpool.Invalid("secret", "is too long", "过长")
	}
	if err := s.failures.Check(userpool.AddrKey(addr), now); err != nil {
		return false, err
	}
	if proved, err = s.pools.Authenticate(pool, secret); counts(err) {
		s.failures.Count(userpool.AddrKey(addr), now)
	}
	return proved, err
}

// note counts what was no fresh success. A replay that revoked a token has its
// event already, which the store wrote with the revocation.
func (s *Service) note(pool userpool.Pool, a Attempt, now time.Time, done Redeemed, how string) {
	e := audit.Event{
		At: now, Type: audit.RedeemRefused, PoolID: pool.ID, UserID: done.Ticket.UserID,
		By: audit.Actor{Role: audit.Caller, Addr: userpool.AddrKey(a.Addr)},
	}
	switch {
	case done.Revoked:
		s.metrics.revoked.WithLabelValues(pool.ID).Inc()
		return
	case how == resultError:
		return
	case how == resultRepeated:
		e.Type = audit.TicketRepeated
	case how == resultReplayed:
		e.Type, e.Detail = audit.TicketReplayed, map[string]string{audit.Revoked: "false"}
	default:
		e.Detail = map[string]string{audit.Reason: how}
	}
	s.audit.Count(e)
}

func (s *Service) redeem(ctx context.Context, pool userpool.Pool, a Attempt, now time.Time) (done Redeemed, proved bool, err error) {
	if err := a.validate(); err != nil {
		return Redeemed{}, false, err
	}
	if err := s.failures.Check(userpool.AddrKey(a.Addr), now); err != nil {
		return Redeemed{}, false, err
	}
	if proved, err = s.pools.Authenticate(pool, a.Secret); err != nil {
		return Redeemed{}, proved, err
	}
	if pool.PKCERequired && a.Verifier == "" {
		return Redeemed{}, proved, ErrVerifier
	}
	r := Redemption{
		PoolID: pool.ID, Key: parseKey(a.Ticket), Addr: a.Addr, Now: now,
		JTI: userpool.NewID(now), TokenExpiresAt: pool.TokenEnd(now),
		RevokeOnReplay: !pool.KeepOnReplay,
	}
	if a.Verifier != "" {
		sum := sha256.Sum256([]byte(a.Verifier))
		r.Challenge = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	if a.IdempotencyKey != "" {
		r.Idempotency = sha256.Sum256([]byte(a.repeatable()))
	}
	done, err = s.store.RedeemTicket(ctx, r)
	if errors.Is(err, ErrRedeemed) {
		s.log.Warn("ticket shown again after its redemption", "pool", pool.ID, "user", done.Ticket.UserID,
			"redeemed_at", done.At, "token_revoked_now", done.Revoked)
	}
	return done, proved, err
}

func (a Attempt) validate() error {
	switch {
	case a.Ticket == "":
		return userpool.Invalid("ticket", "is required", "必填")
	case len(a.Ticket) > maxTicket:
		return userpool.Invalid("ticket", "is too long", "过长")
	case len(a.Secret) > maxSecret:
		return userpool.Invalid("secret", "is too long", "过长")
	case a.Verifier != "" && (len(a.Verifier) < 43 || len(a.Verifier) > 128 || !unreserved(a.Verifier)):
		return userpool.Invalid("code_verifier", "must be 43 to 128 of A-Z a-z 0-9 . _ ~ - (RFC 7636)", "必须为 43 到 128 个字符，只含 A-Z a-z 0-9 . _ ~ -（RFC 7636）")
	case len(a.IdempotencyKey) > maxIdempotencyKey || strings.ContainsFunc(a.IdempotencyKey, func(r rune) bool { return r <= ' ' || r > '~' }):
		return userpool.Invalid("Idempotency-Key", "must be 1 to 255 visible ASCII characters", "必须为 1 到 255 个可见 ASCII 字符")
	}
	return nil
}

// counts tells whether the failure says something about who calls.
func counts(err error) bool {
	for _, e := range []error{
		ErrInvalid, userpool.ErrSecretRequired, userpool.ErrSecretWrong,
		userpool.ErrStateInvalid, userpool.ErrStateExpired, userpool.ErrTooManyTries, userpool.ErrCode, userpool.ErrCodeWrong,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
