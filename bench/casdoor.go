//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"sync"

	"github.com/golang-jwt/jwt/v5"

	"app2wxapp/audit"
	"app2wxapp/store"
	"app2wxapp/token"
	"app2wxapp/userpool"
	"app2wxapp/wechat/sandbox"
)

// issueRoute names the issue route as a rival.
const issueRoute = "issue"

// newCasdoor returns the trial of mini programs that sign in at Casdoor's token
// endpoint, every user for another time, against the issue route in the same
// rounds. The pool's tokens are signed with alg.
func newCasdoor(w *world, alg string) (*trial, error) {
	if err := w.name(alg); err != nil {
		return nil, err
	}
	t := &trial{
		what: "casdoor", world: w, path: "/v1/iam/oauth/token",
		body:   `{"tag":"wechat_miniprogram","client_id":"` + w.pool.ID + `","code":"%s"}`,
		marked: `"access_token":"`,
		check:  checkSignedIn, counter: `app2wxapp_http_request_duration_seconds_count{method="POST",route="/v1/iam/oauth/token",status="200"}`,
	}
	t.mint = func(n int) (shots, error) { return newShots(t.path, t.body, w.codes(n)), nil }
	t.rivals = []rival{w.issuing(issueRoute)}
	return t, nil
}

// name gives every user the name that a sign-in of this dialect would, and the
// pool its algorithm.
func (w *world) name(alg string) error {
	return openStore(w.path, now, func(st store.Store) (err error) {
		w.pool, err = st.UpdatePool(context.Background(), w.pool.ID, func(p *userpool.Pool) (audit.Event, error) {
			p.TokenAlg = alg
			return audit.Event{}, p.Validate()
		})
		if err != nil {
			return err
		}
		return each(seeders, w.users, func(i int) error {
			return patiently(func() error {
				_, err := st.UpdateUser(context.Background(), w.pool.ID, userID(i), func(u *userpool.User) (audit.Event, error) {
					u.Username = "wechat-" + sandbox.OpenID(appID, strconv.Itoa(i))
					return audit.Event{}, nil
				})
				return err
			})
		})
	})
}

// checkSignedIn verifies every token with the keys that the server publishes,
// looks for tokens given twice, and shows some codes again, which must be
// refused.
func checkSignedIn(p *process, o outcome) error {
	keys, err := publishedKeys(p.Public)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	seen := map[string]bool{}
	if err := each(runtime.NumCPU(), len(o.tickets), func(i int) error {
		var claims jwt.RegisteredClaims
		_, err := jwt.ParseWithClaims(string(o.tickets[i]), &claims, func(t *jwt.Token) (any, error) { return keys[t.Header["kid"]], nil },
			jwt.WithValidMethods([]string{"RS256", "ES256", "EdDSA"}))
		if err != nil {
			return fmt.Errorf("token %d: %w", i, err)
		}
		mu.Lock()
		defer mu.Unlock()
		if seen[claims.ID] {
			return fmt.Errorf("jti %s was given twice", claims.ID)
		}
		seen[claims.ID] = true
		return nil
	}); err != nil {
		return err
	}
	return replay(p, o.shots, "invalid_grant")
}

// publishedKeys returns the keys of the JWKS by their id.
func publishedKeys(addr string) (map[any]any, error) {
	r, err := http.Get("http://" + addr + "/v1/iam/.well-known/jwks")
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	var set token.Set
	if err := json.NewDecoder(r.Body).Decode(&set); err != nil {
		return nil, err
	}
	keys := map[any]any{}
	for _, k := range set.Keys {
		if keys[k.KeyID], err = k.PublicKey(); err != nil {
			return nil, err
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the server publishes no keys")
	}
	return keys, nil
}

// textAfter returns what stands between a mark and the next quote, nil if the
// mark is not there.
func textAfter(mark string, body []byte) []byte {
	_, rest, ok := bytes.Cut(body, []byte(mark))
	if !ok {
		return nil
	}
	text, _, _ := bytes.Cut(rest, []byte(`"`))
	return bytes.Clone(text)
}
