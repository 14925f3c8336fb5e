package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"app2wxapp/audit"
	"app2wxapp/store/move"
)

// movingTable is there exactly while records are moved into the database, and
// says how far that has come. No migration of goose's makes it.
const (
	movingTable = `app2wxapp_moving`

	isMoving   = `SELECT to_regclass('` + movingTable + `') IS NOT NULL`
	readMoving = `SELECT state FROM ` + movingTable
)

// whole refuses a database into which records are still moved.
func (s *Store) whole(ctx context.Context) error {
	var there bool
	if err := s.pool.QueryRow(ctx, isMoving).Scan(&there); err != nil || !there {
		return err
	}
	var state string
	if err := s.pool.QueryRow(ctx, readMoving).Scan(&state); err != nil {
		return err
	}
	m, err := parseMoving(state)
	if err != nil {
		return err
	}
	return fmt.Errorf("what is moved into it is not complete; run the same %s again", m.Command())
}

// apart is how the connections of a move are named, so that those of servers are
// told from them.
const apart = "app2wxapp migrate"

// OpenSource opens a store to read it as it is now. It changes nothing, and
// refuses a store that a server has open: what is written later would be lost.
func OpenSource(ctx context.Context, c Config) (_ *Source, err error) {
	s, err := connect(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("open store %s: %w", Name(c.URL), err)
			s.pool.Close()
		}
	}()
	if err := s.upToDate(ctx); err != nil {
		return nil, err
	}
	if err := errors.Join(s.whole(ctx), s.alone(ctx)); err != nil {
		return nil, err
	}
	if err := s.readKeys(ctx, c.Key); err != nil {
		return nil, err
	}
	src, err := s.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	src.close = s.pool.Close
	return src, nil
}

// connect returns a store of which nothing runs.
func connect(ctx context.Context, c Config) (*Store, error) {
	pc, o, err := parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("the URL %w", err)
	}
	s := &Store{log: c.Log, metrics: newMetrics(prometheus.NewRegistry()), options: o, stop: func() {}}
	if !o.pooler {
		pc.ConnConfig.RuntimeParams["application_name"] = apart
	}
	if err := s.dial(ctx, ctx, pc); err != nil {
		return nil, fmt.Errorf("open store %s: %w", name(pc), err)
	}
	return s, nil
}

// upToDate refuses tables that this version did not make.
func (s *Store) upToDate(ctx context.Context) error {
	var there bool
	var version, applied, known int
	if err := s.pool.QueryRow(ctx, `SELECT to_regclass('`+migrationsTable+`') IS NOT NULL`).Scan(&there); err != nil {
		return err
	}
	if !there {
		return errors.New("there is no store of app2wxapp in this database")
	}
	if err := s.pool.QueryRow(ctx, `SELECT max(version_id), count(DISTINCT version_id) FILTER (WHERE version_id > 0) FROM `+migrationsTable+` WHERE is_applied`).Scan(&version, &applied); err != nil {
		return err
	}
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		return err
	}
	if _, err := fmt.Sscanf(files[len(files)-1].Name(), "%d_", &known); err != nil {
		return err
	}
	switch {
	case version > known:
		return fmt.Errorf("a newer app2wxapp made its tables (version %d, this one knows %d); use that version", version, known)
	case version < known, applied < len(files):
		return fmt.Errorf("an earlier app2wxapp made its tables (version %d, this one knows %d); start this one's server on it once, stop it, and come again", version, known)
	}
	return nil
}

// others counts the sessions of servers in this database, and those of anybody
// else.
const others = `
SELECT count(*) FILTER (WHERE application_name = 'app2wxapp'),
       count(*) FILTER (WHERE application_name NOT IN ('app2wxapp', '` + apart + `'))
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`

// leaveTime is how long the sessions of a server that has just ended may last.
const leaveTime = 2 * time.Second

// alone refuses while a server is connected. Of others it warns: servers go by
// other names behind a pooler, and monitors are no harm. Elsewhere nobody sees
// who is connected to the other nodes.
func (s *Store) alone(ctx context.Context) error {
	if !s.postgres {
		s.log.Warn("this server does not tell who else is connected; make sure that no server of app2wxapp is")
		return nil
	}
	var servers, strangers int
	for end := time.Now().Add(leaveTime); ; time.Sleep(50 * time.Millisecond) {
		if err := s.pool.QueryRow(ctx, others).Scan(&servers, &strangers); err != nil {
			return err
		}
		if servers == 0 {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("servers have it open (%d connections); stop them all, and come again", servers)
		}
	}
	if strangers > 0 {
		s.log.Warn("others are connected to the database; make sure that none of them is a server of app2wxapp", "connections", strangers)
	}
	return nil
}

// Destination is a database that is being filled. It implements
// move.Destination.
type Destination struct {
	s     *Store
	state string // as it was written last
}

