//go:build linux

package main

import (
	"net/http"
	"strings"
	"syscall"
	"testing"

	"app2wxapp/store/postgres/pgtest"
)

// onPostgres is a program like p on the database of that URL, which starts with
// nothing in its folder.
func (p *program) onPostgres(url string) *program {
	p.t.Helper()
	on := *p
	on.folder, on.cmd = p.t.TempDir(), nil
	on.env = append(p.env, "APP2WXAPP_STORE_URL="+url, "APP2WXAPP_ENCRYPTION_KEY="+plantedKey)
	p.t.Cleanup(func() {
		if on.cmd != nil {
			on.kill()
		}
	})
	return &on
}

// Two processes share a database and nothing else: what one has issued the
// other redeems, once.
func TestServeOnPostgres(t *testing.T) {
	url := pgtest.NewOn(t, pgtest.Start(t).URL("postgres"))
	p := newProgram(t)
	a, b := p.onPostgres(url), p.onPostgres(url)
	a.start()
	b.start()
	pool, secret := a.newPool()
	ticket := b.issue(pool, "alice")
	if status, body, err := a.redeem(pool, secret, ticket); status != http.StatusOK || err != nil || !strings.Contains(body, `"loginsCount":1`) {
		t.Errorf("redeem what the other process has issued: %d %s %v", status, body, err)
	}
	if status, body, err := b.redeem(pool, secret, ticket); status != http.StatusBadRequest || err != nil {
		t.Errorf("redeem it once more at the other: %d %s %v, want 400", status, body, err)
	}
	for _, p := range []*program{a, b} {
		if err := p.stop(syscall.SIGTERM); err != nil {
			t.Errorf("after SIGTERM: %v\n%s", err, p.log)
		}
	}
}
