-- +goose Up

-- What replicas tell each other and a crash may forget: unlogged tables are
-- written without waiting for a disk, and empty after a crash and on a standby
-- that takes over.

-- One-time codes that were sent to WeChat, as hashes, until they are forgotten.
CREATE UNLOGGED TABLE codes (
    code  bytea PRIMARY KEY,
    until timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX codes_until ON codes (until);

-- Events that count against a limit, such as wrong secrets of an address: what a
-- process tells the others about once a second, in rows that it numbers.
CREATE UNLOGGED TABLE counted (
    process bytea  NOT NULL,
    no      bigint NOT NULL,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    counts  bytea NOT NULL, -- sealed
    PRIMARY KEY (process, no)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);

-- +goose Down
DROP TABLE codes, counted;
