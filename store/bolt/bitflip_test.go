package bolt

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	bbolt "go.etcd.io/bbolt"

	"app2wxapp/audit"
	"app2wxapp/ticket"
	"app2wxapp/userpool"
)

var (
	flips    = flag.Int("flips", 700, "flips of TestBitFlips")
	flipSeed = flag.Uint64("flips.seed", 1, "seed of TestBitFlips")
)

// region is a run of bytes of one kind in a store's file.
type region struct {
	kind     string
	from, to int
	// hides is set where a flip may hide a record without a trace: the key of a
	// record, and its size, have no checksum.
	hides bool
}

// regions returns what the file consists of.
func regions(t *testing.T, path string, b []byte) []region {
	t.Helper()
	all := []region{{"meta page", 16, 80, false}, {"meta page", 4096 + 16, 4096 + 80, false}}
	used := map[int]bool{}
	leaf := func(bucket string, at, base int) {
		count := int(binary.NativeEndian.Uint16(b[base+10:]))
		all = append(all, region{bucket + " header", base, base + 16, false})
		for i := range count {
			e := base + 16 + 16*i
			pos, key, value := int(binary.NativeEndian.Uint32(b[e+4:])), int(binary.NativeEndian.Uint32(b[e+8:])), int(binary.NativeEndian.Uint32(b[e+12:]))
			last := i == count-1
			hides := last && bucket != "root" // sizes of the last one leave no gap
			all = append(all,
				region{bucket + " element", e, e + 8, false}, region{bucket + " sizes", e + 8, e + 16, hides},
				region{bucket + " key", e + pos, e + pos + key, bucket != "root"},
				region{bucket + " value", e + pos + key, e + pos + key + value, false})
		}
	}
	var page func(bucket string, id int)
	page = func(bucket string, id int) {
		base := id * 4096
		for i := range 1 + int(binary.NativeEndian.Uint32(b[base+12:])) {
			used[id+i] = true
		}
		if binary.NativeEndian.Uint16(b[base+8:]) == leafPage {
			leaf(bucket, id, base)
			return
		}
		count := int(binary.NativeEndian.Uint16(b[base+10:]))
		all = append(all, region{"branch page", base, base + 16 + 16*count, false})
		for i := range count {
			e := base + 16 + 16*i
			pos, key := int(binary.NativeEndian.Uint32(b[e:])), int(binary.NativeEndian.Uint32(b[e+4:]))
			all = append(all, region{"branch key", e + pos, e + pos + key, false})
			page(bucket, int(binary.NativeEndian.Uint64(b[e+8:])))
		}
	}
	edit(t, path, func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, bucket *bbolt.Bucket) error {
			if root := int(bucket.RootPage()); root != 0 {
				page(string(name), root)
			}
			return nil
		})
	})
	m, err := newestMeta(strings.NewReader(string(b)))
	check(t, err)
	page("root", int(m.Root))
	for i := 2; i < int(m.Pages); i++ {
		if !used[i] {
			all = append(all, region{"free page", i * 4096, (i + 1) * 4096, false})
		}
	}
	return all
}

const flipUsers = 60

func flipStore(t *testing.T) string {
	t.Helper()
	path := newPath(t)
	s, err := Open(config(path, slog.DiscardHandler))
	check(t, err)
	check(t, s.CreatePool(ctx, testPool("p"), audit.Event{}))
	together(flipUsers, func(i int) {
		id := fmt.Sprint("u", i)
		u := testUser(id)
		u.Phone = ""
		err := errors.Join(s.CreateUser(ctx, u), s.CreateTicket(ctx, testTicket(id, 1), t0))
		if i%2 == 0 {
			err = errors.Join(err, second(s.RedeemTicket(ctx, attempt(testTicket(id, 1), "j-"+id))))
			if i%4 == 0 {
				if again := second(s.RedeemTicket(ctx, attempt(testTicket(id, 1), ""))); !errors.Is(again, ticket.ErrRedeemed) {
					err = errors.Join(err, again, errors.New("redeemed twice"))
				}
			}
		}
		if err != nil {
			t.Error(err)
		}
	})
	closeStore(t, s)
	return path
}

