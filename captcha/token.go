package captcha

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"app2wxapp/userpool"
)

// A token is
//
//	id (16, random) · ciphertext and tag (16)
//
// by AES-256-GCM under a key that HKDF makes of the pool's jwtSecret, the id and
// the purpose. The key is that one token's, so its nonce is zero. The pool's id is
// authenticated with it: pools may have been given the same jwtSecret. Whoever has
// that can make tokens for every user of the pool; here they can read answers.

// purpose is what a token, or a key, is for.
type purpose string

const (
	forChallenge purpose = "captcha challenge"
	forToken     purpose = "captcha token"
	forAnswer    purpose = "captcha answer"
)

// tokenID is the id of a challenge or of a captcha token.
type tokenID [16]byte

func newID() (id tokenID) {
	rand.Read(id[:])
	return id
}

var encoding = base64.RawURLEncoding.Strict()

// key returns n bytes that only who has the pool's jwtSecret can tell.
func (id tokenID) key(pool userpool.Pool, what purpose, n int) []byte {
	k, err := hkdf.Key(sha256.New, []byte(pool.JWTSecret), id[:], "app2wxapp "+string(what), n)
	if err != nil {
		panic(err) // n is a small constant
	}
	return k
}

func (id tokenID) aead(pool userpool.Pool, what purpose) cipher.AEAD {
	block, err := aes.NewCipher(id.key(pool, what, 32))
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // of AES there is a GCM
	}
	return aead
}

// nonce is that of every token: no key has two.
func nonce(aead cipher.AEAD) []byte { return make([]byte, aead.NonceSize()) }

// seal returns the token of that id with plain in it.
func (id tokenID) seal(pool userpool.Pool, what purpose, plain []byte) string {
	aead := id.aead(pool, what)
	return encoding.EncodeToString(aead.Seal(id[:], nonce(aead), plain, []byte(pool.ID))) // #nosec G407 -- each key seals once
}

// open returns the id of the pool's token of that purpose and what is in it, and
// whether it is one.
func open(pool userpool.Pool, what purpose, token string) (id tokenID, plain []byte, ok bool) {
	raw, err := encoding.DecodeString(token)
	if err != nil || len(raw) < len(id) {
		return id, nil, false
	}
	copy(id[:], raw)
	aead := id.aead(pool, what)
	plain, err = aead.Open(nil, nonce(aead), raw[len(id):], []byte(pool.ID))
	return id, plain, err == nil
}

// claim is what is remembered of a token that was shown.
func (id tokenID) claim(what purpose) userpool.CodeKey {
	sum := sha256.Sum256(append([]byte(what+"\x00"), id[:]...))
	return userpool.CodeKey(sum[:])
}

// secretKey returns AJ-Captcha's key of a puzzle, which its client is given.
func (id tokenID) secretKey(pool userpool.Pool) string {
	return base64.RawURLEncoding.EncodeToString(id.key(pool, forAnswer, 12))
}

// answer is six digits, or two bytes of a piece's place and four zeros.
type answer [6]byte

// challenge is what a challenge's token carries: form (1), answer (6), the end in
// milliseconds since 1970 (8).
type challenge struct {
	form      Form
	answer    answer
	expiresAt time.Time
}

func (c challenge) encode() []byte {
	b := make([]byte, 1+6+8)
	b[0] = byte(c.form)
	copy(b[1:], c.answer[:])
	putTime(b[7:], c.expiresAt)
	return b
}

// decodeChallenge is the reverse of encode, of what was opened.
func decodeChallenge(b []byte) (c challenge) {
	c.form = Form(b[0])
	copy(c.answer[:], b[1:])
	c.expiresAt = getTime(b[7:])
	return c
}

// solved is what a captcha token carries: SHA-256 of the sender, the end.
type solved struct {
	sender    [sha256.Size]byte
	expiresAt time.Time
}

func senderHash(sender string) [sha256.Size]byte { return sha256.Sum256([]byte(sender)) }

func (s solved) encode() []byte {
	b := make([]byte, len(s.sender)+8)
	copy(b, s.sender[:])
	putTime(b[len(s.sender):], s.expiresAt)
	return b
}

func decodeSolved(b []byte) (s solved) {
	copy(s.sender[:], b)
	s.expiresAt = getTime(b[len(s.sender):])
	return s
}

func putTime(b []byte, t time.Time) {
	binary.BigEndian.PutUint64(b, uint64(t.UnixMilli())) // #nosec G115 -- a time after 1970
}

func getTime(b []byte) time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b))).UTC() // #nosec G115 -- putTime's
}
