package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	bbolt "go.etcd.io/bbolt"

	"app2wxapp/audit"
	"app2wxapp/ticket"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// question is a way to come upon a record.
type question struct {
	name string
	ask  func(s *Store) error
}

func second[T any](_ T, err error) error { return err }

// ofUser are those about user a. The first does not come upon the access record.
var ofUser = []question{
	{"CreateUser", func(s *Store) error { return s.CreateUser(ctx, userpool.User{PoolID: "p", ID: "a"}) }},
	{"User", func(s *Store) error { return second(s.User(ctx, "p", "a")) }},
	{"FindUsers by unionid", func(s *Store) error { return second(s.FindUsers(ctx, "p", userpool.Keys{UnionID: "oU-a"})) }},
	{"FindUsers by openid", func(s *Store) error {
		return second(s.FindUsers(ctx, "p", userpool.Keys{Identity: keysOf("a").Identity}))
	}},
	{"FindUsers by phone", func(s *Store) error { return second(s.FindUsers(ctx, "p", userpool.Keys{Phone: "+8613800138000"})) }},
	{"PutUser", put},
	{"UpdateUser", func(s *Store) error {
		return second(s.UpdateUser(ctx, "p", "a", silent(func(*userpool.User) error { return nil })))
	}},
	{"RedeemTicket", func(s *Store) error { return second(s.RedeemTicket(ctx, attempt(testTicket("a", 1), "j"))) }},
}

