package userpool

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"app2wxapp/audit"
	"app2wxapp/password"
)

// Config is what a Service is made of; every field is required
// unless it says what nil means.
type Config struct {
	Store  Store
	WeChat WeChat
	Now    func() time.Time
	Log    *slog.Logger
	// WeChatTimeout bounds all calls of one sign-in together.
	WeChatTimeout time.Duration
	// Metrics may be nil where nobody signs in.
	Metrics *Metrics
	// Senders send codes; nil means that there are none.
	Senders Senders
	// Limits shares what is counted with other processes; nil for none.
	Limits *Limits
}

// Service is the verbs of this package over a Store. It is safe for concurrent
// use.
type Service struct {
	store   Store
	wechat  WeChat
	senders Senders
	now     func() time.Time
	log     *slog.Logger
	timeout time.Duration
	entries *Limiter[string] // by pool and user
	begun   *Limiter[string] // by pool and openid
	refused *Limiter[netip.Addr]
	metrics *Metrics
	hasher  *password.Hasher
	tries   passwordTries
	totps   *Limiter[string] // by pool and user

	codesFrom *Limiter[netip.Addr]
	codesOf   *Limiter[string] // by pool

	uses sync.Map // secret id → *secretUse

	flushing sync.Mutex // held while uses are written
}

// secretUse is a secret's last use in this process.
type secretUse struct {
	poolID  string
	last    atomic.Int64 // ms since 1970
	flushed int64        // guarded by Service.flushing
}

// New returns a Service.
func New(c Config) *Service {
	return &Service{
		store: c.Store, wechat: c.WeChat, senders: c.Senders, now: c.Now, log: c.Log, timeout: c.WeChatTimeout, metrics: c.Metrics,
		entries:   NewSharedLimiter[string](c.Limits, "entries", entriesPerMinute),
		begun:     NewSharedLimiter[string](c.Limits, "begun", begunPerMinute),
		refused:   NewSharedLimiter[netip.Addr](c.Limits, "codes.refused", refusedPerMinute),
		codesFrom: NewHourlyLimiter[netip.Addr](c.Limits, "codes.address", codesPerHour),
		codesOf:   NewSharedLimiter[string](c.Limits, "codes.pool", poolCodesPerMinute),
		hasher:    password.NewHasher(func() { c.Metrics.hashings.Inc() }), tries: newPasswordTries(c.Limits),
		totps: NewSharedLimiter[string](c.Limits, "totp", totpPerMinute),
	}
}

// Pool returns the pool as it stands now, or ErrPoolNotFound. The caller must
// not change what it refers to.
func (s *Service) Pool(ctx context.Context, id string) (Pool, error) {
	if !ValidID(id) {
		return Pool{}, ErrPoolNotFound
	}
	return s.store.Pool(ctx, id)
}

// Pools returns up to limit pools in id order with ids after the given one.
func (s *Service) Pools(ctx context.Context, after string, limit int) ([]Pool, error) {
	pools, err := s.store.Pools(ctx, after, limit)
	if err != nil {
		return nil, err
	}
	for i := range pools {
		pools[i].Secrets = s.withUses(pools[i].Secrets)
	}
	return pools, nil
}

// NewPool is what a pool is made from.
type NewPool struct {
	ID string // "" for a fresh one
	Settings
	// JWTSecret is the one of a pool that moves here, so that its tokens stay
	// valid; "" for a fresh one.
	JWTSecret Secret
}

// CreatePool stores a pool with its first secret, which is returned and cannot
// be had again. It returns an *InvalidError or ErrPoolExists.
func (s *Service) CreatePool(ctx context.Context, n NewPool) (Pool, Secret, error) {
	if n.ID == "" {
		n.ID = newPoolID()
	}
	if !ValidID(n.ID) {
		return Pool{}, "", Invalid("id", "must be 1 to 64 of A-Z a-z 0-9 _ -", "必须为 1 到 64 个字符，只含 A-Z a-z 0-9 _ -")
	}
	if n.JWTSecret == "" {
		n.JWTSecret = NewSecret()
	}
	if len(n.JWTSecret) < minJWTSecret || len(n.JWTSecret) > 512 {
		return Pool{}, "", Invalid("jwtSecret", "must be 32 to 512 bytes", "必须为 32 到 512 字节")
	}
	if err := n.Validate(); err != nil {
		return Pool{}, "", err
	}
	now := s.now()
	kept, secret := newPoolSecret(now)
	p := Pool{ID: n.ID, Settings: n.Settings, JWTSecret: n.JWTSecret, Secrets: []PoolSecret{kept}, CreatedAt: now, UpdatedAt: now}
	if err := s.sendable(p); err != nil {
		return Pool{}, "", err
	}
	made := audit.Event{At: now, Type: audit.PoolCreated, PoolID: p.ID, By: audit.By(ctx)}
	if err := s.store.CreatePool(ctx, p, made); err != nil {
		return Pool{}, "", err
	}
	return p, secret, nil
}

