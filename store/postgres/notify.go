package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Pools are asked for with every request and change rarely, so they are kept.
// A change made by another process must count here within a second: who makes
// one sends a notification, and whether or not it comes, the changes since the
// last look are read every readEvery. What was not confirmed for maxAge is not
// used: without PostgreSQL nobody is let in by old settings.
const (
	channel   = "app2wxapp_pools"
	readEvery = 300 * time.Millisecond
	maxAge    = 900 * time.Millisecond
	// relistenEvery is the pause between attempts to listen again.
	relistenEvery = time.Second
)

// poolCache is the pools as they were at its last look. Its zero value is an
// empty one that knows nothing.
type poolCache struct {
	mu    sync.RWMutex
	pools map[string]storedPool
	seen  int64     // every change up to this version is in pools, or its pool is not
	at    time.Time // when it was asked whether there are others; by the monotonic clock

	wake chan struct{} // holds one token while there may be something new
}

// get returns the pool if it is known to be as it is now.
func (c *poolCache) get(id string) (storedPool, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	p, ok := c.pools[id]
	return p, ok && time.Since(c.at) < maxAge
}

// put keeps the pool unless a later one is there.
func (c *poolCache) put(p storedPool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.putLocked(p)
}

func (c *poolCache) putLocked(p storedPool) {
	if c.pools == nil {
		c.pools = map[string]storedPool{}
	}
	if p.version >= c.pools[p.ID].version {
		c.pools[p.ID] = p
	}
}

// refresh reads what has changed.
func (c *poolCache) refresh(ctx context.Context, s *Store) error {
	c.mu.RLock()
	seen, asked := c.seen, time.Now()
	c.mu.RUnlock()
	changed, err := s.readPools(ctx, `WHERE version > $1 ORDER BY version`, seen)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range changed {
		c.putLocked(p)
		c.seen = max(c.seen, p.version)
	}
	c.at = asked
	return nil
}

// watchPools keeps the cache as the database is.
func (s *Store) watchPools(ctx context.Context) {
	tick := time.NewTicker(readEvery)
	defer tick.Stop()
	good := true
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.cache.wake:
		}
		err := s.cache.refresh(ctx, s)
		if err != nil && good && ctx.Err() == nil {
			s.log.Error("store: PostgreSQL does not say which settings have changed; each request asks it until it does", "err", err)
		}
		if err == nil && !good {
			s.log.Info("store: PostgreSQL says again which settings have changed")
		}
		good = err == nil
	}
}

// listen wakes watchPools at each notification, on a connection of its own that
// is made again when it breaks.
func (s *Store) listen(ctx context.Context, config *pgx.ConnConfig) {
	for ctx.Err() == nil {
		err := s.listenOnce(ctx, config)
		if ctx.Err() != nil {
			return
		}
		s.log.Warn("store: no notifications from PostgreSQL; changes of settings are looked for until there are", "every", readEvery.String(), "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(relistenEvery):
		}
	}
}

func (s *Store) listenOnce(ctx context.Context, config *pgx.ConnConfig) error {
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := s.bounded(ctx)
		defer cancel()
		_ = c.Close(end)
	}()
	if _, err := c.Exec(ctx, `LISTEN `+channel); err != nil {
		return err
	}
	for {
		// What changed before the first notification is caught up with, too.
		select {
		case s.cache.wake <- struct{}{}:
		default:
		}
		if _, err := c.WaitForNotification(ctx); err != nil {
			return err
		}
	}
}
