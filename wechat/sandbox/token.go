package sandbox

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	tokenLife = 7200 * time.Second
	// tokenOverlap is the end of a token's life in which stable_token already
	// gives the next one; both are accepted.
	tokenOverlap = 300 * time.Second

	// Of force_refresh. What happens beyond the day's limit is inferred.
	forcePause  = 30 * time.Second
	forcePerDay = 20
)

// accessToken is an access token and its end. The zero value is none.
type accessToken struct {
	text    string
	expires time.Time
}

// valid tells whether the token is one and not over.
func (t accessToken) valid(now time.Time) bool { return t.text != "" && now.Before(t.expires) }

// stableToken answers stable_token.
//
// WeChat's page: api_getstableaccesstoken.
func (s *Server) stableToken(c call) answer {
	no := func(code int, msg string) answer { return refuse(Token, c.now, code, msg) }

	if c.method != http.MethodPost {
		return no(43002, "require POST method")
	}
	if len(c.body) == 0 {
		return no(44002, "empty post data")
	}
	var req struct {
		GrantType    string `json:"grant_type"`
		AppID        string `json:"appid"`
		Secret       string `json:"secret"`
		ForceRefresh bool   `json:"force_refresh"`
	}
	if json.Unmarshal(c.body, &req) != nil {
		return no(47001, "data format error")
	}
	if req.GrantType != "client_credential" {
		return no(40002, "invalid grant_type")
	}
	if req.AppID == "" {
		return no(41002, "appid missing")
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.apps[req.AppID]
	switch {
	case a == nil:
		return no(40013, "invalid appid")
	case req.Secret == "":
		return no(41004, "appsecret missing")
	case req.Secret != a.Secret:
		return no(40125, "invalid appsecret, view more at http://t.cn/RAEkdVq")
	case len(a.AllowedIPs) > 0 && !slices.Contains(a.AllowedIPs, c.remote):
		ip := c.remote.String()
		return no(40164, "invalid ip "+ip+" ipv6 ::ffff:"+ip+", not in whitelist")
	}
	if req.ForceRefresh {
		if over := s.force(a, c.now); over {
			return no(45009, "reach max api daily quota limit")
		}
	}
	if a.current.expires.Sub(c.now) <= tokenOverlap {
		s.renew(a, c.now, a.current)
	}
	return ok(struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
	}{a.current.text, int64(a.current.expires.Sub(c.now) / time.Second)})
}

// force replaces the token and kills the old one, except within forcePause of
// the last time, when it does nothing. It tells whether the day's limit is
// over. It is called with s.mu held.
func (s *Server) force(a *app, now time.Time) (over bool) {
	a.forced = slices.DeleteFunc(a.forced, func(t time.Time) bool { return now.Sub(t) >= 24*time.Hour })
	if n := len(a.forced); n > 0 && now.Sub(a.forced[n-1]) < forcePause {
		return false
	}
	if len(a.forced) >= forcePerDay {
		return true
	}
	a.forced = append(a.forced, now)
	s.renew(a, now, accessToken{})
	return false
}

// renew gives the app a new token and leaves it one old one, which may be none.
// It is called with s.mu held.
func (s *Server) renew(a *app, now time.Time, old accessToken) {
	for _, t := range []accessToken{a.current, a.previous} {
		if t.text != old.text {
			delete(s.tokenOf, t.text)
		}
	}
	text := "91_" + rand.Text() + rand.Text()
	if s.cfg.LongTokens {
		text = (text + strings.Repeat(rand.Text(), 20))[:512]
	}
	a.previous, a.current = old, accessToken{text, now.Add(tokenLife)}
	s.tokenOf[text] = a.ID
}

// KillToken gives the mini program a new access token and voids those that it
// had at once, as when another party calls stable_token with force_refresh.
func (s *Server) KillToken(appID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.apps[appID]; a != nil {
		s.renew(a, s.cfg.Now(), accessToken{})
	}
}

// killToken is KillToken for the app that holds this token. An unknown token
// kills nothing.
func (s *Server) killToken(text string) {
	s.mu.Lock()
	appID := s.tokenOf[text]
	s.mu.Unlock()
	s.KillToken(appID)
}

// tokenOwner returns the AppID of an access token, or the errcode that WeChat
// has for it.
func (s *Server) tokenOwner(text string, now time.Time) (appID string, errcode int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if text == "" {
		return "", 41001
	}
	a := s.apps[s.tokenOf[text]]
	if a == nil {
		return "", 40001
	}
	for _, t := range []accessToken{a.current, a.previous} {
		if t.text == text && t.valid(now) {
			return a.ID, 0
		}
	}
	return "", 42001
}
