//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/netutil"

	"app2wxapp/bridge"
	"app2wxapp/bridge/bare"
	"app2wxapp/sender"
	"app2wxapp/store"
	barebolt "app2wxapp/store/bolt/bare"
	"app2wxapp/store/postgres"
	"app2wxapp/wechat"
)

// A server under test is this program again, with childEnv set. Its first line
// of input is an order; it answers with an address. Each further line is a
// request, "usage", "profile FILE" or "profile", answered by a line. It ends,
// cleanly, with its input.
const childEnv = "APP2WXAPP_BENCH_CHILD"

// order says what a child serves.
type order struct {
	Body   []byte // not empty: a bare echo that answers it
	Commit string // not empty: which makes a bare commit before, in a new file of that path
	Store  string // path of a store that exists, or the URL of one on a server
	Alone  bool   // on a server: each redemption has a statement of its own
	WeChat string // base URL
}

type address struct{ Public, Admin string }

type usage struct{ CPU time.Duration }

// storeKey is the encryption key of the bench's stores.
var storeKey = [32]byte{'b', 'e', 'n', 'c', 'h'}

// runChild is a server process from its first line of input to its last.
func runChild(in io.Reader, out io.Writer) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(300) // as the program's tuneRuntime
	}
	lines, answers := bufio.NewScanner(in), json.NewEncoder(out)
	lines.Buffer(nil, 1<<20)
	var o order
	if !lines.Scan() {
		return errors.New("no order")
	}
	if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
		return err
	}
	var listeners [2]net.Listener
	for i := range listeners {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		listeners[i] = netutil.LimitListener(l, 16_000) // as the program's
	}
	at := address{listeners[0].Addr().String(), listeners[1].Addr().String()}
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	public, admin, stop := bare.Handler(o.Body), http.NotFoundHandler(), func() error { return nil }
	if o.Commit != "" {
		f, err := barebolt.Create(o.Commit)
		if err != nil {
			return err
		}
		public, stop = committing(f, public), f.Close
	}
	if len(o.Body) == 0 {
		if os.Getenv("GOMAXPROCS") == "" {
			runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1) // as the program's tuneRuntime
		}
		var err error
		if public, admin, stop, err = newBridge(o, "http://"+at.Public, log); err != nil {
			return err
		}
	}
	servers := [2]*http.Server{newHTTPServer(public, log), newHTTPServer(admin, log)}
	for i, s := range servers {
		go s.Serve(listeners[i])
	}
	if err := answers.Encode(at); err != nil {
		return err
	}
	err := answer(lines, answers)
	for _, s := range servers {
		err = errors.Join(err, s.Close())
	}
	return errors.Join(err, stop())
}

// committing makes a commit before each answer.
func committing(f *barebolt.File, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := f.Commit(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// newBridge wires a bridge together as the program does.
func newBridge(o order, publicURL string, log *slog.Logger) (public, admin http.Handler, stop func() error, err error) {
	reg := prometheus.NewRegistry()
	st, err := o.open(log, reg)
	if err != nil {
		return nil, nil, nil, err
	}
	b := bridge.New(bridge.Config{
		Store:         st,
		WeChat:        wechat.New(wechat.Config{BaseURL: o.WeChat, Observe: wechat.Metrics(reg)}),
		Senders:       sender.New(sender.Config{Now: now}),
		WeChatTimeout: wechat.DefaultTimeout, Now: now, Log: log, Reg: reg,
		PublicURL: publicURL, AdminToken: "bench-admin-token", Version: "bench",
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.Run(ctx)
	}()
	return b.Public(), b.Admin(), func() error {
		cancel()
		<-ended
		return st.Close()
	}, nil
}

func (o order) open(log *slog.Logger, reg prometheus.Registerer) (store.Store, error) {
	if o.Alone {
		return postgres.Open(postgres.Config{URL: o.Store, Key: storeKey, Log: log, Reg: reg, Now: now, Alone: true})
	}
	return store.Open(store.Config{URL: urlOf(o.Store), Key: storeKey, Log: log, Reg: reg, Now: now})
}

// now is the program's clock.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// newHTTPServer has the program's settings.
func newHTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:                      h,
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            5 * time.Second,
		ReadTimeout:                  10 * time.Second,
		WriteTimeout:                 15 * time.Second,
		IdleTimeout:                  60 * time.Second,
		MaxHeaderBytes:               16 << 10,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// answer answers requests until the input ends.
func answer(lines *bufio.Scanner, answers *json.Encoder) error {
	var profile *os.File
	for lines.Scan() {
		word, file, _ := strings.Cut(lines.Text(), " ")
		var r syscall.Rusage
		switch {
		case word == "usage":
			if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
				return err
			}
		case word == "profile" && file != "":
			var err error
			if profile, err = os.Create(file); err != nil {
				return err
			}
			if err := pprof.StartCPUProfile(profile); err != nil {
				return err
			}
		case word == "profile":
			pprof.StopCPUProfile()
			if err := profile.Close(); err != nil {
				return err
			}
		default:
			return fmt.Errorf("unknown request %q", word)
		}
		if err := answers.Encode(usage{time.Duration(r.Utime.Nano() + r.Stime.Nano())}); err != nil {
			return err
		}
	}
	return lines.Err()
}