// questions are those that come upon the records of a bucket.
var questions = map[string][]question{
	bucketPools: {
		{"Pool", func(s *Store) error { return second(s.Pool(ctx, "p")) }},
		{"Pools", func(s *Store) error { return second(s.Pools(ctx, "", 10)) }},
		{"CreatePool", func(s *Store) error { return s.CreatePool(ctx, testPool("p"), audit.Event{}) }},
		{"UpdatePool", func(s *Store) error {
			return second(s.UpdatePool(ctx, "p", silent(func(*userpool.Pool) error { return nil })))
		}},
		{"TouchSecrets", func(s *Store) error { return s.TouchSecrets(ctx, "p", map[string]time.Time{"s1": t0}) }},
		{"CreateUser", func(s *Store) error { return s.CreateUser(ctx, testUser("new")) }},
	},
	bucketUsers:  ofUser,
	bucketAccess: ofUser[1:],
	bucketUnionIDs: {
		{"FindUsers", func(s *Store) error { return second(s.FindUsers(ctx, "p", userpool.Keys{UnionID: "oU-a"})) }},
		{"PutUser", put},
		{"CreateUser", func(s *Store) error {
			return s.CreateUser(ctx, userpool.User{PoolID: "p", ID: "new", UnionID: "oU-a"})
		}},
	},
	bucketOpenIDs: {
		{"FindUsers", func(s *Store) error {
			return second(s.FindUsers(ctx, "p", userpool.Keys{Identity: keysOf("a").Identity}))
		}},
		{"PutUser", put},
	},
	bucketPhones: {
		{"FindUsers", func(s *Store) error { return second(s.FindUsers(ctx, "p", userpool.Keys{Phone: "+8613800138000"})) }},
		{"PutUser", put},
	},
	bucketNames: {
		{"FindUsers", func(s *Store) error { return second(s.FindUsers(ctx, "p", userpool.Keys{Username: "name-a"})) }},
		{"CreateUser", func(s *Store) error {
			return s.CreateUser(ctx, userpool.User{PoolID: "p", ID: "new", Username: "name-a"})
		}},
	},
	bucketTickets: {
		{"RedeemTicket, live", func(s *Store) error { return second(s.RedeemTicket(ctx, attempt(testTicket("a", 1), "j"))) }},
		{"RedeemTicket, redeemed", func(s *Store) error { return second(s.RedeemTicket(ctx, attempt(testTicket("b", 1), "j"))) }},
		{"SweepTickets", func(s *Store) error { return second(s.SweepTickets(ctx, t0.Add(15*time.Minute), 100)) }},
	},
	bucketSessions: {
		{"Session", func(s *Store) error { return second(s.Session(ctx, "j-b")) }},
		{"CreateSession", func(s *Store) error { return s.CreateSession(ctx, token.Session{ID: "j-b"}) }},
		{"RotateSession", func(s *Store) error { return second(s.RotateSession(ctx, token.Rotation{SessionID: "j-b"})) }},
		{"EndSession", func(s *Store) error { return s.EndSession(ctx, "p", "j-b") }},
	},
	bucketUnfinished: {
		{"Unfinished", func(s *Store) error { return second(s.Unfinished(ctx, "p", testUnfinished.Key, t0)) }},
		{"FailUnfinished", func(s *Store) error { return s.FailUnfinished(ctx, "p", testUnfinished.Key, t0) }},
		{"FinishUnfinished", func(s *Store) error {
			return second(s.FinishUnfinished(ctx, userpool.Finish{PoolID: "p", Key: testUnfinished.Key, Now: t0}, func(userpool.Unfinished, userpool.Matches) (userpool.User, audit.Event, error) {
				return userpool.User{}, audit.Event{}, userpool.ErrUnchanged
			}))
		}},
	},
	bucketEmails: {
		{"FindUsers", func(s *Store) error { return second(s.FindUsers(ctx, "p", userpool.Keys{Email: "a@example.com"})) }},
		{"CreateUser", func(s *Store) error {
			return s.CreateUser(ctx, userpool.User{PoolID: "p", ID: "new", Email: "a@example.com"})
		}},
	},
	bucketRecipients: {
		{"KeepCode", func(s *Store) error { return s.KeepCode(ctx, testCode, t0.Add(time.Hour)) }},
		{"UseCode", func(s *Store) error { return s.UseCode(ctx, testCode, t0) }},
	},
	bucketPasswords: {
		{"Password", func(s *Store) error { return second(s.Password(ctx, "p", "a")) }},
		{"ReplacePassword", func(s *Store) error { return s.ReplacePassword(ctx, "p", "a", testPassword("a"), testPassword("b")) }},
	},
	bucketTOTP: {
		{"TOTP", func(s *Store) error { return second(s.TOTP(ctx, "p", "a")) }},
		{"UpdateTOTP", func(s *Store) error { return second(s.UpdateTOTP(ctx, "p", "a", addTOTP)) }},
	},
	bucketUploads: {
		{"Picture", func(s *Store) error { return second(s.Picture(ctx, testPicture("a").ID)) }},
		{"PutPicture", func(s *Store) error { return s.PutPicture(ctx, testPicture("a"), t0) }},
		{"HoldPicture", func(s *Store) error { return s.HoldPicture(ctx, "p", "b", testPicture("a").ID, t0) }},
	},
	bucketHolders: {
		{"HoldPicture", func(s *Store) error { return s.HoldPicture(ctx, "p", "a", testPicture("loose").ID, t0) }},
		{"HoldPicture, none", func(s *Store) error { return s.HoldPicture(ctx, "p", "a", "", t0) }},
	},
	bucketLoose: {{"PutPicture", func(s *Store) error { return s.PutPicture(ctx, testPicture("new"), t0) }}},
	bucketAudit: {{"Events", func(s *Store) error { _, _, err := s.Events(ctx, audit.Query{Limit: 1}); return err }}},
	bucketKeys: {
		{"SigningKeys", func(s *Store) error { return second(s.SigningKeys(ctx)) }},
		{"AddFirstSigningKey", func(s *Store) error {
			return second(s.AddFirstSigningKey(ctx, token.Key{ID: "k2", Alg: "RS256", CreatedAt: t0}))
		}},
	},
}

// put is a sign-in of user a, who would be created if nobody were found.
func put(s *Store) error {
	k := keysOf("a")
	return second(s.PutUser(ctx, "p", k, silently(func(m userpool.Matches) (userpool.User, error) {
		if m.ByUnionID != nil && m.ByIdentity != nil && len(m.ByPhone) == 1 {
			return *m.ByUnionID, nil
		}
		return userpool.User{PoolID: "p", ID: "new", UnionID: k.UnionID, Identities: []userpool.Identity{k.Identity}, Phone: k.Phone}, nil
	})))
}

