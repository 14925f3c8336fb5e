-- +goose Up

-- An HMAC of pool and e-mail address, null for none.
ALTER TABLE users ADD COLUMN email bytea;
CREATE UNIQUE INDEX users_email ON users (email);

-- How many codes the sign-in has asked for.
ALTER TABLE unfinished ADD COLUMN codes integer NOT NULL DEFAULT 0;

-- Numbers and addresses to which codes were sent. key is an HMAC of pool and number
-- or address; codes of another epoch are nobody's.
CREATE TABLE recipients (
    key     bytea PRIMARY KEY,
    epoch   bytea NOT NULL,
    ends_at timestamptz NOT NULL,
    record  bytea NOT NULL -- sealed: when they were sent, and HMACs of them
);
CREATE INDEX recipients_ends_at ON recipients (ends_at);

-- +goose Down
DROP TABLE recipients;
ALTER TABLE unfinished DROP COLUMN codes;
DROP INDEX users_email;
ALTER TABLE users DROP COLUMN email;
