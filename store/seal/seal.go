// Package seal keeps records unreadable and unalterable at rest, the same way
// in every store. A Sealer seals records; DataKeys are the keys that a store
// makes for itself, of which one seals its records and the other blinds the
// keys of its indexes.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	lru "github.com/hashicorp/golang-lru/v2"
)

// A sealed record is
//
//	format (1) · key id (2, big-endian) · nonce (24) · ciphertext and tag (16)
//
// by XAES-256-GCM (C2SP), which is AES-256-GCM under a key derived from the
// record key and half of the nonce: random nonces then never run out, while
// plain AES-GCM allows 2³² records a key (NIST SP 800-38D §8.3). Format, key
// id, place and key are authenticated with it: a record that was altered, or
// moved to another key, does not open. A place is a bucket, or a column of a
// table.
const (
	sealFormat  = 1
	nonceSize   = 24
	headerSize  = 1 + 2
	sealedExtra = headerSize + nonceSize + 16
)

// ErrSealed is wrapped by the error of a record that does not open.
var ErrSealed = errors.New("the record does not open")

// Sealer seals and opens records with one key. It is safe for concurrent use.
//
// Deriving a key costs more than sealing a record with it. New records share
// the first half of the nonce, and with it the derived key, until sessionSize
// of them were sealed; their second halves are random.
type Sealer struct {
	id    uint16
	block cipher.Block
	k1    [aes.BlockSize]byte // CMAC subkey

	now     atomic.Pointer[session]
	renew   sync.Mutex
	derived *lru.Cache[nonceHalf, cipher.AEAD] // of records that opened
}

type nonceHalf [nonceSize / 2]byte

// session is a derived key for new records.
type session struct {
	half nonceHalf
	aead cipher.AEAD
	left atomic.Int64
}

const (
	// sessionSize keeps the chance that two records share a nonce below 2⁻³⁶.
	sessionSize = 1 << 30
	// derivedKeys are kept for opening. A process begins a session when it
	// starts: the records of that many starts open quickly.
	derivedKeys = 512
)

// New returns a Sealer; the id of its key stands in each record.
func New(id uint16, key [32]byte) *Sealer {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	derived, err := lru.New[nonceHalf, cipher.AEAD](derivedKeys)
	if err != nil {
		panic(err) // the size is a positive constant
	}
	s := &Sealer{id: id, block: block, derived: derived}
	block.Encrypt(s.k1[:], s.k1[:])
	var msb byte
	for i := len(s.k1) - 1; i >= 0; i-- {
		msb, s.k1[i] = s.k1[i]>>7, s.k1[i]<<1|msb
	}
	s.k1[15] ^= msb * 0x87
	return s
}

// session returns the key for the next record.
func (s *Sealer) session() *session {
	if now := s.now.Load(); now != nil && now.left.Add(-1) >= 0 {
		return now
	}
	s.renew.Lock()
	defer s.renew.Unlock()
	if now := s.now.Load(); now != nil && now.left.Add(-1) >= 0 {
		return now
	}
	var half nonceHalf
	rand.Read(half[:])
	fresh := &session{half: half, aead: s.derive(half[:])}
	fresh.left.Store(sessionSize - 1)
	s.now.Store(fresh)
	return fresh
}

// derive returns AES-256-GCM under the key that the first half of the nonce
// selects.
func (s *Sealer) derive(nonce []byte) cipher.AEAD {
	var key [32]byte
	for i := range 2 {
		half := key[16*i : 16*(i+1)]
		copy(half, []byte{0, byte(i + 1), 'X', 0})
		copy(half[4:], nonce[:12])
		for j := range half {
			half[j] ^= s.k1[j]
		}
		s.block.Encrypt(half, half)
	}
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // AES has the block size of GCM
	}
	return aead
}

