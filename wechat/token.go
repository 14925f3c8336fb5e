package wechat

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"app2wxapp/userpool"
)

const (
	// maxTokenLife is the longest expires_in that WeChat documents.
	maxTokenLife = 7200 * time.Second
	// tokenMargin is how long before its end a token is not used any more.
	// WeChat replaces a token in its last 300 s and never reports less than
	// that: 290 s leaves a token of 300 s a life.
	tokenMargin  = 290 * time.Second
	minTokenLife = 10 * time.Second
	// tokenSpread is how much longer processes use a token, each a random part of
	// it, so that not all ask for the next one in the same moment. The old one is
	// accepted until its own end.
	tokenSpread = 60 * time.Second
	// confirmedFor is how long a token is not asked for again that WeChat rejected
	// and then gave once more: otherwise each sign-in would ask.
	confirmedFor = time.Second

	// tokenBackoff is the pause before stable_token is repeated.
	tokenBackoff = 50 * time.Millisecond
)

// tokens keeps the access token of each mini program. Every process may have
// its own: stable_token gives all of them the same token. The zero value is
// ready for use.
type tokens struct {
	mu    sync.Mutex
	byApp map[string]*tokenEntry // by AppID
}

// tokenEntry belongs to one AppSecret: who shows another one gets another
// entry, and never a token that a right secret earned.
type tokenEntry struct {
	secret  userpool.Secret
	token   string // "" if there is none
	expires time.Time
	refresh *refresh // nil if none is in flight

	rejected  string    // the token that was dropped last
	confirmed time.Time // when that was given again
}

// refresh is one fetching of a token that any number of callers wait for.
type refresh struct {
	done  chan struct{} // closed when token and err are set
	token string
	err   error
}

// token returns an access token, from the cache while it lives. All callers
// that need a new one at the same time share one refresh. It does not end with
// the context of the caller who began it, so that this one cannot fail the
// others.
func (c *Client) token(ctx context.Context, app userpool.App) (string, error) {
	t := &c.tokens
	t.mu.Lock()
	e := t.byApp[app.ID]
	if e == nil || e.secret != app.Secret {
		e = &tokenEntry{secret: app.Secret}
		if t.byApp == nil {
			t.byApp = make(map[string]*tokenEntry)
		}
		t.byApp[app.ID] = e
	}
	if e.token != "" && c.now().Before(e.expires) {
		defer t.mu.Unlock()
		return e.token, nil
	}
	r := e.refresh
	if r == nil {
		r = &refresh{done: make(chan struct{})}
		e.refresh = r
		go c.refreshToken(app, e, r)
	}
	t.mu.Unlock()

	select {
	case <-r.done:
		return r.token, r.err
	case <-ctx.Done():
		return "", unavailable(StableToken, ctx.Err())
	}
}

// refreshToken fetches a token, keeps it in the entry and tells who waits. It
// takes the Client's timeout at most, both tries together.
func (c *Client) refreshToken(app userpool.App, e *tokenEntry, r *refresh) {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()

	asked := c.now()
	a, err := c.fetchToken(ctx, app)
	if err != nil && !isRefusal(err) && ctx.Err() == nil {
		// In its normal mode stable_token is safe to repeat.
		select {
		case <-time.After(tokenBackoff):
			asked = c.now()
			a, err = c.fetchToken(ctx, app)
		case <-ctx.Done():
		}
	}
	r.token, r.err = a.Token, err

	c.tokens.mu.Lock()
	e.refresh = nil
	if err == nil {
		e.token, e.expires = a.Token, asked.Add(a.life()+rand.N(tokenSpread)) // #nosec G404 -- no secret
		if a.Token == e.rejected {
			e.confirmed = asked
		}
	}
	c.tokens.mu.Unlock()
	close(r.done)
}

// dropToken forgets the app's token if it still is the rejected one, and was not
// given again just now. Another caller may have replaced it.
func (c *Client) dropToken(app userpool.App, rejected string) {
	c.tokens.mu.Lock()
	defer c.tokens.mu.Unlock()
	e := c.tokens.byApp[app.ID]
	if e == nil || e.token != rejected || e.rejected == rejected && c.now().Sub(e.confirmed) < confirmedFor {
		return
	}
	e.token, e.rejected = "", rejected

}

// accessToken is WeChat's answer to stable_token.
type accessToken struct {
	status
	Token     string `json:"access_token"`
	ExpiresIn int64  `json:"expires_in"` // seconds
}

// life returns how long after it was asked for the token can be used at least.
func (a accessToken) life() time.Duration {
	seconds := min(max(a.ExpiresIn, 0), int64(maxTokenLife/time.Second))
	return max(time.Duration(seconds)*time.Second-tokenMargin, minTokenLife)
}

// fetchToken asks for the app's token, once. It never asks to replace a living
// one (force_refresh): WeChat allows 20 of those a day, and each of them kills
// the token of every other process.
//
// WeChat's page: api_getstableaccesstoken.
func (c *Client) fetchToken(ctx context.Context, app userpool.App) (accessToken, error) {
	return do(ctx, c, request{
		api:    StableToken,
		app:    app.ID,
		method: http.MethodPost,
		path:   "/cgi-bin/stable_token",
		body: struct {
			GrantType    string `json:"grant_type"`
			AppID        string `json:"appid"`
			Secret       string `json:"secret"`
			ForceRefresh bool   `json:"force_refresh"`
		}{"client_credential", app.ID, string(app.Secret), false},
		hide: []string{string(app.Secret)},
	}, func(a accessToken) error {
		if a.Token == "" {
			return garbage("no access_token")
		}
		return nil
	})
}

// isRefusal tells whether WeChat answered, by errcode.
func isRefusal(err error) bool {
	var e *Error
	return errors.As(err, &e)
}
