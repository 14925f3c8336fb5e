package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"app2wxapp/store"
	"app2wxapp/token"
)

func testSigningKeys(t *testing.T, s store.Store) {
	if keys := must[[]token.Key](t)(s.SigningKeys(ctx)); len(keys) != 0 {
		t.Errorf("an empty store has keys: %d", len(keys))
	}
	second := token.Key{ID: "a", Alg: "EdDSA", Private: []byte{2}, CreatedAt: T0.Add(time.Second)}
	first := token.Key{ID: "b", Alg: "ES256", Private: []byte{1}, CreatedAt: T0}
	same(t, "second", must[token.Key](t)(s.AddFirstSigningKey(ctx, second)), second)
	same(t, "first", must[token.Key](t)(s.AddFirstSigningKey(ctx, first)), first)
	other := token.Key{ID: "c", Alg: "ES256", Private: []byte{3}, CreatedAt: T0}
	same(t, "another of the same algorithm", must[token.Key](t)(s.AddFirstSigningKey(ctx, other)), first)
	same(t, "all, oldest first", must[[]token.Key](t)(s.SigningKeys(ctx)), []token.Key{first, second})
}

func testFirstSigningKeyRace(t *testing.T, s store.Store) {
	var mu sync.Mutex
	got := map[string]bool{}
	together(16, func(i int) {
		k, err := s.AddFirstSigningKey(ctx, token.Key{ID: fmt.Sprint(i), Alg: "RS256", Private: []byte{1}, CreatedAt: T0})
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		got[k.ID] = true
		mu.Unlock()
	})
	if len(got) != 1 {
		t.Errorf("16 first keys at once: callers got %d different ones, want 1", len(got))
	}
}
