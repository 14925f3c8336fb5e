package password

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"regexp"
	"strconv"

	"golang.org/x/crypto/argon2"
)

// What new hashes are made with: of OWASP's recommendations for argon2id, which
// are equally strong, the one that leaves most memory to others and needs no
// threads.
const (
	memory  = 19 * 1024 // KiB
	passes  = 2
	threads = 1

	saltSize = 16
	keySize  = 32
)

// What a hash from elsewhere may ask for.
const (
	maxMemory  = 64 * 1024 // KiB
	maxPasses  = 16
	maxThreads = 16
	maxWork    = 4 * maxMemory // memory times passes
	maxSalt    = 64
	minKey     = 16
	maxKey     = 64
)

// argon2Hash is a PHC string, read.
type argon2Hash struct {
	memory, passes uint32
	threads        uint8
	salt, key      []byte
}

// decoy stands for the hash that a user does not have.
var decoy = argon2Hash{memory: memory, passes: passes, threads: threads, salt: make([]byte, saltSize), key: make([]byte, keySize)}

var (
	argon2Form = regexp.MustCompile(`^\$argon2id\$v=19\$m=([1-9]\d{0,6}),t=([1-9]\d{0,2}),p=([1-9]\d{0,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$`)
	phc        = base64.RawStdEncoding.Strict()

	bcryptForm = regexp.MustCompile(`^\$2[aby]\$(?:0[4-9]|1[0-4])\$[./A-Za-z0-9]{53}$`)
)

func isBcrypt(hash string) bool { return bcryptForm.MatchString(hash) }

// parseArgon2 reads a PHC string, and tells whether it is one whose parameters
// are within bounds.
func parseArgon2(hash string) (p argon2Hash, ok bool) {
	m := argon2Form.FindStringSubmatch(hash)
	if m == nil {
		return p, false
	}
	number := func(text string) uint32 {
		n, _ := strconv.ParseUint(text, 10, 32) // the form has digits only
		return uint32(n)
	}
	p.memory, p.passes = number(m[1]), number(m[2])
	lanes := number(m[3])
	if p.memory > maxMemory || p.passes > maxPasses || lanes > maxThreads || p.memory*p.passes > maxWork || p.memory < 8*lanes {
		return p, false
	}
	p.threads = uint8(lanes) // #nosec G115 -- at most maxThreads
	var saltErr, keyErr error
	p.salt, saltErr = phc.DecodeString(m[4])
	p.key, keyErr = phc.DecodeString(m[5])
	return p, saltErr == nil && keyErr == nil && len(p.salt) <= maxSalt && len(p.key) >= minKey && len(p.key) <= maxKey
}

func (p argon2Hash) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.passes, p.threads,
		phc.EncodeToString(p.salt), phc.EncodeToString(p.key))
}

// current tells whether the hash is as it would be made today.
func (p argon2Hash) current() bool {
	return p.memory == memory && p.passes == passes && p.threads == threads && len(p.salt) >= saltSize && len(p.key) >= keySize
}

func (p argon2Hash) compare(text string) bool {
	key := argon2.IDKey([]byte(text), p.salt, p.passes, p.memory, p.threads, uint32(len(p.key))) // #nosec G115 -- at most maxKey
	return subtle.ConstantTimeCompare(key, p.key) == 1
}

func makeArgon2(text string) string {
	p := argon2Hash{memory: memory, passes: passes, threads: threads, salt: make([]byte, saltSize)}
	rand.Read(p.salt)
	p.key = argon2.IDKey([]byte(text), p.salt, p.passes, p.memory, p.threads, keySize)
	return p.String()
}
