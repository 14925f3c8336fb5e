// Package captcha asks whoever wants a code sent to show that they are a person.
//
//	New ──▶ a challenge and its token ──▶ Verify, with the answer and whom the code
//	is to go to ──▶ a captcha token for that receiver ──▶ Spend, when it is sent
//
// A challenge has one of three forms: a piece to slide into its hole in a
// picture, as clients of AJ-Captcha show it; a picture of six digits, for who
// cannot drag; and six digits spoken, in Chinese or English, for who cannot see.
//
// The first is what the IDaaS dialect's clients know. Its GET /api/v2/sdk/captcha
// answers with AJ-Captcha's fields: Picture as originalImageBase64, Piece as
// jigsawImageBase64, both plain base64, SecretKey as secretKey, Token as token; its
// captcha/verify takes Attempt.Answer as point_json and gives Verify's token as
// captcha_token, with which sms/send calls Spend before it sends. The other two
// forms are ours to offer, and so is the language.
//
// Nothing is kept of a challenge. Its token carries what the answer is, the
// pool's id and the end, sealed under a key that is derived from the pool's
// jwtSecret: every replica opens what another one made. What was shown once is
// remembered as WeChat's codes are, by Claims.
//
// A program that is written for these pictures will read them in time. What the
// challenge costs it, and the limits on addresses and receivers, are what keeps a
// flood of messages away; a blind guess at the piece holds once in 18 times.
package captcha

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"app2wxapp/userpool"
)

const (
	// Life is how long a challenge can be answered.
	Life = 2 * time.Minute
	// TokenLife is how long a captcha token can be spent: no longer than claims
	// are remembered.
	TokenLife = userpool.CodeMemory

	// failuresPerMinute bounds the answers of an address that are wrong: by
	// guessing blindly it gets about one captcha token a minute.
	failuresPerMinute = 20
	// madePerMinute bounds the challenges that an address is given.
	madePerMinute = 120
	// maxWaiting is how many wait for a challenge to be made; the next one is
	// refused.
	maxWaiting = 64
)

// Errors of this package.
var (
	// ErrFailed is all that a caller learns of an answer, or of a captcha token,
	// that does not hold; the others wrap it.
	ErrFailed  = errors.New("captcha: not solved")
	ErrUnknown = fmt.Errorf("%w: no token of this pool", ErrFailed)
	ErrExpired = fmt.Errorf("%w: too late", ErrFailed)
	ErrUsed    = fmt.Errorf("%w: used before", ErrFailed)
	ErrWrong   = fmt.Errorf("%w: a wrong answer", ErrFailed)
	ErrSender  = fmt.Errorf("%w: solved for another receiver", ErrFailed)

	// ErrBusy is returned when too many challenges are being made.
	ErrBusy = fmt.Errorf("%w: too many captchas at a time", userpool.ErrUnavailable)
)

// Form is what a challenge looks or sounds like.
type Form byte

// The forms that there are.
const (
	Puzzle Form = iota // slide the piece into its hole
	Digits             // read six digits in a picture
	Spoken             // hear six digits
)

// Claims remembers what was shown once; userpool.Store is one.
type Claims interface {
	// ClaimCode is that of userpool.Codes.
	ClaimCode(ctx context.Context, k userpool.CodeKey, now time.Time) (fresh bool, err error)
}

// Config is what a Service is made of; every field is required.
type Config struct {
	Claims Claims
	Now    func() time.Time
	// Limits shares what is counted with other processes; nil for none.
	Limits *userpool.Limits
}

// Service makes challenges and judges answers. It is safe for concurrent use.
type Service struct {
	claims   Claims
	now      func() time.Time
	failures *userpool.Limiter[netip.Addr]
	made     *userpool.Limiter[netip.Addr]
	room     chan struct{} // whose challenge is made or waits for that
	making   chan struct{} // whose is made
}

// New returns a Service.
func New(c Config) *Service {
	n := runtime.GOMAXPROCS(0)
	return &Service{
		claims: c.Claims, now: c.Now,
		failures: userpool.NewSharedLimiter[netip.Addr](c.Limits, "captcha.failures", failuresPerMinute),
		made:     userpool.NewSharedLimiter[netip.Addr](c.Limits, "captcha.made", madePerMinute),
		room:     make(chan struct{}, n+maxWaiting), making: make(chan struct{}, n),
	}
}

// Ask is what somebody wants a challenge to be.
type Ask struct {
	Form    Form
	English bool // of Spoken; else Chinese
	Addr    netip.Addr
}

// Challenge is what a person is shown, and the token that names it.
type Challenge struct {
	Token     string // 63 characters of base64url; not stored anywhere
	Picture   []byte // PNG: of a Puzzle 310 × 155, of Digits 240 × 80; else nil
	Piece     []byte // PNG, 47 × 155, see-through around the piece; else nil
	Sound     []byte // WAV, 8 kHz; else nil
	SecretKey string // 16 characters, by which the answer to a Puzzle may be encrypted: see Attempt
	ExpiresAt time.Time
}

