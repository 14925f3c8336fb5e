-- +goose Up

-- What can be refreshed. id is the jti of the first access token; family and
-- refresh are hashes.
CREATE TABLE sessions (
    id            text COLLATE "C" PRIMARY KEY,
    pool_id       text COLLATE "C" NOT NULL,
    user_id       text COLLATE "C" NOT NULL,
    kind          smallint NOT NULL,
    scope         text NOT NULL,
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    ended         boolean NOT NULL,
    jti           text NOT NULL, -- of the newest access token
    token_ends_at timestamptz NOT NULL,
    family        bytea NOT NULL,
    refresh       bytea NOT NULL
);
CREATE INDEX sessions_expires_at ON sessions (expires_at);

-- +goose Down
DROP TABLE sessions;