// One bit of a closed file is flipped, anywhere: the store refuses to open, or
// gives right answers and ErrUnavailable; never a wrong one, a panic or the end
// of the process. What a flip can hide is in docs/reliability.md: a record whose
// key has changed is "not found", and its revocation or login with it.
func TestBitFlips(t *testing.T) {
	template := flipStore(t)
	b, err := os.ReadFile(template)
	check(t, err)
	byKind := map[string][]region{}
	var kinds []string
	for _, r := range regions(t, template, b) {
		if byKind[r.kind] == nil {
			kinds = append(kinds, r.kind)
		}
		if r.to > r.from {
			byKind[r.kind] = append(byKind[r.kind], r)
		}
	}
	if byKind["branch page"] == nil || byKind["free page"] == nil || len(kinds) < 20 {
		t.Fatalf("the file has only %v", kinds)
	}
	slices.Sort(kinds)
	m, _ := newestMeta(strings.NewReader(string(b)))
	b = b[:int(m.Pages)*int(m.PageSize)]
	path := filepath.Join(t.TempDir(), "store.db")
	random := rand.New(rand.NewPCG(*flipSeed, 1))
	refused, partly, hidden := 0, 0, map[string]int{}
	for i := range *flips {
		list := byKind[kinds[i%len(kinds)]]
		r := list[random.IntN(len(list))]
		at, bit := r.from+random.IntN(r.to-r.from), byte(1)<<random.IntN(8)
		b[at] ^= bit
		check(t, os.WriteFile(path, b, 0o600))
		b[at] ^= bit
		what := fmt.Sprintf("seed %d, flip %d: bit %d of byte %d, %s", *flipSeed, i, bit, at, r.kind)
		s, err := Open(config(path, slog.DiscardHandler))
		if err != nil {
			refused++
			if !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "runtime error") {
				t.Errorf("%s: refused as %q", what, err)
			}
			continue
		}
		unavailable, lost, wrong := exercise(s)
		if unavailable > 0 {
			partly++
		}
		if lost != nil && r.hides {
			hidden[r.kind]++
		} else if lost != nil {
			wrong = errors.Join(wrong, lost)
		}
		if wrong != nil {
			t.Errorf("%s: %v", what, wrong)
		}
		closeStore(t, s)
	}
	t.Logf("%d flips in %d kinds of places: %d refused at the start, %d gave ErrUnavailable, hidden %v", *flips, len(kinds), refused, partly, hidden)
}

// A closed file lost either meta page and still knows the last redemption.
func TestClosedFileWithOneMeta(t *testing.T) {
	path := newPath(t)
	s, err := Open(config(path, slog.DiscardHandler))
	check(t, err)
	fill(t, s)
	check(t, second(s.RedeemTicket(ctx, attempt(testTicket("a", 1), "j-a"))))
	closeStore(t, s)
	b, err := os.ReadFile(path)
	check(t, err)
	for _, at := range []int{0, int(must(readBoltMeta(strings.NewReader(string(b)), 0)).PageSize)} {
		s := open(t, copyFile(t, filepath.Join(t.TempDir(), "store.db"), breakMeta(b, at)))
		_, err := s.RedeemTicket(ctx, attempt(testTicket("a", 1), "j-a2"))
		wantErr(t, fmt.Sprint("the last ticket again, without the meta page at ", at), err, ticket.ErrRedeemed)
	}
}

// exercise asks for every record. lost is what is "not found" though it was
// stored, wrong is every other departure from the truth.
func exercise(s *Store) (unavailable int, lost, wrong error) {
	see := func(err error, right bool, what string) {
		switch {
		case errors.Is(err, userpool.ErrUnavailable):
			unavailable++
		case errors.Is(err, userpool.ErrPoolNotFound), errors.Is(err, userpool.ErrUserNotFound), errors.Is(err, ticket.ErrUnknown):
			lost = errors.Join(lost, fmt.Errorf("%s: %w", what, err))
		case !right:
			wrong = errors.Join(wrong, fmt.Errorf("%s: %v", what, err))
		}
	}
	p, err := s.Pool(ctx, "p")
	see(err, err == nil && p.AppSecret == "planted-app-secret", "pool")
	for i := range flipUsers {
		id := fmt.Sprint("u", i)
		want := testUser(id)
		u, err := s.User(ctx, "p", id)
		see(err, err == nil && u.UnionID == want.UnionID && u.Profile == want.Profile, "user "+id)
		if logins := uint64(1 - i%2); err == nil {
			if u.Logins.Count < logins {
				err = ticket.ErrUnknown // the login of a ticket that is hidden
			}
			see(err, u.Logins.Count == logins, "logins of "+id)
		}
		for _, k := range []userpool.Keys{{UnionID: want.UnionID}, {Identity: want.Identities[0]}} {
			m, err := s.FindUsers(ctx, "p", k)
			found := m.ByUnionID
			if k.UnionID == "" {
				found = m.ByIdentity
			}
			if err == nil && found == nil {
				err = userpool.ErrUserNotFound
			}
			see(err, err == nil && found.ID == id, fmt.Sprint("user ", id, " by ", k))
		}
		a := attempt(testTicket(id, 1), "j2-"+id)
		if i%4 == 0 {
			revoked, err := s.TokenRevoked(ctx, "j-"+id, a.TokenExpiresAt)
			if err == nil && !revoked {
				err = userpool.ErrUserNotFound
			}
			see(err, revoked, "revocation "+id)
		}
	}
	ok := make([]int, flipUsers)
	errs := make([]error, 2*flipUsers)
	together(2*flipUsers, func(i int) {
		a := attempt(testTicket(fmt.Sprint("u", i/2), 1), fmt.Sprint("late-", i))
		a.RevokeOnReplay = false
		end := time.Now().Add(5 * time.Second)
		for {
			errs[i] = second(s.RedeemTicket(ctx, a))
			if !errors.Is(errs[i], errReopening) || time.Now().After(end) {
				return
			}
		}
	})
	for i, err := range errs {
		if err == nil {
			ok[i/2]++
		}
		see(err, err == nil || errors.Is(err, ticket.ErrRedeemed), fmt.Sprint("ticket ", i/2))
	}
	for i, n := range ok {
		if most := i % 2; n > most {
			wrong = errors.Join(wrong, fmt.Errorf("ticket %d was redeemed %d times more, want %d at most", i, n, most))
		}
	}
	return unavailable, lost, wrong
}
