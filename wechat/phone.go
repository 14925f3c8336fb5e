package wechat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"app2wxapp/userpool"
)

// maxWatermarkAge is how far a watermark's time may be from ours, either way.
// It is the life of a phone code, which begins at the user's tap.
const maxWatermarkAge = 5 * time.Minute

// Phone returns the number that the user with this openid granted. The openid
// goes with the code, so that WeChat refuses the code of another user: without
// it one user's number could get into another one's login.
//
// If WeChat rejects the access token, which it checks before the code, the call
// is repeated once with a new token. After any other error the code may be
// spent.
//
// WeChat's page: api_getphonenumber.
func (c *Client) Phone(ctx context.Context, app userpool.App, openID, code string) (userpool.Phone, error) {
	if openID == "" {
		return "", fmt.Errorf("wechat: %s: no openid: %w", GetUserPhoneNumber, userpool.ErrCode)
	}
	return c.phone(ctx, app, openID, code)
}

// AnyPhone is Phone of whichever user granted it: it is nobody's word who they
// are.
func (c *Client) AnyPhone(ctx context.Context, app userpool.App, code string) (userpool.Phone, error) {
	return c.phone(ctx, app, "", code)
}

func (c *Client) phone(ctx context.Context, app userpool.App, openID, code string) (userpool.Phone, error) {
	if err := checkInput(GetUserPhoneNumber, app, code); err != nil {
		return "", err
	}
	token, err := c.token(ctx, app)
	if err != nil {
		return "", fmt.Errorf("%w; %w", err, userpool.ErrUnsent)
	}
	phone, rejection := c.phoneWith(ctx, app, token, openID, code)
	var e *Error
	if !errors.As(rejection, &e) || !e.rejectedToken() {
		return phone, rejection
	}

	c.dropToken(app, token)
	fresh, err := c.token(ctx, app)
	if err != nil {
		return "", err
	}
	if fresh == token {
		return "", rejection
	}
	return c.phoneWith(ctx, app, fresh, openID, code)
}

// phoneWith makes the call with this access token, once.
func (c *Client) phoneWith(ctx context.Context, app userpool.App, token, openID, code string) (userpool.Phone, error) {
	var phone userpool.Phone
	now := c.now()
	_, err := do(ctx, c, request{
		api:    GetUserPhoneNumber,
		app:    app.ID,
		method: http.MethodPost,
		path:   "/wxa/business/getuserphonenumber",
		query:  url.Values{"access_token": {token}},
		body: struct {
			Code   string `json:"code"`
			OpenID string `json:"openid,omitempty"`
		}{code, openID},
		hide: []string{string(app.Secret), token, code, openID},
	}, func(a phoneAnswer) (err error) {
		w := a.Info.Watermark
		if w.AppID != app.ID {
			return garbage("watermark of another AppID")
		}
		if !w.fresh(now) {
			return garbage("watermark of another time")
		}
		phone, err = a.Info.number()
		return err
	})
	return phone, err
}

// phoneAnswer is WeChat's answer to getuserphonenumber.
type phoneAnswer struct {
	status
	Info phoneInfo `json:"phone_info"`
}

type phoneInfo struct {
	PhoneNumber     string      `json:"phoneNumber"`     // with the country's prefix if foreign
	PurePhoneNumber string      `json:"purePhoneNumber"` // without
	CountryCode     countryCode `json:"countryCode"`
	Watermark       watermark   `json:"watermark"`
}

// maxE164 is the most digits that E.164 allows, country code included.
const maxE164 = 15

// number returns the phone number in E.164.
func (p phoneInfo) number() (userpool.Phone, error) {
	pure, country := p.PurePhoneNumber, string(p.CountryCode)
	if !isDigits(pure) {
		return "", garbage("purePhoneNumber is not digits")
	}
	full := country + pure
	if country == "" {
		full = "86" + pure
		// The country's prefix, where phoneNumber has one, is the better word.
		with, plus := strings.CutPrefix(p.PhoneNumber, "+")
		if plus || len(with) > len(pure) {
			if !isDigits(with) || !strings.HasSuffix(with, pure) {
				return "", garbage("phoneNumber does not fit purePhoneNumber")
			}
			full = with
		}
	}
	if len(full) > maxE164 || full[0] == '0' {
		return "", garbage("not a number of E.164")
	}
	return userpool.Phone("+" + full), nil
}

// countryCode is the digits of a country's calling code, "" if WeChat left it
// empty. It is declared as a string, and the page's sample shows the number 86.
// json.Number would take both, but not "" and "+86".
type countryCode string

func (c *countryCode) UnmarshalJSON(b []byte) error {
	s := string(bytes.Trim(b, `"`))
	if s == "null" {
		s = ""
	}
	s = strings.TrimPrefix(s, "+")
	if s != "" && !isDigits(s) {
		return garbage("countryCode is not digits")
	}
	*c = countryCode(s)
	return nil
}

// isDigits tells whether s is one or more ASCII digits.
func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
