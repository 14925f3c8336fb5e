package sender_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"app2wxapp/userpool"
)

// webhookKey is a key of 29 bytes that begins as the planted one.
var webhookKey = []byte(key + "-0123456789")

func byWebhook(url string) userpool.Sender {
	return userpool.Sender{Provider: userpool.ProviderWebhook, Webhook: userpool.WebhookSender{
		URL: url, Secret: userpool.Secret("whsec_" + base64.StdEncoding.EncodeToString(webhookKey)),
	}}
}

// verifies checks the call as a receiver does that goes by the Standard Webhooks
// specification, and returns its id.
func (c call) verifies(t testing.TB) string {
	t.Helper()
	id, stamp := c.Header.Get("webhook-id"), c.Header.Get("webhook-timestamp")
	if stamp != strconv.FormatInt(at.Unix(), 10) || id == "" {
		t.Errorf("webhook-id %q, webhook-timestamp %q", id, stamp)
	}
	mac := hmac.New(sha256.New, webhookKey)
	fmt.Fprintf(mac, "%s.%s.%s", id, stamp, c.body)
	if got, want := c.Header.Get("webhook-signature"), "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)); got != want {
		t.Errorf("webhook-signature %s, want %s", got, want)
	}
	return id
}

func TestWebhook(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		channel userpool.Channel
		m       userpool.Message
		want    map[string]any
	}{
		{userpool.ChannelSMS, sms(), map[string]any{"channel": "sms", "to": "+86" + number, "language": "zh", "purpose": "bind"}},
		{userpool.ChannelEmail, userpool.Message{To: address, Code: code, Purpose: "login", Life: 5 * time.Minute, English: true},
			map[string]any{"channel": "email", "to": address, "language": "en", "purpose": "login"}},
	} {
		to, p := answering(t, 204, ""), newPost(t, nil)
		want(t, "sent", p.send(row.channel, byWebhook(to.URL+"/codes?for=app"), row.m), nil, "")
		p.wantResult(row.channel, "webhook", "sent")
		to.wantCalls(t, "sent", 1)
		c := to.all()[0]
		var got map[string]any
		if err := json.Unmarshal([]byte(c.body), &got); err != nil {
			t.Fatal(err)
		}
		row.want["id"], row.want["code"], row.want["expiresIn"], row.want["poolId"] = c.verifies(t), code, 300.0, "p1"
		if d := cmp.Diff(row.want, got); d != "" {
			t.Errorf("body (-want +got):\n%s", d)
		}
		if c.Method != "POST" || c.URL.String() != "/codes?for=app" || c.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s as %s", c.Method, c.URL, c.Header.Get("Content-Type"))
		}
	}
}

func TestWebhookAnswers(t *testing.T) {
	t.Parallel()
	for status, row := range map[int]struct {
		means error
		calls int
	}{
		200: {nil, 1}, 202: {nil, 1},
		302: {userpool.ErrSenderSetup, 1}, 307: {userpool.ErrSenderSetup, 1}, 308: {userpool.ErrSenderSetup, 1},
		400: {userpool.ErrRecipientRefused, 1}, 422: {userpool.ErrRecipientRefused, 1},
		401: {userpool.ErrSenderSetup, 1}, 403: {userpool.ErrSenderSetup, 1}, 404: {userpool.ErrSenderSetup, 1}, 405: {userpool.ErrSenderSetup, 1},
		408: {userpool.ErrSendFailed, 3}, 429: {userpool.ErrSendLimited, 1},
		500: {userpool.ErrSendFailed, 3}, 503: {userpool.ErrSendFailed, 3},
	} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			elsewhere := answering(t, 200, "")
			// An answer that repeats what it was sent is not repeated by us.
			to, p := answering(t, status, "to "+number+" code "+code, "Location", elsewhere.URL, "Retry-After", "90"), newPost(t, nil)
			got := p.send(userpool.ChannelSMS, byWebhook(to.URL), sms())
			want(t, "answer", got, row.means, "HTTP-"+strconv.Itoa(status))
			to.wantCalls(t, "answer", row.calls)
			elsewhere.wantCalls(t, "redirect", 0)
			if got != nil && (got.RetryAfter != 0) != (status == 429) {
				t.Errorf("RetryAfter %v", got.RetryAfter)
			}
			if status == 429 && got.RetryAfter != 90*time.Second {
				t.Errorf("RetryAfter %v, want the header's", got.RetryAfter)
			}
		})
	}
}