func newPoolSecret(now time.Time) (PoolSecret, Secret) {
	secret := NewSecret()
	return PoolSecret{ID: NewID(now), Hash: sha256.Sum256([]byte(secret)), CreatedAt: now}, secret
}

// UpdatePool changes the pool's settings; they are in force when it returns. An
// error of change is returned as it is, a setting that cannot be is an
// *InvalidError; either changes nothing.
func (s *Service) UpdatePool(ctx context.Context, id string, change func(*Settings) error) (Pool, error) {
	return s.updatePool(ctx, id, func(p *Pool) (e audit.Event, err error) {
		old := p.Settings
		// change may write to them
		old.AllowedApps, old.BindWays, old.LoginWays = slices.Clone(old.AllowedApps), slices.Clone(old.BindWays), slices.Clone(old.LoginWays)
		if err := change(&p.Settings); err != nil {
			return e, err
		}
		if changed := old.changed(p.Settings); len(changed) > 0 {
			e = audit.Event{Type: audit.PoolChanged, Detail: map[string]string{audit.Settings: strings.Join(changed, ",")}}
		}
		if err := p.Validate(); err != nil {
			return e, err
		}
		if slices.Equal(old.BindWays, p.BindWays) && old.SMS == p.SMS && old.Email == p.Email {
			return e, nil // whatever has become of the senders since
		}
		return e, s.sendable(*p)
	})
}

// AddSecret gives the pool a second live secret, which is returned and cannot
// be had again. It returns ErrSecretLimit if there are MaxSecrets already.
func (s *Service) AddSecret(ctx context.Context, poolID string) (PoolSecret, Secret, error) {
	kept, secret := newPoolSecret(s.now())
	_, err := s.updatePool(ctx, poolID, func(p *Pool) (audit.Event, error) {
		if len(p.Secrets) >= MaxSecrets {
			return audit.Event{}, ErrSecretLimit
		}
		p.Secrets = append(p.Secrets, kept)
		return audit.Event{Type: audit.SecretAdded, Detail: map[string]string{audit.SecretID: kept.ID}}, nil
	})
	return kept, secret, err
}

// DeleteSecret ends a live secret, or returns ErrSecretNotFound.
func (s *Service) DeleteSecret(ctx context.Context, poolID, secretID string) error {
	_, err := s.updatePool(ctx, poolID, func(p *Pool) (audit.Event, error) {
		kept := make([]PoolSecret, 0, len(p.Secrets))
		for _, live := range p.Secrets {
			if live.ID != secretID {
				kept = append(kept, live)
			}
		}
		if len(kept) == len(p.Secrets) {
			return audit.Event{}, ErrSecretNotFound
		}
		p.Secrets = kept
		return audit.Event{Type: audit.SecretDeleted, Detail: map[string]string{audit.SecretID: secretID}}, nil
	})
	return err
}

// updatePool changes a pool. Of the event change says what happened; the rest is
// filled in here.
func (s *Service) updatePool(ctx context.Context, id string, change func(*Pool) (audit.Event, error)) (Pool, error) {
	if !ValidID(id) {
		return Pool{}, ErrPoolNotFound
	}
	now := s.now()
	p, err := s.store.UpdatePool(ctx, id, func(p *Pool) (audit.Event, error) {
		p.UpdatedAt = now
		e, err := change(p)
		e.At, e.PoolID, e.By = now, id, audit.By(ctx)
		return e, err
	})
	if err != nil {
		return Pool{}, err
	}
	p.Secrets = s.withUses(p.Secrets)
	return p, nil
}

// Authenticate checks the pool secret that a caller shows, "" for none. It
// returns ErrSecretRequired if the pool demands one, and ErrSecretWrong for a
// wrong one even where it is optional. proved tells that the caller showed a
// right one.
func (s *Service) Authenticate(pool Pool, secret string) (proved bool, err error) {
	if secret == "" {
		if pool.SecretOptional {
			return false, nil
		}
		return false, ErrSecretRequired
	}
	i := match(pool.Secrets, secret)
	if i < 0 {
		return false, ErrSecretWrong
	}
	s.noteUse(pool.ID, pool.Secrets[i].ID)
	return true, nil
}

// Prove returns the id of the pool's secret that a caller shows, where only a
// secret will do: ErrSecretRequired for none, ErrSecretWrong for a wrong one.
func (s *Service) Prove(pool Pool, secret string) (secretID string, err error) {
	if secret == "" {
		return "", ErrSecretRequired
	}
	i := match(pool.Secrets, secret)
	if i < 0 {
		return "", ErrSecretWrong
	}
	s.noteUse(pool.ID, pool.Secrets[i].ID)
	return pool.Secrets[i].ID, nil
}

func (s *Service) noteUse(poolID, secretID string) {
	now := s.now().UnixMilli()
	u, ok := s.uses.Load(secretID)
	if !ok {
		first := &secretUse{poolID: poolID}
		first.last.Store(now) // before others see it
		u, _ = s.uses.LoadOrStore(secretID, first)
	}
	u.(*secretUse).last.Store(now)
}

