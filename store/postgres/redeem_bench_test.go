//go:build linux

package postgres_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"app2wxapp/audit"
	"app2wxapp/store/postgres/pgtest"
	"app2wxapp/store/storetest"
	"app2wxapp/userpool"
)

// Each redemption is of another user; so many callers wait at a time.
func BenchmarkRedeem(b *testing.B) {
	for _, callers := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			s := open(b, pgtest.New(b))
			check(b, s.CreatePool(ctx, storetest.Pool("p"), audit.Event{}))
			together(256, func(first int) {
				for i := first; i < b.N; i += 256 {
					u := userpool.User{PoolID: "p", ID: name(i), SignedUp: t0, UpdatedAt: t0}
					if err := s.CreateUser(ctx, u); err != nil {
						b.Error(err)
					}
					if err := s.CreateTicket(ctx, newTicket(u.ID, i), t0); err != nil {
						b.Error(err)
					}
				}
			})
			var next atomic.Int64
			b.ResetTimer()
			together(callers, func(int) {
				for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
					if _, err := s.RedeemTicket(ctx, attempt(newTicket("", int(i)), name(int(i)))); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
