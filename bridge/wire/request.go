package wire

import (
	"net/http"
	"net/netip"

	"github.com/labstack/echo/v4"

	"app2wxapp/userpool"
)

// KeyPool is where a handler tells, in echo's context, the id of a pool that
// exists, for the log.
const KeyPool = "pool"

// Addr returns the caller's address, the zero Addr if there is none. Of one that is
// local to a link it has no zone: records keep none, and a repeat's answer is made
// of them.
func Addr(c echo.Context) netip.Addr {
	a, err := netip.ParseAddr(c.RealIP())
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

// IdempotencyKey returns the request's Idempotency-Key, "" if none was sent.
func IdempotencyKey(r *http.Request) (string, error) {
	keys, sent := r.Header["Idempotency-Key"]
	switch {
	case !sent:
		return "", nil
	case len(keys) != 1 || keys[0] == "":
		return "", userpool.Invalid("Idempotency-Key", "must be one header of 1 to 255 visible ASCII characters", "必须为一个请求头，1 到 255 个可见 ASCII 字符")
	}
	return keys[0], nil
}
