//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
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

// The bench's mini program.
const (
	appID     = "wx62656e6368626e63"
	appSecret = "bench-app-secret"
	platform  = "bench"
)

// preparers is how many write at a time while something is prepared, so that
// they share commits; of more, some could wait so long that the store refuses
// them.
const preparers = 31

// world is a store with a pool and users, and a simulated WeChat that knows
// them.
type world struct {
	path   string
	pool   userpool.Pool
	secret userpool.Secret
	users  []userpool.User
	wechat *sandbox.Server
	weixin *http.Server
	base   string // WeChat's URL
}

// newWorld makes a store in the folder. Its tickets live as long as ttl says.
func newWorld(folder string, users int, ttl time.Duration) (w *world, err error) {
	w = &world{path: filepath.Join(folder, "store.db"), users: make([]userpool.User, users), wechat: sandbox.New(sandbox.Config{})}
	w.wechat.AddApp(sandbox.App{ID: appID, Secret: appSecret, Platform: platform})
	on, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w.base = "http://" + on.Addr().String()
	w.weixin = &http.Server{Handler: w.wechat}
	go w.weixin.Serve(on)

	err = w.open(func(st store.Store) error {
		service := userpool.New(userpool.Config{Store: st, Now: now, Log: slog.New(slog.DiscardHandler)})
		ctx := context.Background()
		if w.pool, w.secret, err = service.CreatePool(ctx, userpool.NewPool{
			Settings: userpool.Settings{Name: "bench", AppID: appID, AppSecret: appSecret, TicketTTL: ttl},
		}); err != nil {
			return err
		}
		return each(users, func(i int) (err error) {
			w.users[i], err = service.CreateUser(ctx, w.user(i))
			return err
		})
	})
	return w, err
}

// user returns the i-th user, of the size that a Chinese user has.
func (w *world) user(i int) userpool.User {
	name := strconv.Itoa(i)
	return userpool.User{
		PoolID: w.pool.ID, UnionID: sandbox.UnionID(platform, name),
		Identities: []userpool.Identity{{AppID: appID, OpenID: sandbox.OpenID(appID, name)}},
		Phone:      userpool.Phone(fmt.Sprintf("+86138%08d", i)),
		Profile: userpool.Profile{
			Nickname:  "微信用户" + name,
			AvatarURL: "https://thirdwx.qlogo.cn/mmopen/vi_32/POgEwh4mIHO4nibH0KlMECNjjGxQUq24ZEaGT4poC6icRiccVGKSyXwibcPq4BWmiaIGuG1icwxaQX6grC9VemZoJ8rg/132",
			Gender:    i % 3, Language: "zh_CN", City: "深圳", Province: "广东", Country: "中国",
		},
		RegisterMethod: userpool.RegisterMethod,
	}
}

// open opens the store for what f does.
func (w *world) open(f func(store.Store) error) error {
	st, err := store.Open(store.Config{URL: "bolt:" + w.path, Key: storeKey, Log: slog.New(slog.DiscardHandler), Reg: prometheus.NewRegistry()})
	if err != nil {
		return err
	}
	return errors.Join(f(st), st.Close())
}

func (w *world) close() error { return w.weixin.Close() }

// tickets issues n tickets, to the users in an order of chance, and returns
// them in the order of issue. It asks ticket.Service, which has a fresh memory
// of who asked how often.
func (w *world) tickets(n int) ([]string, error) {
	list := make([]string, n)
	return list, w.open(func(st store.Store) error {
		service := ticket.NewService(ticket.Config{
			Store: st, Pools: (*known)(w), Now: now, Log: slog.New(slog.DiscardHandler), Metrics: ticket.NewMetrics(prometheus.NewRegistry()), Audit: audit.NewTally(),
		})
		order := rand.Perm(len(w.users))
		return each(n, func(i int) error {
			user := strconv.Itoa(order[i%len(order)])
			issued, err := service.Issue(context.Background(), w.pool, ticket.Request{Login: userpool.Login{Code: user}})
			list[i] = issued.Ticket
			return err
		})
	})
}

// codes returns n fresh login codes, of the users in an order of chance.
func (w *world) codes(n int) []string {
	list, order := make([]string, n), rand.Perm(len(w.users))
	for i := range list {
		list[i] = w.wechat.LoginCode(appID, strconv.Itoa(order[i%len(order)]))
	}
	return list
}

// known signs prepared users in without WeChat: their code is their number.
type known world

// SignIn implements ticket.Pools.
func (k *known) SignIn(_ context.Context, _ userpool.Pool, l userpool.Login) (userpool.User, error) {
	i, err := strconv.Atoi(l.Code)
	if err != nil {
		return userpool.User{}, err
	}
	return k.users[i], nil
}

// Authenticate implements ticket.Pools; issuing asks nobody for a secret.
func (k *known) Authenticate(userpool.Pool, string) (bool, error) {
	return false, errors.New("not asked")
}

// each calls f for 0 to n-1, by many at a time, and returns the first errors.
func each(n int, f func(i int) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, preparers)
	for p := range preparers {
		wg.Go(func() {
			for errs[p] == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				errs[p] = f(i)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
