package postgres

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"app2wxapp/userpool"
)

const (
	// countsFor is how old counts may be for a process that has just begun.
	countsFor = time.Minute
	// maxUntold bounds what is kept while PostgreSQL does not answer: a minute's
	// counts. Older ones count no more.
	maxUntold = 60
)

// counts is what this process tells the others, and how far it has heard them.
// Its rows are numbered, so that a row whose outcome is unknown can be written
// again, and each is heard once.
type counts struct {
	mu      sync.Mutex // held during a call
	process [16]byte
	last    int64 // number
	untold  []countedRow
	heard   map[[16]byte]heard
}

type countedRow struct {
	no     int64
	sealed []byte
}

// heard is the last row that was read of a process.
type heard struct {
	no int64
	at time.Time
}

// begin gives the process its name.
func (c *counts) begin() {
	rand.Read(c.process[:])
	c.heard = map[[16]byte]heard{}
}

const shareCounts = `
WITH told AS (
    INSERT INTO counted (process, no, counts)
    SELECT $1::bytea, no, counts FROM unnest($2::bigint[], $3::bytea[]) AS q(no, counts)
    ON CONFLICT DO NOTHING
    RETURNING no
)
SELECT c.process, c.no, extract(epoch FROM clock_timestamp() - c.at)::float8, c.counts
FROM counted c LEFT JOIN unnest($4::bytea[], $5::bigint[]) AS h(process, no) ON h.process = c.process
WHERE c.process <> $1 AND c.no > coalesce(h.no, 0) AND c.at > clock_timestamp() - $6::float8 * interval '1 second'
ORDER BY c.process, c.no`

// ShareCounts implements userpool.Counts, by one statement that waits for no
// disk, and may run again as its rows are numbered. How old a row is says the
// server's clock.
func (s *Store) ShareCounts(ctx context.Context, mine []userpool.Count) ([]userpool.Counted, error) {
	c := &s.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := s.noteCounts(mine); err != nil {
		return nil, err
	}
	var no, heardNo []int64
	var sealed, heardOf [][]byte
	for _, r := range c.untold {
		no, sealed = append(no, r.no), append(sealed, r.sealed)
	}
	for process, h := range c.heard {
		if time.Since(h.at) > 2*countsFor {
			delete(c.heard, process) // its rows are not read any more
			continue
		}
		heardOf, heardNo = append(heardOf, process[:]), append(heardNo, h.no)
	}
	args := []any{c.process[:], no, sealed, heardOf, heardNo, countsFor.Seconds()}
	rows, err := read(ctx, s, "share counts", shareCounts, args, s.scanCounted)
	if err != nil {
		return nil, err
	}
	c.untold = nil
	others := make([]userpool.Counted, len(rows))
	for i, r := range rows {
		others[i] = r.Counted
		c.heard[r.process] = heard{r.no, time.Now()}
	}
	return others, nil
}

// noteCounts makes a row of the counts. They are sealed, since addresses are
// personal.
func (s *Store) noteCounts(mine []userpool.Count) error {
	if len(mine) == 0 {
		return nil
	}
	c := &s.counts
	b, err := json.Marshal(mine)
	if err != nil {
		return err
	}
	c.last++
	c.untold = append(c.untold, countedRow{c.last, s.sealer.Seal(nil, placeCounts, countsKey(c.process[:], c.last), b)})
	if len(c.untold) > maxUntold {
		c.untold = c.untold[1:]
	}
	return nil
}

// countsKey is a row's key.
func countsKey(process []byte, no int64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte(nil), process...), uint64(no)) // #nosec G115 -- counted from 1
}

// countedBy is a row that another process wrote.
type countedBy struct {
	process [16]byte
	no      int64
	userpool.Counted
}

func (s *Store) scanCounted(r pgx.CollectableRow) (c countedBy, err error) {
	var process, sealed []byte
	var seconds float64
	if err := r.Scan(&process, &c.no, &seconds, &sealed); err != nil {
		return c, err
	}
	copy(c.process[:], process)
	c.Age = time.Duration(seconds * float64(time.Second))
	b, err := s.open(placeCounts, countsKey(process, c.no), sealed)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal([]byte(b), &c.Counts); err != nil {
		return c, corrupt(placeCounts, err)
	}
	return c, nil
}