// OpenDestination opens a database to be filled, and makes its tables. No server
// may have it open.
func OpenDestination(ctx context.Context, c Config) (_ *Destination, err error) {
	s, err := connect(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("open store %s: %w", Name(c.URL), err)
			s.pool.Close()
		}
	}()
	if err := s.alone(ctx); err != nil {
		return nil, err
	}
	pc, _, err := parse(c.URL)
	if err != nil {
		return nil, err
	}
	if err := s.migrate(ctx, pc); err != nil {
		return nil, err
	}
	if err := s.unlock(ctx, c.Key); err != nil {
		return nil, err
	}
	return &Destination{s: s}, nil
}

// moving is what movingTable says.
type moving struct {
	move.Origin
	Kind  move.Kind `json:"kind"`
	After []byte    `json:"after"` // of any bytes, which a JSON string is not
}

func parseMoving(state string) (m moving, err error) {
	err = json.Unmarshal([]byte(state), &m)
	return m, err
}

func (m moving) at() move.Place { return move.Place{Kind: m.Kind, After: string(m.After)} }

// update runs do in a transaction that may take its time. Elsewhere it is
// serializable: CockroachDB changes tables in no other.
func (d *Destination) update(ctx context.Context, do func(pgx.Tx) error) error {
	var o pgx.TxOptions
	if !d.s.postgres {
		o.IsoLevel = pgx.Serializable
	}
	return pgx.BeginTxFunc(ctx, d.s.pool, o, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, patiently); err != nil {
			return err
		}
		return do(tx)
	})
}

// Begin implements move.Destination.
func (d *Destination) Begin(ctx context.Context, from move.Origin) (move.Place, error) {
	m := moving{Origin: from}
	err := d.update(ctx, func(tx pgx.Tx) error {
		var there, full bool
		if err := tx.QueryRow(ctx, isMoving).Scan(&there); err != nil {
			return err
		}
		if there {
			if err := tx.QueryRow(ctx, readMoving).Scan(&d.state); err != nil {
				return err
			}
			var err error
			m, err = parseMoving(d.state)
			switch {
			case err != nil:
				return err
			case m.Store != from.Store:
				return fmt.Errorf("%s holds a part of another store; finish that move, or drop the database", name(d.s.pool.Config()))
			case m.Origin != from:
				return fmt.Errorf("%s was begun by %s; run that again, or drop the database", name(d.s.pool.Config()), m.Command())
			}
			return nil
		}
		if err := tx.QueryRow(ctx, occupied).Scan(&full); err != nil {
			return err
		}
		if full {
			return fmt.Errorf("%s: there is a store already; nothing is ever written over it: give an empty database", name(d.s.pool.Config()))
		}
		b, err := json.Marshal(m)
		if err != nil {
			return err
		}
		d.state = string(b)
		if _, err := tx.Exec(ctx, `CREATE TABLE `+movingTable+` (one boolean PRIMARY KEY DEFAULT true CHECK (one), state text NOT NULL)`); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO `+movingTable+` (state) VALUES ($1)`, d.state)
		return err
	})
	return m.at(), err
}

var errAnother = errors.New("another move writes to the database, too; end one of them")

// Write implements move.Destination.
func (d *Destination) Write(ctx context.Context, k move.Kind, records []move.Record, at move.Place) error {
	kind, ok := kinds()[k]
	if !ok {
		return fmt.Errorf("postgres: nobody has said where %s go", k)
	}
	m, err := parseMoving(d.state)
	if err != nil {
		return err
	}
	m.Kind, m.After = at.Kind, []byte(at.After)
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	err = d.update(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE `+movingTable+` SET state = $2 WHERE state = $1`, d.state, string(b))
		if err != nil {
			return err
		}
		if tag.RowsAffected() != 1 {
			return errAnother
		}
		return kind.write(d.s, ctx, tx, records)
	})
	if err == nil {
		d.state = string(b)
	}
	return err
}

// Index implements move.Destination: PostgreSQL keeps its indexes itself, and is
// only told to look at the tables; elsewhere that is no part of a transaction, or
// goes by itself.
func (d *Destination) Index(ctx context.Context) error {
	if !d.s.postgres {
		return nil
	}
	return d.update(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `ANALYZE`)
		return err
	})
}

// View implements move.Destination.
func (d *Destination) View(ctx context.Context) (move.Source, error) { return d.s.Snapshot(ctx) }

// Finish implements move.Destination.
func (d *Destination) Finish(ctx context.Context, e audit.Event) error {
	return d.update(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE FROM `+movingTable+` WHERE state = $1`, d.state)
		if err != nil {
			return err
		}
		if tag.RowsAffected() != 1 {
			return errAnother
		}
		if _, err := tx.Exec(ctx, `DROP TABLE `+movingTable); err != nil {
			return err
		}
		return d.s.record(ctx, tx, e)
	})
}

// Close implements move.Destination.
func (d *Destination) Close() error {
	d.s.pool.Close()
	return nil
}

var _ move.Destination = (*Destination)(nil)
