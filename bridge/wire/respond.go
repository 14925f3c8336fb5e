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

// Blob answers with JSON text. It says how long that is: net/http by itself
// sends what is over 2 KiB in chunks.
func Blob(c Responder, status int, b []byte) error {
	c.Response().Header().Set(echo.HeaderContentLength, strconv.Itoa(len(b)))
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
func Stamp(t time.Time) string {
	return t.UTC().Format("2006-01-02T15:04:05.000Z07:00")
}