// Challenge makes a challenge of the pool. It returns a *userpool.RateLimitError
// or ErrBusy. As many are made at a time as there are processors.
func (s *Service) Challenge(ctx context.Context, pool userpool.Pool, a Ask) (Challenge, error) {
	now, addr := s.now(), userpool.AddrKey(a.Addr)
	if err := s.made.Check(addr, now); err != nil {
		return Challenge{}, err
	}
	s.made.Count(addr, now)
	select {
	case s.room <- struct{}{}:
		defer func() { <-s.room }()
	default:
		return Challenge{}, ErrBusy
	}
	select {
	case s.making <- struct{}{}:
		defer func() { <-s.making }()
	case <-ctx.Done():
		return Challenge{}, ctx.Err()
	}

	id := newID()
	of := challenge{form: a.Form, expiresAt: now.Add(Life)}
	c := Challenge{ExpiresAt: of.expiresAt}
	var err error
	switch a.Form {
	case Puzzle:
		var at int
		c.Picture, c.Piece, at, err = drawPuzzle()
		binary.BigEndian.PutUint16(of.answer[:], uint16(at)) // #nosec G115 -- within the picture
		c.SecretKey = id.secretKey(pool)
	case Digits, Spoken:
		of.answer = newDigits()
		if a.Form == Digits {
			c.Picture, err = drawDigits(id, of.answer)
		} else {
			c.Sound, err = speakDigits(id, of.answer, a.English)
		}
	default:
		return Challenge{}, fmt.Errorf("captcha: no form %d", a.Form)
	}
	if err != nil {
		return Challenge{}, fmt.Errorf("make captcha: %w", err)
	}
	c.Token = id.seal(pool, forChallenge, of.encode())
	return c, nil
}

// Attempt is an answer to a challenge.
type Attempt struct {
	Token string // the challenge's
	// Answer is the six digits, with whatever blanks; or, of a Puzzle, where the
	// piece's picture begins in a picture that is 310 wide: {"x":237.0,"y":5.0},
	// of which y says nothing, as it is or, as AJ-Captcha's clients send it,
	// encrypted by AES (ECB, PKCS #7) under SecretKey, in base64.
	Answer string
	// Sender is whom a code is to be sent to: a phone number in E.164 or an e-mail
	// address, in the form in which Spend gets it.
	Sender string
	Addr   netip.Addr
}

// Verify returns a captcha token, 96 characters of base64url, for the sender if the answer to the pool's
// challenge is right. A challenge is answered once, rightly or not: of any number
// of calls, at all replicas, one is judged. It returns an error that wraps
// ErrFailed, of which addresses have so many a minute, then a
// *userpool.RateLimitError; or the store's.
func (s *Service) Verify(ctx context.Context, pool userpool.Pool, a Attempt) (string, error) {
	now, addr := s.now(), userpool.AddrKey(a.Addr)
	if err := s.failures.Check(addr, now); err != nil {
		return "", err
	}
	err := s.judge(ctx, pool, a, now)
	if errors.Is(err, ErrFailed) {
		s.failures.Count(addr, now)
	}
	if err != nil {
		return "", err
	}
	return newID().seal(pool, forToken, solved{sender: senderHash(a.Sender), expiresAt: now.Add(TokenLife)}.encode()), nil
}

func (s *Service) judge(ctx context.Context, pool userpool.Pool, a Attempt, now time.Time) error {
	id, plain, ok := open(pool, forChallenge, a.Token)
	if !ok {
		return ErrUnknown
	}
	of := decodeChallenge(plain)
	if !now.Before(of.expiresAt) {
		return ErrExpired
	}
	if err := s.claim(ctx, forChallenge, id, now); err != nil {
		return err
	}
	if !of.holds(id.secretKey(pool), a.Answer) {
		return ErrWrong
	}
	return nil
}

// Spend takes a captcha token of the pool that was given for the sender. Of any
// number of calls, at all replicas, one succeeds; another sender's call spends
// nothing. After a crash of the store, or on bolt a restart, the tokens of the
// last five minutes may be spent once more, for the same sender. It returns an
// error that wraps ErrFailed, or the store's.
func (s *Service) Spend(ctx context.Context, pool userpool.Pool, token, sender string) error {
	now := s.now()
	id, plain, ok := open(pool, forToken, token)
	if !ok {
		return ErrUnknown
	}
	of, sum := decodeSolved(plain), senderHash(sender)
	switch {
	case !now.Before(of.expiresAt):
		return ErrExpired
	case subtle.ConstantTimeCompare(of.sender[:], sum[:]) != 1:
		return ErrSender
	}
	return s.claim(ctx, forToken, id, now)
}

// claim returns nil to one of its callers for that id, ErrUsed to the others.
func (s *Service) claim(ctx context.Context, what purpose, id tokenID, now time.Time) error {
	fresh, err := s.claims.ClaimCode(ctx, id.claim(what), now)
	switch {
	case err != nil:
		return fmt.Errorf("claim captcha: %w", err)
	case !fresh:
		return ErrUsed
	}
	return nil
}

// holds tells whether the answer is the challenge's.
func (c challenge) holds(secretKey, answer string) bool {
	if c.form == Puzzle {
		x, ok := position(secretKey, answer)
		at := float64(binary.BigEndian.Uint16(c.answer[:]))
		return ok && at-tolerance <= x && x <= at+tolerance
	}
	given, ok := typedDigits(answer)
	return ok && subtle.ConstantTimeCompare(given[:], c.answer[:]) == 1
}

// newDigits returns six random digits.
func newDigits() (d answer) {
	for i := 0; i < len(d); {
		var b [1]byte
		if rand.Read(b[:]); b[0] < 250 { // else the first six would be more frequent
			d[i] = b[0] % 10
			i++
		}
	}
	return d
}

// typedDigits returns the digits that a person typed, who may have put blanks
// between them or used the wide ones of a Chinese keyboard.
func typedDigits(text string) (d answer, ok bool) {
	n := 0
	for _, r := range text {
		switch {
		case '０' <= r && r <= '９':
			r -= '０' - '0'
		case r == ' ' || r == '\u3000' || r == '-':
			continue
		}
		if r < '0' || r > '9' || n == len(d) {
			return d, false
		}
		d[n] = byte(r - '0')
		n++
	}
	return d, n == len(d)
}

// written is what a picture or a sound writes itself to.
func written(write func(*bytes.Buffer) error) ([]byte, error) {
	var b bytes.Buffer
	err := write(&b)
	return b.Bytes(), err
}
