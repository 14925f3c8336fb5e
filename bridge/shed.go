package bridge

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"app2wxapp/bridge/wire"
	"app2wxapp/userpool"
)

// maxInside is how many requests may be inside at a time: twice as many as
// make the server faster (bench/README.md), so that 256 connections that each
// wait for their answer are never refused.
const maxInside = 512

// errShed is returned for a request that was not begun.
var errShed = fmt.Errorf("%w: too many requests under way", userpool.ErrUnavailable)

// shedProblem is looked up once: refusing must be cheap.
var shedProblem = wire.ProblemOf(errShed)

// room counts the requests that are inside: at work, or waiting for the
// processor or the disk. Under overload it is the processor that all wait for,
// before the handlers too, so that whoever is let in delays those who are only
// to be told to come back.
//
// A request is outside while it waits for its caller's body or for WeChat, who
// may both take seconds: nobody who is slow keeps others from coming in.
type room struct {
	inside atomic.Int64
	shed   prometheus.Counter
}

func newRoom(reg prometheus.Registerer) *room {
	r := &room{shed: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "app2wxapp_requests_shed_total", Help: "Requests refused with 503 because too many were under way.",
	})}
	reg.MustRegister(r.shed)
	return r
}

// enter counts a request in, and tells whether there is room for it. Each call
// is followed by one of leave, whatever it told.
func (r *room) enter() bool { return r.inside.Add(1) <= maxInside }

func (r *room) leave() { r.inside.Add(-1) }

// limited is around a handler and refuses with errShed what there is no room
// for, before anything is read, and again when the body has come: until then
// nothing was done.
func (r *room) limited(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		defer r.leave()
		if !r.enter() {
			r.shed.Inc()
			return errShed
		}
		body := &awaitedBody{ReadCloser: c.Request().Body, room: r}
		c.Request().Body = body
		// net/http looks at what it knows as a body to tell whether the rest of
		// it must be read before the answer.
		defer func() { c.Request().Body = body.ReadCloser }()
		err := next(c)
		if body.shed {
			r.shed.Inc()
			return errShed
		}
		return err
	}
}

// awaitedBody is a request's body, for which one waits outside the room.
type awaitedBody struct {
	io.ReadCloser
	room *room
	shed bool // there was no room any more
}

func (b *awaitedBody) Read(p []byte) (int, error) {
	b.room.leave()
	n, err := b.ReadCloser.Read(p)
	if !b.room.enter() {
		b.shed = true
		return 0, errShed
	}
	return n, err
}

// awaitedWeChat is a WeChat whose answers one awaits outside the room. There is
// always room for who comes back: the code is spent.
type awaitedWeChat struct {
	userpool.WeChat
	room *room
}

func (w awaitedWeChat) Code2Session(ctx context.Context, app userpool.App, code string) (userpool.Session, error) {
	w.room.leave()
	defer w.room.enter()
	return w.WeChat.Code2Session(ctx, app, code)
}

func (w awaitedWeChat) Phone(ctx context.Context, app userpool.App, openID, code string) (userpool.Phone, error) {
	w.room.leave()
	defer w.room.enter()
	return w.WeChat.Phone(ctx, app, openID, code)
}

func (w awaitedWeChat) AnyPhone(ctx context.Context, app userpool.App, code string) (userpool.Phone, error) {
	w.room.leave()
	defer w.room.enter()
	return w.WeChat.AnyPhone(ctx, app, code)
}

func (w awaitedWeChat) OpenPhone(ctx context.Context, app userpool.App, code string, sealed userpool.Sealed) (userpool.Session, userpool.PhoneGrant, error) {
	w.room.leave()
	defer w.room.enter()
	return w.WeChat.OpenPhone(ctx, app, code, sealed)
}

func (w awaitedWeChat) OpenProfile(ctx context.Context, app userpool.App, code string, sealed userpool.Sealed) (userpool.Session, userpool.Profile, error) {
	w.room.leave()
	defer w.room.enter()
	return w.WeChat.OpenProfile(ctx, app, code, sealed)
}

// awaitedSenders are Senders whose providers one awaits outside the room.
type awaitedSenders struct {
	userpool.Senders
	room *room
}

func (s awaitedSenders) Send(ctx context.Context, pool userpool.Pool, channel userpool.Channel, m userpool.Message) error {
	s.room.leave()
	defer s.room.enter()
	return s.Senders.Send(ctx, pool, channel, m)
}
