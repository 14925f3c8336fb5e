-- +goose Up

-- The latest time that the server's clock was seen to show: a clock that is behind it
-- was put back.
ALTER TABLE meta ADD COLUMN clock timestamptz;

-- +goose Down
ALTER TABLE meta DROP COLUMN clock;
