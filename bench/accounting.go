//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// all returns an error unless every answer had that status.
func (v volley) all(status int) error {
	wrong := map[int]int{}
	for _, s := range v.statuses {
		if s != status {
			wrong[s]++
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("of %d answers, all to be %d, there were by status %v; one said %s", len(v.statuses), status, wrong, v.odd)
	}
	return nil
}

// refused returns an error unless every answer refused with that error; the
// text of one is looked at.
func (v volley) refused(slug string) error {
	if err := v.all(400); err != nil {
		return err
	}
	var said struct{ Error string }
	if err := json.Unmarshal(v.odd, &said); err != nil || said.Error != slug {
		return fmt.Errorf("refused with %s, want %s", strings.TrimSpace(string(v.odd)), slug)
	}
	return nil
}

// checkRedeemed replays redeemed tickets and races for fresh ones.
func checkRedeemed(p *process, o outcome) error {
	if err := replay(p, o.shots, "invalid_ticket"); err != nil {
		return err
	}
	return race(p, o.spare, max(o.connections, racers))
}

// replay fires some of the shots, all accepted before, once more: each must be
// refused with that error.
func replay(p *process, s shots, slug string) error {
	again := s.sample(replays)
	v, err := fire(p.Public, 1, again, again.len(), nil)
	if err := errors.Join(err, v.refused(slug)); err != nil {
		return fmt.Errorf("shown again: %w", err)
	}
	return nil
}

// race fires each of the shots on several connections at once: one must be
// accepted, the others refused.
func race(p *process, s shots, connections int) error {
	v, err := fire(p.Public, connections, s.times(racers), s.len()*racers, nil)
	if err != nil {
		return err
	}
	for i := range s.len() {
		accepted := 0
		for _, status := range v.statuses[i*racers : (i+1)*racers] {
			switch status {
			case 200:
				accepted++
			case 400:
			default:
				return fmt.Errorf("shown on many connections: status %d: %s", status, v.odd)
			}
		}
		if accepted != 1 {
			return fmt.Errorf("shown on many connections, accepted %d times", accepted)
		}
	}
	return nil
}

// checkIssued looks for tickets given twice, shows some codes again, which must
// be refused, and redeems the latest tickets, once and again.
func (t *trial) checkIssued(p *process, o outcome) error {
	if err := distinct(o.tickets); err != nil {
		return err
	}
	if err := replay(p, o.shots, "invalid_code"); err != nil {
		return err
	}
	var latest []string
	for _, ticket := range o.tickets[max(0, len(o.tickets)-replays):] {
		latest = append(latest, string(ticket))
	}
	path, body := t.world.redeeming()
	s := newShots(path, body, latest)
	v, err := fire(p.Public, 1, s, s.len(), nil)
	if err := errors.Join(err, v.all(200)); err != nil {
		return fmt.Errorf("redeem what was issued: %w", err)
	}
	return replay(p, s, "invalid_ticket")
}

// distinct returns an error unless these are tickets, each another one.
func distinct(tickets [][]byte) error {
	seen := map[string]bool{}
	for _, ticket := range tickets {
		if len(ticket) != 51 || seen[string(ticket)] {
			return fmt.Errorf("ticket %q is none, or was given before", ticket)
		}
		seen[string(ticket)] = true
	}
	return nil
}
