-- +goose Up

-- Passwords, apart from their users: a sign-in by WeChat does not read them.
CREATE TABLE passwords (
    pool_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    record  bytea NOT NULL, -- sealed
    PRIMARY KEY (pool_id, user_id),
    FOREIGN KEY (pool_id, user_id) REFERENCES users (pool_id, id) ON DELETE CASCADE
);

-- +goose Down
DROP TABLE passwords;