// unavailable asks the questions of the bucket and wants ErrUnavailable, never
// an answer and never "not found".
func unavailable(t *testing.T, path, bucket string, except ...string) {
	t.Helper()
	s := open(t, path)
	for _, q := range questions[bucket] {
		if slices.Contains(except, q.name) {
			continue
		}
		err := q.ask(s)
		if !errors.Is(err, userpool.ErrUnavailable) {
			t.Errorf("%s after damage in %s: got %v, want ErrUnavailable", q.name, bucket, err)
		}
		for _, not := range []error{userpool.ErrPoolNotFound, userpool.ErrUserNotFound, ticket.ErrInvalid, token.ErrSession} {
			if errors.Is(err, not) {
				t.Errorf("%s after damage in %s: %v", q.name, bucket, err)
			}
		}
	}
}

// every changes each record of the bucket.
func every(t *testing.T, path, bucket string, change func(b *bbolt.Bucket, k, v []byte) error) {
	t.Helper()
	edit(t, path, func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		type entry struct{ k, v []byte }
		var all []entry
		if err := b.ForEach(func(k, v []byte) error {
			all = append(all, entry{bytes.Clone(k), bytes.Clone(v)})
			return nil
		}); err != nil || len(all) == 0 {
			return fmt.Errorf("bucket %s: %d records, %w", bucket, len(all), err)
		}
		for _, e := range all {
			if err := change(b, e.k, e.v); err != nil {
				return err
			}
		}
		return nil
	})
}

// Questions that find everything whole are answered: else the tests below would
// prove nothing.
func TestQuestionsOfWholeStore(t *testing.T) {
	for bucket, list := range questions {
		s := open(t, filled(t))
		for _, q := range list {
			if err := q.ask(s); errors.Is(err, userpool.ErrUnavailable) {
				t.Errorf("%s of %s: %v", q.name, bucket, err)
			}
		}
	}
}

func TestFlippedRecord(t *testing.T) {
	for bucket := range questions {
		path := filled(t)
		every(t, path, bucket, func(b *bbolt.Bucket, k, v []byte) error {
			v[len(v)-1] ^= 1
			return b.Put(k, v)
		})
		unavailable(t, path, bucket)
	}
}

// A record of the right key and the wrong contents.
func TestRecordThatDoesNotDecode(t *testing.T) {
	for bucket := range questions {
		if bucket == bucketUnionIDs || bucket == bucketOpenIDs || bucket == bucketPhones || bucket == bucketNames || bucket == bucketEmails {
			continue // any text can be an id: see TestIndexWithoutUser
		}
		path := filled(t)
		s := open(t, path)
		sealer := s.sealer
		closeStore(t, s)
		every(t, path, bucket, func(b *bbolt.Bucket, k, _ []byte) error {
			return b.Put(k, sealer.Seal(nil, bucket, k, []byte{0xff}))
		})
		unavailable(t, path, bucket, "CreatePool") // that a pool is there is all it needs to know
	}
}

// Records that were moved are as good as damaged: user a must not become b.
func TestSwappedRecords(t *testing.T) {
	for _, bucket := range []string{bucketUsers, bucketAccess, bucketUnionIDs, bucketOpenIDs, bucketPhones, bucketNames, bucketEmails, bucketTickets} {
		path := filled(t)
		var last []byte
		every(t, path, bucket, func(b *bbolt.Bucket, k, v []byte) error {
			if last == nil {
				last = v
				return b.Put(k, b.Get([]byte(secondKey(b))))
			}
			return b.Put(k, last)
		})
		unavailable(t, path, bucket)
	}
}

func secondKey(b *bbolt.Bucket) string {
	c := b.Cursor()
	c.First()
	k, _ := c.Next()
	return string(k)
}

