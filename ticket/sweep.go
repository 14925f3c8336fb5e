package ticket

import (
	"context"
	"time"
)

const (
	sweepEvery = 10 * time.Second
	// sweepBatch keeps a sweep's transactions short: redemptions wait for them.
	sweepBatch = 500
)

// Sweep deletes the records of tickets that ended RetainFor or more ago, in
// small steps, and returns how many. Nothing depends on when it runs: a ticket
// is over at ExpiresAt, swept or not.
func (s *Service) Sweep(ctx context.Context) (int, error) {
	total := 0
	for {
		n, err := s.store.SweepTickets(ctx, s.now(), sweepBatch)
		total += n
		if err != nil || n < sweepBatch || ctx.Err() != nil {
			return total, err
		}
	}
}

// RunSweeper sweeps every ten seconds until ctx ends. Each failure is logged.
func (s *Service) RunSweeper(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if _, err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("sweep tickets", "err", err)
			}
		}
	}
}
