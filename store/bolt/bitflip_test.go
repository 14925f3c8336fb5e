package bolt

import (
	"cmp"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"app2wxapp/audit"
	"app2wxapp/ticket"
	"app2wxapp/token"
	"app2wxapp/upload"
	"app2wxapp/userpool"
)

var (
	flips    = flag.Int("flips", 700, "flips of TestBitFlips")
	flipSeed = flag.Uint64("flips.seed", 1, "seed of TestBitFlips, 0 for a new one")
)

// region is a run of bytes of one kind in a store's file.
type region struct {
	kind     string
	from, to int
	// hides is set where a flip may hide a record without a trace: the key of a
	// record, its size, and the number of a page, which may then be that of an
	// old copy of the same page, have no checksum. A ticket that does not open
	// hides whose login it was, and what it voided.
	hides bool
}

// regions returns what the file consists of.
func regions(t *testing.T, path string, b []byte) []region {
	t.Helper()
	all := []region{{"meta page", 16, 80, false}, {"meta page", 4096 + 16, 4096 + 80, false}}
	add := func(kind string, from, to int, hides bool) { all = append(all, region{kind, from, to, hides}) }
	number := func(at int) int { return int(binary.NativeEndian.Uint32(b[at:])) }
	used, voiding := map[int]bool{}, map[string]bool{}
	for i, n := range flipMore {
		k := flipTicket{i, n}.ticket().Key
		voiding[string(k[:])] = true
	}
	var page func(bucket string, id int)
	var leaf func(bucket string, base int)
	leaf = func(bucket string, base int) {
		count := int(binary.NativeEndian.Uint16(b[base+10:]))
		add(bucket+" header", base, base+16, false)
		for i := range count {
			e := base + 16 + 16*i
			key := e + number(e+4)
			value := key + number(e+8)
			end := value + number(e+12)
			add(bucket+" element", e, e+8, false)
			if number(e) != bucketEntry {
				add(bucket+" sizes", e+8, e+16, i == count-1) // which leave no gap there
				what := bucket
				if bucket == bucketTickets && voiding[string(b[key:value])] {
					what = "voiding " + bucket
				}
				add(what+" key", key, value, true)
				add(what+" value", value, end, bucket == bucketTickets)
				continue
			}
			// A bucket: the number of its page and a sequence, then the page itself
			// if it is small.
			add(bucket+" sizes", e+8, e+16, false)
			add(bucket+" key", key, value, false)
			add(bucket+" page number", value, value+8, true)
			add(bucket+" sequence", value+8, value+16, false)
			name := string(b[key:value])
			if id := int(binary.NativeEndian.Uint64(b[value:])); id != 0 {
				page(name, id)
			} else {
				leaf(name+" within another page", value+16)
			}
		}
	}
	page = func(bucket string, id int) {
		base := id * 4096
		overflow := number(base + 12)
		for i := range 1 + overflow {
			used[id+i] = true
		}
		if binary.NativeEndian.Uint16(b[base+8:]) == leafPage {
			if overflow > 0 {
				bucket += " on several pages"
			}
			leaf(bucket, base)
			return
		}
		count := int(binary.NativeEndian.Uint16(b[base+10:]))
		add("branch header", base, base+16, false)
		for i := range count {
			e := base + 16 + 16*i
			key := e + number(e)
			add("branch element", e, e+8, false)
			add("branch page number", e+8, e+16, true)
			add("branch key", key, key+number(e+4), false)
			page(bucket, int(binary.NativeEndian.Uint64(b[e+8:])))
		}
	}
	m, err := newestMeta(strings.NewReader(string(b)))
	check(t, err)
	page("root", int(m.Root))
	for i := 2; i < int(m.Pages); i++ {
		if !used[i] {
			add("free page", i*4096, (i+1)*4096, false)
		}
	}
	return all
}

const flipUsers, flipFew = 60, 4

// flipMore is how many tickets some users of flipStore have; all others have one.
var flipMore = map[int]int{1: 6, 2: 7, 3: 7}

// flipTicket is the n-th ticket of flipStore's user-th user, from 1 on.
type flipTicket struct{ user, n int }

func (f flipTicket) ticket() ticket.Ticket { return testTicket(flipUser(f.user).ID, f.n) }

// redeemed tells whether flipStore has redeemed it.
func (f flipTicket) redeemed() bool { return f.n == 1 && f.user%2 == 0 }

// void tells whether it is one too many; the user's last ticket says so.
func (f flipTicket) void() bool { return f.n <= flipMore[f.user]-ticket.MaxLive && !f.redeemed() }

// flipTickets are all of flipStore.
func flipTickets() (all []flipTicket) {
	for i := range flipUsers {
		for n := range max(flipMore[i], 1) {
			all = append(all, flipTicket{i, 1 + n})
		}
	}
	return all
}

// flipUser is the i-th user of flipStore.
func flipUser(i int) userpool.User {
	u := testUser(fmt.Sprint("u", i))
	u.Phone = userpool.Phone(fmt.Sprintf("+861380013%04d", i))
	return u
}