// A user who is gone is damage, not a stranger: as a new user they would lose
// their account.
func TestIndexWithoutUser(t *testing.T) {
	for _, gone := range [][]string{{bucketUsers}, {bucketAccess}, {bucketUsers, bucketAccess}} {
		path := filled(t)
		for _, bucket := range gone {
			every(t, path, bucket, func(b *bbolt.Bucket, k, _ []byte) error { return b.Delete(k) })
		}
		s := open(t, path)
		for _, q := range questions[bucketUsers] {
			if len(gone) == 2 && (q.name == "User" || q.name == "CreateUser" || q.name == "UpdateUser") {
				continue // without any trace in sight
			}
			if q.name == "CreateUser" && gone[0] == bucketAccess {
				continue
			}
			wantErr(t, fmt.Sprint(q.name, " without ", gone), q.ask(s), userpool.ErrUnavailable)
		}
	}
}

// An entry of the deny-list is there, whatever became of it.
func TestDamagedRevocationStillRevokes(t *testing.T) {
	path := filled(t)
	every(t, path, bucketRevoked, func(b *bbolt.Bucket, k, v []byte) error {
		v[len(v)-1] ^= 1
		return b.Put(k, v)
	})
	s := open(t, path)
	r := attempt(testTicket("b", 1), "")
	if revoked, err := s.TokenRevoked(ctx, "j-b", r.TokenExpiresAt); err != nil || !revoked {
		t.Errorf("revoked %v, %v, want true", revoked, err)
	}
	if n, err := s.SweepTickets(ctx, r.TokenExpiresAt, 100); err != nil || n != 4 {
		t.Errorf("swept %d, %v, want both tickets, the entry, and the session that was not to begin", n, err)
	}
}

// One damaged ticket does not keep the others from being swept, and is swept
// itself when no ticket can be that old.
func TestSweepPassesDamage(t *testing.T) {
	path := filled(t)
	k := testTicket("a", 1).Key
	edit(t, path, func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucketTickets))
		v := bytes.Clone(b.Get(k[:]))
		v[40] ^= 1
		return b.Put(k[:], v)
	})
	s := open(t, path)
	n, err := s.SweepTickets(ctx, t0.Add(120*time.Second+ticket.RetainFor), 100)
	if n != 1 || !errors.Is(err, userpool.ErrUnavailable) {
		t.Errorf("swept %d, %v, want the other one, and ErrUnavailable", n, err)
	}
	end := t0.Add(userpool.MaxTicketTTL + ticket.RetainFor)
	if n, err := s.SweepTickets(ctx, end.Add(-time.Millisecond), 100); n != 0 || !errors.Is(err, userpool.ErrUnavailable) {
		t.Errorf("just before its latest end: swept %d, %v", n, err)
	}
	if n, err := s.SweepTickets(ctx, end, 100); n != 1 || err != nil {
		t.Errorf("at its latest end: swept %d, %v, want 1", n, err)
	}
}

// A page that vanishes under an open store is a refusal, not the end of the
// process.
func TestFileCutOffWhileOpen(t *testing.T) {
	path := newPath(t)
	log := newEvents()
	s, err := Open(config(path, log))
	check(t, err)
	defer closeStore(t, s)
	check(t, s.CreatePool(ctx, testPool("p"), audit.Event{}))
	for i := range 300 { // so that records lie beyond the first pages
		u := testUser(fmt.Sprint("u", i))
		u.Phone = ""
		u.Profile.City = string(bytes.Repeat([]byte("x"), 60))
		check(t, s.CreateUser(ctx, u))
	}
	check(t, os.Truncate(path, 2*4096))
	for name, err := range map[string]error{
		"read":  second(s.User(ctx, "p", "u150")),
		"write": second(s.UpdateUser(ctx, "p", "u150", silent(func(*userpool.User) error { return nil }))),
		"Pools": second(s.Pools(ctx, "", 10)),
	} {
		wantErr(t, name, err, userpool.ErrUnavailable)
	}
}
