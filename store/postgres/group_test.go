package postgres

import (
	"context"
	"strconv"
	"testing"
	"time"
)

// A statement that hangs on a lock holds up those who share it, and nobody else
// for longer than a moment.
func TestHungStatement(t *testing.T) {
	sent, unlocked := make(chan struct{}), make(chan struct{})
	g := group[int, int]{key: strconv.Itoa, maxWait: time.Minute, send: func(calls []*call[int, int]) {
		for _, c := range calls {
			if c.answer = c.ask; c.ask == 0 {
				close(sent)
				<-unlocked
			}
		}
	}}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	hung := make(chan error)
	go func() {
		_, err := g.do(ctx, 0)
		hung <- err
	}()
	<-sent
	for i := 1; i < 4; i++ {
		if got, err := g.do(ctx, i); got != i || err != nil {
			t.Errorf("beside a statement that hangs: got %d, %v, want %d", got, err, i)
		}
	}
	close(unlocked)
	if err := <-hung; err != nil {
		t.Error(err)
	}
	g.close()
}