// All tries have one id, so that the receiver can tell that they are one message.
func TestWebhookRepeats(t *testing.T) {
	t.Parallel()
	to := newStandIn(t, func(n int, w http.ResponseWriter, _ call) {
		switch n {
		case 0:
			w.WriteHeader(500)
		case 1: // it breaks off after the message was read
			panic(http.ErrAbortHandler)
		}
	})
	p := newPost(t, nil)
	want(t, "third try", p.send(userpool.ChannelSMS, byWebhook(to.URL), sms()), nil, "")
	to.wantCalls(t, "tries", 3)
	first := to.all()[0]
	for _, c := range to.all() {
		if c.verifies(t) != first.Header.Get("webhook-id") || c.body != first.body {
			t.Errorf("a try differs: %v", c.Header)
		}
	}
	p.wantResult(userpool.ChannelSMS, "webhook", "sent")
	// Another message has another id.
	want(t, "again", p.send(userpool.ChannelSMS, byWebhook(to.URL), sms()), nil, "")
	if last := to.all()[3]; last.verifies(t) == first.Header.Get("webhook-id") {
		t.Error("two messages have one id")
	}
}

// An answer without end is not read to its end.
func TestOversizedAnswer(t *testing.T) {
	t.Parallel()
	to := newStandIn(t, func(_ int, w http.ResponseWriter, c call) {
		for c.Context().Err() == nil {
			if _, err := io.WriteString(w, strings.Repeat("x", 4096)); err != nil {
				return
			}
		}
	})
	for provider, s := range map[string]userpool.Sender{"webhook": byWebhook(to.URL), "aliyun": byAliyun(to.URL), "tencent": byTencent(to.URL)} {
		got := newPost(t, nil).send(userpool.ChannelSMS, s, sms())
		want(t, provider, got, userpool.ErrSendFailed, "")
		if got != nil && !strings.Contains(got.Error(), "64 KiB") {
			t.Errorf("%s: %v", provider, got)
		}
	}
}

// A provider that hangs is given up; the caller's own end of patience counts.
func TestHanging(t *testing.T) {
	t.Parallel()
	addr := hanging(t)
	for provider, row := range map[string]struct {
		userpool.Channel
		userpool.Sender
		userpool.Message
	}{
		"webhook": {userpool.ChannelSMS, byWebhook("http://" + addr), sms()},
		"aliyun":  {userpool.ChannelSMS, byAliyun("http://" + addr), sms()},
		"tencent": {userpool.ChannelSMS, byTencent("http://" + addr), sms()},
		"smtp":    {userpool.ChannelEmail, bySMTP(addr, userpool.SMTPPlain), email()},
		"tls":     {userpool.ChannelSMS, byWebhook("https://" + addr), sms()},
		"smtps":   {userpool.ChannelEmail, bySMTP(addr, userpool.SMTPImplicit), email()},
	} {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			defer cancel()
			start, p := time.Now(), newPost(t, nil)
			got := p.sendWithin(ctx, row.Channel, row.Sender, row.Message)
			want(t, "hanging", got, userpool.ErrSendFailed, "")
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			p.wantResult(row.Channel, row.Provider, "failed")
		})
	}
}

// With no patience of the caller's, ten seconds are the end, of which a try has
// five: an SMS is not sent again, since the first may have gone out.
func TestTimeouts(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	t.Parallel()
	addr := hanging(t)
	for provider, row := range map[string]struct {
		userpool.Channel
		userpool.Sender
		userpool.Message
		within time.Duration
	}{
		"webhook": {userpool.ChannelSMS, byWebhook("http://" + addr), sms(), 10 * time.Second},
		"aliyun":  {userpool.ChannelSMS, byAliyun("http://" + addr), sms(), 5 * time.Second},
		"tencent": {userpool.ChannelSMS, byTencent("http://" + addr), sms(), 5 * time.Second},
		"smtp":    {userpool.ChannelEmail, bySMTP(addr, userpool.SMTPPlain), email(), 10 * time.Second},
	} {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			got := newPost(t, nil).send(row.Channel, row.Sender, row.Message)
			want(t, "hanging", got, userpool.ErrSendFailed, "")
			if got == nil || got.Cause.Error() != "no answer in time" {
				t.Errorf("%v, want its cause to be told", got)
			}
			if took := time.Since(start); took < row.within-100*time.Millisecond || took > row.within+3*time.Second {
				t.Errorf("it took %v, want %v", took, row.within)
			}
		})
	}
}

