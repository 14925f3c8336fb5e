package wechat_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"app2wxapp/userpool"
	"app2wxapp/wechat"
	"app2wxapp/wechat/sandbox"
)

var sentinels = []error{userpool.ErrCode, userpool.ErrWeChatRisk, userpool.ErrWeChatSetup, userpool.ErrWeChatUnavailable}

// wantError reports an error that is not exactly one of the sentinels, the
// wanted one.
func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	for _, s := range sentinels {
		if errors.Is(err, s) != (s == want) {
			t.Errorf("%.60s: %v, want %v alone", what, err, want)
			return
		}
	}
}

// The rows are those of section 2.4 of the reference.
func TestErrcodes(t *testing.T) {
	type row struct {
		api    string
		code   int
		want   error
		result string
	}
	unavailable, setup := userpool.ErrWeChatUnavailable, userpool.ErrWeChatSetup
	rows := []row{
		{sandbox.Login, 40029, userpool.ErrCode, "invalid_code"},
		{sandbox.Phone, 40029, userpool.ErrCode, "invalid_code"},
		{sandbox.Login, 40163, userpool.ErrCode, "code_used"},
		{sandbox.Login, 42003, userpool.ErrCode, "invalid_code"},
		{sandbox.Login, 40226, userpool.ErrWeChatRisk, "risk"},
		{sandbox.Login, 45011, unavailable, "quota"},
		{sandbox.Phone, 45011, unavailable, "quota"},
		{sandbox.Phone, 40001, unavailable, "token"},
		{sandbox.Phone, 40014, unavailable, "token"},
		{sandbox.Phone, 42001, unavailable, "token"},
		{sandbox.Token, 40001, setup, "setup"},
		{sandbox.Token, 40125, setup, "setup"},
		{sandbox.Login, 40125, setup, "setup"},
		{sandbox.Token, 40164, setup, "setup"},
		{sandbox.Token, 40243, setup, "setup"},
		{sandbox.Token, 89503, setup, "setup"},
		{sandbox.Phone, 48001, setup, "setup"},
		{sandbox.Phone, 50002, setup, "setup"},
		{sandbox.Token, 41001, setup, "bug"},
		{sandbox.Phone, 41001, setup, "bug"},
	}
	for _, code := range []int{40002, 41002, 41004, 41008} {
		rows = append(rows, row{sandbox.Login, code, setup, "bug"}, row{sandbox.Token, code, setup, "bug"})
	}
	for _, code := range []int{43002, 44002, 47001} {
		rows = append(rows, row{sandbox.Phone, code, setup, "bug"}, row{sandbox.Token, code, setup, "bug"})
	}
	for _, api := range []string{sandbox.Login, sandbox.Token, sandbox.Phone} {
		rows = append(rows, row{api, -1, unavailable, "busy"}, row{api, 45009, unavailable, "quota_day"},
			row{api, 40013, setup, "setup"}, row{api, 12345, unavailable, "other"})
	}
	for _, r := range rows {
		t.Run(fmt.Sprintf("%s/%d", r.api, r.code), func(t *testing.T) {
			w := newWorld(t, 0, nil)
			w.sandbox.Fail(r.api, sandbox.ErrCode(r.code), -1)
			var err error
			if r.api == sandbox.Login {
				_, err = w.client.Code2Session(context.Background(), app, w.sandbox.LoginCode(app.ID, "alice"))
			} else {
				_, err = w.phone()
			}
			wantError(t, "the error", err, r.want)

			var e *wechat.Error
			if !errors.As(err, &e) || e.API != r.api || e.Code != r.code || e.RID == "" || e.Msg == "" {
				t.Fatalf("%#v, want an *Error with API %s, Code %d, Msg and RID", err, r.api, r.code)
			}
			text := strings.TrimSuffix(err.Error(), "; "+userpool.ErrUnsent.Error())
			before, fix, fixed := strings.Cut(strings.TrimSuffix(text, ", rid "+e.RID), " (")
			if want := fmt.Sprintf("wechat: %s: errcode %d", r.api, r.code); before != want || !strings.HasSuffix(text, ", rid "+e.RID) {
				t.Errorf("text %q, want %q and the rid", err, want)
			}
			if setup := r.result == "setup"; fixed != setup || setup && fix == ")" {
				t.Errorf("text %q: tells what to do is %t, want %t", err, fixed, setup)
			}
			if got, want := errors.Is(err, userpool.ErrUnsent), r.api == sandbox.Token; got != want {
				t.Errorf("the code was not sent: %t, want %t", got, want)
			}
			if !strings.HasPrefix(e.RID, fmt.Sprintf("%08x-", w.Now().Unix())) {
				t.Errorf("rid %q does not begin with the time %08x", e.RID, w.Now().Unix())
			}
			if got, want := w.observed(), r.api+" "+r.result; !slices.Contains(got, want) {
				t.Errorf("observed %q, want %q", got, want)
			}
		})
	}
}

