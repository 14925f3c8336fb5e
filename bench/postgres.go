//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"

	"app2wxapp/store/postgres/pgtest"
)

// On PostgreSQL the rivals are the same server with a statement for each
// redemption, and, where there are many users, the same server with few.
const (
	ownStatements = "a statement for each"
	fewUsers      = "10000 users"
	few           = 10_000
)

// onServer is load on a PostgreSQL of this run's own, with the settings that it
// comes with.
func (c config) onServer(folder string, out io.Writer) (err error) {
	server, err := pgtest.Run()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Remove()) }()
	t, err := newServerTrial(server, "users", c.users, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.world.close()) }()
	t.rivals = []rival{t.rival(ownStatements, order{Store: t.world.path, Alone: true, WeChat: t.world.base})}
	if c.users > few {
		small, err := newServerTrial(server, "few", few, out)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, small.world.close()) }()
		t.rivals = append(t.rivals, small.rival(fewUsers, order{Store: small.world.path, WeChat: small.world.base}))
	}
	return c.compare(t, folder, out)
}

// newServerTrial makes a database with users and a trial of redemptions in it.
func newServerTrial(server *pgtest.Server, database string, users int, out io.Writer) (*trial, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, server.URL("postgres"))
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+database); err != nil {
		return nil, err
	}
	if err := conn.Close(ctx); err != nil {
		return nil, err
	}
	begun := time.Now()
	s := seed{path: server.URL(database), Users: users}
	if err := s.makePool(s.path); err != nil {
		return nil, err
	}
	if err := s.fill(s.path, 0, users); err != nil {
		return nil, err
	}
	fmt.Fprintf(out, "database %s: %d users, seeded in %.0f s\n", database, users, time.Since(begun).Seconds())
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