// Where nobody listens nothing was sent: it is tried again, and told.
func TestNobodyThere(t *testing.T) {
	t.Parallel()
	addr := closed(t)
	for provider, s := range map[string]userpool.Sender{
		"webhook": byWebhook("http://" + addr), "aliyun": byAliyun("http://" + addr), "tencent": byTencent("http://" + addr),
	} {
		start := time.Now()
		got := newPost(t, nil).send(userpool.ChannelSMS, s, sms())
		want(t, provider, got, userpool.ErrSendFailed, "")
		if got != nil && (!strings.Contains(got.Error(), "connection refused") || !got.Unsent) {
			t.Errorf("%s: %v, unsent %t, want true", provider, got, got.Unsent)
		}
		if took := time.Since(start); took < time.Second {
			t.Errorf("%s: given up after %v, without three tries", provider, took)
		}
	}
	got := newPost(t, nil).send(userpool.ChannelEmail, bySMTP(addr, ""), email())
	want(t, "smtp", got, userpool.ErrSendFailed, "")
	if got != nil && !got.Unsent {
		t.Errorf("smtp: %v, unsent false, want true", got)
	}
}

// Where the first try had a connection, the code may have gone out, though the
// others had none.
func TestNobodyThereAnyMore(t *testing.T) {
	t.Parallel()
	var to *httptest.Server
	to = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		to.Listener.Close()
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusInternalServerError)
	}))
	t.Cleanup(to.Close)
	got := newPost(t, nil).send(userpool.ChannelSMS, byWebhook(to.URL), sms())
	want(t, "gone", got, userpool.ErrSendFailed, "")
	if got != nil && (!strings.Contains(got.Error(), "connection refused") || got.Unsent) {
		t.Errorf("gone: %v, unsent %t, want false", got, got.Unsent)
	}
}

// A certificate that is not to be trusted is the operator's to mend, and nothing
// is sent.
func TestWrongTLS(t *testing.T) {
	t.Parallel()
	foreign, roots := certificate(t, "elsewhere.example.com")
	to := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("something was sent") }))
	to.Config.ErrorLog = nil
	to.TLS = &tls.Config{Certificates: []tls.Certificate{foreign}}
	to.StartTLS()
	t.Cleanup(to.Close)
	plain := answering(t, 200, "")
	for name, row := range map[string]struct {
		p   *post
		url string
	}{
		"unknown issuer": {newPost(t, nil), to.URL},
		"another host":   {newPost(t, roots), to.URL},
		"no TLS":         {newPost(t, nil), strings.Replace(plain.URL, "http:", "https:", 1)},
	} {
		for _, s := range []userpool.Sender{byWebhook(row.url), byAliyun(row.url), byTencent(row.url)} {
			got := row.p.send(userpool.ChannelSMS, s, sms())
			want(t, name+" by "+string(s.Provider), got, userpool.ErrSenderSetup, "")
		}
	}
	plain.wantCalls(t, "in the clear", 0)

	mine, trusted := certificate(t, "127.0.0.1")
	good := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	good.TLS = &tls.Config{Certificates: []tls.Certificate{mine}}
	good.StartTLS()
	t.Cleanup(good.Close)
	want(t, "trusted", newPost(t, trusted).send(userpool.ChannelSMS, byWebhook(good.URL), sms()), nil, "")
}

// Without a sender, and to what is no number or address, nothing is sent.
func TestSendRefuses(t *testing.T) {
	t.Parallel()
	to, p := answering(t, 200, ""), newPost(t, nil)
	ctx := context.Background()
	one := pool(t, userpool.ChannelSMS, byWebhook(to.URL))
	if !p.Can(one, userpool.ChannelSMS) || p.Can(one, userpool.ChannelEmail) || p.Can(one, "post") {
		t.Error("Can is wrong about a pool that has SMS alone")
	}
	if err := p.Send(ctx, one, userpool.ChannelEmail, email()); !errors.Is(err, userpool.ErrNoSender) {
		t.Errorf("by e-mail: %v, want ErrNoSender", err)
	}
	both := one
	both.Email = byWebhook(to.URL)
	for _, bad := range []string{"", number, "+86", "+86 " + number, "+0" + number, address, "+86" + number + "\n"} {
		m := sms()
		m.To = bad
		wantInvalid(t, p.Send(ctx, both, userpool.ChannelSMS, m), bad)
	}
	for _, bad := range []string{"", "+86" + number, "a@", "@example.com", "a b@example.com", "A <a@example.com>", "a@example.com\r\nBcc: b@example.com", "a@example.com,b@example.com", "张@example.com"} {
		m := email()
		m.To = bad
		wantInvalid(t, p.Send(ctx, both, userpool.ChannelEmail, m), bad)
	}
	to.wantCalls(t, "refused", 0)
}

func wantInvalid(t *testing.T, err error, of string) {
	t.Helper()
	var bad *userpool.InvalidError
	if !errors.As(err, &bad) || bad.Field != "to" || bad.ZH == "" {
		t.Errorf("%q: %v, want an *InvalidError of \"to\"", of, err)
	}
}
