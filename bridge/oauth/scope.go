package oauth

import (
	"errors"
	"slices"
	"strings"
)

// The scopes. Others are not understood and not granted.
const (
	scopeOpenID  = "openid"  // an id_token, and userinfo
	scopeProfile = "profile" // nickname and the like
	scopePhone   = "phone"
)

var scopes = []string{scopeOpenID, scopeProfile, scopePhone}

const maxScope = 512 // bytes

var (
	errScope     = errors.New("oauth: the scope is malformed")
	errScopeMore = errors.New("oauth: the scope is more than was granted")
)

// grantable returns the scope that a client gets who asks for this one: what is
// understood, each once, in our order; errScope for what RFC 6749 §3.3 does not
// let be a scope. No scope is asked for by "".
func grantable(asked string) (string, error) {
	if asked == "" {
		return "", nil
	}
	if len(asked) > maxScope {
		return "", errScope
	}
	names := strings.Split(asked, " ")
	for _, name := range names {
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
			return "", errScope
		}
	}
	var granted []string
	for _, s := range scopes {
		if slices.Contains(names, s) {
			granted = append(granted, s)
		}
	}
	return strings.Join(granted, " "), nil
}

// narrowed returns the scope of an access token of a session with the granted
// one, if its client asks for this one: all that was granted for "", else not
// more than that.
func narrowed(granted, asked string) (string, error) {
	if asked == "" {
		return granted, nil
	}
	if _, err := grantable(asked); err != nil {
		return "", err
	}
	for _, name := range strings.Split(asked, " ") {
		if !has(granted, name) {
			return "", errScopeMore
		}
	}
	return grantable(asked)
}

// has tells whether the scope has the name.
func has(scope, name string) bool { return slices.Contains(strings.Fields(scope), name) }
