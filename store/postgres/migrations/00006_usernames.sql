-- +goose Up

-- An HMAC of pool and username, null for none.
ALTER TABLE users ADD COLUMN username bytea;
CREATE UNIQUE INDEX users_username ON users (username);

-- +goose Down
DROP INDEX users_username;
ALTER TABLE users DROP COLUMN username;
