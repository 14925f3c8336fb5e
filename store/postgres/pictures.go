package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"app2wxapp/store/move"
	"app2wxapp/store/record"
	"app2wxapp/upload"
)

// lockPictures lets one call at a time change which pictures are loose: there are
// few, and their number and size are bounded together.
func (s *Store) lockPictures(ctx context.Context, tx pgx.Tx) error {
	sql, args := s.locking([]byte("pictures"), `SELECT pg_advisory_xact_lock(hashtextextended('app2wxapp pictures', 0))`)
	if _, err := tx.Exec(ctx, sql, args...); err != nil {
		return failed("lock pictures", err)
	}
	return nil
}

// PutPicture implements upload.Store.
func (s *Store) PutPicture(ctx context.Context, p upload.Picture, now time.Time) error {
	sealed := s.sealer.Seal(nil, placePicture, []byte(p.ID), p.Data)
	return s.transaction(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := s.lockPictures(ctx, tx); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `UPDATE pictures SET loose_since = CASE WHEN loose_since IS NULL THEN NULL ELSE $2::timestamptz END WHERE id = $1`, p.ID, now)
		if err != nil {
			return failed("look for picture", err)
		}
		if tag.RowsAffected() > 0 {
			return nil
		}
		var n, total int64
		err = tx.QueryRow(ctx, `SELECT count(*), coalesce(sum(size), 0)::bigint FROM pictures WHERE loose_since IS NOT NULL`).Scan(&n, &total)
		if err != nil {
			return failed("count pictures", err)
		}
		if n+1 > upload.MaxLoose || total+int64(len(p.Data)) > upload.MaxLooseBytes {
			return upload.ErrFull
		}
		_, err = tx.Exec(ctx, `INSERT INTO pictures (id, type, size, loose_since, data) VALUES ($1, $2, $3, $4, $5)`, p.ID, p.Type, len(p.Data), now, sealed)
		if err != nil {
			return failed("keep picture", err)
		}
		return nil
	})
}

// Picture implements upload.Store.
func (s *Store) Picture(ctx context.Context, id string) (upload.Picture, error) {
	found, err := read(ctx, s, "read picture", `SELECT type, data FROM pictures WHERE id = $1`, []any{id},
		func(r pgx.CollectableRow) (upload.Picture, error) {
			p := upload.Picture{ID: id}
			err := r.Scan(&p.Type, &p.Data) // sealed yet
			return p, err
		})
	switch {
	case err != nil:
		return upload.Picture{}, err
	case len(found) == 0:
		return upload.Picture{}, upload.ErrNotFound
	}
	p := found[0]
	data, err := s.open(placePicture, []byte(id), p.Data)
	p.Data = []byte(data)
	return p, err
}

// HoldPicture implements upload.Store.
func (s *Store) HoldPicture(ctx context.Context, poolID, userID, id string, now time.Time) error {
	held, err := read(ctx, s, "read picture's holder", `SELECT picture_id FROM picture_holders WHERE pool_id = $1 AND user_id = $2`,
		[]any{poolID, userID}, pgx.RowTo[string])
	if err != nil || id == "" && len(held) == 0 || slices.Equal(held, []string{id}) {
		return err
	}
	return s.transaction(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := s.lockPictures(ctx, tx); err != nil {
			return err
		}
		if id != "" {
			tag, err := tx.Exec(ctx, `UPDATE pictures SET loose_since = NULL WHERE id = $1`, id)
			if err != nil {
				return failed("hold picture", err)
			}
			if tag.RowsAffected() == 0 {
				return upload.ErrNotFound
			}
		}
		var before *string
		err := tx.QueryRow(ctx, `DELETE FROM picture_holders WHERE pool_id = $1 AND user_id = $2 RETURNING picture_id`, poolID, userID).Scan(&before)
		if err != nil && !isNone(err) {
			return failed("let picture go", err)
		}
		if id != "" {
			if _, err := tx.Exec(ctx, `INSERT INTO picture_holders (pool_id, user_id, picture_id) VALUES ($1, $2, $3)`, poolID, userID, id); err != nil {
				return failed("hold picture", err)
			}
		}
		if before == nil {
			return nil
		}
		_, err = tx.Exec(ctx, `
UPDATE pictures p SET loose_since = $2
WHERE p.id = $1 AND NOT EXISTS (SELECT 1 FROM picture_holders h WHERE h.picture_id = p.id)`, *before, now)
		if err != nil {
			return failed("let picture go", err)
		}
		return nil
	})
}

// SweepPictures implements upload.Store.
func (s *Store) SweepPictures(ctx context.Context, since time.Time, limit int) (int, error) {
	swept, err := write(ctx, s, "sweep pictures", `
DELETE FROM pictures WHERE id = ANY (ARRAY(
    SELECT id FROM pictures WHERE loose_since <= $1 ORDER BY loose_since LIMIT $2 FOR UPDATE SKIP LOCKED
)) RETURNING 1`, []any{since, limit}, exists)
	return len(swept), err
}

func (s *Store) scanMovedPicture(r pgx.CollectableRow) (move.Record, error) {
	var p upload.Picture
	var sealed []byte
	if err := r.Scan(&p.ID, &p.Type, &sealed); err != nil {
		return move.Record{}, err
	}
	data, err := s.open(placePicture, []byte(p.ID), sealed)
	if err != nil {
		return move.Record{}, err
	}
	p.Data = []byte(data)
	return move.Record{Key: p.ID, Value: string(record.EncodePicture(p))}, nil
}

func (s *Store) writePictures(ctx context.Context, tx pgx.Tx, records []move.Record) error {
	rows := make([][]any, len(records))
	for i, m := range records {
		p, err := record.DecodePicture(m.Key, m.Value)
		if err != nil {
			return err
		}
		rows[i] = []any{p.ID, p.Type, len(p.Data), s.sealer.Seal(nil, placePicture, []byte(p.ID), p.Data)}
	}
	return fill(ctx, tx, "pictures", []string{"id", "type", "size", "data"}, rows)
}

func (s *Store) scanMovedHolder(r pgx.CollectableRow) (m move.Record, err error) {
	var poolID, userID string
	err = r.Scan(&poolID, &userID, &m.Value)
	m.Key = string(userKey(poolID, userID))
	return m, err
}

func (s *Store) writeHolders(ctx context.Context, tx pgx.Tx, records []move.Record) error {
	rows := make([][]any, len(records))
	for i, m := range records {
		rows[i] = append(inPool(m.Key), m.Value)
	}
	return fill(ctx, tx, "picture_holders", []string{"pool_id", "user_id", "picture_id"}, rows)
}
