package history

import "testing"

// A history that a ticket cannot have is refused, one that it can have is not:
// the checker would notice.
func TestCheck(t *testing.T) {
	type note struct {
		op       Op
		out      Out
		from, to int64
	}
	const life = 1000
	issue := note{Op{Verb: Issue, User: "u"}, Out{Result: OK, Ticket: "t", At: 10, Ends: 10 + life}, 0, 1}
	redeem := func(from, to, now int64, key string, out Out) note {
		return note{Op{Verb: Redeem, User: "u", Ticket: "t", Key: key, From: now, To: now}, out, from, to}
	}
	success := func(result Result, token string, at int64, count uint64) Out {
		return Out{Result: result, Token: token, At: at, Count: count}
	}
	user := func(verb Verb, from, to, at int64) note {
		return note{Op{Verb: verb, User: "u", From: at, To: at}, Out{Result: OK, At: at}, from, to}
	}
	token := func(from, to int64, result Result) note {
		return note{Op{Verb: CheckToken, User: "u", Ticket: "t"}, Out{Result: result}, from, to}
	}
	first := redeem(2, 3, 20, "k", success(First, "j", 20, 1))
	lost := redeem(2, 3, 20, "k", Out{})
	replay := redeem(4, 5, 30, "", Out{Result: Redeemed, Told: true, Revoked: true})

	for _, row := range []struct {
		name string
		ops  []note
		want bool
	}{
		{"once", []note{issue, first}, true},
		{"twice, one after the other", []note{issue, first, redeem(4, 5, 20, "", success(First, "j2", 20, 2))}, false},
		{"twice at once", []note{issue, first, redeem(2, 3, 20, "", success(First, "j2", 20, 2))}, false},
		{"twice over the wire", []note{issue, first, redeem(4, 5, 20, "l", success(OK, "j", 20, 1))}, false},
		{"refused and redeemed at once", []note{issue, redeem(1, 9, 20, "", Out{Result: Refused}), first}, true},
		{"refused before the first", []note{issue, redeem(2, 3, 20, "", Out{Result: Redeemed}), redeem(4, 5, 20, "", success(First, "j", 20, 1))}, false},
		{"before its issue", []note{redeem(-3, -2, 20, "", success(First, "j", 20, 1)), issue}, false},

		{"again", []note{issue, first, redeem(4, 5, 30, "k", success(Again, "j", 20, 1))}, true},
		{"again, another token", []note{issue, first, redeem(4, 5, 30, "k", success(Again, "j2", 20, 1))}, false},
		{"again, counted again", []note{issue, first, redeem(4, 5, 30, "k", success(Again, "j", 20, 2))}, false},
		{"again, another time", []note{issue, first, redeem(4, 5, 30, "k", success(Again, "j", 30, 1))}, false},
		{"again after the end", []note{issue, first, redeem(4, 5, 10+life, "k", success(Again, "j", 20, 1))}, false},
		{"a repeat refused", []note{issue, first, redeem(4, 5, 30, "k", Out{Result: Redeemed})}, false},
		{"first with the key of an earlier one", []note{issue, first, redeem(4, 5, 30, "k", success(First, "j2", 30, 2))}, false},

		{"a millisecond before the end", []note{issue, redeem(2, 3, 9+life, "", success(First, "j", 9+life, 1))}, true},
		{"at the end", []note{issue, redeem(2, 3, 10+life, "", success(First, "j", 10+life, 1))}, false},
		{"expired early", []note{issue, redeem(2, 3, 9+life, "", Out{Result: Expired})}, false},
		{"expired under way", []note{issue, {Op{Verb: Redeem, User: "u", Ticket: "t", From: 20, To: 10 + life}, Out{Result: Refused}, 2, 3}}, true},

		{"replay", []note{issue, first, replay, token(6, 7, Invalid)}, true},
		{"a replay that revokes nothing", []note{issue, first, replay, token(6, 7, Valid)}, false},
		{"two replays that revoke", []note{issue, first, replay, redeem(4, 5, 30, "", Out{Result: Redeemed, Told: true, Revoked: true})}, false},
		{"revoked without a replay", []note{issue, first, token(6, 7, Invalid)}, false},

		{"lost, and it took effect", []note{issue, lost, redeem(4, 5, 30, "", Out{Result: Redeemed})}, true},
		{"lost, and it did not", []note{issue, lost, redeem(4, 5, 30, "", success(First, "j", 30, 1))}, true},
		{"lost, and it did later", []note{issue, lost, redeem(4, 5, 10+life, "", Out{Result: Expired}), redeem(6, 7, 10+life, "", Out{Result: Redeemed})}, true},
		{"lost, and again", []note{issue, lost, redeem(4, 5, 30, "k", success(Again, "j", 20, 1)), redeem(6, 7, 30, "k", success(Again, "j", 20, 1))}, true},
		{"lost, and again with two tokens", []note{issue, lost, redeem(4, 5, 30, "k", success(Again, "j", 20, 1)), redeem(6, 7, 30, "k", success(Again, "j2", 20, 1))}, false},
		{"lost, and twice", []note{issue, lost, redeem(4, 5, 30, "", success(First, "j", 30, 1)), redeem(6, 7, 30, "k", success(Again, "j", 30, 1))}, false},
		{"lost after the end", []note{issue, redeem(2, 3, 10+life, "k", Out{}), redeem(4, 5, 10+life, "k", Out{Result: Redeemed})}, false},

		{"blocked", []note{issue, user(Block, 2, 3, 15), redeem(4, 5, 20, "", Out{Result: Blocked})}, true},
		{"a blocked user redeems", []note{issue, user(Block, 2, 3, 15), redeem(4, 5, 20, "", success(First, "j", 20, 1))}, false},
		{"blocked at once", []note{issue, user(Block, 2, 9, 15), redeem(4, 5, 20, "", success(First, "j", 20, 1))}, true},
		{"unblocked, the ticket is over", []note{issue, user(Block, 2, 3, 15), user(Unblock, 4, 5, 16), redeem(6, 7, 20, "", Out{Result: Void})}, true},
		{"unblocked, the ticket lives on", []note{issue, user(Block, 2, 3, 15), user(Unblock, 4, 5, 16), redeem(6, 7, 20, "", success(First, "j", 20, 1))}, false},
		{"signed out", []note{issue, user(SignOut, 2, 3, 10), redeem(4, 5, 20, "", success(First, "j", 20, 1))}, false},
		{"signed out, the token", []note{issue, first, user(SignOut, 4, 5, 20), token(6, 7, Valid)}, false},
		{"signed out late and early", []note{issue, user(SignOut, 2, 3, 15), user(SignOut, 2, 9, 5), redeem(10, 11, 20, "", success(First, "j", 20, 1))}, false},
		{"signed out before", []note{issue, user(SignOut, 2, 3, 9), redeem(4, 5, 20, "", success(First, "j", 20, 1))}, true},

		{"two tickets are one login", []note{issue, first,
			{Op{Verb: Issue, User: "u"}, Out{Result: OK, Ticket: "t2", At: 11, Ends: 11 + life}, 0, 1},
			{Op{Verb: Redeem, User: "u", Ticket: "t2", From: 20, To: 20}, success(First, "j2", 20, 1), 2, 3}}, false},
	} {
		r := NewRecorder()
		for client, n := range row.ops {
			r.Note(client, n.op, n.out, n.from, n.to)
		}
		if err := r.Check(); (err == nil) != row.want {
			t.Errorf("%s: got %v, want it to be possible: %v", row.name, err, row.want)
		}
	}
}
