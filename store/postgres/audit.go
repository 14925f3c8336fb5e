package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"app2wxapp/audit"
	"app2wxapp/store/record"
)

const (
	readAuditEnd = `SELECT record FROM audit_end`

	insertEvent = `INSERT INTO audit (id, pool_id, type, record) VALUES ($1, $2, $3, $4)`

	updateAuditEnd = `UPDATE audit_end SET record = $1`
)

// auditEnd is the key of audit_end's only row.
var auditEnd = []byte("end")

// record appends the events to the chain; those without a type are none. There
// is one chain for all processes, whose end is locked until the transaction
// ends: nothing else is to be locked after it.
func (s *Store) record(ctx context.Context, tx pgx.Tx, events ...audit.Event) error {
	var end record.Chain
	var b pgx.Batch
	for _, e := range events {
		if e.Type == "" {
			continue
		}
		if b.Len() == 0 {
			var err error
			if end, err = s.chainEnd(tx.QueryRow(ctx, readAuditEnd+` FOR UPDATE`)); err != nil {
				return err
			}
		}
		row, err := end.Append(e)
		if err != nil {
			return err
		}
		b.Queue(insertEvent, end.ID, e.PoolID, string(e.Type), s.sealer.Seal(nil, placeEvent, eventKey(end.ID, e.PoolID, string(e.Type)), row))
	}
	if b.Len() == 0 {
		return nil
	}
	plain, err := json.Marshal(end)
	if err != nil {
		return err
	}
	b.Queue(updateAuditEnd, s.sealer.Seal(nil, placeAuditEnd, auditEnd, plain))
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return failed("write events", err)
	}
	return nil
}

// eventKey seals what a row is found by together with it.
func eventKey(id, poolID, typ string) []byte { return []byte(id + "/" + poolID + "/" + typ) }

func (s *Store) chainEnd(r pgx.Row) (c record.Chain, err error) {
	var sealed []byte
	if err := r.Scan(&sealed); err != nil {
		return c, failed("read end of events", err)
	}
	if sealed == nil {
		return c, nil
	}
	plain, err := s.open(placeAuditEnd, auditEnd, sealed)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal([]byte(plain), &c); err != nil {
		return c, corrupt(placeAuditEnd, err)
	}
	return c, nil
}

// RecordEvents implements audit.Store.
func (s *Store) RecordEvents(ctx context.Context, events []audit.Event) error {
	return s.transaction(ctx, func(ctx context.Context, tx pgx.Tx) error { return s.record(ctx, tx, events...) })
}

// eventRow is a row of audit. Verifying wants to know where one is that does not
// open, so it is opened later.
type eventRow struct {
	id, poolID, typ string
	sealed          []byte
}

func (s *Store) openEvent(r eventRow) (string, error) {
	return s.open(placeEvent, eventKey(r.id, r.poolID, r.typ), r.sealed)
}

func scanEvent(r pgx.CollectableRow) (e eventRow, err error) {
	err = r.Scan(&e.id, &e.poolID, &e.typ, &e.sealed)
	return e, err
}

const readEvents = `
SELECT id, pool_id, type, record FROM audit
WHERE id >= $1 AND ($2 = '' OR id < $2) AND ($3 = '' OR pool_id = $3) AND ($4 = '' OR type = $4)
ORDER BY id DESC LIMIT $5`

// Events implements audit.Store.
func (s *Store) Events(ctx context.Context, q audit.Query) (events []audit.Event, next string, err error) {
	rows, err := read(ctx, s, "read events", readEvents, []any{idFrom(q.Since), q.Before, q.PoolID, string(q.Type), q.Limit + 1}, scanEvent)
	if err != nil {
		return nil, "", err
	}
	if len(rows) > q.Limit {
		rows = rows[:q.Limit]
		next = rows[q.Limit-1].id
	}
	for _, r := range rows {
		plain, err := s.openEvent(r)
		if err != nil {
			return nil, "", err
		}
		e, err := record.DecodeEvent(r.id, plain)
		if err != nil {
			return nil, "", corrupt(placeEvent, err)
		}
		if !e.At.Before(q.Since) { // its id may be of a later time
			events = append(events, e)
		}
	}
	return events, next, nil
}

// idFrom returns what the ids of events begin with, or come after, from that
// time on.
func idFrom(t time.Time) string {
	ms := max(0, t.UnixMilli())
	return fmt.Sprintf("%08x-%04x", ms>>16, ms&0xffff)
}

// sweepEvents takes out the oldest rows, without a gap: it waits for who is at
// it already. The newest stays, so that a chain of which all was taken out is
// none that was swept.
const sweepEvents = `
DELETE FROM audit WHERE id = ANY (ARRAY(
    SELECT id FROM audit WHERE id < $1 AND id < (SELECT max(id) FROM audit) ORDER BY id LIMIT $2 FOR UPDATE
))`

const (
	verifyEvents = `SELECT id, pool_id, type, record FROM audit WHERE id > $1 ORDER BY id LIMIT $2`
	verifyPage   = 1000
)

// VerifyEvents implements audit.Store. It reads page by page, all of it as it
// was at one moment. A row that does not open is one that breaks the chain.
func (s *Store) VerifyEvents(ctx context.Context) (chain audit.Chain, err error) {
	tx, err := s.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return chain, failed("begin", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	end, err := s.chainEnd(tx.QueryRow(ctx, readAuditEnd))
	if err != nil {
		return chain, err
	}
	var at record.Chain
	for more := true; more; {
		found, err := tx.Query(ctx, verifyEvents, at.ID, verifyPage)
		if err != nil {
			return chain, failed("read events", err)
		}
		rows, err := pgx.CollectRows(found, scanEvent)
		if err != nil {
			return chain, failed("read events", err)
		}
		for _, r := range rows {
			if plain, err := s.openEvent(r); err != nil || !at.Follow(r.id, plain) {
				chain.Broken = r.id
				return chain, nil
			}
			chain.Events++
		}
		more = len(rows) == verifyPage
	}
	if !bytes.Equal(at.Head, end.Head) {
		chain.Broken = end.ID
	}
	copy(chain.Head[:], at.Head)
	return chain, nil
}

var _ audit.Store = (*Store)(nil)
