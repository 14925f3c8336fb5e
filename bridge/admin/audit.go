package admin

import (
	"encoding/hex"
	"time"

	"github.com/labstack/echo/v4"

	"app2wxapp/audit"
	"app2wxapp/bridge/wire"
	"app2wxapp/userpool"
)

// event is an event as the API shows it.
type event struct {
	ID     string            `json:"id"`
	At     string            `json:"at"`
	Type   audit.Type        `json:"type"`
	PoolID string            `json:"poolId"`
	UserID string            `json:"userId"`
	Actor  audit.Role        `json:"actor"`
	Addr   string            `json:"addr"`
	Detail map[string]string `json:"detail"`
}

func eventOf(e audit.Event) event {
	out := event{
		ID: e.ID, At: wire.Stamp(e.At), Type: e.Type, PoolID: e.PoolID, UserID: e.UserID, Actor: e.By.Role, Detail: e.Detail,
	}
	if e.By.Addr.IsValid() {
		out.Addr = e.By.Addr.String()
	}
	if out.Detail == nil {
		out.Detail = map[string]string{}
	}
	return out
}

// ListEvents answers GET /admin/v1/audit, the newest first.
func (a *API) ListEvents(c echo.Context) error {
	q, err := a.query(c)
	if err != nil {
		return err
	}
	events, next, err := a.events.Events(c.Request().Context(), q)
	if err != nil {
		return err
	}
	out := list[event]{Items: []event{}}
	for _, e := range events {
		out.Items = append(out.Items, eventOf(e))
	}
	if next != "" {
		out.NextCursor = &next
	}
	return wire.OK(c, out)
}

// query reads what events are asked for.
func (a *API) query(c echo.Context) (q audit.Query, err error) {
	if q.Before, q.Limit, err = page(c); err != nil {
		return q, err
	}
	q.PoolID, q.Type = c.QueryParam("pool"), audit.Type(c.QueryParam("type"))
	switch {
	case q.PoolID != "" && !userpool.ValidID(q.PoolID):
		return q, userpool.Invalid("pool", "must be the id of a user pool", "必须为用户池 id")
	case q.Type != "" && !q.Type.Known():
		return q, userpool.Invalid("type", "must be a type of event, such as ticket.replayed; docs/api.md has all of them", "必须为事件类型，例如 ticket.replayed，见 docs/api.md")
	}
	q.Since, err = since(c.QueryParam("since"), a.now())
	return q, err
}

// since reads an instant, or how long ago it was; zero if there is none.
func since(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago > 0 {
		return now.Add(-ago), nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	return time.Time{}, userpool.Invalid("since", "must be how long ago, such as 24h or 90m, or an instant, such as 2026-11-20T08:30:00Z", "必须为时长（例如 24h、90m）或时刻（例如 2026-11-20T08:30:00Z）")
}

// VerifyEvents answers GET /admin/v1/audit/verify: whether the rows still hang
// together. That they do not is an answer, no error.
func (a *API) VerifyEvents(c echo.Context) error {
	chain, err := a.events.VerifyEvents(c.Request().Context())
	if err != nil {
		return err
	}
	out := struct {
		OK       bool    `json:"ok"`
		Events   int     `json:"events"`
		Head     string  `json:"head"`
		BrokenAt *string `json:"brokenAt"`
	}{chain.Broken == "", chain.Events, hex.EncodeToString(chain.Head[:]), nil}
	if !out.OK {
		out.BrokenAt = &chain.Broken
	}
	return wire.OK(c, out)
}
