package idaas_test

import (
	"context"
	"errors"

	"app2wxapp/bridge"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// unavailable is a store that takes no sessions now.
type unavailable struct{ bridge.Store }

func (unavailable) CreateSession(context.Context, token.Session) error {
	return userpool.ErrUnavailable
}

// broken is one that has an error nobody knows.
type broken struct{ bridge.Store }

func (broken) CreateSession(context.Context, token.Session) error { return errors.New("broken") }
