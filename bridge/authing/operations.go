package authing

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
	"github.com/vektah/gqlparser/v2/ast"

	"app2wxapp/audit"
	"app2wxapp/bridge/wire"
	"app2wxapp/token"
	"app2wxapp/userpool"
)

// GraphQL answers POST /graphql/v2.
func (a *API) GraphQL(c echo.Context) error {
	return a.serve(c, a.v2, map[string]resolver{
		"user":             func(ctx context.Context, args map[string]any) (object, error) { return a.user(ctx, c, args) },
		"updateUser":       func(ctx context.Context, args map[string]any) (object, error) { return a.updateUser(ctx, c, args) },
		"checkLoginStatus": func(ctx context.Context, args map[string]any) (object, error) { return a.loginStatus(ctx, c, args) },
		"refreshToken":     func(ctx context.Context, args map[string]any) (object, error) { return a.refreshToken(ctx, c, args) },
		"accessToken":      func(ctx context.Context, args map[string]any) (object, error) { return a.accessToken(ctx, c, args) },
		"userpool":         func(ctx context.Context, _ map[string]any) (object, error) { return a.userpool(ctx, c) },
		"updateUserpool":   func(ctx context.Context, args map[string]any) (object, error) { return a.updateUserpool(ctx, c, args) },
	})
}

// GraphQLV1 answers POST /graphql.
func (a *API) GraphQLV1(c echo.Context) error {
	return a.serve(c, a.v1, map[string]resolver{
		"checkLoginStatus": func(ctx context.Context, args map[string]any) (object, error) { return a.loginStatusV1(ctx, c, args) },
	})
}

// serve reads a request, has its field resolved, and answers what was asked for.
func (a *API) serve(c echo.Context, schema *ast.Schema, fields map[string]resolver) error {
	var query string
	var operation wire.Optional[string] // null from some clients
	var variables any
	if err := wire.Read(c.Request(), wire.Fields{"query": &query, "operationName": &operation, "variables": &variables}); err != nil {
		return err
	}
	r, err := parse(schema, query, operation.Value, variables)
	if err != nil {
		return err
	}
	resolve := fields[r.field()]
	if resolve == nil { // __typename of the root
		return errUnsupported
	}
	v, err := resolve(c.Request().Context(), r.args())
	if err != nil {
		return &fieldError{r.field(), err}
	}
	data, err := r.encode(v)
	if err != nil {
		return err
	}
	return wire.Blob(c, http.StatusOK, slices.Concat([]byte(`{"data":`), data, []byte{'}'}))
}

// signedIn returns the bearer, whose token the request must have.
func (a *API) signedIn(ctx context.Context, c echo.Context) (pool userpool.Pool, u userpool.User, t shown, err error) {
	t.raw = bearer(c.Request())
	if t.Claims, err = a.tokens.Verify(ctx, t.raw, token.KindAuthing); err != nil {
		return pool, u, t, err
	}
	if pool, err = a.pool(c, t.PoolID); err != nil {
		return pool, u, t, err
	}
	u, err = a.pools.User(ctx, t.PoolID, t.UserID)
	return pool, u, t, err
}

// shown is the token that the bearer shows.
type shown struct {
	token.Claims
	raw string
}

func (t shown) token() token.Token {
	return token.Token{Raw: t.raw, IssuedAt: t.IssuedAt, ExpiresAt: t.ExpiresAt}
}

// own checks that the id that a call names, if it does, is the bearer's.
func own(args map[string]any, u userpool.User) error {
	if id, _ := args["id"].(string); id != "" && id != u.ID {
		return errOthers
	}
	return nil
}

func (a *API) user(ctx context.Context, c echo.Context, args map[string]any) (object, error) {
	pool, u, t, err := a.signedIn(ctx, c)
	if err == nil {
		err = own(args, u)
	}
	if err != nil {
		return nil, err
	}
	return newUser(pool, u, t.token()), nil
}

