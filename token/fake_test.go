package token_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"app2wxapp/token"
	"app2wxapp/userpool"
)

// fakeStore is a token.Store and token.Users of maps. The method named by errIn,
// every one if that is empty, returns err.
type fakeStore struct {
	mu        sync.Mutex
	err       error
	errIn     string
	keys      []token.Key
	added     int    // calls of AddFirstSigningKey
	beforeAdd func() // another process, in the middle of one
	revoked   map[string]time.Time
	pools     map[string]userpool.Pool
	users     map[[2]string]userpool.User
	sessions  map[string]token.Session
}

// fail returns err if the method is to fail, else otherwise.
func (f *fakeStore) fail(method string, otherwise error) error {
	if f.err != nil && (f.errIn == "" || f.errIn == method) {
		return f.err
	}
	return otherwise
}

func (f *fakeStore) SigningKeys(context.Context) ([]token.Key, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.keys), f.fail("SigningKeys", nil)
}

func (f *fakeStore) AddFirstSigningKey(ctx context.Context, k token.Key) (token.Key, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.added++
	if f.beforeAdd != nil {
		f.beforeAdd()
	}
	if i := slices.IndexFunc(f.keys, func(have token.Key) bool { return have.Alg == k.Alg }); i >= 0 {
		return f.keys[i], nil
	}
	if ctx.Err() != nil {
		return token.Key{}, ctx.Err()
	}
	f.keys = append(f.keys, k)
	return k, f.fail("AddFirstSigningKey", nil)
}

func (f *fakeStore) TokenRevoked(_ context.Context, jti string, expiresAt time.Time) (bool, error) {
	end, ok := f.revoked[jti]
	return ok && end.Equal(expiresAt), f.fail("TokenRevoked", nil)
}

func (f *fakeStore) RevokeToken(_ context.Context, jti string, expiresAt time.Time) error {
	f.revoked[jti] = expiresAt
	return f.fail("RevokeToken", nil)
}

func (f *fakeStore) CreateSession(_ context.Context, s token.Session) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if there, ok := f.sessions[s.ID]; ok && (there.Ended || there.Refresh != s.Refresh) {
		return token.ErrSession
	} else if !ok {
		f.sessions[s.ID] = s
	}
	return f.fail("CreateSession", nil)
}

func (f *fakeStore) Session(_ context.Context, id string) (token.Session, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s, ok := f.sessions[id]; ok {
		return s, f.fail("Session", nil)
	}
	return token.Session{}, f.fail("Session", token.ErrSession)
}

func (f *fakeStore) RotateSession(_ context.Context, r token.Rotation) (token.Session, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.sessions[r.SessionID]
	if !ok {
		return token.Session{}, token.ErrSession
	}
	u := f.users[[2]string{s.PoolID, s.UserID}]
	err := s.Judge(r, u.Blocked, u.NotBefore)
	switch {
	case err == nil:
		s = s.Rotated(r)
	case errors.Is(err, token.ErrReused):
		s.Ended = true
	}
	f.sessions[s.ID] = s
	return s, f.fail("RotateSession", err)
}

func (f *fakeStore) EndSession(_ context.Context, poolID, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s, ok := f.sessions[id]; ok && s.PoolID == poolID {
		s.Ended = true
		f.sessions[id] = s
	}
	return f.fail("EndSession", nil)
}

func (f *fakeStore) Pool(_ context.Context, id string) (userpool.Pool, error) {
	if p, ok := f.pools[id]; ok {
		return p, f.fail("Pool", nil)
	}
	return userpool.Pool{}, f.fail("Pool", userpool.ErrPoolNotFound)
}

func (f *fakeStore) User(_ context.Context, poolID, id string) (userpool.User, error) {
	if u, ok := f.users[[2]string{poolID, id}]; ok {
		return u, f.fail("User", nil)
	}
	return userpool.User{}, f.fail("User", userpool.ErrUserNotFound)
}
