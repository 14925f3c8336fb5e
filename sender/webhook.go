package sender

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"app2wxapp/userpool"
)

// webhook posts codes to an operator's own service, signed as Standard Webhooks
// 1.0.0 has it.
//
// What was not answered, or with 408 or 5xx, is sent again: the id is the same
// then, and by it the service knows a message that it has had.
type webhook struct {
	*Service
	to userpool.WebhookSender
}

// webhookBody is what the service gets.
type webhookBody struct {
	ID        string `json:"id"`
	Channel   string `json:"channel"` // "sms" or "email"
	To        string `json:"to"`      // a phone number in E.164, or an e-mail address
	Code      string `json:"code"`
	Purpose   string `json:"purpose"`
	ExpiresIn int    `json:"expiresIn"` // seconds
	Language  string `json:"language"`  // "zh" or "en"
	PoolID    string `json:"poolId"`
}

func (w webhook) try(ctx context.Context, m message) (again bool, err error) {
	key, ok := w.to.Key()
	to, err := url.Parse(w.to.URL)
	if !ok || err != nil {
		return false, refusal{means: userpool.ErrSenderSetup, cause: errors.New("url or secret")}
	}
	body, err := json.Marshal(webhookBody{
		ID: m.id, Channel: string(m.channel), To: m.To, Code: m.Code, Purpose: m.Purpose,
		ExpiresIn: int(m.Life.Seconds()), Language: m.language(), PoolID: m.pool.ID,
	})
	if err != nil {
		return false, err
	}
	at := strconv.FormatInt(w.now().Unix(), 10)
	a, _, err := w.post(ctx, to, http.Header{
		"Content-Type": {"application/json"},
		// Sent in lower case, as the specification writes them.
		"webhook-id":        {m.id},
		"webhook-timestamp": {at},
		"webhook-signature": {signWebhook(key, m.id, at, body)},
	}, body)
	if err != nil {
		var r refusal
		return errors.As(err, &r) && !errors.Is(r.means, userpool.ErrSenderSetup), err
	}
	return judgeWebhook(a)
}

// signWebhook returns the webhook-signature of a message.
func signWebhook(key []byte, id, at string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + at + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// judgeWebhook returns what an answer means: 2xx is sent.
func judgeWebhook(a answer) (again bool, err error) {
	r := refusal{code: status(a.status)}
	switch a.status {
	case http.StatusRequestTimeout:
		r.means = userpool.ErrSendFailed
		return true, r
	case http.StatusTooManyRequests:
		r.means, r.retryAfter = userpool.ErrSendLimited, retryAfter(a.header)
		return false, r
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone, http.StatusUnsupportedMediaType:
		r.means = userpool.ErrSenderSetup
		return false, r
	}
	switch a.status / 100 {
	case 2:
		return false, nil
	case 4:
		r.means = userpool.ErrRecipientRefused
		return false, r
	}
	r.means = userpool.ErrSendFailed
	return true, r
}

// retryAfter returns the header's seconds, at most a day; 0 if it has none.
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(min(n, 24*60*60)) * time.Second
}
