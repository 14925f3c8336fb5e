package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"app2wxapp/store"
	"app2wxapp/upload"
)

func testPicture(id string) upload.Picture {
	return upload.Picture{ID: id, Type: "png", Data: []byte("picture " + id)}
}

// wantPictures fails unless these are there and those are not.
func wantPictures(t *testing.T, what string, s store.Store, there, gone []string) {
	t.Helper()
	for _, id := range there {
		p, err := s.Picture(ctx, id)
		check(t, err)
		same(t, what, p, testPicture(id))
	}
	for _, id := range gone {
		_, err := s.Picture(ctx, id)
		wantErr(t, what+": "+id, err, upload.ErrNotFound)
	}
}

func sweepPictures(t *testing.T, s store.Store, since time.Time, want int) {
	t.Helper()
	if n, err := s.SweepPictures(ctx, since, 100); err != nil || n != want {
		t.Errorf("swept %d, %v; want %d", n, err, want)
	}
}

func testPictures(t *testing.T, s store.Store) {
	wantPictures(t, "before", s, nil, []string{"a"})
	check(t, s.PutPicture(ctx, testPicture("a"), T0))
	check(t, s.PutPicture(ctx, testPicture("b"), T0))
	check(t, s.PutPicture(ctx, testPicture("c"), T0.Add(time.Second)))
	check(t, s.PutPicture(ctx, testPicture("b"), T0.Add(time.Second))) // anew
	wantPictures(t, "stored", s, []string{"a", "b", "c"}, nil)
	sweepPictures(t, s, T0.Add(-time.Millisecond), 0)
	sweepPictures(t, s, T0, 1)
	wantPictures(t, "after a sweep", s, []string{"b", "c"}, []string{"a"})
	if n, err := s.SweepPictures(ctx, T0.Add(time.Second), 1); err != nil || n != 1 {
		t.Errorf("a sweep of one: %d, %v", n, err)
	}
	sweepPictures(t, s, T0.Add(time.Second), 1)
	wantPictures(t, "after all sweeps", s, nil, []string{"a", "b", "c"})
}

func testPicturesHeld(t *testing.T, s store.Store) {
	hold := func(pool, user, id string, at time.Duration) {
		check(t, s.HoldPicture(ctx, pool, user, id, T0.Add(at)))
	}
	check(t, s.PutPicture(ctx, testPicture("a"), T0))
	check(t, s.PutPicture(ctx, testPicture("b"), T0))
	hold("p", "u", "", 0) // none, as before
	hold("p", "u", "a", 0)
	hold("p", "u", "a", time.Second)
	hold("p", "v", "a", 0)
	hold("q", "u", "b", 0)
	wantErr(t, "one that is not there", s.HoldPicture(ctx, "p", "u", "x", T0), upload.ErrNotFound)
	check(t, s.PutPicture(ctx, testPicture("a"), T0)) // held, and stays so
	sweepPictures(t, s, T0.Add(time.Hour), 0)

	hold("p", "u", "b", 2*time.Second) // v still holds a
	sweepPictures(t, s, T0.Add(time.Hour), 0)
	hold("p", "v", "", 3*time.Second)
	sweepPictures(t, s, T0.Add(3*time.Second-time.Millisecond), 0)
	sweepPictures(t, s, T0.Add(3*time.Second), 1)
	wantPictures(t, "let go", s, []string{"b"}, []string{"a"})
	hold("q", "u", "", 4*time.Second)
	sweepPictures(t, s, T0.Add(time.Hour), 0)
	hold("p", "u", "", 4*time.Second)
	sweepPictures(t, s, T0.Add(time.Hour), 1)
}

func testPicturesBound(t *testing.T, s store.Store) {
	large := func(id string, size int) upload.Picture {
		return upload.Picture{ID: id, Type: "png", Data: bytes.Repeat([]byte{'x'}, size)}
	}
	const most = upload.MaxLooseBytes / 8
	for i := range 8 {
		check(t, s.PutPicture(ctx, large(fmt.Sprint(i), most), T0))
	}
	wantErr(t, "a byte too many", s.PutPicture(ctx, large("x", 1), T0), upload.ErrFull)
	check(t, s.PutPicture(ctx, large("0", most), T0.Add(time.Second))) // it is there
	check(t, s.HoldPicture(ctx, "p", "u", "0", T0))
	check(t, s.PutPicture(ctx, large("x", 1), T0))
}

// Of a picture that is swept and held at once: either it is there and held, or
// it is gone and nobody was told that they hold it.
func testPicturesRace(t *testing.T, s store.Store) {
	for i := range 20 {
		id := fmt.Sprint(i)
		check(t, s.PutPicture(ctx, testPicture(id), T0))
		var all sync.WaitGroup
		var held error
		all.Go(func() { held = s.HoldPicture(ctx, "p", id, id, T0) })
		all.Go(func() {
			if _, err := s.SweepPictures(ctx, T0, 100); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
		_, err := s.Picture(ctx, id)
		if held == nil && err != nil || errors.Is(held, upload.ErrNotFound) && err == nil {
			t.Errorf("hold: %v, then %v", held, err)
		}
	}
}
