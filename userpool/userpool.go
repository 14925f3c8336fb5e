// Package userpool says who may sign in and who may redeem.
//
// A Pool is a tenant: one mini program, its settings, its secrets and its
// users. A User is one person in one pool, known by a WeChat unionid, by every
// (AppID, openid) under which a mini program saw them, by a verified phone
// number, by a verified e-mail address, and by a username if they were given one. Nothing crosses pools: every lookup is by (pool, id).
//
// Service.SignIn turns a mini program's login code into a user:
//
//	code ──▶ WeChat ──▶ unionid ──▶ (AppID, openid) ──▶ phone, if the pool
//	matches by phone ──▶ a new user, if the pool's signup is open
//
// Service.Authenticate tells whether a caller may redeem: it checks the pool
// secret. The package imports nothing of this program but audit and password, and knows
// neither HTTP nor databases; Store and WeChat are what it asks of them.
package userpool

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"app2wxapp/audit"
)

// Defaults of a pool's settings; the zero value of each setting means these.
const (
	DefaultTicketTTL = 120 * time.Second
	DefaultTokenTTL  = 15 * 24 * time.Hour
	DefaultTokenAlg  = "HS256"

	DefaultSessionTokenTTL = 5 * 24 * time.Hour
)

// Errors of the domain. Callers compare with errors.Is.
var (
	ErrPoolNotFound   = errors.New("userpool: no such pool")
	ErrPoolExists     = errors.New("userpool: a pool with this id exists")
	ErrUserNotFound   = errors.New("userpool: no such user")
	ErrUserExists     = errors.New("userpool: a user with this id, unionid, openid, username or e-mail address exists")
	ErrSecretNotFound = errors.New("userpool: no such secret")
	ErrSecretLimit    = errors.New("userpool: two live secrets already; delete one first")

	ErrSecretRequired = errors.New("userpool: the pool demands a secret")
	ErrSecretWrong    = errors.New("userpool: wrong secret")
	ErrBlocked        = errors.New("userpool: the user is blocked")
	ErrSignupClosed   = errors.New("userpool: unknown user and the pool takes no new ones")
	ErrAppNotAllowed  = errors.New("userpool: the launching app is not in the pool's list")
	ErrPhoneRequired  = errors.New("userpool: the pool requires a phone number")

	// What WeChat said, as far as it decides what a caller is told.
	ErrCode              = errors.New("userpool: WeChat refused the code")
	ErrWeChatRisk        = errors.New("userpool: WeChat blocks this user as high-risk")
	ErrWeChatUnavailable = errors.New("userpool: WeChat does not answer")
	ErrWeChatQuota       = fmt.Errorf("%w: the minute's quota is used up", ErrWeChatUnavailable)
	// ErrUnsent comes with one of these when the code was not sent: it is good
	// for another try.
	ErrUnsent      = errors.New("userpool: the code was not sent")
	ErrWeChatSetup = errors.New("userpool: WeChat refuses the pool's AppID or AppSecret")

	// ErrUnavailable is returned by a store that cannot answer now. Of a write
	// it means that the outcome is unknown: wholly done or wholly not done.
	ErrUnavailable = errors.New("userpool: store unavailable")
)

// Signup says what becomes of a WeChat user whom the pool does not know.
type Signup string

const (
	SignupOpen   Signup = ""       // a user is created
	SignupClosed Signup = "closed" // login only: refused
	SignupBind   Signup = "bind"   // must bind or register first
)

// Settings are what an operator changes. The zero value of each is the safe
// one, except that AppID and AppSecret must be set before anyone can sign in.
type Settings struct {
	Name      string
	AppID     string // the mini program's
	AppSecret Secret // the mini program's

	SecretOptional bool          // redeem without the pool secret
	TicketTTL      time.Duration // 10 s to 600 s; 0 means DefaultTicketTTL
	PKCERequired   bool          // a ticket needs a code_challenge
	Envelope       bool          // redeem answers {"code","message","data"}
	KeepOnReplay   bool          // a replay leaves the first token valid
	TokenTTL       time.Duration // 0 means DefaultTokenTTL
	TokenAlg       string        // HS256, RS256, ES256 or EdDSA; "" means HS256
	Signup         Signup
	MatchPhone     bool     // a verified phone finds an existing user
	PhoneRequired  bool     // no ticket without a phone number
	AllowedApps    []string // AppIDs that may launch; empty means any

	MFA MFA // who must show a second factor

	// With SignupBind: how an unknown user may show which account is theirs,
	// empty for WayWeChatPhone, and that nobody can register so.
	BindWays []Way
	BindOnly bool

	// LoginWays are the proofs that let somebody in by themselves, without
	// WeChat's word who they are; none if it is empty.
	LoginWays []Way

	// IDaaS's session tokens: how long one lives, 0 for DefaultSessionTokenTTL,
	// and that its use replaces it by one that lives as long from then on.
	SessionTokenTTL     time.Duration
	SessionTokenSliding bool

	// What one-time codes go out by.
	SMS   Sender
	Email Sender

	// NoCaptcha lets codes be sent to whoever asks, where a client that knows
	// captchas could be asked for one.
	NoCaptcha bool
}

