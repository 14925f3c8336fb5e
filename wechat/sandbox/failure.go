package sandbox

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Failure is a way to misbehave. It is a text, so that Fail, the control calls
// and user names can all say it; "" is none.
//
// Besides the constants there are those that ErrCode, Slow, Status and Raw
// spell:
//
//	error-<errcode>   error--1, error-45011, error-40226
//	slow-<duration>   slow-3s, slow-500ms
//	http-<status>     http-500, http-502
//	raw:<body>        HTTP 200 with exactly this body
type Failure string

const (
	Hang             Failure = "hang"              // no answer until the client gives up
	Reset            Failure = "reset"             // the connection is reset instead of an answer
	Redirect         Failure = "redirect"          // 302 to a path that the sandbox does not have
	Oversized        Failure = "oversized"         // the true answer after more than 1 MiB of spaces
	GarbageHTML      Failure = "garbage-html"      // a page
	GarbageTruncated Failure = "garbage-truncated" // half of the true answer
	GarbageEmpty     Failure = "garbage-empty"     // no byte
	GarbageNull      Failure = "garbage-null"      // null
	GarbageObject    Failure = "garbage-object"    // {}: success without any field

	// These leave the call a success, in a form that WeChat may use or a client
	// must refuse. Other calls than getuserphonenumber take no notice of them.
	CountryNumber  Failure = "country-number"  // countryCode 86
	CountryEmpty   Failure = "country-empty"   // countryCode ""
	CountryPlus    Failure = "country-plus"    // countryCode "+86"
	WatermarkApp   Failure = "watermark-appid" // watermark of another AppID
	WatermarkOld   Failure = "watermark-old"   // watermark of six minutes before the code
	KillTokenFirst Failure = "kill-token"      // KillToken, then the call as usual
)

// ErrCode answers HTTP 200 with this errcode.
func ErrCode(code int) Failure { return Failure("error-" + strconv.Itoa(code)) }

// Slow gives the true answer, late.
func Slow(d time.Duration) Failure { return Failure("slow-" + d.String()) }

// Status answers with this HTTP status, 400 or more, and a page.
func Status(status int) Failure { return Failure("http-" + strconv.Itoa(status)) }

// Raw answers HTTP 200 with exactly this body.
func Raw(body string) Failure { return Failure("raw:" + body) }

// Vocabulary says how failures are spelled, for messages.
const Vocabulary = "error-<errcode>, slow-<duration>, http-<status>, hang, reset, redirect, oversized, " +
	"garbage-html, garbage-truncated, garbage-empty, garbage-null, garbage-object, country-number, country-empty, " +
	"country-plus, watermark-appid, watermark-old, kill-token, raw:<body>"

// Valid tells whether the failure is one of the vocabulary.
func (f Failure) Valid() bool {
	switch f {
	case Hang, Reset, Redirect, Oversized, GarbageHTML, GarbageTruncated, GarbageEmpty, GarbageNull, GarbageObject,
		CountryNumber, CountryEmpty, CountryPlus, WatermarkApp, WatermarkOld, KillTokenFirst:
		return true
	}
	if _, ok := f.errcode(); ok {
		return true
	}
	if _, ok := f.delay(); ok {
		return true
	}
	if _, ok := f.status(); ok {
		return true
	}
	_, ok := f.raw()
	return ok
}

func (f Failure) errcode() (int, bool) {
	text, found := strings.CutPrefix(string(f), "error-")
	if !found {
		return 0, false
	}
	code, err := strconv.Atoi(text)
	return code, err == nil
}

func (f Failure) delay() (time.Duration, bool) {
	text, found := strings.CutPrefix(string(f), "slow-")
	if !found {
		return 0, false
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0
}

func (f Failure) status() (int, bool) {
	text, found := strings.CutPrefix(string(f), "http-")
	if !found {
		return 0, false
	}
	status, err := strconv.Atoi(text)
	return status, err == nil && 400 <= status && status <= 599
}

func (f Failure) raw() (string, bool) { return strings.CutPrefix(string(f), "raw:") }

// beforeCode tells whether WeChat would fail so before it looks at the code: it
// is a rejected access token, which only Phone has.
func (f Failure) beforeCode(api string) bool {
	return api == Phone && (f == "error-40001" || f == "error-40014" || f == "error-42001")
}

// page is what a gateway says.
const page = "<!DOCTYPE html><html><head><title>Bad Gateway</title></head><body>simulated</body></html>"

// elsewhere is where Redirect points. The sandbox does not have it: a client
// that follows is found in Unknown.
const elsewhere = "/redirected"

// spoil writes the failure in place of the true answer, or the true answer if
// there is none.
func (f Failure) spoil(w http.ResponseWriter, r *http.Request, api string, now time.Time, a answer) {
	switch f {
	case Hang:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case Reset:
		reset(w)
		return
	case Redirect:
		w.Header().Set("Location", elsewhere)
		w.WriteHeader(http.StatusFound)
		return
	case Oversized:
		a.body = append(bytes.Repeat([]byte(" "), 1<<20+1), a.body...)
	case GarbageHTML:
		a = answer{"text/html", []byte(page)}
	case GarbageTruncated:
		a.body = a.body[:len(a.body)/2]
	case GarbageEmpty:
		a.body = nil
	case GarbageNull:
		a.body = []byte("null")
	case GarbageObject:
		a.body = []byte("{}")
	}
	if code, ok := f.errcode(); ok {
		msg := tokenMessages[code]
		if msg == "" {
			msg = fmt.Sprintf("simulated error %d", code)
		}
		a.body = refuse(api, now, code, msg).body
	}
	if status, ok := f.status(); ok {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		w.Write([]byte(page))
		return
	}
	if body, ok := f.raw(); ok {
		a.body = []byte(body)
	}
	if d, ok := f.delay(); ok {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
	a.write(w)
}

// reset ends the connection with a TCP reset, or without an answer if the
// connection is not to be had.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		if t, ok := conn.(interface{ NetConn() net.Conn }); ok { // TLS
			conn = t.NetConn()
		}
		if t, ok := conn.(*net.TCPConn); ok {
			t.SetLinger(0)
		}
		conn.Close()
		return
	}
	panic(http.ErrAbortHandler)
}