// refreshToken gives the bearer a new token of the same login. The old one holds
// to its end: who did not get the answer is not logged out by it.
func (a *API) refreshToken(ctx context.Context, c echo.Context, args map[string]any) (object, error) {
	pool, u, old, err := a.signedIn(ctx, c)
	if err == nil {
		err = own(args, u)
	}
	if err != nil {
		return nil, err
	}
	t, err := a.tokens.Renew(ctx, pool, u, old.Claims)
	if err != nil {
		return nil, err
	}
	return object{"token": t.Raw, "iat": t.IssuedAt.Unix(), "exp": t.ExpiresAt.Unix()}, nil
}

// checked is the outcome of a look at a token, which is data and no error.
type checked struct {
	code   int
	zh, en string
	claims *token.Claims // nil if the token does not hold
}

func (k checked) message(r *http.Request) string {
	if wire.English(r) {
		return k.en
	}
	return k.zh
}

// check looks at the token of the argument or else of the header.
func (a *API) check(ctx context.Context, c echo.Context, args map[string]any) (checked, error) {
	raw, _ := args["token"].(string)
	raw = strings.TrimPrefix(strings.TrimSpace(raw), "Bearer ")
	if raw == "" {
		raw = bearer(c.Request())
	}
	claims, err := a.tokens.Verify(ctx, raw, token.KindAuthing)
	switch {
	case err == nil:
		return checked{200, "已登录", "signed in", &claims}, nil
	case errors.Is(err, token.ErrMissing):
		return checked{2020, "未登录", "not signed in", nil}, nil
	case errors.Is(err, token.ErrExpired):
		return checked{2206, "登录信息已过期", "the login has expired", nil}, nil
	case errors.Is(err, token.ErrInvalid):
		return checked{2207, "登录信息有误", "the login is not valid", nil}, nil
	}
	return checked{}, err
}

func (a *API) loginStatus(ctx context.Context, c echo.Context, args map[string]any) (object, error) {
	k, err := a.check(ctx, c, args)
	if err != nil {
		return nil, err
	}
	v := object{"code": k.code, "message": k.message(c.Request()), "status": k.claims != nil}
	if k.claims != nil {
		v["iat"], v["exp"] = k.claims.IssuedAt.Unix(), k.claims.ExpiresAt.Unix()
		v["data"] = object{"id": k.claims.UserID, "userPoolId": k.claims.PoolID, "arn": arn(k.claims.PoolID, k.claims.UserID)}
	}
	return v, nil
}

func (a *API) loginStatusV1(ctx context.Context, c echo.Context, args map[string]any) (object, error) {
	k, err := a.check(ctx, c, args)
	if err != nil {
		return nil, err
	}
	v := object{"code": k.code, "message": k.message(c.Request()), "status": k.claims != nil}
	if k.claims != nil {
		v["token"] = object{
			"iat": k.claims.IssuedAt.Unix(), "exp": k.claims.ExpiresAt.Unix(),
			"data": object{"id": k.claims.UserID, "clientId": k.claims.PoolID, "unionid": k.claims.UnionID},
		}
	}
	return v, nil
}

// Logout answers GET /api/v2/logout: the login of the token that is shown is
// over. One that is none, or over already, is logged out as well.
func (a *API) Logout(c echo.Context) error {
	if err := a.revoke(acting(c, audit.User), bearer(c.Request())); err != nil {
		return err
	}
	return ok(c, "退出成功", nil)
}

func (a *API) revoke(ctx context.Context, raw string) error {
	claims, err := a.tokens.Verify(ctx, raw, token.KindAuthing)
	if errors.Is(err, token.ErrMissing) || errors.Is(err, token.ErrExpired) || errors.Is(err, token.ErrInvalid) {
		return nil
	}
	if err != nil {
		return err
	}
	return a.tokens.EndLogin(ctx, claims)
}
