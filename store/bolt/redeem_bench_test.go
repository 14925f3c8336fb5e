package bolt_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"app2wxapp/audit"
	"app2wxapp/store"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

// One redemption through the store alone, on disk when it returns: by a caller
// who is alone, and by 64 at a time.
func BenchmarkRedeem(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			st, keys := ticketsFor(b, b.N)
			now := time.Now()
			b.ReportAllocs()
			b.ResetTimer()
			together(b, callers, b.N, func(i int) error {
				_, err := st.RedeemTicket(context.Background(), ticket.Redemption{
					PoolID: "pool", Key: keys[i], Now: now, Addr: netip.MustParseAddr("203.0.113.7"),
					JTI: userpool.NewID(now), TokenExpiresAt: now.Add(time.Hour),
				})
				return err
			})
		})
	}
}

// ticketsFor returns a store with n live tickets of users who have five each.
func ticketsFor(b *testing.B, n int) (store.Store, []ticket.Key) {
	st, err := store.Open(store.Config{
		URL: "bolt:" + filepath.Join(b.TempDir(), "store.db"), Log: slog.New(slog.DiscardHandler), Reg: prometheus.NewRegistry(),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { st.Close() })
	ctx, now := context.Background(), time.Now().UTC()
	if err := st.CreatePool(ctx, userpool.Pool{ID: "pool"}, audit.Event{}); err != nil {
		b.Fatal(err)
	}
	users := make([]string, n/ticket.MaxLive+1)
	together(b, 256, len(users), func(i int) error {
		users[i] = userpool.NewID(now.Add(time.Duration(i) * time.Millisecond))
		return st.CreateUser(ctx, userpool.User{
			PoolID: "pool", ID: users[i], Phone: "+8613800138000",
			Identities: []userpool.Identity{{AppID: "wx0123456789abcdef", OpenID: fmt.Sprintf("o-%026d", i)}},
			Profile:    userpool.Profile{Nickname: "微信用户", AvatarURL: "https://thirdwx.qlogo.cn/mmopen/vi_32/Q0j4TwGTfTJ/132"},
		})
	})
	keys := make([]ticket.Key, n)
	together(b, 256, n, func(i int) error {
		binary.BigEndian.PutUint64(keys[i][:8], uint64(now.UnixMilli()+int64(i)/20)<<16)
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
		copy(keys[i][6:], sum[:])
		return st.CreateTicket(ctx, ticket.Ticket{
			Key: keys[i], PoolID: "pool", UserID: users[i%len(users)], AppID: "wx0123456789abcdef", ExpiresAt: now.Add(time.Hour),
		}, now)
	})
	return st, keys
}

// together calls f for 0 to n-1, by so many at a time.
func together(b *testing.B, callers, n int, f func(i int) error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := f(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
