package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"github.com/redis/go-redis/v9"
)

// server redeems as people build it: three round trips, or one with Lua. A
// crash between two of them loses the login, and everysec a second of them.
type server struct {
	db     *redis.Client
	secret string
	lua    bool
	// finished has the answer spliced together instead of decoded and encoded.
	finished bool
}

var script = redis.NewScript(`
local id = redis.call('GETDEL', KEYS[1])
if not id then return false end
return {id, redis.call('GET', 'user:' .. id), redis.call('INCR', 'logins:' .. id)}`)

func (s *server) redeem(c echo.Context) error {
	var in struct{ Ticket, Secret string }
	if err := c.Bind(&in); err != nil {
		return err
	}
	if in.Secret != s.secret {
		return c.JSON(http.StatusUnauthorized, map[string]string{"error": "wrong_secret"})
	}
	id, user, logins, err := s.take(c, "ticket:"+in.Ticket)
	if errors.Is(err, redis.Nil) {
		return c.JSON(http.StatusBadRequest, map[string]string{"error": "invalid_ticket"})
	}
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	end := now.Add(15 * 24 * time.Hour)
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": "http://127.0.0.1:8080", "sub": id, "aud": c.Param("pool"), "iat": now.Unix(), "exp": end.Unix(), "jti": uuid.NewString(),
	}).SignedString([]byte(s.secret))
	if err != nil {
		return err
	}
	if !s.finished {
		var u answer
		if err := json.Unmarshal([]byte(user), &u); err != nil {
			return err
		}
		u.LoginsCount, u.LastLogin, u.Token, u.TokenExpiredAt = logins, now, token, end
		return c.JSON(http.StatusOK, u)
	}
	// The user is JSON already: the answer's new members go in front.
	return c.JSONBlob(http.StatusOK, []byte(`{"loginsCount":`+strconv.FormatInt(logins, 10)+
		`,"lastLogin":"`+now.Format(time.RFC3339)+`","token":"`+token+`","tokenExpiredAt":"`+end.Format(time.RFC3339)+`",`+user[1:]))
}

// answer is the user, which Redis has without the login.
type answer struct {
	EmailVerified  bool      `json:"emailVerified"`
	Username       string    `json:"username"`
	Nickname       string    `json:"nickname"`
	Company        string    `json:"company"`
	Photo          string    `json:"photo"`
	LoginsCount    int64     `json:"loginsCount"`
	RegisterMethod string    `json:"registerMethod"`
	Blocked        bool      `json:"blocked"`
	IsDeleted      bool      `json:"isDeleted"`
	OAuth          string    `json:"oauth"`
	Metadata       string    `json:"metadata"`
	OldID          string    `json:"_id"`
	ID             string    `json:"id"`
	UnionID        string    `json:"unionid"`
	OpenID         string    `json:"openid"`
	LastIP         string    `json:"lastIP"`
	LastLogin      time.Time `json:"lastLogin"`
	SignedUp       time.Time `json:"signedUp"`
	Token          string    `json:"token"`
	TokenExpiredAt time.Time `json:"tokenExpiredAt"`
	Phone          *string   `json:"phone"`
}

// take uses the ticket up and counts its user's login.
func (s *server) take(c echo.Context, ticket string) (id, user string, logins int64, err error) {
	ctx := c.Request().Context()
	if s.lua {
		got, err := script.Run(ctx, s.db, []string{ticket}).Slice()
		if err != nil {
			return "", "", 0, err
		}
		return got[0].(string), got[1].(string), got[2].(int64), nil
	}
	if id, err = s.db.GetDel(ctx, ticket).Result(); err != nil {
		return "", "", 0, err
	}
	if user, err = s.db.Get(ctx, "user:"+id).Result(); err != nil {
		return "", "", 0, err
	}
	logins, err = s.db.Incr(ctx, "logins:"+id).Result()
	return id, user, logins, err
}