// An answer with an errcode is a refusal, whatever else is in it.
func TestErrcodeBeforeFields(t *testing.T) {
	w := newWorld(t, 0, nil)
	w.sandbox.Fail(sandbox.Login, `raw:{"openid":["not a text"],"errcode":40226,"errmsg":"no rid"}`, 1)
	_, err := w.client.Code2Session(context.Background(), app, "code")
	wantError(t, "errcode with a bad field", err, userpool.ErrWeChatRisk)
	if want := "wechat: jscode2session: errcode 40226"; err == nil || err.Error() != want {
		t.Errorf("text %q, want %q", err, want)
	}
	w.sandbox.Fail(sandbox.Login, `raw:{"openid":"o1","errcode":-1}`, 1)
	s, err := w.client.Code2Session(context.Background(), app, "code")
	wantError(t, "errcode with a good openid", err, userpool.ErrWeChatUnavailable)
	if s.OpenID != "" {
		t.Errorf("session %+v with an error", s)
	}
}

// transportFailures are the ways not to answer, and how they are counted.
var transportFailures = map[sandbox.Failure]string{
	sandbox.Hang:             "timeout",
	sandbox.Reset:            "unavailable",
	sandbox.Redirect:         "unavailable",
	sandbox.Oversized:        "garbage",
	sandbox.GarbageHTML:      "garbage",
	sandbox.GarbageTruncated: "garbage",
	sandbox.GarbageEmpty:     "garbage",
	sandbox.GarbageNull:      "garbage",
	sandbox.GarbageObject:    "garbage",
	sandbox.Status(500):      "unavailable",
	sandbox.Status(502):      "unavailable",
	sandbox.Slow(time.Hour):  "timeout",
	sandbox.ErrCode(-1):      "busy",
}

// A one-time code must reach WeChat once: the first try may have spent it, and
// a second one would lose the session.
func TestCodeIsSentOnce(t *testing.T) {
	for f, result := range transportFailures {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 300*time.Millisecond, nil)
			// A first round of successes leaves connections to be reused.
			if _, err := w.client.Code2Session(context.Background(), app, w.sandbox.LoginCode(app.ID, "alice")); err != nil {
				t.Fatal(err)
			}
			if _, err := w.phone(); err != nil {
				t.Fatal(err)
			}
			w.observed()
			w.sandbox.Fail(sandbox.Login, f, -1)
			w.sandbox.Fail(sandbox.Phone, f, -1)

			s, err := w.client.Code2Session(context.Background(), app, w.sandbox.LoginCode(app.ID, "alice"))
			wantError(t, "Code2Session", err, userpool.ErrWeChatUnavailable)
			if n := w.sandbox.Count(sandbox.Login); n != 2 || s.OpenID != "" {
				t.Errorf("Code2Session: session %+v, %d calls at the server; want none and 2", s, n)
			}
			phone, err := w.phone()
			wantError(t, "Phone", err, userpool.ErrWeChatUnavailable)
			if n := w.sandbox.Count(sandbox.Phone); n != 2 || phone != "" {
				t.Errorf("Phone: %#v, %d calls at the server; want none and 2", phone, n)
			}
			if got, want := w.observed(), []string{"jscode2session " + result, "getuserphonenumber " + result}; !slices.Equal(got, want) {
				t.Errorf("observed %q, want %q", got, want)
			}
		})
	}
}

// A login is not made again when a reused connection dies before the answer
// begins, as net/http's Transport would.
func TestDeadConnectionRepeatsNoLogin(t *testing.T) {
	w := newWorld(t, 0, nil)
	for range 3 {
		w.client.Code2Session(context.Background(), app, w.sandbox.LoginCode(app.ID, "alice"))
	}
	code := w.sandbox.LoginCode(app.ID, "reset")
	_, err := w.client.Code2Session(context.Background(), app, code)
	wantError(t, "reset", err, userpool.ErrWeChatUnavailable)
	sent := 0
	for _, c := range w.sandbox.Calls(sandbox.Login) {
		if c.Query.Get("js_code") == code {
			sent++
		}
	}
	if sent != 1 {
		t.Errorf("the code was sent %d times, want 1", sent)
	}
}

// The body is bounded at 64 KiB, which is itself allowed.
func TestBodyLimit(t *testing.T) {
	w := newWorld(t, 0, nil)
	for size, want := range map[int]error{64 << 10: nil, 64<<10 + 1: userpool.ErrWeChatUnavailable} {
		w.sandbox.Fail(sandbox.Login, sandbox.Raw(fmt.Sprintf("%*s", size, `{"openid":"o1"}`)), 1)
		_, err := w.client.Code2Session(context.Background(), app, "code")
		wantError(t, fmt.Sprint(size, " bytes"), err, want)
	}
}