// flipUnfinished is a sign-in of flipStore that is to be finished.
func flipUnfinished(i int) userpool.Unfinished {
	u := testUnfinished
	u.Key[20] = byte(i)
	return u
}

// flipCode is a code that flipStore has sent.
func flipCode(i int) userpool.OneTimeCode {
	c := testCode
	c.To = string(flipUser(i).Phone)
	return c
}

// flipStore makes a store with users of whom each has a password, a second
// factor, a session and a ticket, and a few more tickets than can live, a picture
// larger than a page, a sign-in to be finished and a code.
func flipStore(t *testing.T) string {
	t.Helper()
	path := newPath(t)
	s, err := Open(config(path, slog.DiscardHandler))
	check(t, err)
	check(t, s.CreatePool(ctx, testPool("p"), audit.Event{}))
	check(t, second(s.AddFirstSigningKey(ctx, testSigningKey)))
	together(flipUsers, func(i int) {
		id := flipUser(i).ID
		err := errors.Join(
			s.CreateUserWithPassword(ctx, flipUser(i), testPassword(id), audit.Event{}), second(s.UpdateTOTP(ctx, "p", id, addTOTP)),
			s.CreateSession(ctx, testSession(id)), s.CreateTicket(ctx, testTicket(id, 1), t0))
		if i < flipFew {
			err = errors.Join(err, s.PutPicture(ctx, testPicture(id), t0), s.CreateUnfinished(ctx, flipUnfinished(i)), s.KeepCode(ctx, flipCode(i), t0))
			if i%2 == 0 {
				err = errors.Join(err, s.HoldPicture(ctx, "p", id, testPicture(id).ID, t0))
			}
		}
		if i%2 == 0 {
			err = errors.Join(err, second(s.RedeemTicket(ctx, attempt(testTicket(id, 1), "j-"+id))))
			if i%4 == 0 {
				if again := second(s.RedeemTicket(ctx, attempt(testTicket(id, 1), ""))); !errors.Is(again, ticket.ErrRedeemed) {
					err = errors.Join(err, again, errors.New("redeemed twice"))
				}
			}
		}
		for n := 2; n <= flipMore[i]; n++ {
			err = errors.Join(err, s.CreateTicket(ctx, flipTicket{i, n}.ticket(), t0))
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
// key has changed is "not found", and its revocation or login with it; what it
// voided lives.
func TestBitFlips(t *testing.T) {
	seed := *flipSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed: -args -flips.seed=%d", seed)
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
	slices.Sort(kinds)
	for _, kind := range []string{"branch key", "free page", "pools within another page value", "uploads on several pages value"} {
		if byKind[kind] == nil {
			t.Errorf("nothing of the kind %s, only %q", kind, kinds)
		}
	}
	for _, bucket := range buckets {
		if !slices.ContainsFunc(kinds, func(kind string) bool { return strings.HasPrefix(kind, bucket) && strings.HasSuffix(kind, " value") }) {
			t.Errorf("no record in %s", bucket)
		}
	}
	m, _ := newestMeta(strings.NewReader(string(b)))
	b = b[:int(m.Pages)*int(m.PageSize)]
	path := filepath.Join(t.TempDir(), "store.db")
	random := rand.New(rand.NewPCG(seed, 1))
	refused, partly, hidden := 0, 0, map[string]int{}
	for i := range *flips {
		list := byKind[kinds[i%len(kinds)]]
		r := list[random.IntN(len(list))]
		at, bit := r.from+random.IntN(r.to-r.from), byte(1)<<random.IntN(8)
		b[at] ^= bit
		check(t, os.WriteFile(path, b, 0o600))
		b[at] ^= bit
		what := fmt.Sprintf("seed %d, flip %d: bit %d of byte %d, %s", seed, i, bit, at, r.kind)
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

// A page that says that it is empty would hide all that is on it, and an entry
// that says that it is no bucket all that is in that.
func TestHidingPlaces(t *testing.T) {
	path := flipStore(t)
	b, err := os.ReadFile(path)
	check(t, err)
	all := regions(t, path, b)
	m, err := newestMeta(strings.NewReader(string(b)))
	check(t, err)
	if root := int(m.Root) * 4096; binary.NativeEndian.Uint16(b[root+8:]) != branchPage {
		t.Error("the first page of all is no branch")
	}
	header := func(kind string) int {
		i := slices.IndexFunc(all, func(r region) bool { return r.kind == kind })
		if i < 0 {
			t.Fatalf("no %s", kind)
		}
		return all[i].from
	}
	entry := func(bucket string) int {
		i := slices.IndexFunc(all, func(r region) bool { return r.kind == "root key" && string(b[r.from:r.to]) == bucket })
		return all[i-2].from // its element, its sizes, its key
	}
	for _, row := range []struct {
		what string
		at   int
	}{
		{"the first page of all is empty", int(m.Root)*4096 + 10},
		{"a page is empty", header("users header") + 10},
		{"a page within another is empty", header("pools within another page header") + 10},
		{"several pages are empty", header("uploads on several pages header") + 10},
		{"a bucket that was always there is none", entry(bucketRevoked)},
		{"a bucket that earlier versions lack is none", entry(bucketTOTP)},
	} {
		hidden := slices.Clone(b)
		binary.NativeEndian.PutUint16(hidden[row.at:], 0)
		file := copyFile(t, filepath.Join(t.TempDir(), "store.db"), hidden)
		refused(t, row.what, file, "restore a backup")
		if src, err := OpenSource(file, testKey); err == nil {
			t.Errorf("%s: opened to be moved", row.what)
			check(t, src.Close())
		}
	}
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

var (
	errGone    = errors.New("not found") // what seeOne makes of the zero value
	errRevived = errors.New("redeemed, though it was void")
)

// seeOne sees a record that is the zero one where there is none.
func seeOne[T any](see func(err error, right bool, what string), what string, got, want T, err error) {
	if err == nil && reflect.ValueOf(got).IsZero() {
		err = errGone
	}
	see(err, err == nil && reflect.DeepEqual(got, want), what)
}

// exercise asks for every record. lost is what is "not found" though it was
// stored, and what lives though a ticket voided it; wrong is every other departure from the truth.
func exercise(s *Store) (unavailable int, lost, wrong error) {
	see := func(err error, right bool, what string) {
		switch {
		case errors.Is(err, userpool.ErrUnavailable):
			unavailable++
		case errors.Is(err, userpool.ErrPoolNotFound), errors.Is(err, userpool.ErrUserNotFound), errors.Is(err, ticket.ErrUnknown),
			errors.Is(err, token.ErrSession), errors.Is(err, upload.ErrNotFound), errors.Is(err, userpool.ErrStateInvalid),
			errors.Is(err, userpool.ErrCodeNone), errors.Is(err, errGone), errors.Is(err, errRevived):
			lost = errors.Join(lost, fmt.Errorf("%s: %w", what, err))
		case !right:
			wrong = errors.Join(wrong, fmt.Errorf("%s: %v", what, err))
		}
	}
	p, err := s.Pool(ctx, "p")
	see(err, err == nil && p.AppSecret == "planted-app-secret", "pool")
	for i := range flipUsers {
		want := flipUser(i)
		id := want.ID
		u, err := s.User(ctx, "p", id)
		see(err, err == nil && u.UnionID == want.UnionID && u.Profile == want.Profile, "user "+id)
		if logins := uint64(1 - i%2); err == nil {
			if u.Logins.Count < logins {
				err = ticket.ErrUnknown // the login of a ticket that is hidden
			}
			see(err, u.Logins.Count == logins, "logins of "+id)
		}
		for what, k := range map[string]userpool.Keys{
			"unionid": {UnionID: want.UnionID}, "openid": {Identity: want.Identities[0]}, "username": {Username: want.Username}, "e-mail address": {Email: want.Email},
			"phone": {Phone: want.Phone},
		} {
			m, err := s.FindUsers(ctx, "p", k)
			found := cmp.Or(m.ByUnionID, m.ByIdentity, m.ByUsername, m.ByEmail)
			if len(m.ByPhone) == 1 {
				found = &m.ByPhone[0]
			}
			if err == nil && found == nil {
				err = userpool.ErrUserNotFound
			}
			see(err, err == nil && found.ID == id, fmt.Sprint("user ", id, " by ", what))
		}
		password, err := s.Password(ctx, "p", id)
		seeOne(see, "password of "+id, password, testPassword(id), err)
		factor, err := s.TOTP(ctx, "p", id)
		seeOne(see, "second factor of "+id, factor, testTOTP, err)
		session, err := s.Session(ctx, "s-"+id)
		seeOne(see, "session of "+id, session, testSession(id), err)
		if i < flipFew {
			picture, err := s.Picture(ctx, testPicture(id).ID)
			seeOne(see, "picture of "+id, picture, testPicture(id), err)
			unfinished, err := s.Unfinished(ctx, "p", flipUnfinished(i).Key, t0)
			seeOne(see, fmt.Sprint("unfinished sign-in ", i), unfinished, flipUnfinished(i), err)
			err = s.UseCode(ctx, flipCode(i), t0)
			see(err, err == nil, fmt.Sprint("code ", i))
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
	all := flipTickets()
	ok := make([]int, len(all))
	errs := make([]error, 2*len(all))
	together(len(errs), func(i int) {
		a := attempt(all[i/2].ticket(), fmt.Sprint("late-", i))
		a.RevokeOnReplay = false
		end := time.Now().Add(2 * reopenEvery)
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
		right := err == nil || errors.Is(err, ticket.ErrRedeemed)
		if all[i/2].void() {
			if err == nil {
				err = errRevived
			}
			right = errors.Is(err, ticket.ErrVoid) || errors.Is(err, ticket.ErrRedeemed)
		}
		see(err, right, fmt.Sprintf("ticket %+v", all[i/2]))
	}
	for i, n := range ok {
		most := 1
		if all[i].redeemed() {
			most = 0
		}
		if n > most {
			wrong = errors.Join(wrong, fmt.Errorf("ticket %+v was redeemed %d times more, want %d at most", all[i], n, most))
		}
	}
	return unavailable, lost, wrong
}
