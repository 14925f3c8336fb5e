package postgres

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	connectTimeout   = 5 * time.Second
	statementTimeout = 5 * time.Second
	// 16 connections carry more than 64 do.
	maxConns = 16
)

// IsURL tells whether a store's URL is one of PostgreSQL.
func IsURL(text string) bool {
	return strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://")
}

// CheckURL returns what is wrong with a URL, nil if nothing is. The error
// completes a sentence that begins with the value, and does not contain it.
func CheckURL(text string) error {
	_, _, err := parse(text)
	return err
}

// Name is the URL as it may be shown: the database and where it is.
func Name(text string) string {
	c, _, err := parse(text)
	if err != nil {
		return "postgres://…"
	}
	return name(c)
}

func name(c *pgxpool.Config) string {
	return "postgres://" + net.JoinHostPort(c.ConnConfig.Host, fmt.Sprint(c.ConnConfig.Port)) + "/" + c.ConnConfig.Database
}

// options are what we ourselves read from the URL.
type options struct {
	pooler    bool          // pooler=transaction: between us and the server connections change hands
	direct    string        // direct=host:port: around the pooler
	unchecked bool          // durability=unchecked: take a server that forgets what it has said
	timeout   time.Duration // of a statement: statement_timeout, in milliseconds
}

// parse reads the URL. Its errors do not contain it, as it may hold a password.
func parse(text string) (*pgxpool.Config, options, error) {
	var o options
	u, err := url.Parse(text)
	if err != nil || !IsURL(text) {
		return nil, o, errors.New("is not a URL; in its password, what is special must be escaped by %")
	}
	q := u.Query()
	switch pooler := q.Get("pooler"); pooler {
	case "", "transaction":
		o.pooler = pooler != ""
	default:
		return nil, o, errors.New("has a parameter pooler, which can only be transaction")
	}
	switch durability := q.Get("durability"); durability {
	case "", "unchecked":
		o.unchecked = durability != ""
	default:
		return nil, o, errors.New("has a parameter durability, which can only be unchecked")
	}
	o.direct = q.Get("direct")
	if o.direct != "" && !o.pooler {
		return nil, o, errors.New("has a parameter direct, the way around a pooler, without pooler=transaction")
	}
	for _, ours := range []string{"pooler", "durability", "direct"} {
		q.Del(ours)
	}
	o.timeout = statementTimeout
	if q.Has("statement_timeout") {
		ms, err := strconv.ParseUint(q.Get("statement_timeout"), 10, 31)
		if err != nil || ms < 100 {
			return nil, o, errors.New("has a parameter statement_timeout that is not a number of milliseconds from 100 on")
		}
		o.timeout = time.Duration(ms) * time.Millisecond // #nosec G115 -- 31 bits
		if o.pooler {
			q.Del("statement_timeout") // it is the role's to have there
		}
	}
	u.RawQuery = q.Encode()
	c, err := pgxpool.ParseConfig(u.String())
	if err != nil {
		return nil, o, errors.New("has a part that PostgreSQL's driver does not know; look at its parameters")
	}
	if !q.Has("pool_max_conns") {
		c.MaxConns = maxConns
	}
	if !q.Has("connect_timeout") {
		c.ConnConfig.ConnectTimeout = connectTimeout
	}
	if o.pooler {
		// Neither statements nor settings stay with a connection.
		c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
		return c, o, nil
	}
	for name, value := range map[string]string{
		"application_name":                    "app2wxapp",
		"statement_timeout":                   milliseconds(o.timeout),
		"lock_timeout":                        milliseconds(o.timeout * 2 / 5),
		"idle_in_transaction_session_timeout": milliseconds(2 * o.timeout),
		"default_transaction_isolation":       "read committed",
		// A role's own setting would come before the server's.
		"synchronous_commit": "on",
	} {
		if _, given := c.ConnConfig.RuntimeParams[name]; !given {
			c.ConnConfig.RuntimeParams[name] = value
		}
	}
	return c, o, nil
}

// plan tells PostgreSQL's planner what it cannot know, unless the URL or, behind a
// pooler, the role does.
func (o options) plan(c *pgxpool.Config) {
	if o.pooler {
		return
	}
	for name, value := range map[string]string{
		// Statements are planned once for a connection, maybe while a table is
		// small, and a table of tickets is small and large within a minute: every
		// plan enters every table by its key.
		"plan_cache_mode":   "force_generic_plan",
		"enable_seqscan":    "off",
		"enable_bitmapscan": "off",
		"enable_hashjoin":   "off",
		"enable_mergejoin":  "off",
		"jit":               "off",
	} {
		if _, given := c.ConnConfig.RuntimeParams[name]; !given {
			c.ConnConfig.RuntimeParams[name] = value
		}
	}
}

func milliseconds(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }

// directly returns how to connect around the pooler, or false if nobody said.
func (o options) directly(c *pgxpool.Config) (*pgx.ConnConfig, bool) {
	direct := c.ConnConfig.Copy()
	direct.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	if !o.pooler {
		return direct, true
	}
	if o.direct == "" {
		return nil, false
	}
	parsed, err := pgconn.ParseConfig("postgres://" + o.direct)
	if err != nil {
		return nil, false
	}
	direct.Host, direct.Port, direct.Fallbacks = parsed.Host, parsed.Port, nil
	return direct, true
}
