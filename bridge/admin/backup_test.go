package admin_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"app2wxapp/bridge"
	"app2wxapp/bridge/bridgetest"
	"app2wxapp/store/bolt"
	"app2wxapp/userpool"
)

const backup = "/admin/v1/backup"

// What is answered is a whole backup, of a length that is told, and none of it
// stays behind.
func TestBackup(t *testing.T) {
	t.Parallel()
	var copied string
	b := bridgetest.New(t, func(c *bridge.Config) {
		back := c.Backup
		c.Backup = func(ctx context.Context) (*os.File, error) {
			f, err := back(ctx)
			if err == nil {
				copied = f.Name()
			}
			return f, err
		}
	})
	p := b.NewPool()
	b.Redeem(p, b.Ticket(p, "alice")).Want(200)
	live := b.Ticket(p, "alice")
	r := b.Admin("GET", backup, "").Want(200)
	for header, want := range map[string]string{
		"Content-Type": "application/octet-stream", "Cache-Control": "no-store",
		"Content-Disposition": `attachment; filename="app2wxapp-20261120-083000.backup"`,
	} {
		if got := r.Header.Get(header); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
	path := filepath.Join(t.TempDir(), "backup")
	if err := os.WriteFile(path, []byte(r.Body), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := bolt.CheckBackup(path); err != nil {
		t.Errorf("what was answered: %v", err)
	}
	if _, err := os.Stat(copied); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the copy is left behind: %v", err)
	}

	b.Restore(r.Body)
	b.Redeem(p, live).WantError(400, 4001, "invalid_ticket")
	var got struct{ LoginsCount int }
	b.Redeem(p, b.Ticket(p, "alice")).Want(200).Decode(&got)
	if got.LoginsCount != 2 {
		t.Errorf("logins after the restoration: %d, want 2", got.LoginsCount)
	}
	if got := told(b, ""); got != "store.restored pool.created" {
		t.Errorf("audit trail: %s", got)
	}
}

func TestBackupRefused(t *testing.T) {
	t.Parallel()
	b := bridgetest.New(t)
	b.Do("GET", b.AdminURL+backup, "").WantError(401, 2020, "unauthenticated")
	b.Do("GET", b.URL+backup, "", "Authorization: Bearer "+bridgetest.AdminToken).Want(404)

	b = bridgetest.New(t, func(c *bridge.Config) {
		c.Backup = func(context.Context) (*os.File, error) {
			return nil, errors.Join(userpool.ErrUnavailable, errors.New("planted detail"))
		}
	})
	b.Admin("GET", backup, "").WantError(503, 5030, "unavailable")
}
