package bolt

import (
	"errors"
	"runtime"
	"testing"
	"time"

	"app2wxapp/audit"
	"app2wxapp/token"
)

// sweepBehind starts do, and then a sweep, which finds what do has not renewed
// yet, and lets both write: do first.
func sweepBehind(t *testing.T, s *Store, d *disk, now time.Time, do func() error) (swept int) {
	t.Helper()
	release := d.holdNext(t, s)
	defer release()
	wait := func(n int) {
		for s.queue.len() < n {
			runtime.Gosched()
		}
	}
	done, counted := make(chan error, 1), make(chan error, 1)
	go func() { done <- do() }()
	wait(1)
	go func() {
		var err error
		swept, err = s.SweepTickets(ctx, now, 100)
		counted <- err
	}()
	wait(2)
	release()
	check(t, <-done)
	check(t, <-counted)
	return swept
}

// entries returns how many keys are in the bucket.
func entries(t *testing.T, s *Store, bucket string) (n int) {
	t.Helper()
	check(t, s.view(func(tx *tx) error {
		return tx.Bucket([]byte(bucket)).ForEach(func(_, _ []byte) error { n++; return nil })
	}))
	return n
}

// What is renewed while a sweep waits to write stays, and what was left among the
// ends by one that did not see that ends nothing.
func TestSweepLooksAgain(t *testing.T) {
	s, d, _ := onDisk(t, newPath(t))
	check(t, s.CreateUser(ctx, testUser("a")))

	session := testSession("a")
	check(t, s.CreateSession(ctx, session))
	end := session.ExpiresAt.Add(time.Hour)
	renew := func() error {
		return second(s.RotateSession(ctx, token.Rotation{
			SessionID: session.ID, PoolID: "p", Kind: session.Kind, Family: session.Family, Shown: session.Refresh, By: audit.Actor{Role: audit.Caller},
			Now: session.ExpiresAt.Add(-time.Millisecond), Next: [32]byte{3}, ExpiresAt: end, JTI: "next", TokenEnd: end,
		}))
	}
	if n := sweepBehind(t, s, d, session.ExpiresAt, renew); n != 0 {
		t.Errorf("swept %d, want 0: the session was refreshed", n)
	}
	if got, err := s.Session(ctx, session.ID); err != nil || !got.ExpiresAt.Equal(end) {
		t.Errorf("the session: %+v, %v", got, err)
	}

	code, day := testCode, t0.Add(24*time.Hour)
	check(t, s.KeepCode(ctx, code, t0))
	if n := sweepBehind(t, s, d, day, func() error { return s.KeepCode(ctx, code, day) }); n != 0 {
		t.Errorf("swept %d, want 0: a code was sent", n)
	}
	wantErr(t, "a code sent meanwhile", s.UseCode(ctx, code, day), nil)
	if n := entries(t, s, bucketRecipientEnds); n != 1 {
		t.Errorf("%d entries of one recipient, want 1", n)
	}

	// What earlier versions left behind.
	check(t, s.update(func(tx *tx) error {
		return errors.Join(tx.put(bucketSessionEnds, sessionEnd(t0, session.ID), nil), tx.put(bucketSessionEnds, sessionEnd(t0, "gone"), nil))
	}))
	if n, err := s.SweepTickets(ctx, t0, 100); n != 0 || err != nil {
		t.Errorf("swept %d, %v, want nothing", n, err)
	}
	if got, err := s.Session(ctx, session.ID); err != nil || entries(t, s, bucketSessionEnds) != 1 {
		t.Errorf("the session: %+v, %v, %d entries, want 1", got, err, entries(t, s, bucketSessionEnds))
	}
	// A session that does not open is swept at its end.
	check(t, s.update(func(tx *tx) error { return tx.put(bucketSessions, []byte(session.ID), []byte{0xff}) }))
	if n, err := s.SweepTickets(ctx, end, 100); n != 1 || err != nil || entries(t, s, bucketSessions) != 0 {
		t.Errorf("swept %d, %v, want the damaged one", n, err)
	}
}
