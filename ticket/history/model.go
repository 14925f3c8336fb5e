package history

import "github.com/anishathalye/porcupine"

// state is a ticket on paper, with what matters of its user.
type state struct {
	issued, ends int64 // 0 before its issue
	redeemed     bool
	key          string
	// token, at and count are what the first redemption gave: empty as long as
	// no answer has told.
	token     string
	at        int64
	count     uint64
	revoked   bool
	blocked   bool
	notBefore int64
}

// model is a ticket as package ticket's comments promise it, of a pool that
// revokes on replay. Of what the program may do it is the only account here:
// it knows nothing of how.
var model = porcupine.NondeterministicModel{
	Init: func() []any { return []any{state{}} },
	Step: func(s, in, out any) []any { return s.(state).step(in.(Op), out.(Out)) },
}

// step returns the states that there may be after the operation: none if it
// cannot be answered so.
func (s state) step(op Op, out Out) []any {
	switch op.Verb {
	case Issue:
		if s.issued != 0 {
			return nil
		}
		s.issued, s.ends = out.At, out.Ends
		return []any{s}
	case Redeem:
		return s.redeem(op, out)
	case CheckToken:
		return s.checkToken(out)
	case Block, SignOut:
		at := out.At
		if out.Result == Unknown {
			at = op.To
		}
		s.notBefore = max(s.notBefore, at) // who is signed out stays so
		s.blocked = s.blocked || op.Verb == Block
		return []any{s}
	case Unblock:
		s.blocked = false
		return []any{s}
	}
	panic("no such verb: " + op.Verb)
}

// redeem follows both ways where the ticket may have ended under way.
func (s state) redeem(op Op, out Out) (after []any) {
	if s.issued == 0 {
		return nil
	}
	try := func(expired bool) {
		next, want := s.judge(op, expired)
		switch {
		case out.Result == Unknown:
		case !fits(out.Result, want):
			return
		case out.Told && out.Revoked == s.revoked:
			return // one replay revokes, and only one
		case want == First || want == Again:
			if next.count == 0 && next.at == 0 && next.token == "" {
				next.token, next.at, next.count = out.Token, out.At, out.Count
			}
			if next.token != out.Token || next.at != out.At || next.count != out.Count || out.At >= s.ends {
				return
			}
		}
		after = append(after, next)
	}
	if op.From < s.ends {
		try(false)
	}
	if op.To >= s.ends || out.Result == Unknown {
		try(true)
	}
	return after
}

// judge says what must come of an attempt.
func (s state) judge(op Op, expired bool) (state, Result) {
	repeat := s.redeemed && !expired && op.Key != "" && op.Key == s.key
	switch {
	case s.redeemed && !repeat:
		s.revoked = true
		return s, Redeemed
	case expired:
		return s, Expired
	case s.blocked:
		return s, Blocked
	case s.issued <= s.notBefore:
		return s, Void
	case repeat:
		return s, Again
	}
	s.redeemed, s.key = true, op.Key
	return s, First
}

func fits(got, want Result) bool {
	switch got {
	case OK:
		return want == First || want == Again
	case Refused:
		return want == Redeemed || want == Expired || want == Void
	}
	return got == want
}

// checkToken passes over one thing: that a token is good while its user is
// blocked. Deny-list and user are read one after the other, and between them a
// user may be let in again.
func (s state) checkToken(out Out) []any {
	if !s.redeemed {
		return nil
	}
	switch bad := s.revoked || s.at <= s.notBefore; {
	case out.Result == Valid && bad, out.Result == Invalid && !bad && !s.blocked:
		return nil
	}
	return []any{s}
}
