package main

var thePG = []string{"./store/postgres"}

// onPostgres are the defects that a store on a database server is known for.
var onPostgres = []mutant{
	{
		name: "postgres: a ticket need not be listed as live", file: "store/postgres/redeem.go",
		old: " AND f.no = ANY (a.live_no)\n", new: "\n", packages: thePG,
	},
	{
		name: "postgres: a ticket from before the user was signed out", file: "store/postgres/redeem.go",
		old: " AND (a.not_before IS NULL OR f.issued_at > a.not_before)", new: "", packages: thePG,
	},
	{
		name: "postgres: a blocked user redeems", file: "store/postgres/redeem.go",
		old: "AND NOT a.blocked AND (", new: "AND (", packages: thePG,
	},
	{
		name: "postgres: the pool is ignored", file: "store/postgres/redeem.go",
		old: "t.key = q.key AND t.pool_id = ($2::text[])[q.n] AND t.epoch", new: "t.key = q.key AND t.epoch", packages: thePG,
	},
	{
		name: "postgres: whoever lies at a place is the user", file: "store/postgres/redeem.go",
		old: "WHERE u.ctid = a.user_place AND u.pool_id = ($2::text[])[q.n] AND u.id = t.user_id",
		new: "WHERE u.ctid = a.user_place", packages: thePG,
	},
	{
		name: "postgres: counted without a mark", file: "store/postgres/redeem.go",
		old: "1 / ((SELECT count(*) FROM marked) = (SELECT count(*) FROM counted))::int", new: "1", packages: thePG,
	},
	{
		name: "postgres: a redeemed ticket stays listed", file: "store/postgres/redeem.go",
		old: "live_no = array_replace(a.live_no, f.no, 0), ", new: "", packages: thePG,
	},
	{
		name: "postgres: >= for > at a ticket's end", file: "store/postgres/redeem.go",
		old: "AND t.expires_at > ($8::timestamptz[])[q.n]", new: "AND t.expires_at >= ($8::timestamptz[])[q.n]", packages: thePG,
	},
	{
		name: "postgres: the challenge is ignored", file: "store/postgres/redeem.go",
		old: "AND t.challenge = ($3::text[])[q.n] AND t.redeemed_at IS NULL", new: "AND ($3::text[])[q.n] IS NOT NULL AND t.redeemed_at IS NULL", packages: thePG,
	},
	{
		name: "postgres: any Idempotency-Key is the first one", file: "store/postgres/redeem.go",
		old: "bytes.Equal(t.idempotency, r.Idempotency[:])", new: "r.Idempotency != [32]byte{}", packages: thePG,
	},
	{
		name: "postgres: any attempt is the one whose answer was lost", file: "store/postgres/redeem.go",
		old: "case redeemed && bytes.Equal(t.attempt, r.id[:]):", new: "case redeemed && len(t.attempt) == len(r.id):", packages: thePG,
	},
	{
		name: "postgres: tombstone swept early", file: "store/postgres/tickets.go",
		old: "{sweepTickets, now.Add(-ticket.RetainFor)},", new: "{sweepTickets, now},", packages: thePG,
	},
	{
		name: "postgres: a replay revokes nothing", file: "store/postgres/redeem.go",
		old: "out.replayed = !t.revoked", new: "out.replayed = false", packages: thePG,
	},
	{
		name: "postgres: a machine that is behind judges by itself", file: "store/postgres/clock.go",
		old: "if skew > maxStepBack+half {", new: "if skew > maxStepBack+half && skew < 0 {", packages: thePG,
	},
	{
		name: "postgres: a change is not notified", file: "store/postgres/pools.go",
		old: "`SELECT pg_notify('` + channel + `', '')`", new: "`SELECT ''`", packages: thePG,
	},
	{
		name: "postgres: nobody listens", file: "store/postgres/notify.go",
		old: "`LISTEN `+channel", new: "`SELECT '`+channel+`'`", packages: thePG,
	},
}
