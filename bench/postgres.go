//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"app2wxapp/audit"
	"app2wxapp/store"
	"app2wxapp/store/move"
	"app2wxapp/store/postgres/pgtest"
	"app2wxapp/store/record"
)

// On PostgreSQL the rivals are the same server with a statement for each
// redemption, the issue route, and, where there are many users, the same server
// with few.
const (
	ownStatements = "a statement for each"
	issueThere    = "issue on PostgreSQL"
	fewUsers      = "10000 users"
	few           = 10_000
)

// onServer is load on a PostgreSQL of this run's own.
func (c config) onServer(folder string, out io.Writer) (err error) {
	server, err := pgtest.Run(c.settings...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Remove()) }()
	t, err := newServerTrial(server, "users", c.users, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.world.close()) }()
	t.rivals = []rival{t.rival(ownStatements, order{Store: t.world.path, Alone: true, WeChat: t.world.weixin.url()}), t.world.issuing(issueThere)}
	if c.users > few {
		small, err := newServerTrial(server, "few", few, out)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, small.world.close()) }()
		t.rivals = append(t.rivals, small.rival(fewUsers, order{Store: small.world.path, WeChat: small.world.weixin.url()}))
	}
	return c.compare(t, folder, out)
}

// seedServer makes a database with users.
func seedServer(server *pgtest.Server, database string, users int, out io.Writer) (s seed, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, server.URL("postgres"))
	if err != nil {
		return s, err
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+database); err != nil {
		return s, err
	}
	if err := conn.Close(ctx); err != nil {
		return s, err
	}
	begun := time.Now()
	s = seed{path: server.URL(database), Users: users}
	if err := s.fillServer(); err != nil {
		return s, err
	}
	if err := settle(s.path); err != nil {
		return s, err
	}
	fmt.Fprintf(out, "database %s: %d users, seeded in %.0f s\n", database, users, time.Since(begun).Seconds())
	return s, nil
}

// settle brings the server to rest, lest it does what so many new rows ask for
// while something is measured.
func settle(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	for _, sql := range []string{"VACUUM (ANALYZE)", "CHECKPOINT"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return errors.Join(err, conn.Close(ctx))
		}
	}
	return conn.Close(ctx)
}

// fillServer makes a pool and the users in an empty database, in bulk, as moving
// a store does.
func (s *seed) fillServer() (err error) {
	ctx := context.Background()
	folder, err := os.MkdirTemp("", "app2wxapp-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	file := filepath.Join(folder, "pool.db")
	if err := s.makePool(file); err != nil {
		return err
	}
	from, err := store.OpenSource(ctx, storeConfig(file))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	pools, err := from.Read(ctx, move.Pools, "", move.BatchSize)
	if err != nil {
		return err
	}
	to, err := store.OpenDestination(ctx, storeConfig(s.path))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	if _, err := to.Begin(ctx, from.Origin()); err != nil {
		return err
	}
	if err := to.Write(ctx, move.Pools, pools, move.Place{Kind: move.Users}); err != nil {
		return err
	}
	batch := make([]move.Record, 0, move.BatchSize)
	for i := range s.Users {
		u := user(s.PoolID, i)
		batch = append(batch, move.Record{Key: u.PoolID + "/" + u.ID, Value: string(record.EncodeWholeUser(u))})
		if len(batch) < move.BatchSize && i < s.Users-1 {
			continue
		}
		if err := to.Write(ctx, move.Users, batch, move.Place{Kind: move.Users, After: batch[len(batch)-1].Key}); err != nil {
			return err
		}
		batch = batch[:0]
	}
	if err := to.Index(ctx); err != nil {
		return err
	}
	return to.Finish(ctx, audit.Event{At: now(), Type: audit.StoreMigrated, By: audit.By(ctx)})
}

// newServerTrial makes a database with users and a trial of redemptions in it.
func newServerTrial(server *pgtest.Server, database string, users int, out io.Writer) (*trial, error) {
	s, err := seedServer(server, database, users, out)
	if err != nil {
		return nil, err
	}
	t := &trial{what: "postgres"}
	if t.world, err = worldOf(s, 10*time.Minute); err != nil {
		return nil, err
	}
	t.redeeming()
	return t, nil
}

// rival is a server of the same kind and of its own order, which redeems the
// trial's tickets.
func (t *trial) rival(name string, o order) rival {
	return rival{name: name, mint: t.mint, start: func() (*process, error) { return start(o) }}
}
