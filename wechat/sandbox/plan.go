package sandbox

import (
	"encoding/json"
	"fmt"
	"strings"
)

// plan is what Fail said of one call.
type plan struct {
	failure Failure
	left    int // calls; negative for all
}

// Fail makes the next n calls of this kind fail, all of them if n is negative,
// none any more if n is 0. It takes the place of what was said before. Api is
// Login, Token or Phone; Fail panics if it is not, or if f is not Valid.
func (s *Server) Fail(api string, f Failure, n int) {
	if !isAPI(api) || !f.Valid() {
		panic(fmt.Sprintf("sandbox: Fail(%q, %q): want one of %s, %s, %s and one of %s", api, f, Login, Token, Phone, Vocabulary))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n == 0 {
		delete(s.plans, api)
		return
	}
	s.plans[api] = plan{f, n}
}

func isAPI(api string) bool { return api == Login || api == Token || api == Phone }

// takePlan returns the failure that Fail planned for this call, "" if none.
func (s *Server) takePlan(api string) Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, planned := s.plans[api]
	if !planned {
		return ""
	}
	switch p.left--; {
	case p.left == 0:
		delete(s.plans, api)
	case p.left > 0:
		s.plans[api] = p
	}
	return p.failure
}

// takeTrigger returns the failure that the name of the code's user asks for, ""
// if none. A name is
//
//	[login:|phone:|token:]failure[@anything]
//
// With login: or phone: only that call fails, without both do. With token: the
// first showing of the phone code finds a killed access token, and the next
// stable_token fails. Killing is done once a code, so that a second try works.
func (s *Server) takeTrigger(api string, c call) (f Failure) {
	text := c.query.Get("js_code")
	if api == Phone {
		var req struct{ Code string }
		json.Unmarshal(c.body, &req) // no JSON, no code
		text = req.Code
	}
	if api == Token || text == "" {
		return ""
	}
	var next Failure
	s.codes.with(text, func(k *code) {
		target, name := "", k.user
		for _, t := range []string{"login", "phone", "token"} {
			if rest, found := strings.CutPrefix(name, t+":"); found {
				target, name = t, rest
			}
		}
		name, _, _ = strings.Cut(name, "@")
		wanted := Failure(name)
		if _, raw := wanted.raw(); raw || !wanted.Valid() || k.kind != api {
			return
		}
		switch {
		case target == "token":
			next, wanted = wanted, KillTokenFirst
			if api != Phone {
				return
			}
		case target == "login" && api != Login, target == "phone" && api != Phone:
			return
		}
		if wanted == KillTokenFirst {
			if k.triggered {
				next = ""
				return
			}
			k.triggered = true
		}
		f = wanted
	})
	if f == KillTokenFirst && next != "" {
		s.Fail(Token, next, 1)
	}
	return f
}
