package bolt

import (
	"errors"
	"fmt"
	"testing"

	"app2wxapp/store/record"
	"app2wxapp/upload"
)

// As many pictures as may be loose, however small, and no more.
func TestLoosePictures(t *testing.T) {
	s := open(t, newPath(t))
	var size record.Encoder
	size.Num(1)
	check(t, s.update(func(t *tx) (err error) {
		for i := range upload.MaxLoose - 1 {
			err = errors.Join(err, t.put(bucketLoose, looseKey(t0, fmt.Sprint("small", i)), size))
		}
		return err
	}))
	check(t, s.PutPicture(ctx, testPicture("last"), t0))
	wantErr(t, "one more", s.PutPicture(ctx, testPicture("more"), t0), upload.ErrFull)
	check(t, s.PutPicture(ctx, testPicture("last"), t0)) // it is there
}
