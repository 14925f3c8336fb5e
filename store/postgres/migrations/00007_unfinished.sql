-- +goose Up

-- Sign-ins that are to be finished. key is 6 bytes of time and the SHA-256 of the
-- state token; of another epoch nobody can finish one.
CREATE TABLE unfinished (
    key         bytea PRIMARY KEY,
    pool_id     text COLLATE "C" NOT NULL,
    epoch       bytea NOT NULL,
    expires_at  timestamptz NOT NULL,
    failures    integer NOT NULL,
    finished_at timestamptz,
    record      bytea NOT NULL -- sealed: whose it is
);
CREATE INDEX unfinished_expires_at ON unfinished (expires_at);

-- +goose Down
DROP TABLE unfinished;
