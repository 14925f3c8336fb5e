package bolt

import (
	"testing"

	"app2wxapp/userpool"
)

// A new epoch, as after a restore or a clock that was put back, voids codes that
// are out; that they were sent is not forgotten.
func TestCodesOfAnotherEpoch(t *testing.T) {
	s := open(t, filled(t))
	s.epoch = "another!"
	wantErr(t, "a code of the old epoch", s.UseCode(ctx, testCode, t0), userpool.ErrCodeNone)
	wantErr(t, "a new one too soon", s.KeepCode(ctx, testCode, t0), userpool.ErrRateLimited)
}
