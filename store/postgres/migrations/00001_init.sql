-- +goose Up

-- One row: the data keys, sealed with the operator's encryption key, the epoch
-- (a ticket of another epoch is void) and how often a pool was changed.
CREATE TABLE meta (
    one           boolean PRIMARY KEY DEFAULT true CHECK (one),
    keys          bytea  NOT NULL,
    epoch         bytea  NOT NULL,
    pools_version bigint NOT NULL DEFAULT 0
);

-- version is meta.pools_version as this change made it.
CREATE TABLE pools (
    id      text COLLATE "C" PRIMARY KEY,
    record  bytea  NOT NULL, -- sealed
    version bigint NOT NULL
);
CREATE INDEX pools_version ON pools (version);

-- What a login does not change. unionid and phone are HMACs of pool and value.
CREATE TABLE users (
    pool_id text COLLATE "C" NOT NULL,
    id      text COLLATE "C" NOT NULL,
    record  bytea NOT NULL, -- sealed
    unionid bytea,
    phone   bytea,
    PRIMARY KEY (pool_id, id)
);
CREATE UNIQUE INDEX users_unionid ON users (unionid);
CREATE INDEX users_phone ON users (phone, id);

-- openid is the HMAC of pool, AppID and openid.
CREATE TABLE identities (
    openid  bytea PRIMARY KEY,
    pool_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL
);

-- What a login reads and changes, without any indexed column: a login rewrites
-- a small row in the page where it is. Tickets of a user are numbered; those up
-- to void_to are void, and live are those that had not expired when the last one
-- was issued; one that was redeemed since has the number 0 there.
CREATE TABLE access (
    pool_id    text COLLATE "C" NOT NULL,
    user_id    text COLLATE "C" NOT NULL,
    blocked    boolean NOT NULL,
    not_before timestamptz,
    logins     bigint NOT NULL,
    last_login timestamptz,
    last_addr  bytea, -- sealed
    tickets    bigint NOT NULL DEFAULT 0,
    void_to    bigint NOT NULL DEFAULT 0,
    live_no    bigint[] NOT NULL DEFAULT '{}',
    live_until timestamptz[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (pool_id, user_id)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 10000,
        autovacuum_vacuum_cost_delay = 0);

-- key begins with the time of issue. Each row is written, changed once and
-- deleted some twelve minutes later: half of a page is left free for the change
-- to stay in it, and vacuum comes early and does not rest.
CREATE TABLE tickets (
    key           bytea PRIMARY KEY,
    pool_id       text COLLATE "C" NOT NULL,
    user_id       text COLLATE "C" NOT NULL,
    no            bigint NOT NULL,
    app_id        text NOT NULL,
    source_app    text NOT NULL,
    challenge     text NOT NULL,
    epoch         bytea NOT NULL,
    issued_at     timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    redeemed_at   timestamptz,
    attempt       bytea,  -- which of all attempts it was
    login         bigint, -- which of the user's logins
    jti           text,
    token_ends_at timestamptz,
    idempotency   bytea,  -- SHA-256 of the Idempotency-Key
    answer        bytea,  -- users.record as it was, kept if there is such a key
    answer_addr   bytea,  -- access.last_addr likewise
    revoked       boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 10000,
        autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_vacuum_cost_delay = 0,
        autovacuum_analyze_scale_factor = 0.05);
CREATE INDEX tickets_expires_at ON tickets (expires_at);

-- The deny-list of tokens.
CREATE TABLE revoked (
    expires_at timestamptz NOT NULL,
    jti        text NOT NULL,
    PRIMARY KEY (expires_at, jti)
);

CREATE TABLE signing_keys (
    id         text PRIMARY KEY,
    alg        text NOT NULL,
    record     bytea NOT NULL, -- sealed
    created_at timestamptz NOT NULL
);

-- +goose Down
DROP TABLE meta, pools, users, identities, access, tickets, revoked, signing_keys;
