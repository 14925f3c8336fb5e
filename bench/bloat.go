//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"app2wxapp/store"
	"app2wxapp/store/postgres/pgtest"
)

// bloat is growth on a PostgreSQL of this run's own, in real time: what clears
// up after tickets there, autovacuum, has a clock of its own. It tells once a
// minute what the tables have become.
func (c config) bloat(out io.Writer) (err error) {
	server, err := pgtest.Run(c.settings...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Remove()) }()
	s, err := seedServer(server, "users", c.users, out)
	if err != nil {
		return err
	}
	return openStore(s.path, now, func(st store.Store) error {
		pool, err := st.Pool(context.Background(), s.PoolID)
		if err != nil {
			return err
		}
		g := &growth{service: newTickets(st, pool, now), pool: pool, secret: s.Secret, users: s.Users, rate: c.rate, begun: now()}
		conn, err := pgx.Connect(context.Background(), s.path)
		if err != nil {
			return err
		}
		defer conn.Close(context.Background())
		return g.live(c.minutes, conn, out)
	})
}

// live logs users in for so many minutes, at the rate if the machine can.
// Logins that fail are counted.
func (g *growth) live(minutes int, conn *pgx.Conn, out io.Writer) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { g.service.RunSweeper(ctx) })
	var begun, failed atomic.Int64
	var firstErr atomic.Value
	for range loginsAtOnce {
		wg.Go(func() {
			for {
				due := g.begun.Add(time.Duration(begun.Add(1)) * time.Second / time.Duration(g.rate))
				select {
				case <-ctx.Done():
					return
				case <-time.After(time.Until(due)):
				}
				if err := g.once(); err != nil {
					failed.Add(1)
					firstErr.CompareAndSwap(nil, err.Error())
					continue
				}
				g.logins.Add(1)
			}
		})
	}
	defer wg.Wait()
	defer stop()
	fmt.Fprintln(out, "| minute | logins | a second | failed | tickets | dead | MiB | its keys | HOT | vacuums | access | dead | MiB | its key | HOT | vacuums | database |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	var before int64
	for minute := 1; minute <= minutes; minute++ {
		<-tick.C
		logins := g.logins.Load()
		fmt.Fprintf(out, "| %d | %d | %d | %d ", minute, logins, (logins-before)/60, failed.Load())
		before = logins
		for _, table := range []string{"tickets", "access"} {
			if err := tell(conn, table, out); err != nil {
				return err
			}
		}
		var size float64
		if err := conn.QueryRow(ctx, `SELECT pg_database_size(current_database()) / 1048576.0::float8`).Scan(&size); err != nil {
			return err
		}
		fmt.Fprintf(out, "| %.0f |\n", size)
	}
	if err := firstErr.Load(); err != nil {
		fmt.Fprintf(out, "the first failure: %s\n", err)
	}
	return nil
}

// once logs a user of chance in.
func (g *growth) once() error {
	issued, err := g.service.Issue(context.Background(), g.pool, loginOf(rand.IntN(g.users)))
	if err != nil {
		return err
	}
	return g.redeem(issued.Ticket)
}

// tell writes a table's rows, how many of them are dead, its size and that of
// its indexes, the share of its updates that stayed in their page and indexed
// nothing anew, and how often it was vacuumed. Rows and dead ones are the
// server's estimates.
func tell(conn *pgx.Conn, table string, out io.Writer) error {
	var rows, dead, vacuums int64
	var heap, indexes, hot float64
	if err := conn.QueryRow(context.Background(), `
SELECT n_live_tup, n_dead_tup, pg_table_size(relid) / 1048576.0::float8, pg_indexes_size(relid) / 1048576.0::float8,
       n_tup_hot_upd::float8 / greatest(n_tup_upd, 1), autovacuum_count
FROM pg_stat_user_tables WHERE relname = $1`, table).Scan(&rows, &dead, &heap, &indexes, &hot, &vacuums); err != nil {
		return err
	}
	fmt.Fprintf(out, "| %d | %d | %.1f | %.1f | %.3f | %d ", rows, dead, heap, indexes, hot, vacuums)
	return nil
}