// Pool is a tenant.
type Pool struct {
	ID string
	Settings
	// JWTSecret is the HMAC key of the pool's HS256 tokens. It is not the pool
	// secret: who has it can make tokens.
	JWTSecret Secret
	Secrets   []PoolSecret // live ones, oldest first, at most MaxSecrets
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Open tells whether a ticket alone, without secret and verifier, can be
// redeemed at the pool.
func (p Pool) Open() bool { return p.SecretOptional && !p.PKCERequired }

// TicketLife returns how long the pool's tickets live.
func (s Settings) TicketLife() time.Duration {
	if s.TicketTTL == 0 {
		return DefaultTicketTTL
	}
	return s.TicketTTL
}

// TokenLife returns how long the pool's tokens live.
func (s Settings) TokenLife() time.Duration {
	if s.TokenTTL == 0 {
		return DefaultTokenTTL
	}
	return s.TokenTTL
}

// SessionTokenLife returns how long the pool's session tokens live.
func (s Settings) SessionTokenLife() time.Duration {
	if s.SessionTokenTTL == 0 {
		return DefaultSessionTokenTTL
	}
	return s.SessionTokenTTL
}

// TokenEnd returns when a token issued at that time ends, a whole second.
func (s Settings) TokenEnd(issued time.Time) time.Time {
	return issued.UTC().Truncate(time.Second).Add(s.TokenLife())
}

// Alg returns the JWS algorithm of the pool's tokens.
func (s Settings) Alg() string {
	if s.TokenAlg == "" {
		return DefaultTokenAlg
	}
	return s.TokenAlg
}

// AllowsApp tells whether the app with this AppID may launch the mini program
// for the pool. The id is reported by the mini program: never the only check.
func (s Settings) AllowsApp(appID string) bool {
	return len(s.AllowedApps) == 0 || slices.Contains(s.AllowedApps, appID)
}

// Identity is one (AppID, openid): WeChat's openid is per user and mini
// program.
type Identity struct {
	AppID  string
	OpenID string
}

// Profile is what the mini program reports of a user. A person typed most of
// it: it is never identity.
type Profile struct {
	Nickname  string
	AvatarURL string // https or empty
	Gender    int    // 0 unknown, 1 male, 2 female
	Language  string
	City      string
	Province  string
	Country   string
}

// User is one person in one pool.
type User struct {
	PoolID     string
	ID         string
	UnionID    string     // "" until WeChat reports one
	Identities []Identity // the latest one last
	Phone      Phone      // "" when none is known
	Email      Email      // verified, unique in the pool; "" when none is known
	Profile    Profile
	// Username is what Casdoor calls a user's name: "" for none, unique in the
	// pool. Once given it stays.
	Username string
	// Attributes are what users say of themselves besides Profile: names of
	// AttributeNames, texts of at most 512 bytes, none of them empty.
	Attributes map[string]string
	// RegisterMethod is Authing's name of the way the user came.
	RegisterMethod string
	SignedUp       time.Time
	UpdatedAt      time.Time

	Blocked bool
	// NotBefore voids every token and ticket issued at or before it.
	NotBefore time.Time
	Logins    Logins
}

// OpenID returns the user's latest openid under the mini program, "" if that
// never saw the user.
func (u User) OpenID(appID string) string {
	for _, id := range slices.Backward(u.Identities) {
		if id.AppID == appID {
			return id.OpenID
		}
	}
	return ""
}

// Logins is what each redemption changes. Stores keep it apart from the rest
// of the user, so that a login does not rewrite the profile.
type Logins struct {
	Count uint64
	// Last is the latest, and Addr its address: replicas' clocks differ, and one
	// that is behind takes neither back.
	Last time.Time
	Addr netip.Addr
}

// Keys are the ways to find a user. An empty one finds nobody.
type Keys struct {
	UnionID  string
	Identity Identity
	Phone    Phone
	Username string
	Email    Email
	UserID   string // of a user whom a proof has named
}

// Matches are the users whom Keys found; nil and empty mean nobody.
type Matches struct {
	ByUnionID  *User
	ByIdentity *User
	ByUsername *User
	ByEmail    *User
	ByID       *User
	ByPhone    []User // phone numbers are not unique: two at most are returned
}

// Store keeps pools and users. Methods that take a function call it inside the
// transaction and may call it more than once; an error from it is returned as
// it is and changes nothing. An event is written in the transaction of the
// change that it tells of; the zero Event is none.
type Store interface {
	Codes
	SentCodes
	Counts
	Passwords
	SecondFactors

	// CreatePool stores the pool, or returns ErrPoolExists.
	CreatePool(ctx context.Context, p Pool, e audit.Event) error
	// Pool returns the pool, or ErrPoolNotFound. It is called with every request,
	// so a store keeps what it has read: the caller must not change what the pool
	// refers to. A change made through this store is seen by every call that
	// begins after it has returned, one made by another process within a second.
	Pool(ctx context.Context, id string) (Pool, error)
	// Pools returns up to limit pools in id order with ids after the given one.
	Pools(ctx context.Context, after string, limit int) ([]Pool, error)
	// UpdatePool reads the pool, lets change alter it and writes it back, as
	// one step.
	UpdatePool(ctx context.Context, id string, change func(*Pool) (audit.Event, error)) (Pool, error)
	// TouchSecrets keeps the secrets' times of last use, by secret id; a time
	// older than the stored one changes nothing.
	TouchSecrets(ctx context.Context, poolID string, used map[string]time.Time) error

	// User returns the user, or ErrUserNotFound.
	User(ctx context.Context, poolID, id string) (User, error)
	// FindUsers returns the pool's users whom the keys find. Of their Logins the
	// latest may be missing: it tells who somebody is, at every sign-in.
	FindUsers(ctx context.Context, poolID string, k Keys) (Matches, error)
	// CreateUser stores a new user of an existing pool. It returns
	// ErrUserExists if the id, the unionid, an identity, the username or the e-mail
	// address is taken in the pool. Ids and usernames are names of one kind: a
	// user's new username is nobody else's id, nor a new user's id anybody else's
	// username, whichever method stores them.
	CreateUser(ctx context.Context, u User) error
	// PutUser looks up the keys, asks resolve for the user to store, and stores
	// it under its id and every key that it has, as one step. A resolved user
	// without changes is resolve's to report: it returns ErrUnchanged, which
	// PutUser returns.
	PutUser(ctx context.Context, poolID string, k Keys, resolve func(Matches) (User, audit.Event, error)) (User, error)
	// UpdateUser reads the user, lets change alter it and writes it back, as
	// one step.
	UpdateUser(ctx context.Context, poolID, id string, change func(*User) (audit.Event, error)) (User, error)

	// CreateUnfinished stores a sign-in of an existing pool that is to be
	// finished.
	CreateUnfinished(ctx context.Context, u Unfinished) error
	// Unfinished returns the sign-in with that key if it can be finished at the
	// pool now, else the error of its Judge: ErrStateInvalid if there is none, or
	// if it was begun before a restore.
	Unfinished(ctx context.Context, poolID string, k OneTimeKey, now time.Time) (Unfinished, error)
	// FailUnfinished counts a failure of a sign-in that can be finished, as one
	// step; of another one it returns what Unfinished returns and counts nothing.
	FailUnfinished(ctx context.Context, poolID string, k OneTimeKey, now time.Time) error
	// FinishUnfinished looks up the sign-in, returns what Unfinished returns if it
	// cannot be finished, looks up the keys, asks resolve for the user to store,
	// stores it as PutUser does, and marks the sign-in finished, as one step. Of
	// any number of concurrent calls for one sign-in exactly one succeeds; the
	// others get ErrStateUsed. What one call has stored for an identity or a phone
	// the resolve of a later one sees, also if neither is anybody's yet.
	FinishUnfinished(ctx context.Context, f Finish, resolve func(Unfinished, Matches) (User, audit.Event, error)) (User, error)
}

// App is a mini program's credentials at WeChat.
type App struct {
	ID     string
	Secret Secret
}

// Session is WeChat's answer to a login code. Its session_key is dropped where
// it is received.
type Session struct {
	OpenID  string
	UnionID string // "" if the mini program is bound to no Open Platform account
}

// Sealed is what a mini program got encrypted under the session_key of its login
// (AES-128-CBC): encryptedData and iv, decoded from base64.
type Sealed struct {
	Data []byte
	IV   []byte
}

// PhoneGrant is a number that a user let be known.
type PhoneGrant struct {
	Phone   Phone
	Country string // calling code: Phone begins with it after the plus sign
}

// WeChat answers what a mini program's one-time codes stand for. Errors wrap
// ErrCode, ErrWeChatRisk, ErrWeChatSetup or ErrWeChatUnavailable; the code may
// be spent after any of them that does not wrap ErrUnsent, too.
type WeChat interface {
	Code2Session(ctx context.Context, app App, code string) (Session, error)
	// Phone returns the number that the user with this openid granted.
	Phone(ctx context.Context, app App, openID, code string) (Phone, error)
	// AnyPhone returns the number that whoever tapped the phone button granted.
	AnyPhone(ctx context.Context, app App, code string) (Phone, error)
	// OpenPhone and OpenProfile are Code2Session that also open what was sealed
	// under that session's key: what the phone button of old, and
	// wx.getUserProfile, give. Whatever is wrong with the sealed data is ErrCode.
	OpenPhone(ctx context.Context, app App, code string, sealed Sealed) (Session, PhoneGrant, error)
	OpenProfile(ctx context.Context, app App, code string, sealed Sealed) (Session, Profile, error)
}

// ErrUnchanged is what PutUser's function returns to leave a user as it is, and
// Touch a pool.
var ErrUnchanged = errors.New("userpool: nothing to change")