// An answer without end is not read to the end.
func TestEndlessBody(t *testing.T) {
	w := newWorld(t, 2*time.Second, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				io.WriteString(rw, strings.Repeat(" ", 1<<10))
			}
		})
	})
	_, err := w.client.Code2Session(context.Background(), app, "code")
	wantError(t, "endless", err, userpool.ErrWeChatUnavailable)
	if got := w.observed(); !slices.Equal(got, []string{"jscode2session garbage"}) {
		t.Errorf("observed %q, want garbage long before the timeout", got)
	}
}

// Who cancels learns so, and it is not counted against WeChat.
func TestCanceledCaller(t *testing.T) {
	arrived := make(chan struct{}, 1)
	w := newWorld(t, time.Minute, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			arrived <- struct{}{}
			h.ServeHTTP(rw, r)
		})
	})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-arrived; cancel() }()
	_, err := w.client.Code2Session(ctx, app, w.sandbox.LoginCode(app.ID, "hang"))
	wantError(t, "canceled", err, userpool.ErrWeChatUnavailable)
	if got := w.observed(); !errors.Is(err, context.Canceled) || !slices.Equal(got, []string{"jscode2session canceled"}) {
		t.Errorf("%v, observed %q; want context.Canceled", err, got)
	}
}

// No error may show what was sent, whoever echoes it.
func TestErrorsKeepSecrets(t *testing.T) {
	const code, openID = "planted-code-77aa&y", "planted_openid_0123456789"
	leaks := func(t *testing.T, token string, err error) {
		t.Helper()
		if err == nil {
			t.Error("no error")
		}
		var e *wechat.Error
		errors.As(err, &e)
		text := fmt.Sprintf("%v %+v %#v %#v", err, err, err, e)
		if e != nil {
			text += e.Msg
		}
		for _, s := range []string{"planted", "secret-5f1c", "code-77aa", openID, token, "echoed"} {
			if s != "" && strings.Contains(text, s) {
				t.Errorf("%q is in %s", s, text)
			}
		}
	}
	echo := func(rw http.ResponseWriter, r *http.Request) string {
		b, _ := io.ReadAll(r.Body)
		return fmt.Sprintf("%s %s %s", r.URL, r.URL.Query(), b)
	}
	for name, h := range map[string]http.HandlerFunc{
		"errmsg": func(rw http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			fmt.Fprintf(rw, `{"errcode":-1,"errmsg":%q}`, fmt.Sprint(r.URL.Query(), r.URL.RawQuery, string(b)))
		},
		"status": func(rw http.ResponseWriter, r *http.Request) {
			http.Error(rw, "echoed"+echo(rw, r), http.StatusBadGateway)
		},
		"location": func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Location", "http://[echoed"+r.URL.RawQuery)
			rw.WriteHeader(http.StatusFound)
		},
		"no http": func(rw http.ResponseWriter, r *http.Request) {
			conn, _, _ := http.NewResponseController(rw).Hijack()
			fmt.Fprintf(conn, "echoed %s\r\n\r\n", echo(rw, r))
			conn.Close()
		},
		"not json":   func(rw http.ResponseWriter, r *http.Request) { io.WriteString(rw, "echoed"+echo(rw, r)) },
		"bad number": func(rw http.ResponseWriter, r *http.Request) { io.WriteString(rw, `{"errcode":7766.5}`) },
	} {
		t.Run(name, func(t *testing.T) {
			// Tokens come from the sandbox, so that Phone has one to leak.
			w := newWorld(t, 0, func(sb http.Handler) http.Handler {
				return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					if strings.HasSuffix(r.URL.Path, "/stable_token") {
						sb.ServeHTTP(rw, r)
						return
					}
					h(rw, r)
				})
			})
			_, err := w.client.Code2Session(context.Background(), app, code)
			leaks(t, "", err)
			_, err = w.client.Phone(context.Background(), app, openID, code)
			leaks(t, "91_", err)

			srv := httptest.NewServer(h)
			defer srv.Close()
			_, err = wechat.New(wechat.Config{BaseURL: srv.URL}).Phone(context.Background(), app, openID, code)
			leaks(t, "", err)
		})
	}
	for _, base := range []string{"http://127.0.0.1:1", "http://no-such-host.invalid", "http://[broken", "nonsense", "gopher://x"} {
		t.Run(base, func(t *testing.T) {
			c := wechat.New(wechat.Config{BaseURL: base, Timeout: time.Second})
			_, err := c.Code2Session(context.Background(), app, code)
			leaks(t, "", err)
			wantError(t, base, err, userpool.ErrWeChatUnavailable)
			_, err = c.Phone(context.Background(), app, openID, code)
			leaks(t, "", err)
		})
	}
	for f := range transportFailures {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 200*time.Millisecond, nil)
			if _, err := w.phone(); err != nil {
				t.Fatal(err)
			}
			w.sandbox.Fail(sandbox.Login, f, -1)
			w.sandbox.Fail(sandbox.Phone, f, -1)
			_, err := w.client.Code2Session(context.Background(), app, code)
			leaks(t, "", err)
			_, err = w.client.Phone(context.Background(), app, openID, code)
			leaks(t, "91_", err)
		})
	}
}
