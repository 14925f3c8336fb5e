//go:build linux

package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"app2wxapp/audit"
	"app2wxapp/store"
	"app2wxapp/userpool"
	"app2wxapp/wechat/sandbox"
)

// The bench's mini program.
const (
	appID     = "wx62656e6368626e63"
	appSecret = "bench-app-secret"
	platform  = "bench"
)

const (
	// shardUsers is how many users are written to one file before the files are
	// merged. Index keys come in no order: in a large file each user would
	// rewrite six cold pages.
	shardUsers = 40_000
	// seeders is how many write to a file at a time, so that hundreds share a
	// commit.
	seeders = 1500
)

// seed is a store file with a pool and users. A run works on copies of it: the
// file itself stays as it was made. What is needed to use it lies beside it in
// path + ".json", written last: a file without that is half made.
type seed struct {
	path   string
	Users  int
	PoolID string
	Secret string
}

// seedStore returns the seed at path, made if there is none.
func seedStore(path string, users int, out io.Writer) (s seed, err error) {
	begun := time.Now()
	origin := "kept from an earlier run"
	text, err := os.ReadFile(path + ".json")
	switch {
	case errors.Is(err, os.ErrNotExist):
		if s, err = makeSeed(path, users, shardUsers); err != nil {
			return s, fmt.Errorf("seed %s: %w; delete it before another attempt", path, err)
		}
		took := time.Since(begun)
		origin = fmt.Sprintf("seeded in %.0f s, %.0f users/s", took.Seconds(), float64(users)/took.Seconds())
	case err != nil:
		return s, err
	default:
		if err := json.Unmarshal(text, &s); err != nil {
			return s, fmt.Errorf("%s.json: %w", path, err)
		}
	}
	if s.path = path; s.Users != users {
		return s, fmt.Errorf("%s has %d users; say -users %d or name another file", path, s.Users, s.Users)
	}
	size, err := sizeOf(path)
	if err != nil {
		return s, err
	}
	fmt.Fprintf(out, "store file: %d users, %.1f MiB, %s\n", users, size, origin)
	return s, nil
}

func makeSeed(path string, users, perShard int) (s seed, err error) {
	s = seed{path: path, Users: users}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return s, errors.Join(errors.New("there is a file without its .json"), err)
	}
	folder, err := os.MkdirTemp(filepath.Dir(path), ".seeding-")
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	empty := filepath.Join(folder, "empty.db")
	if err := s.makePool(empty); err != nil {
		return s, err
	}
	defer debug.SetGCPercent(debug.SetGCPercent(800))
	shards := make([]string, (users+perShard-1)/perShard)
	if err := each(runtime.NumCPU(), len(shards), func(k int) error {
		shards[k] = filepath.Join(folder, fmt.Sprintf("shard%d.db", k))
		if err := copyFile(empty, shards[k]); err != nil {
			return err
		}
		return s.fill(shards[k], k*perShard, min((k+1)*perShard, users))
	}); err != nil {
		return s, err
	}
	if len(shards) == 1 {
		err = os.Rename(shards[0], path)
	} else {
		err = merge(path, shards)
	}
	if err != nil {
		return s, err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return s, err
	}
	return s, os.WriteFile(path+".json", text, 0o600)
}

// makePool makes a store with a pool.
func (s *seed) makePool(path string) error {
	return openStore(path, now, func(st store.Store) error {
		service := userpool.New(userpool.Config{Store: st, Now: now, Log: slog.New(slog.DiscardHandler)})
		pool, secret, err := service.CreatePool(context.Background(), userpool.NewPool{
			Settings: userpool.Settings{Name: "bench", AppID: appID, AppSecret: appSecret},
		})
		s.PoolID, s.Secret = pool.ID, string(secret)
		return err
	})
}

// fill puts users into the store.
func (s seed) fill(path string, from, to int) error {
	return openStore(path, now, func(st store.Store) error {
		return each(seeders, to-from, func(i int) error {
			u := user(s.PoolID, from+i)
			return patiently(func() error {
				_, err := st.PutUser(context.Background(), s.PoolID, userpool.Keys{}, func(userpool.Matches) (userpool.User, audit.Event, error) {
					return u, audit.Event{}, nil
				})
				return err
			})
		})
	})
}

// user returns the i-th user, of the size that a Chinese user has: one every
// three seconds from the beginning of 2025.
func user(poolID string, i int) userpool.User {
	name := strconv.Itoa(i)
	signedUp := signedUp(i)
	return userpool.User{
		PoolID: poolID, ID: userID(i), UnionID: sandbox.UnionID(platform, name),
		Identities: []userpool.Identity{{AppID: appID, OpenID: sandbox.OpenID(appID, name)}},
		Phone:      userpool.Phone(fmt.Sprintf("+86138%08d", i)),
		Profile: userpool.Profile{
			Nickname:  "微信用户" + name,
			AvatarURL: "https://thirdwx.qlogo.cn/mmopen/vi_32/POgEwh4mIHO4nibH0KlMECNjjGxQUq24ZEaGT4poC6icRiccVGKSyXwibcPq4BWmiaIGuG1icwxaQX6grC9VemZoJ8rg/132",
			Gender:    i % 3, Language: "zh_CN", City: "深圳", Province: "广东", Country: "中国",
		},
		RegisterMethod: userpool.RegisterMethod, SignedUp: signedUp, UpdatedAt: signedUp,
	}
}

func signedUp(i int) time.Time {
	return time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * 3 * time.Second)
}

// userID returns the i-th user's id, a UUIDv7 of the sign-up as the program
// makes them, but always the same, so that nobody keeps ten million ids.
func userID(i int) string {
	sum := sha256.Sum256(strconv.AppendInt(nil, int64(i), 10))
	id := uuid.UUID(sum[:16])
	ms := signedUp(i).UnixMilli()
	for b := range 6 {
		id[b] = byte(ms >> (8 * (5 - b)))
	}
	id[6], id[8] = 0x70|id[6]&0x0f, 0x80|id[8]&0x3f
	return id.String()
}

// patiently calls f again while the store refuses it for the number of those
// that wait; at such times it has done nothing. A minute of that is an error.
func patiently(f func() error) error {
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		err := f()
		if !errors.Is(err, userpool.ErrUnavailable) || time.Now().After(end) {
			return err
		}
	}
}

// urlOf returns the URL of a store that is named by its path or by its URL.
func urlOf(path string) string {
	if store.Remote(path) {
		return path
	}
	return "bolt:" + path
}

func storeConfig(path string) store.Config {
	return store.Config{
		URL: urlOf(path), Key: storeKey, Log: slog.New(slog.DiscardHandler), Reg: prometheus.NewRegistry(), Now: now,
	}
}

// openStore opens the store for what f does.
func openStore(path string, now func() time.Time, f func(store.Store) error) error {
	c := storeConfig(path)
	c.Now = now
	st, err := store.Open(c)
	if err != nil {
		return err
	}
	return errors.Join(f(st), st.Close())
}

// copyFile copies a store, and puts the copy on disk, so that its writing does
// not go on while something is measured.
func copyFile(source, path string) (err error) {
	from, err := os.Open(source)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	if _, err := io.Copy(to, from); err != nil {
		return err
	}
	return to.Sync()
}

// sizeOf returns the size of a file in MiB.
func sizeOf(path string) (float64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return float64(info.Size()) / (1 << 20), nil
}
