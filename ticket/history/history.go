// Package history is for tests of many callers at once. A Recorder notes what
// each asked and was answered about tickets; Check tells whether it can have
// been a ticket: is there an order of the operations, each between its call and
// its answer, in which one that is served alone would have been answered the
// same?
//
// An operation whose outcome nobody knows, for the answer was lost or was
// userpool.ErrUnavailable, may have taken effect at any time from its call on,
// or never.
package history

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// Verb is what was asked for.
type Verb string

// The verbs. The last three are about a user and all their tickets.
const (
	Issue      Verb = "issue"
	Redeem     Verb = "redeem"
	CheckToken Verb = "check token" // that the ticket gave
	Block      Verb = "block"
	Unblock    Verb = "unblock"
	SignOut    Verb = "sign out"
)

// Op is one question. Times are milliseconds since 1970, as everywhere here.
type Op struct {
	Verb   Verb
	User   string
	Ticket string // "" where the verb is about a user, and of a ticket to be issued
	Key    string // the Idempotency-Key, "" for none
	// From and To are the clock at the call and at the answer: the program
	// looked at it once in between. They are one if it was told the time.
	From, To int64
}

// Result is what came of it.
type Result string

// The results. Unknown is the zero value: what is not said is not known.
const (
	Unknown  Result = ""
	OK       Result = "ok"       // a ticket, or the user, for the first time or again
	First    Result = "first"    // the user, for the first time
	Again    Result = "again"    // the first answer again
	Redeemed Result = "redeemed" // refused: redeemed before
	Expired  Result = "expired"  // refused
	Void     Result = "void"     // refused
	Refused  Result = "refused"  // one of the three before, the caller is not told which
	Blocked  Result = "blocked"  // refused
	Valid    Result = "valid"    // the token
	Invalid  Result = "invalid"  // the token
)

// Out is one answer.
type Out struct {
	Result Result
	// At is the time that the answer gives: of issue, of the first redemption,
	// or from which on the user is signed out. Ends is that of a new ticket.
	At, Ends int64
	Ticket   string // a new one
	Token    string // that the redemption gave
	Count    uint64 // the user's logins with this one
	// Revoked, with Redeemed, tells that this replay revoked the token; Told
	// that the caller learns so.
	Revoked, Told bool
}

// Recorder notes operations. It is safe for concurrent use.
type Recorder struct {
	start time.Time
	mu    sync.Mutex
	ops   []porcupine.Operation
}

// NewRecorder returns an empty Recorder.
func NewRecorder() *Recorder { return &Recorder{start: time.Now()} }

// Do makes the call and notes it. The call may fill in what the operation
// learns under way: the clock at its answer.
func (r *Recorder) Do(client int, op Op, call func(*Op) Out) Out {
	called := time.Since(r.start)
	out := call(&op)
	r.Note(client, op, out, int64(called), int64(time.Since(r.start)))
	return out
}

// Note notes an operation of the past.
func (r *Recorder) Note(client int, op Op, out Out, called, returned int64) {
	if op.Verb == Issue {
		if out.Result != OK {
			return // nobody has the ticket, if there is one
		}
		op.Ticket = out.Ticket
	}
	if out.Result == Unknown {
		returned = math.MaxInt64
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, porcupine.Operation{ClientId: client, Input: op, Call: called, Output: out, Return: returned})
}

// Len is how many operations were noted.
func (r *Recorder) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ops)
}

// Count is how many of them had this result.
func (r *Recorder) Count(result Result) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.ops {
		if o.Output.(Out).Result == result {
			n++
		}
	}
	return n
}

// checkTimeout is for the operations on one ticket. They take milliseconds.
const checkTimeout = time.Minute

// Check returns nil if what was noted can have been, else an error that shows
// the operations on one ticket, or on one user, for which it cannot.
func (r *Recorder) Check() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := model.ToModel()
	for _, ops := range byTicket(r.ops) {
		switch porcupine.CheckOperationsTimeout(m, ops, checkTimeout) {
		case porcupine.Illegal:
			return fmt.Errorf("no order of these explains the answers:\n%s", text(ops))
		case porcupine.Unknown:
			return fmt.Errorf("not decided in %v:\n%s", checkTimeout, text(ops))
		}
	}
	return checkCounts(r.ops)
}

// byTicket returns the operations on each ticket, with those on its user.
func byTicket(ops []porcupine.Operation) (parts [][]porcupine.Operation) {
	tickets, users := map[string][]porcupine.Operation{}, map[string][]porcupine.Operation{}
	for _, o := range ops {
		if op := o.Input.(Op); op.Ticket != "" {
			tickets[op.Ticket] = append(tickets[op.Ticket], o)
		} else {
			users[op.User] = append(users[op.User], o)
		}
	}
	for _, of := range tickets {
		parts = append(parts, slices.Concat(of, users[of[0].Input.(Op).User]))
	}
	return parts
}

// checkCounts checks what one ticket cannot show: no two logins of a user have
// the same number.
func checkCounts(ops []porcupine.Operation) error {
	type login struct {
		user  string
		count uint64
	}
	ticketOf := map[login]string{}
	for _, o := range ops {
		op, out := o.Input.(Op), o.Output.(Out)
		if op.Verb != Redeem || out.Count == 0 {
			continue
		}
		l := login{op.User, out.Count}
		if other, ok := ticketOf[l]; ok && other != op.Ticket {
			return fmt.Errorf("tickets %s and %s of user %s are both login %d", other, op.Ticket, l.user, l.count)
		}
		ticketOf[l] = op.Ticket
	}
	return nil
}

func text(ops []porcupine.Operation) string {
	ops = slices.Clone(ops)
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	var b strings.Builder
	for _, o := range ops {
		end := fmt.Sprint(o.Return)
		if o.Return == math.MaxInt64 {
			end = "∞"
		}
		fmt.Fprintf(&b, "%d to %s: client %d: %+v: %+v\n", o.Call, end, o.ClientId, o.Input, o.Output)
	}
	return b.String()
}
