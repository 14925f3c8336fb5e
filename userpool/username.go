package userpool

import (
	"errors"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// maxUsername is Casdoor's limit, in bytes.
const maxUsername = 255

// reservedName begins the usernames that are given to those who bring none: an
// openid follows. Nobody can choose such a name, lest it be somebody else's.
const reservedName = "wechat-"

var chosenName = regexp.MustCompile(`^[a-zA-Z0-9]+([-._][a-zA-Z0-9]+)*$`)

// ChosenUsername tells whether a user can choose s as their username: letters
// and digits, with single "-", "." and "_" between them, and no UUID: the id of
// a user who is yet to come, who goes by it where they have no username.
func ChosenUsername(s string) bool {
	return len(s) <= maxUsername && chosenName.MatchString(s) && !strings.HasPrefix(s, reservedName) && uuid.Validate(s) != nil
}

// validUsername tells whether s can be a username at all: one that comes from
// elsewhere was made by other rules. It has no slash, since Casdoor's clients
// write owner/name.
func validUsername(s string) bool {
	return s != "" && len(s) <= maxUsername && utf8.ValidString(s) && !hasControl(s) && !strings.ContainsAny(s, "/ ")
}

// errNextName is what resolve returns to have the next name looked up.
var errNextName = errors.New("userpool: the username is taken")

// name asks for a username, wish if it can be.
func (in *signIn) name(wish string) {
	in.named = true
	// An openid is WeChat's and may be anything; a name that came from elsewhere
	// may be like another's. The id of the user is nobody else's.
	in.names = []string{in.id}
	if own := reservedName + in.keys.Identity.OpenID; validUsername(own) {
		in.names = append(in.names, own)
	}
	if ChosenUsername(wish) {
		in.names = append(in.names, wish)
	}
}

// nextName has the next name looked up with the other keys, and tells whether
// there is one.
func (in *signIn) nextName() bool {
	n := len(in.names)
	if n == 0 {
		return false
	}
	in.keys.Username, in.names = in.names[n-1], in.names[:n-1]
	return true
}
