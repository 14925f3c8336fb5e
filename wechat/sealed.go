package wechat

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	strict "github.com/go-json-experiment/json"

	"app2wxapp/userpool"
)

// errSealed is every failure to open sealed data, with no word about which: who
// could tell a wrong padding from a wrong text could read and forge such data
// without the key.
var errSealed = fmt.Errorf("wechat: sealed data does not open: %w", userpool.ErrCode)

// keyedSession is WeChat's answer to jscode2session with its session_key, which
// does not outlive the call that received it.
type keyedSession struct {
	session
	Key []byte `json:"session_key"` // base64, as []byte is
}

// OpenPhone exchanges the login code, as Code2Session, and returns the number
// that the old phone button sealed under that very session's key.
//
// AES-CBC proves nothing about who wrote the text. Whoever has data of their
// own can choose one block of it and spoil the one before, but not without
// knowing what becomes of that. So the text must be what WeChat writes and
// nothing else, every member of a fixed form: no spoilt block can stand
// anywhere.
//
// WeChat's page: "开放数据校验与解密".
func (c *Client) OpenPhone(ctx context.Context, app userpool.App, code string, sealed userpool.Sealed) (userpool.Session, userpool.PhoneGrant, error) {
	s, plain, err := c.unseal(ctx, app, code, sealed)
	if err != nil {
		return userpool.Session{}, userpool.PhoneGrant{}, err
	}
	var p phoneInfo
	if strict.Unmarshal(plain, &p, strict.RejectUnknownMembers(true)) != nil || !p.Watermark.fits(app.ID, c.now()) {
		return userpool.Session{}, userpool.PhoneGrant{}, errSealed
	}
	if whole := strings.TrimPrefix(p.PhoneNumber, "+"); !isDigits(whole) || !strings.HasSuffix(whole, p.PurePhoneNumber) {
		return userpool.Session{}, userpool.PhoneGrant{}, errSealed
	}
	phone, err := p.number()
	if err != nil {
		return userpool.Session{}, userpool.PhoneGrant{}, errSealed
	}
	country := strings.TrimSuffix(string(phone[1:]), p.PurePhoneNumber)
	return s.known(), userpool.PhoneGrant{Phone: phone, Country: country}, nil
}

// OpenProfile exchanges the login code, as Code2Session, and returns the
// profile that wx.getUserProfile sealed under that very session's key. The
// openid and unionid in it are not used: those of the exchange are proved.
func (c *Client) OpenProfile(ctx context.Context, app userpool.App, code string, sealed userpool.Sealed) (userpool.Session, userpool.Profile, error) {
	s, plain, err := c.unseal(ctx, app, code, sealed)
	if err != nil {
		return userpool.Session{}, userpool.Profile{}, err
	}
	var p struct {
		OpenID    string    `json:"openId"` // newer versions of WeChat leave it out
		Nickname  string    `json:"nickName"`
		AvatarURL string    `json:"avatarUrl"`
		Gender    int       `json:"gender"`
		Language  string    `json:"language"`
		City      string    `json:"city"`
		Province  string    `json:"province"`
		Country   string    `json:"country"`
		Watermark watermark `json:"watermark"`
	}
	if json.Unmarshal(plain, &p) != nil || !p.Watermark.fits(app.ID, c.now()) || p.OpenID != "" && p.OpenID != s.OpenID {
		return userpool.Session{}, userpool.Profile{}, errSealed
	}
	return s.known(), userpool.Profile{
		Nickname: p.Nickname, AvatarURL: p.AvatarURL, Gender: p.Gender, Language: p.Language, City: p.City, Province: p.Province, Country: p.Country,
	}, nil
}

// unseal exchanges the code and decrypts what was sealed under its session's
// key, which it forgets.
func (c *Client) unseal(ctx context.Context, app userpool.App, code string, sealed userpool.Sealed) (session, []byte, error) {
	if err := checkInput(JSCode2Session, app, code); err != nil {
		return session{}, nil, err
	}
	s, err := do(ctx, c, codeRequest(app, code), func(s keyedSession) error { return s.check() })
	if err != nil {
		return session{}, nil, err
	}
	plain, ok := decrypt(s.Key, sealed)
	clear(s.Key)
	if !ok {
		return session{}, nil, errSealed
	}
	return s.session, plain, nil
}

// decrypt opens AES-128-CBC with PKCS #7 padding, and tells whether it could.
func decrypt(key []byte, sealed userpool.Sealed) ([]byte, bool) {
	if len(key) != 16 || len(sealed.IV) != aes.BlockSize || len(sealed.Data) == 0 || len(sealed.Data)%aes.BlockSize != 0 {
		return nil, false
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, false
	}
	plain := make([]byte, len(sealed.Data))
	cipher.NewCBCDecrypter(block, sealed.IV).CryptBlocks(plain, sealed.Data)
	pad := int(plain[len(plain)-1])
	if pad < 1 || pad > aes.BlockSize {
		return nil, false
	}
	for _, b := range plain[len(plain)-pad:] {
		if int(b) != pad {
			return nil, false
		}
	}
	return plain[:len(plain)-pad], true
}

// watermark says for which mini program and when WeChat wrote something.
type watermark struct {
	Timestamp int64  `json:"timestamp"` // of the user's grant
	AppID     string `json:"appid"`
}

// fits tells whether the watermark is the mini program's and of about now.
func (w watermark) fits(appID string, now time.Time) bool { return w.AppID == appID && w.fresh(now) }

func (w watermark) fresh(now time.Time) bool {
	age := now.Sub(time.Unix(w.Timestamp, 0))
	return age <= maxWatermarkAge && age >= -maxWatermarkAge
}

// codeRequest is the call that exchanges a login code.
func codeRequest(app userpool.App, code string) request {
	return request{
		api:    JSCode2Session,
		app:    app.ID,
		method: http.MethodGet,
		path:   "/sns/jscode2session",
		query: url.Values{
			"appid":      {app.ID},
			"secret":     {string(app.Secret)},
			"js_code":    {code},
			"grant_type": {"authorization_code"},
		},
		hide: []string{string(app.Secret), code},
	}
}
