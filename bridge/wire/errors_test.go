package wire_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"app2wxapp/bridge/wire"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

// Wrapped errors are what they wrap; what no table has is ours.
func TestProblemOf(t *testing.T) {
	for _, row := range []struct {
		err          error
		status, code int
		slug         string
	}{
		{userpool.Invalid("code", "is required", "必填"), 400, 2231, "invalid_request"},
		{wire.ErrTooLarge, 413, 4130, "too_large"},
		{wire.ErrMediaType, 415, 4150, "unsupported_media_type"},
		{ticket.ErrUnknown, 400, 4001, "invalid_ticket"},
		{ticket.ErrExpired, 400, 4001, "invalid_ticket"},
		{ticket.ErrVoid, 400, 4001, "invalid_ticket"},
		{ticket.ErrVerifier, 400, 4001, "invalid_ticket"},
		{ticket.ErrRedeemed, 400, 4001, "invalid_ticket"},
		{userpool.ErrCode, 400, 4002, "invalid_code"},
		{userpool.ErrCodeNone, 400, 4007, "wrong_code"},
		{userpool.ErrCodeUsed, 400, 4007, "wrong_code"},
		{userpool.ErrCodeLate, 400, 4007, "wrong_code"},
		{userpool.ErrCodeSpent, 400, 4007, "wrong_code"},
		{userpool.ErrCodeElsewhere, 400, 4007, "wrong_code"},
		{userpool.ErrCodeDiffers, 400, 4007, "wrong_code"},
		{userpool.ErrTooManyCodes, 400, 4008, "too_many_codes"},
		{&userpool.SendError{Means: userpool.ErrRecipientRefused}, 400, 4006, "recipient_refused"},
		{userpool.ErrSecretRequired, 401, 4010, "secret_required"},
		{userpool.ErrSecretWrong, 401, 4011, "invalid_secret"},
		{userpool.ErrBlocked, 403, 2005, "user_blocked"},
		{userpool.ErrSignupClosed, 403, 4031, "signup_closed"},
		{userpool.ErrWeChatRisk, 403, 4032, "wechat_risk"},
		{userpool.ErrAppNotAllowed, 403, 4033, "app_not_allowed"},
		{userpool.ErrPhoneRequired, 403, 4034, "phone_required"},
		{userpool.ErrNoSender, 403, 4037, "no_sender"},
		{userpool.ErrPoolNotFound, 404, 2224, "pool_not_found"},
		{userpool.ErrUserNotFound, 404, 2004, "user_not_found"},
		{userpool.ErrSecretNotFound, 404, 4041, "secret_not_found"},
		{userpool.ErrPoolExists, 409, 4090, "pool_exists"},
		{userpool.ErrUserExists, 409, 2026, "user_exists"},
		{userpool.ErrSecretLimit, 409, 4091, "secret_limit"},
		{&userpool.RateLimitError{RetryAfter: time.Minute}, 429, 4290, "rate_limited"},
		{&userpool.SendError{Means: userpool.ErrSendLimited}, 429, 4291, "send_limited"},
		{&userpool.SendError{Means: userpool.ErrSendFailed}, 502, 5021, "send_failed"},
		{&userpool.SendError{Means: userpool.ErrSenderSetup}, 502, 5021, "send_failed"},
		{userpool.ErrWeChatSetup, 500, 1000, "server_error"},
		{userpool.ErrWeChatUnavailable, 502, 5020, "wechat_unavailable"},
		{userpool.ErrUnavailable, 503, 5030, "unavailable"},
		{errors.New("anything else"), 500, 1000, "server_error"},
	} {
		p := wire.ProblemOf(fmt.Errorf("doing something: %w", row.err))
		if p.Status != row.status || p.Code != row.code || p.Slug != row.slug || p.ZH == "" || p.EN == "" {
			t.Errorf("ProblemOf(%v) = %+v, want %d %d %s and two texts", row.err, p, row.status, row.code, row.slug)
		}
	}
}

// Retry-After has whole seconds, rounded up: too early is one more failure.
func TestRetryAfter(t *testing.T) {
	for wait, want := range map[time.Duration]string{
		0: "", time.Nanosecond: "1", time.Second: "1", time.Second + 1: "2", time.Minute: "60",
	} {
		h := http.Header{}
		wire.ProblemOf(&userpool.RateLimitError{RetryAfter: wait}).SetRetryAfter(h)
		if got := h.Get("Retry-After"); got != want {
			t.Errorf("for %v: %q, want %q", wait, got, want)
		}
	}
	h := http.Header{}
	wire.ProblemOf(&userpool.SendError{Means: userpool.ErrSendLimited, RetryAfter: time.Hour}).SetRetryAfter(h)
	if got := h.Get("Retry-After"); got != "3600" {
		t.Errorf("for an hour of a provider: %q", got)
	}
}

func TestEnglish(t *testing.T) {
	for accept, want := range map[string]bool{
		"": false, "en": true, "zh": false, "en;q=0.1,zh;q=0.9": false, "ja,en": true, "en;q=0": false, "x": false,
		"zh-HK,en;q=0.8": false, "zh-Hant-TW,en;q=0.5": false, "zh-TW": false, "zh-Hans-CN,en;q=0.9": false, "en-HK,zh-HK;q=0.9": true,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept-Language", accept)
		if got := wire.English(r); got != want {
			t.Errorf("Accept-Language %q: English %t, want %t", accept, got, want)
		}
	}
}