// Seal returns the record for plain at the place's key. It may use buf's memory
// meanwhile.
func (s *Sealer) Seal(buf []byte, place string, key, plain []byte) []byte {
	now := s.session()
	out := make([]byte, headerSize+nonceSize, len(plain)+sealedExtra)
	out[0] = sealFormat
	binary.BigEndian.PutUint16(out[1:], s.id)
	nonce := out[headerSize:]
	copy(nonce, now.half[:])
	rand.Read(nonce[len(now.half):])
	return now.aead.Seal(out, nonce[len(now.half):], plain, associate(buf[:0], out, place, key)) // #nosec G407 -- the nonce is random, two lines up
}

// Open returns what Seal was given, in buf's memory if that is large enough, or
// an error that wraps ErrSealed.
func (s *Sealer) Open(buf []byte, place string, key, record []byte) ([]byte, error) {
	if len(record) < sealedExtra || record[0] != sealFormat {
		return nil, fmt.Errorf("%w: not a sealed record", ErrSealed)
	}
	if id := binary.BigEndian.Uint16(record[1:]); id != s.id {
		return nil, fmt.Errorf("%w: it was sealed with key %d", ErrSealed, id)
	}
	nonce, sealed := record[headerSize:headerSize+nonceSize], record[headerSize+nonceSize:]
	half := nonceHalf(nonce)
	aead, known := s.aead(half)
	buf = associate(buf[:0], record, place, key)
	plain, err := aead.Open(buf[len(buf):], nonce[len(half):], sealed, buf)
	if err != nil {
		return nil, fmt.Errorf("%w: it was altered, moved or sealed with another key", ErrSealed)
	}
	if !known {
		s.derived.Add(half, aead)
	}
	return plain, nil
}

// aead returns the key that the half of a nonce selects, and whether it is one
// that a record was opened or sealed with.
func (s *Sealer) aead(half nonceHalf) (_ cipher.AEAD, known bool) {
	if now := s.now.Load(); now != nil && now.half == half {
		return now.aead, true
	}
	if aead, ok := s.derived.Get(half); ok {
		return aead, true
	}
	return s.derive(half[:]), false
}

// associate appends what is authenticated with a record.
func associate(b, record []byte, place string, key []byte) []byte {
	b = slices.Grow(b, headerSize+2+len(place)+2+len(key))
	b = append(b, record[:headerSize]...)
	b = appendText(b, place)
	return appendText(b, key)
}

// appendText appends s with its length before it.
func appendText[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// DataKeys are the keys that a store makes for itself. They are kept sealed
// with the operator's encryption key, so that replacing that one need not
// rewrite every record.
type DataKeys struct {
	Record [32]byte // for New
	Index  [32]byte // for Blind
}

// NewDataKeys returns fresh ones.
func NewDataKeys() (k DataKeys) {
	rand.Read(k.Record[:])
	rand.Read(k.Index[:])
	return k
}

// Marshal returns the keys as they are to be sealed.
func (k DataKeys) Marshal() []byte { return slices.Concat(k.Record[:], k.Index[:]) }

// UnmarshalDataKeys is the reverse of Marshal.
func UnmarshalDataKeys(b []byte) (k DataKeys, err error) {
	if len(b) != 64 {
		return k, fmt.Errorf("%w: data keys of %d bytes", ErrSealed, len(b))
	}
	copy(k.Record[:], b)
	copy(k.Index[:], b[32:])
	return k, nil
}

// Blind returns the key under which an index has a value that must not be
// readable in the store: HMAC-SHA-256 of the index's name, the pool and the
// value.
func (k DataKeys) Blind(index, poolID string, values ...string) []byte {
	b := appendText(appendText(nil, index), poolID)
	for _, v := range values {
		b = appendText(b, v)
	}
	mac := hmac.New(sha256.New, k.Index[:])
	mac.Write(b)
	return mac.Sum(nil)
}

// Origin tells the keys, and with them the store, from all others, and tells
// nothing of them.
func (k DataKeys) Origin() string {
	mac := hmac.New(sha256.New, k.Index[:])
	mac.Write([]byte("app2wxapp origin"))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}
