-- +goose Up

-- What users show as theirs. loose_since is set while nobody holds the picture.
CREATE TABLE pictures (
    id          text COLLATE "C" PRIMARY KEY, -- SHA-256
    type        text NOT NULL,
    size        bigint NOT NULL,
    loose_since timestamptz,
    data        bytea NOT NULL -- sealed
);
ALTER TABLE pictures ALTER COLUMN data SET STORAGE EXTERNAL; -- what is sealed does not compress
CREATE INDEX pictures_loose ON pictures (loose_since) WHERE loose_since IS NOT NULL;

CREATE TABLE picture_holders (
    pool_id    text COLLATE "C" NOT NULL,
    user_id    text COLLATE "C" NOT NULL,
    picture_id text COLLATE "C" NOT NULL REFERENCES pictures (id),
    PRIMARY KEY (pool_id, user_id)
);
CREATE INDEX picture_holders_picture ON picture_holders (picture_id);

-- +goose Down
DROP TABLE picture_holders;
DROP TABLE pictures;
