-- +goose Up

-- Where a user's rows lay when they were last seen: the row of access when the
-- ticket was issued, the user's when the row of access was written. Most often they
-- lie there yet when the ticket is redeemed, and no index need be asked. Nothing
-- relies on it.
ALTER TABLE tickets ADD COLUMN access_place tid;
ALTER TABLE access ADD COLUMN user_place tid;

-- +goose Down
ALTER TABLE access DROP COLUMN user_place;
ALTER TABLE tickets DROP COLUMN access_place;
