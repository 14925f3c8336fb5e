//go:build linux

package main

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"app2wxapp/audit"
	"app2wxapp/store"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
	"app2wxapp/wechat/sandbox"
)

// issuers is how many ask for tickets at a time, so that they share commits.
const issuers = 64

// world is a store with a pool and users, and a simulated WeChat that knows
// them.
type world struct {
	path   string // of the store's file, or its URL
	pool   userpool.Pool
	secret string
	users  int
	wechat *sandbox.Server
	weixin *weixin
}

// newWorld makes a copy of the seed in the folder. Its tickets live as long as
// ttl says.
func newWorld(folder string, s seed, ttl time.Duration) (w *world, err error) {
	path := filepath.Join(folder, "store.db")
	if err := copyFile(s.path, path); err != nil {
		return nil, err
	}
	s.path = path
	return worldOf(s, ttl)
}

// worldOf is newWorld in the seed itself.
func worldOf(s seed, ttl time.Duration) (w *world, err error) {
	w = &world{path: s.path, secret: s.Secret, users: s.Users, wechat: sandbox.New(sandbox.Config{})}
	if err := openStore(w.path, now, func(st store.Store) error {
		service := userpool.New(userpool.Config{Store: st, Now: now, Log: slog.New(slog.DiscardHandler)})
		w.pool, err = service.UpdatePool(context.Background(), s.PoolID, func(p *userpool.Settings) error {
			p.TicketTTL = ttl
			return nil
		})
		return err
	}); err != nil {
		return nil, err
	}
	w.wechat.AddApp(sandbox.App{ID: appID, Secret: appSecret, Platform: platform})
	w.weixin, err = listenWeixin(w.wechat)
	return w, err
}

func (w *world) close() error { return w.weixin.close() }

// tickets issues n tickets, to the users in an order of chance, and returns
// them in the order of issue. It asks ticket.Service, which has a fresh memory
// of who asked how often.
func (w *world) tickets(n int) ([]string, error) {
	list := make([]string, n)
	return list, openStore(w.path, now, func(st store.Store) error {
		service := newTickets(st, w.pool, now)
		order := rand.Perm(w.users)
		return each(issuers, n, func(i int) error {
			return patiently(func() error {
				issued, err := service.Issue(context.Background(), w.pool, loginOf(order[i%len(order)]))
				list[i] = issued.Ticket
				return err
			})
		})
	})
}

// issuing is a rival that issues tickets in this world.
func (w *world) issuing(name string) rival {
	return rival{
		name: name,
		mint: func(n int) (shots, error) {
			return newShots("/oauth/app2wxapp/ticket/"+w.pool.ID, `{"code":"%s"}`, w.codes(n)), nil
		},
		start: func() (*process, error) { return start(order{Store: w.path, WeChat: w.weixin.url()}) },
		check: func(p *process, o outcome) error { return replay(p, o.shots, "invalid_code") },
	}
}

// codes returns n fresh login codes, of the users in an order of chance.
func (w *world) codes(n int) []string {
	list, order := make([]string, n), rand.Perm(w.users)
	for i := range list {
		list[i] = w.wechat.LoginCode(appID, strconv.Itoa(order[i%len(order)]))
	}
	return list
}

// newTickets returns the program's ticket service without WeChat.
func newTickets(st store.Store, pool userpool.Pool, now func() time.Time) *ticket.Service {
	log := slog.New(slog.DiscardHandler)
	return ticket.NewService(ticket.Config{
		Store: st, Pools: known{pool.ID, userpool.New(userpool.Config{Store: st, Now: now, Log: log})},
		Now: now, Log: log, Metrics: ticket.NewMetrics(prometheus.NewRegistry()), Audit: audit.NewTally(),
	})
}

// known signs prepared users in without WeChat: their code is their number.
type known struct {
	poolID string
	*userpool.Service
}

func loginOf(user int) ticket.Request {
	return ticket.Request{Login: userpool.Login{Code: strconv.Itoa(user)}}
}

// SignIn implements ticket.Pools. Tickets need no more of a user than the id.
func (k known) SignIn(_ context.Context, _ userpool.Pool, l userpool.Login) (userpool.User, error) {
	i, err := strconv.Atoi(l.Code)
	if err != nil {
		return userpool.User{}, err
	}
	return userpool.User{PoolID: k.poolID, ID: userID(i)}, nil
}

// each calls f for 0 to n-1, by so many at a time, until one call fails, and
// returns that call's error.
func each(workers, n int, f func(i int) error) (err error) {
	var next atomic.Int64
	var failed atomic.Bool
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for !failed.Load() {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if e := f(i); e != nil && failed.CompareAndSwap(false, true) {
					err = e
				}
			}
		})
	}
	wg.Wait()
	return err
}
