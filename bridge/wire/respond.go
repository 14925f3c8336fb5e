package wire

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
)

// ContentType of every JSON answer. Clients of the field decode a body without
// charset as Latin-1.
const ContentType = "application/json; charset=utf-8"

// JSON returns v as JSON without escaping <, > and &.
func JSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}

// Responder is the part of echo's context that answers need.
type Responder interface {
	Blob(status int, contentType string, b []byte) error
	Response() *echo.Response
}

// Respond answers with v as JSON.
func Respond(c Responder, status int, v any) error {
	b, err := JSON(v)
	if err != nil {
		return err
	}
	return Blob(c, status, b)
}

// heldBack is how much net/http holds back of an answer: it says itself how
// long one is that ends before, and sends others in chunks.
const heldBack = 2 << 10

// contentType is shared by all answers.
var contentType = []string{ContentType}

// Blob answers with JSON text, and says how long that is.
func Blob(c Responder, status int, b []byte) error {
	h := c.Response().Header()
	h[echo.HeaderContentType] = contentType
	if len(b) >= heldBack {
		h.Set(echo.HeaderContentLength, strconv.Itoa(len(b)))
	}
	return c.Blob(status, ContentType, b)
}

// OK is Respond with status 200.
func OK(c Responder, v any) error { return Respond(c, http.StatusOK, v) }

// Time returns t as answers have it: ISO 8601 in UTC with milliseconds, nil for
// none.
func Time(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := Stamp(t)
	return &s
}

// Stamp is Time for one that is there.
func Stamp(t time.Time) string { return string(AppendStamp(nil, t)) }

// AppendStamp appends Stamp. Package time is quick at RFC 3339, not at
// milliseconds.
func AppendStamp(b []byte, t time.Time) []byte {
	b = t.UTC().AppendFormat(b, time.RFC3339)
	ms := t.Nanosecond() / int(time.Millisecond)
	return append(b[:len(b)-len("Z")], '.', '0'+byte(ms/100), '0'+byte(ms/10%10), '0'+byte(ms%10), 'Z') // #nosec G115 -- digits
}
