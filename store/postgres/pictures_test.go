//go:build linux

package postgres_test

import (
	"testing"

	"app2wxapp/store/postgres/pgtest"
	"app2wxapp/upload"
)

// As many pictures as may be loose, however small, and no more.
func TestLoosePictures(t *testing.T) {
	url := pgtest.New(t)
	s := open(t, url)
	pgtest.Exec(t, url, `INSERT INTO pictures (id, type, size, loose_since, data) SELECT 'small' || n, 'png', 1, $1, '' FROM generate_series(2, $2::int) n`,
		t0, upload.MaxLoose)
	picture := func(id string) upload.Picture { return upload.Picture{ID: id, Type: "png", Data: []byte(id)} }
	check(t, s.PutPicture(ctx, picture("last"), t0))
	wantErr(t, "one more", s.PutPicture(ctx, picture("more"), t0), upload.ErrFull)
	check(t, s.PutPicture(ctx, picture("last"), t0)) // it is there
}
