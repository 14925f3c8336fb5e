package casdoor

import "strings"

// base is where the canonical URLs are.
const base = "/v1/iam"

// roots are the prefixes of Casdoor, of Hanzo IAM, and of Hanzo's legacy names.
var roots = []string{"/api/iam", "/api", base}

// grants are the names below …/oauth/, each with the one it stands for.
var grants = map[string]string{
	"token": "token", "access_token": "token",
	"refresh": "refresh", "refresh_token": "refresh",
	"introspect": "introspect", "revoke": "revoke", "userinfo": "userinfo",
}

// Canonical returns the URL path that this one is another name of, or the path
// itself: what Hanzo IAM's path filters map onto each other, of all its
// generations, and Casdoor's own paths. A prefix matches before a slash only.
//
//	/oauth/X, /login/oauth/X, also below /v1/iam, /api/iam and /api  →  /v1/iam/oauth/X
//	/api/X, /api/iam/X                                               →  /v1/iam/X
//	/.well-known/jwks, /.well-known/{application}/X                   →  /v1/iam/.well-known/…
//
// The rest of /oauth/ and of /.well-known/ is not this dialect's.
func Canonical(path string) string {
	if len(path) < 5 || path[0] != '/' || !strings.ContainsRune("avlo.", rune(path[1])) {
		return path // most are none
	}
	rest, rooted := path, false
	for _, root := range roots {
		if tail, ok := strings.CutPrefix(path, root); ok && strings.HasPrefix(tail, "/") {
			rest, rooted = tail, true
			break
		}
	}
	if name, ok := strings.CutPrefix(rest, "/login/oauth/"); ok {
		return grant(path, name)
	}
	if name, ok := strings.CutPrefix(rest, "/oauth/"); ok {
		if rooted || name == "access_token" || name == "refresh" || name == "refresh_token" {
			return grant(path, name)
		}
		return path
	}
	if known, ok := strings.CutPrefix(rest, "/.well-known/"); ok {
		if rooted || known == "jwks" || strings.Contains(known, "/") {
			return base + rest
		}
		return path
	}
	if !rooted {
		return path
	}
	switch rest {
	case "/userinfo":
		return base + "/oauth/userinfo"
	case "/get-account", "/update-user":
		return base + rest
	}
	return path
}

func grant(path, name string) string {
	if to, ok := grants[name]; ok {
		return base + "/oauth/" + to
	}
	return path
}
