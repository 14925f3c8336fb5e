-- +goose Up

-- Ids are in the order in which the rows came. pool_id and type are for finding
-- rows; they are sealed with the record, too.
CREATE TABLE audit (
    id      text COLLATE "C" PRIMARY KEY,
    pool_id text COLLATE "C" NOT NULL,
    type    text COLLATE "C" NOT NULL,
    record  bytea NOT NULL -- sealed
);
CREATE INDEX audit_pool ON audit (pool_id, id);
CREATE INDEX audit_type ON audit (type, id);

-- Where the chain of rows ends, sealed; null before the first. Whoever adds a
-- row locks this one, as the last thing in the transaction.
CREATE TABLE audit_end (
    one    boolean PRIMARY KEY DEFAULT true CHECK (one),
    record bytea
) WITH (fillfactor = 10);
INSERT INTO audit_end DEFAULT VALUES;

-- +goose Down
DROP TABLE audit, audit_end;
