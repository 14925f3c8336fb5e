package bolt

import (
	"errors"
	"log/slog"
	"os"
	"testing"

	"app2wxapp/userpool"
)

// Whoever restores a backup in the place of a file that a server has open learns of
// it, and that server answers nothing that the next start would not know.
func TestFileMovedAway(t *testing.T) {
	path := newPath(t)
	log := newEvents()
	s, err := Open(config(path, log))
	check(t, err)
	defer closeStore(t, s)
	fill(t, s)
	answers := func(what string, want error) {
		t.Helper()
		_, read := s.User(ctx, "p", "a")
		write := second(s.UpdatePool(ctx, "p", silent(func(p *userpool.Pool) error { p.Name += "+"; return nil })))
		for call, err := range map[string]error{"ready": s.Ready(), "read": read, "write": write} {
			if !errors.Is(err, want) {
				t.Errorf("%s: %s: %v, want %v", what, call, err, want)
			}
		}
	}
	answers("in its place", nil)

	aside := path + ".aside"
	check(t, os.Rename(path, aside))
	if _, err := s.SweepTickets(ctx, t0, 1); !errors.Is(err, userpool.ErrUnavailable) {
		t.Errorf("a sweep of a file that was moved away: %v, want unavailable", err)
	}
	log.await(t, "was moved away or replaced")
	answers("moved away", userpool.ErrUnavailable)

	other, err := Open(config(path, slog.DiscardHandler))
	check(t, err)
	closeStore(t, other)
	answers("replaced", userpool.ErrUnavailable)

	check(t, os.Rename(aside, path))
	check(t, s.Ready())
	log.await(t, "is back")
	answers("back", nil)
}
