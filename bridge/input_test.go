package bridge_test

import (
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"app2wxapp/bridge/bridgetest"
)

// endless is a text and then spaces, size bytes in all.
type endless struct {
	text io.Reader
	left int
}

func newEndless(text string, size int) *endless {
	return &endless{strings.NewReader(text), size}
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	p = p[:min(len(p), e.left)]
	n, _ := e.text.Read(p)
	for i := n; i < len(p); i++ {
		p[i] = ' '
	}
	e.left -= len(p)
	return len(p), nil
}

// badRedeems are requests that are refused for what they look like. In query
// and body TICKET, SECRET and OTHER stand for the ticket, the pool's secret and
// a well-formed ticket that is another one.
var badRedeems = []struct {
	name, query, body string
	headers           []string // "Content-Type: application/json" if nil
	status, code      int
}{
	{"duplicate key", "", `{"ticket":"TICKET","secret":"SECRET","ticket":"TICKET"}`, nil, 400, 2231},
	{"duplicate key, other value", "", `{"ticket":"TICKET","secret":"SECRET","secret":"x"}`, nil, 400, 2231},
	{"duplicate key by an escape", "", `{"ticket":"TICKET","secret":"SECRET","\u0074icket":"TICKET"}`, nil, 400, 2231},
	{"duplicate unknown key", "", `{"ticket":"TICKET","secret":"SECRET","x":1,"x":1}`, nil, 400, 2231},
	{"duplicate nested key", "", `{"ticket":"TICKET","secret":"SECRET","x":{"y":[{"a":1,"a":2}]}}`, nil, 400, 2231},
	{"key in another case", "", `{"Ticket":"TICKET","secret":"SECRET"}`, nil, 400, 2231},
	{"key in another case beside the right one", "", `{"ticket":"TICKET","secret":"SECRET","SECRET":"x"}`, nil, 400, 2231},
	{"key with a letter that folds to s", "", `{"ticket":"TICKET","secret":"SECRET","ſecret":"x"}`, nil, 400, 2231},
	{"tickett in another case", "", `{"ticket":"TICKET","secret":"SECRET","tickeTT":"TICKET"}`, nil, 400, 2231},
	{"trailing data", "", `{"ticket":"TICKET","secret":"SECRET"}x`, nil, 400, 2231},
	{"second object", "", `{"ticket":"TICKET","secret":"SECRET"}{}`, nil, 400, 2231},
	{"trailing comma", "", `{"ticket":"TICKET","secret":"SECRET",}`, nil, 400, 2231},
	{"comment", "", `{"ticket":"TICKET","secret":"SECRET"}//`, nil, 400, 2231},
	{"byte order mark", "", "\ufeff" + `{"ticket":"TICKET","secret":"SECRET"}`, nil, 400, 2231},
	{"NUL after the object", "", `{"ticket":"TICKET","secret":"SECRET"}` + "\x00", nil, 400, 2231},
	{"NUL raw", "", `{"ticket":"TICKET` + "\x00" + `","secret":"SECRET"}`, nil, 400, 2231},
	{"NUL escaped", "", `{"ticket":"TICKET\u0000","secret":"SECRET"}`, nil, 400, 2231},
	{"NUL in an unknown value", "", `{"ticket":"TICKET","secret":"SECRET","x":["\u0000"]}`, nil, 400, 2231},
	{"NUL in a key", "", `{"ticket":"TICKET","secret":"SECRET","x\u0000":1}`, nil, 400, 2231},
	{"invalid UTF-8", "", `{"ticket":"TICKET","secret":"SECRET","x":"` + "\xff" + `"}`, nil, 400, 2231},
	{"invalid UTF-8 in a key", "", `{"ticket":"TICKET","secret":"SECRET","` + "\xc3\x28" + `":1}`, nil, 400, 2231},
	{"overlong UTF-8", "", `{"ticket":"TICKET","secret":"SECRET","x":"` + "\xc0\xaf" + `"}`, nil, 400, 2231},
	{"lone surrogate", "", `{"ticket":"TICKET","secret":"SECRET","x":"\ud800"}`, nil, 400, 2231},
	{"low surrogate first", "", `{"ticket":"TICKET","secret":"SECRET","x":"\udc00\ud800"}`, nil, 400, 2231},
	{"20,000 lists deep", "", `{"ticket":"TICKET","secret":"SECRET","x":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, nil, 400, 2231},
	{"9,000 objects deep", "", `{"ticket":"TICKET","secret":"SECRET","x":` + strings.Repeat(`{"a":`, 9000) + `1` + strings.Repeat("}", 9000) + `}`, nil, 400, 2231},
	{"20,000 open lists", "", strings.Repeat("[", 20000), nil, 400, 2231},
	{"17 deep", "", `{"ticket":"TICKET","secret":"SECRET","x":` + strings.Repeat("[", 16) + strings.Repeat("]", 16) + `}`, nil, 400, 2231},
	{"null for the ticket", "", `{"ticket":null,"secret":"SECRET"}`, nil, 400, 2231},
	{"null for the secret", "", `{"ticket":"TICKET","secret":null}`, nil, 400, 2231},
	{"number for the ticket", "", `{"ticket":1,"secret":"SECRET"}`, nil, 400, 2231},
	{"bool for the secret", "", `{"ticket":"TICKET","secret":true}`, nil, 400, 2231},
	{"list for the ticket", "", `{"ticket":["TICKET"],"secret":"SECRET"}`, nil, 400, 2231},
	{"object for the verifier", "", `{"ticket":"TICKET","secret":"SECRET","code_verifier":{}}`, nil, 400, 2231},
	{"list", "", `[{"ticket":"TICKET","secret":"SECRET"}]`, nil, 400, 2231},
	{"string", "", `"TICKET"`, nil, 400, 2231},
	{"null", "", `null`, nil, 400, 2231},
	{"spaces", "", "  ", nil, 400, 2231},
	{"empty", "", "", nil, 400, 2231},
	{"empty ticket", "", `{"ticket":"","secret":"SECRET"}`, nil, 400, 2231},
	{"half", "", `{"ticket":"TICKET","secret":"SECR`, nil, 400, 2231},
	{"over-long ticket", "", `{"ticket":"` + strings.Repeat("a", 513) + `","secret":"SECRET"}`, nil, 400, 2231},
	{"over-long secret", "", `{"ticket":"TICKET","secret":"` + strings.Repeat("a", 257) + `"}`, nil, 400, 2231},
	{"short verifier", "", `{"ticket":"TICKET","secret":"SECRET","code_verifier":"` + strings.Repeat("a", 42) + `"}`, nil, 400, 2231},
	{"long verifier", "", `{"ticket":"TICKET","secret":"SECRET","code_verifier":"` + strings.Repeat("a", 129) + `"}`, nil, 400, 2231},
	{"verifier with a plus", "", `{"ticket":"TICKET","secret":"SECRET","code_verifier":"` + strings.Repeat("+", 43) + `"}`, nil, 400, 2231},

	{"query and body differ", "ticket=OTHER", `{"ticket":"TICKET","secret":"SECRET"}`, nil, 400, 2231},
	{"ticket and tickett differ", "", `{"ticket":"TICKET","tickett":"OTHER","secret":"SECRET"}`, nil, 400, 2231},
	{"query and tickett differ", "ticket=OTHER", `{"tickett":"TICKET","secret":"SECRET"}`, nil, 400, 2231},
	{"twice in the query", "ticket=TICKET&ticket=OTHER", `{"secret":"SECRET"}`, nil, 400, 2231},
	{"broken escape", "ticket=TICKET&x=%zz", `{"ticket":"TICKET","secret":"SECRET"}`, nil, 400, 2231},
	{"cut escape", "ticket=TICKET%2", `{"secret":"SECRET"}`, nil, 400, 2231},
	{"semicolon", "ticket=TICKET;x=1", `{"secret":"SECRET"}`, nil, 400, 2231},
	{"NUL in the query", "ticket=TICKET%00", `{"ticket":"TICKET","secret":"SECRET"}`, nil, 400, 2231},
	{"ticket in another case in the query", "Ticket=TICKET", `{"secret":"SECRET"}`, nil, 400, 2231},
	{"secret in the query", "ticket=TICKET&secret=SECRET", `{}`, nil, 401, 4010},
	{"secret in the query, no body", "ticket=TICKET&secret=SECRET", "", nil, 401, 4010},
	{"secret as Authorization", "ticket=TICKET", "", []string{"Authorization: Bearer SECRET"}, 401, 4010},

	{"no content type", "", `{"ticket":"TICKET","secret":"SECRET"}`, []string{}, 415, 4150},
	{"text", "", `{"ticket":"TICKET","secret":"SECRET"}`, []string{"Content-Type: text/plain"}, 415, 4150},
	{"a form", "", `ticket=TICKET&secret=SECRET`, []string{"Content-Type: application/x-www-form-urlencoded"}, 415, 4150},
	{"XML", "", `<x><ticket>TICKET</ticket></x>`, []string{"Content-Type: application/xml"}, 415, 4150},
	{"a sibling of JSON", "", `{"ticket":"TICKET","secret":"SECRET"}`, []string{"Content-Type: application/problem+json"}, 415, 4150},
	{"a malformed type", "", `{"ticket":"TICKET","secret":"SECRET"}`, []string{"Content-Type: application/json; charset"}, 415, 4150},
	{"charset gbk", "", `{"ticket":"TICKET","secret":"SECRET"}`, []string{"Content-Type: application/json; charset=gbk"}, 415, 4150},
	{"gzip", "", "\x1f\x8b\x08" + `{"ticket":"TICKET","secret":"SECRET"}`, []string{"Content-Type: application/json", "Content-Encoding: gzip"}, 415, 4150},
	{"gzip in a second line", "", `{"ticket":"TICKET","secret":"SECRET"}`, []string{"Content-Type: application/json", "Content-Encoding: identity", "Content-Encoding: gzip"}, 415, 4150},

	{"empty Idempotency-Key", "", `{"ticket":"TICKET","secret":"SECRET"}`, []string{"Content-Type: application/json", "Idempotency-Key: "}, 400, 2231},
	{"two Idempotency-Keys", "", `{"ticket":"TICKET","secret":"SECRET"}`, []string{"Content-Type: application/json", "Idempotency-Key: a", "Idempotency-Key: b"}, 400, 2231},
	{"two equal Idempotency-Keys", "", `{"ticket":"TICKET","secret":"SECRET"}`, []string{"Content-Type: application/json", "Idempotency-Key: a", "Idempotency-Key: a"}, 400, 2231},
	{"over-long Idempotency-Key", "", `{"ticket":"TICKET","secret":"SECRET"}`, []string{"Content-Type: application/json", "Idempotency-Key: " + strings.Repeat("k", 256)}, 400, 2231},
	{"Idempotency-Key that is not ASCII", "", `{"ticket":"TICKET","secret":"SECRET"}`, []string{"Content-Type: application/json", "Idempotency-Key: schlüssel"}, 400, 2231},
	{"Idempotency-Key with a space", "", `{"ticket":"TICKET","secret":"SECRET"}`, []string{"Content-Type: application/json", "Idempotency-Key: a b"}, 400, 2231},

	{"no ticket of ours", "", `{"ticket":"x","secret":"SECRET"}`, nil, 400, 4001},
	{"ticket of Authing", "", `{"ticket":"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.AAAA","secret":"SECRET"}`, nil, 400, 4001},
	{"ticket with padding", "", `{"ticket":"TICKET=","secret":"SECRET"}`, nil, 400, 4001},
	{"ticket with a line break", "", `{"ticket":"TICKET\n","secret":"SECRET"}`, nil, 400, 4001},
	{"ticket and a space", "", `{"ticket":" TICKET","secret":"SECRET"}`, nil, 400, 4001},
	{"another ticket", "", `{"ticket":"OTHER","secret":"SECRET"}`, nil, 400, 4001},
	{"ticket in Cyrillic", "", `{"ticket":"билет","secret":"SECRET"}`, nil, 400, 4001},
}

// Whatever a request looks like, it is refused as the caller's mistake and
// leaves the ticket as it was.
func TestBadRedeem(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	for _, row := range badRedeems {
		t.Run(row.name, func(t *testing.T) {
			b := b.In(t)
			ticket := b.Ticket(p, row.name)
			fill := strings.NewReplacer("TICKET", ticket, "SECRET", p.Secret, "OTHER", strings.Repeat("A", 51)).Replace
			body := row.body
			if row.name != "key in another case beside the right one" {
				body = fill(body)
			} else { // SECRET is a key there
				body = strings.Replace(strings.Replace(body, "TICKET", ticket, 1), `:"SECRET"`, `:"`+p.Secret+`"`, 1)
			}
			path := redeemPath(p)
			if row.query != "" {
				path += "?" + fill(row.query)
			}
			headers := row.headers
			if headers == nil {
				headers = []string{"Content-Type: application/json"}
			}
			for i := range headers {
				headers[i] = fill(headers[i])
			}
			r := b.Do("POST", b.URL+path, body, headers...)
			slug := map[int]string{2231: "invalid_request", 4001: "invalid_ticket", 4010: "secret_required", 4150: "unsupported_media_type"}[row.code]
			r.WantError(row.status, row.code, slug)
			if strings.Contains(r.Body, ticket) || strings.Contains(r.Body, p.Secret) {
				t.Errorf("the answer has what was sent: %s", r.Body)
			}
			wantUsable(t, b, p, ticket)
		})
	}
}

// goodRedeems are unusual and right. TICKET and SECRET stand for the two.
var goodRedeems = []struct {
	name, query, body string
	headers           []string
}{
	{"ticket in the query", "ticket=TICKET", `{"secret":"SECRET"}`, nil},
	{"ticket in query and body", "ticket=TICKET", `{"ticket":"TICKET","secret":"SECRET"}`, nil},
	{"tickett", "", `{"tickett":"TICKET","secret":"SECRET"}`, nil},
	{"all three", "ticket=TICKET", `{"ticket":"TICKET","tickett":"TICKET","secret":"SECRET"}`, nil},
	{"twice in the query", "ticket=TICKET&ticket=TICKET", `{"secret":"SECRET"}`, nil},
	{"empty in the query", "ticket=", `{"ticket":"TICKET","secret":"SECRET"}`, nil},
	{"unknown keys", "utm=1", `{"userPoolId":"x","ticket":"TICKET","n":null,"f":-1.5e300,"l":[{"a":1},{"a":1}],"secret":"SECRET"}`, nil},
	{"16 deep", "", `{"ticket":"TICKET","secret":"SECRET","x":` + strings.Repeat("[", 15) + strings.Repeat("]", 15) + `}`, nil},
	{"escaped key", "", `{"\u0074icket":"TICKET","secret":"SECRET"}`, nil},
	{"a pair of surrogates", "", `{"ticket":"TICKET","secret":"SECRET","x":"\ud83d\ude00"}`, nil},
	{"spaces around", "", " \r\n\t" + `{"ticket":"TICKET","secret":"SECRET"}` + "\n", nil},
	{"charset", "", `{"ticket":"TICKET","secret":"SECRET"}`, []string{"Content-Type: application/json; charset=UTF-8"}},
	{"charset by its other name", "", `{"ticket":"TICKET","secret":"SECRET"}`, []string{"Content-Type: application/json;charset=utf8"}},
	{"type in capitals", "", `{"ticket":"TICKET","secret":"SECRET"}`, []string{"Content-Type: Application/JSON"}},
	{"identity", "", `{"ticket":"TICKET","secret":"SECRET"}`, []string{"Content-Type: application/json", "Content-Encoding: identity"}},
	{"longest Idempotency-Key", "", `{"ticket":"TICKET","secret":"SECRET"}`, []string{"Content-Type: application/json", "Idempotency-Key: " + strings.Repeat("~", 255)}},
}

func TestGoodRedeem(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	for _, row := range goodRedeems {
		t.Run(row.name, func(t *testing.T) {
			b := b.In(t)
			fill := strings.NewReplacer("TICKET", b.Ticket(p, row.name), "SECRET", p.Secret).Replace
			headers := row.headers
			if headers == nil {
				headers = []string{"Content-Type: application/json"}
			}
			b.Do("POST", b.URL+redeemPath(p)+"?"+fill(row.query), fill(row.body), headers...).Want(200)
		})
	}

	// An empty body needs no type; without a body there is no secret either.
	open := b.NewPool(`"secretRequired":false`)
	b.Do("POST", b.URL+redeemPath(open)+"?ticket="+url.QueryEscape(b.Ticket(open, "alice")), "").Want(200)
}

// At ExpiresAt a ticket is over, a millisecond earlier it is not.
func TestTicketExpires(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	for _, row := range []struct {
		pool bridgetest.Pool
		life time.Duration
	}{
		{b.NewPool(), 120 * time.Second},
		{b.NewPool(`"ticketTTL":10`), 10 * time.Second},
		{b.NewPool(`"ticketTTL":600`), 600 * time.Second},
	} {
		early, late := b.Ticket(row.pool, "alice"), b.Ticket(row.pool, "alice")
		b.Clock.Turn(row.life - time.Millisecond)
		if r := b.Redeem(row.pool, early); r.Status != 200 {
			t.Errorf("1 ms before the end of %v: %d %s, want 200", row.life, r.Status, r.Body)
		}
		b.Clock.Turn(time.Millisecond)
		wantInvalid(b.Redeem(row.pool, late))
	}
}

// A pool's tickets are its own, whoever asks.
func TestAnotherPoolsTicket(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	mine, theirs := b.NewPool(), b.NewPool()
	ticket := b.Ticket(theirs, "alice")
	wantInvalid(b.Redeem(mine, ticket))
	b.Redeem(bridgetest.Pool{ID: theirs.ID, Secret: mine.Secret}, ticket).WantError(401, 4011, "invalid_secret")
	b.Redeem(bridgetest.Pool{ID: "nobody", Secret: theirs.Secret}, ticket).WantError(404, 2224, "pool_not_found")
	wantUsable(t, b, theirs, ticket)
}

// What is wrong with a ticket is not to be told from the answer.
func TestInvalidTicketsLookAlike(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p, other := b.NewPool(), b.NewPool()
	bound, used := b.Ticket(p, "alice", proofKey()), b.Ticket(p, "alice")
	b.Redeem(p, used).Want(200)
	answers := map[string]string{}
	for what, r := range map[string]bridgetest.Response{
		"unknown":     b.Redeem(p, strings.Repeat("A", 51)),
		"used":        b.Redeem(p, used),
		"foreign":     b.Redeem(p, b.Ticket(other, "alice")),
		"no verifier": b.Redeem(p, bound),
		"wrong":       b.Redeem(p, bound, member("code_verifier", strings.Repeat("w", 43))),
		"malformed":   b.Redeem(p, "???"),
	} {
		wantInvalid(r)
		answers[strings.ReplaceAll(r.Body, r.Header.Get("X-Request-Id"), "")] = what
	}
	if len(answers) != 1 {
		t.Errorf("the answers differ: %v", answers)
	}
}

// badIssues are refused before a code is spent.
var badIssues = []struct {
	name, body string
}{
	{"no code", `{}`},
	{"empty", ``},
	{"empty code", `{"code":""}`},
	{"null code", `{"code":null}`},
	{"number for the code", `{"code":1}`},
	{"over-long code", `{"code":"` + strings.Repeat("a", 513) + `"}`},
	{"over-long phone code", `{"code":"CODE","phoneCode":"` + strings.Repeat("a", 513) + `"}`},
	{"code twice", `{"code":"CODE","code":"CODE"}`},
	{"code in another case", `{"Code":"CODE"}`},
	{"nested key twice", `{"code":"CODE","userInfo":{"nickName":"a","nickName":"b"}}`},
	{"nested key in another case", `{"code":"CODE","userInfo":{"nickname":"a"}}`},
	{"nested type", `{"code":"CODE","userInfo":{"gender":"1"}}`},
	{"fraction", `{"code":"CODE","userInfo":{"gender":1.5}}`},
	{"gender 3", `{"code":"CODE","userInfo":{"gender":3}}`},
	{"list for userInfo", `{"code":"CODE","userInfo":[]}`},
	{"null for launch", `{"code":"CODE","launch":null}`},
	{"control character in a name", `{"code":"CODE","userInfo":{"nickName":"a\u0007"}}`},
	{"NUL in a name", `{"code":"CODE","userInfo":{"nickName":"a\u0000"}}`},
	{"over-long name", `{"code":"CODE","userInfo":{"nickName":"` + strings.Repeat("示", 65) + `"}}`},
	{"avatar by http", `{"code":"CODE","userInfo":{"avatarUrl":"http://example.com/a.png"}}`},
	{"avatar by javascript", `{"code":"CODE","userInfo":{"avatarUrl":"javascript:alert(1)"}}`},
	{"over-long avatar", `{"code":"CODE","userInfo":{"avatarUrl":"https://example.com/` + strings.Repeat("a", 512) + `"}}`},
	{"state with &", `{"code":"CODE","state":"a&ticket=x"}`},
	{"state with =", `{"code":"CODE","state":"a="}`},
	{"state with %", `{"code":"CODE","state":"%26"}`},
	{"state in Chinese", `{"code":"CODE","state":"状态"}`},
	{"over-long state", `{"code":"CODE","state":"` + strings.Repeat("s", 129) + `"}`},
	{"over-long launch.appId", `{"code":"CODE","launch":{"appId":"` + strings.Repeat("a", 65) + `"}}`},
}

// Whatever can be refused without WeChat leaves the code as it was: it cost the
// user a tap.
func TestBadIssue(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	p := b.NewPool()
	for _, row := range badIssues {
		t.Run(row.name, func(t *testing.T) {
			b := b.In(t)
			code := b.WeChat.LoginCode(bridgetest.AppID, row.name)
			b.Post(issuePath(p), strings.ReplaceAll(row.body, "CODE", code)).WantError(400, 2231, "invalid_request")
			if r := b.Post(issuePath(p), object(member("code", code))); r.Status != 200 {
				t.Errorf("right input afterwards: %d %s, want 200", r.Status, r.Body)
			}
		})
	}
}
