package bolt

import (
	"context"

	"app2wxapp/userpool"
)

// ShareCounts implements userpool.Counts: there are no others.
func (s *Store) ShareCounts(context.Context, []userpool.Count) ([]userpool.Counted, error) {
	return nil, nil
}
