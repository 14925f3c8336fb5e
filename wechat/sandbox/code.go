package sandbox

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"sync"
	"time"
)

// CodeLife is how long a login or phone code can be used: at CodeLife after its
// making it is over.
const CodeLife = 5 * time.Minute

// LoginCode returns what wx.login would give this user in this mini program: a
// code for one jscode2session within CodeLife. The user is any text; one that
// is spelled as a trigger makes that call fail, see Failure.
func (s *Server) LoginCode(appID, user string) string {
	text := "0" + rand.Text()
	k := code{kind: Login, appID: appID, user: user, madeAt: s.cfg.Now()}
	rand.Read(k.sessionKey[:])
	s.codes.add(text, k)
	return text
}

// PhoneCode returns what the phone button's event would give: a code for one
// getuserphonenumber within CodeLife, from this moment on. The phone is a
// mainland number, "13800138000", or one in E.164.
func (s *Server) PhoneCode(appID, user, phone string) string {
	var b [32]byte
	rand.Read(b[:])
	text := hex.EncodeToString(b[:])
	s.codes.add(text, code{kind: Phone, appID: appID, user: user, phone: phone, madeAt: s.cfg.Now()})
	return text
}

// code is what a code stands for.
type code struct {
	kind   string // Login or Phone
	appID  string
	user   string
	phone  string
	madeAt time.Time
	// sessionKey is what jscode2session will say, of a login code.
	sessionKey [16]byte
	used       bool
	triggered  bool // a trigger that works once has worked
}

// over tells whether the code's time is up.
func (c code) over(now time.Time) bool { return !now.Before(c.madeAt.Add(CodeLife)) }

// codeStore keeps the codes that are not over, used ones too. Codes are
// forgotten in the order of their making, two with each new one, so that no
// call ever sweeps. The zero value is ready for use.
type codeStore struct {
	mu    sync.Mutex
	codes map[string]*code
	order []string // by time of making; order[:head] is forgotten
	head  int
}

func (cs *codeStore) add(text string, c code) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.codes == nil {
		cs.codes = make(map[string]*code)
	}
	for range 2 {
		if cs.head == len(cs.order) || !cs.codes[cs.order[cs.head]].over(c.madeAt) {
			break
		}
		delete(cs.codes, cs.order[cs.head])
		cs.head++
	}
	if cs.head > len(cs.order)/2 {
		cs.order = append([]string(nil), cs.order[cs.head:]...)
		cs.head = 0
	}
	cs.codes[text] = &c
	cs.order = append(cs.order, text)
}

// with lets f look at the code and change it, as one step. It does nothing if
// there is no such code.
func (cs *codeStore) with(text string, f func(*code)) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if c := cs.codes[text]; c != nil {
		f(c)
	}
}

// OpenID returns the user's openid under the mini program: 28 characters, always
// the same.
func OpenID(appID, user string) string { return id("openid", appID, user) }

// UnionID returns the user's unionid under the Open Platform account, always
// the same.
func UnionID(platform, user string) string { return id("unionid", platform, user) }

func id(kind, owner, user string) string {
	sum := sha256.Sum256([]byte(kind + "\x00" + owner + "\x00" + user))
	return "o" + base64.RawURLEncoding.EncodeToString(sum[:])[:27]
}
