package wechat_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"app2wxapp/userpool"
	"app2wxapp/wechat/sandbox"
)

// While WeChat hangs for one mini program, its 257th call fails at once and
// sends nothing, other mini programs are served, and the places come back.
func TestCallsInFlightAreLimited(t *testing.T) {
	const limit = 256
	other := userpool.App{ID: "wxother", Secret: "other-secret"}
	release, arrived := make(chan struct{}), make(chan struct{}, 2*limit)
	w := newWorld(t, time.Minute, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("appid") == app.ID {
				arrived <- struct{}{}
				<-release
			}
			next.ServeHTTP(rw, r)
		})
	})
	w.sandbox.AddApp(sandbox.App{ID: other.ID, Secret: string(other.Secret), Platform: platform})
	sign := func(a userpool.App, user string) error {
		_, err := w.client.Code2Session(t.Context(), a, w.sandbox.LoginCode(a.ID, user))
		return err
	}
	var calls sync.WaitGroup
	for i := range limit {
		calls.Go(func() {
			if err := sign(app, fmt.Sprint("u", i)); err != nil {
				t.Errorf("call %d of %d: %v", i+1, limit, err)
			}
		})
	}
	for range limit {
		<-arrived
	}
	if err := sign(app, "late"); !errors.Is(err, userpool.ErrWeChatUnavailable) {
		t.Errorf("call %d: got %v, want ErrWeChatUnavailable", limit+1, err)
	}
	if len(arrived) > 0 {
		t.Error("the call past the limit reached WeChat")
	}
	if got := w.observed(); !slices.Equal(got, []string{"jscode2session limited"}) {
		t.Errorf("observed %q, want one limited call", got)
	}
	if err := sign(other, "alice"); err != nil {
		t.Errorf("another mini program meanwhile: %v", err)
	}
	close(release)
	calls.Wait()
	if err := sign(app, "later"); err != nil {
		t.Errorf("after the others ended: %v", err)
	}
}
