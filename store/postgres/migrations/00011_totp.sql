-- +goose Up

-- Second factors, apart from their users, as passwords are.
CREATE TABLE totp (
    pool_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    record  bytea NOT NULL, -- sealed
    PRIMARY KEY (pool_id, user_id),
    FOREIGN KEY (pool_id, user_id) REFERENCES users (pool_id, id) ON DELETE CASCADE
);

-- +goose Down
DROP TABLE totp;
