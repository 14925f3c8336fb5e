package idaas

import (
	"strings"

	"app2wxapp/userpool"
)

// mobile returns the number as the product writes it: +86-13800000000. Of other
// countries it is not known where the calling code ends.
func mobile(p userpool.Phone) string {
	if local, ok := strings.CutPrefix(string(p), mainland); ok {
		return mainland + "-" + local
	}
	return string(p)
}

const mainland = "+86"

// dialled returns what a client has for a number in E.164, as far as it is one:
// clients send 13800000000, +8613800000000 and +86-13800000000.
func dialled(text string) string {
	text = strings.NewReplacer("-", "", " ", "").Replace(text)
	if text == "" || text[0] == '+' {
		return text
	}
	return mainland + text
}

// receiver returns whom a code goes to, in the one spelling that the server has,
// and by which way: the number if there is one, else the address.
func receiver(number, address string) (to string, way userpool.Way, err error) {
	switch {
	case number != "" && address != "":
		return "", "", userpool.Invalid("email", "must not come with mobile", "不能与 mobile 同时给出")
	case number != "":
		return dialled(number), userpool.WaySMSCode, nil
	case address != "":
		if e, ok := userpool.ParseEmail(address); ok {
			address = string(e)
		}
		return address, userpool.WayEmailCode, nil
	}
	return "", "", userpool.Invalid("mobile", "is required, or email", "必填，或给出 email")
}