// withUses returns the secrets with the last use that this process knows.
func (s *Service) withUses(live []PoolSecret) []PoolSecret {
	out := make([]PoolSecret, len(live))
	for i, k := range live {
		if u, ok := s.uses.Load(k.ID); ok {
			if last := time.UnixMilli(u.(*secretUse).last.Load()).UTC(); last.After(k.LastUsedAt) {
				k.LastUsedAt = last
			}
		}
		out[i] = k
	}
	return out
}

// PoolWithUses returns the pool with its secrets' last use as known here.
func (s *Service) PoolWithUses(ctx context.Context, id string) (Pool, error) {
	if !ValidID(id) {
		return Pool{}, ErrPoolNotFound
	}
	p, err := s.store.Pool(ctx, id)
	p.Secrets = s.withUses(p.Secrets)
	return p, err
}

// FlushSecretUses hands the store the last use of every secret used since the
// previous flush. It is called every few seconds and at the end: a redemption
// itself writes nothing about the secret. A pool that fails keeps its secrets'
// uses for the next flush and does not hold up the others.
func (s *Service) FlushSecretUses(ctx context.Context) error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	used := map[string]map[string]time.Time{}
	s.uses.Range(func(id, v any) bool {
		u := v.(*secretUse)
		if last := u.last.Load(); last > u.flushed {
			if used[u.poolID] == nil {
				used[u.poolID] = map[string]time.Time{}
			}
			used[u.poolID][id.(string)] = time.UnixMilli(last).UTC()
		}
		return true
	})
	var failed []error
	for poolID, times := range used {
		if err := s.store.TouchSecrets(ctx, poolID, times); err != nil {
			failed = append(failed, fmt.Errorf("pool %s: %w", poolID, err))
			continue
		}
		for id, t := range times {
			u, _ := s.uses.Load(id)
			u.(*secretUse).flushed = t.UnixMilli()
		}
	}
	return errors.Join(failed...)
}

// User returns the pool's user, or ErrUserNotFound, or ErrPoolNotFound.
func (s *Service) User(ctx context.Context, poolID, id string) (User, error) {
	if !ValidID(poolID) || !ValidID(id) {
		return User{}, s.whichMissing(ctx, poolID, ErrUserNotFound)
	}
	u, err := s.store.User(ctx, poolID, id)
	return u, s.whichMissing(ctx, poolID, err)
}

// UserByName returns the pool's user with that username, or ErrUserNotFound.
func (s *Service) UserByName(ctx context.Context, poolID, name string) (User, error) {
	if !ValidID(poolID) || !validUsername(name) {
		return User{}, ErrUserNotFound
	}
	m, err := s.store.FindUsers(ctx, poolID, Keys{Username: name})
	if err != nil {
		return User{}, err
	}
	if m.ByUsername == nil {
		return User{}, ErrUserNotFound
	}
	return *m.ByUsername, nil
}

// whichMissing turns the error of a user who is not there into that of the pool,
// if it is the pool that is not there.
func (s *Service) whichMissing(ctx context.Context, poolID string, err error) error {
	if errors.Is(err, ErrUserNotFound) {
		if _, noPool := s.Pool(ctx, poolID); noPool != nil {
			return noPool
		}
	}
	return err
}

// SetBlocked blocks a user or lets them in again. Blocking ends the user's live
// tickets and tokens for good; a later unblocking does not bring them back.
func (s *Service) SetBlocked(ctx context.Context, poolID, id string, blocked bool) (User, error) {
	event := audit.UserUnblocked
	if blocked {
		event = audit.UserBlocked
	}
	return s.updateUser(ctx, poolID, id, event, func(u *User, now time.Time) {
		u.Blocked = blocked
		if blocked {
			u.endSessions(now)
		}
	})
}

// SignOut ends every live ticket and token of the user.
func (s *Service) SignOut(ctx context.Context, poolID, id string) (User, error) {
	return s.updateUser(ctx, poolID, id, audit.UserSignedOut, (*User).endSessions)
}

// endSessions voids what was issued up to now. It never takes back an earlier
// call that came later: the clock may have been set back, or calls may overtake
// each other.
func (u *User) endSessions(now time.Time) {
	if now.After(u.NotBefore) {
		u.NotBefore = now
	}
}

func (s *Service) updateUser(ctx context.Context, poolID, id string, event audit.Type, change func(*User, time.Time)) (User, error) {
	if !ValidID(poolID) || !ValidID(id) {
		return User{}, s.whichMissing(ctx, poolID, ErrUserNotFound)
	}
	now := s.now()
	u, err := s.store.UpdateUser(ctx, poolID, id, func(u *User) (audit.Event, error) {
		u.UpdatedAt = now
		change(u, now)
		return audit.Event{At: now, Type: event, PoolID: poolID, UserID: id, By: audit.By(ctx)}, nil
	})
	return u, s.whichMissing(ctx, poolID, err)
}
