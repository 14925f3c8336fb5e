package main

var (
	theStore  = []string{"./store/bolt"}
	theTicket = []string{"./ticket"}
	theUsers  = []string{"./userpool"}
	theToken  = []string{"./token"}
	theBridge = []string{"./bridge"}
)

var mutants = []mutant{
	{
		name: "gate: the mark is not looked at again in the write", file: "store/bolt/tickets.go",
		old: "case redeemed && !repeated:\n\t\treturn false, ticket.ErrRedeemed\n",
		new: "case redeemed && !repeated && attempt.Now.IsZero():\n\t\treturn false, ticket.ErrRedeemed\n", packages: theStore,
	},
	{
		name: "gate: no mark", file: "store/bolt/tickets.go",
		old: "\t\tif err := t.putTicket(r); err != nil {\n\t\t\treturn err\n\t\t}\n\t\treturn t.markClock(attempt.Now)\n\t})\n\tswitch {",
		new: "\t\treturn t.markClock(attempt.Now)\n\t})\n\tswitch {", packages: theStore,
	},
	{
		name: "gate: mark in a second transaction", file: "store/bolt/tickets.go",
		old: "\t\tif err := t.putTicket(r); err != nil {\n\t\t\treturn err\n\t\t}\n\t\treturn t.markClock(attempt.Now)\n\t})\n\tswitch {",
		new: "\t\treturn t.markClock(attempt.Now)\n\t})\n\tif err == nil && !repeated {\n\t\terr = s.update(func(t *tx) error { return t.putTicket(r) })\n\t}\n\tswitch {", packages: theStore,
	},
	{
		name: "life: > for >= at ExpiresAt", file: "store/bolt/tickets.go",
		old: "expired := !attempt.Now.Before(r.ExpiresAt)", new: "expired := attempt.Now.After(r.ExpiresAt)", packages: theStore,
	},
	{
		name: "tenant: the pool is ignored", file: "store/bolt/tickets.go",
		old: "case r.PoolID != attempt.PoolID, r.epoch != s.epoch:", new: "case r.epoch != s.epoch:", packages: theStore,
	},
	{
		name: "restore: redeemed tickets go along to another kind of store", file: "store/bolt/source.go",
		old: "\tsrc.t.s.epoch = \"\" // that of no ticket\n", new: "", packages: []string{"./store"},
	},
	{
		name: "proof key: the challenge is ignored", file: "store/bolt/tickets.go",
		old: "case r.Challenge != attempt.Challenge:", new: "case r.Challenge != attempt.Challenge && attempt.Challenge != \"\":", packages: theStore,
	},
	{
		name: "bind: the state is used up in a second transaction", file: "store/bolt/unfinished.go",
		old: "\t\tof.FinishedAt = f.Now\n\t\tif err := t.markClock(f.Now); err != nil {\n\t\t\treturn err\n\t\t}\n\t\treturn t.putUnfinished(of)\n\t})\n",
		new: "\t\treturn t.markClock(f.Now)\n\t})\n\tif err == nil {\n\t\terr = s.update(func(t *tx) error {\n\t\t\tof, err := t.unfinished(f.PoolID, f.Key, f.Now)\n\t\t\tof.FinishedAt = f.Now\n\t\t\treturn errors.Join(err, t.putUnfinished(of))\n\t\t})\n\t}\n", packages: theStore,
	},
	{
		name: "bind: > for >= at the state's end", file: "userpool/unfinished.go",
		old: "case !now.Before(u.ExpiresAt):", new: "case now.After(u.ExpiresAt):", packages: append(theUsers, theStore...),
	},
	{
		name: "bind: the identity is not looked at", file: "userpool/finish.go",
		old: "case len(shown) == 1 && in.another(shown[0]):", new: "case len(shown) == 1 && in.another(shown[0]) && shown[0].Blocked:", packages: theUsers,
	},
	{
		name: "bind: who has an account by now binds another", file: "userpool/finish.go",
		old: "if u != nil && u.ID != of.UserID {", new: "if u != nil && u.ID != of.UserID && of.UserID != \"\" {", packages: theUsers,
	},
	{
		name: "bind: failures are not counted", file: "store/bolt/unfinished.go",
		old: "u.Failures++", new: "u.Failures += 0", packages: theStore,
	},
	{
		name: "tombstone swept early", file: "store/bolt/tickets.go",
		old: "if now.Before(end.Add(ticket.RetainFor)) {\n\t\t\t\tkept", new: "if now.Before(end) {\n\t\t\t\tkept", packages: theStore,
	},
	{
		name: "Idempotency-Key ignored", file: "ticket/service.go",
		old: "r.Idempotency = sha256.Sum256([]byte(a.repeatable()))", new: "_ = sha256.Sum256([]byte(a.repeatable()))", packages: theTicket,
	},
	{
		name: "Idempotency-Key: any key repeats", file: "store/bolt/tickets.go",
		old: "r.idem != \"\" && r.idem == string(attempt.Idempotency[:])", new: "r.idem != \"\"", packages: theStore,
	},
	{
		name: "secret after the gate", file: "ticket/service.go",
		old: "\tif proved, err = s.pools.Authenticate(pool, a.Secret); err != nil {\n\t\treturn Redeemed{}, proved, err\n\t}\n",
		new: "\tdefer func() {\n\t\tvar refused error\n\t\tif proved, refused = s.pools.Authenticate(pool, a.Secret); refused != nil {\n\t\t\tdone, err = Redeemed{}, refused\n\t\t}\n\t}()\n", packages: theTicket,
	},
	{
		name: "secret not checked where optional", file: "userpool/service.go",
		old: "\tif secret == \"\" {\n\t\tif pool.SecretOptional {", new: "\tif secret == \"\" || pool.SecretOptional {\n\t\tif pool.SecretOptional {", packages: theUsers,
	},
	{
		name: "replay revokes nothing", file: "store/bolt/tickets.go",
		old: "return t.put(bucketRevoked, revokedKey(r.jti, r.tokenEnd), nil)", new: "return nil", packages: theStore,
	},
	{
		name: "an invalid replay revokes", file: "store/bolt/tickets.go",
		old: "\tcase r.Challenge != attempt.Challenge:\n\t\treturn false, ticket.ErrVerifier\n\tcase redeemed && !repeated:\n\t\treturn false, ticket.ErrRedeemed\n",
		new: "\tcase redeemed && !repeated:\n\t\treturn false, ticket.ErrRedeemed\n\tcase r.Challenge != attempt.Challenge:\n\t\treturn false, ticket.ErrVerifier\n", packages: theStore,
	},
	{
		name: "a blocked user redeems", file: "store/bolt/tickets.go",
		old: "case a.blocked:", new: "case a.blocked && a.logins.Count > 1000:", packages: theStore,
	},
	{
		name: "a sixth ticket voids nothing", file: "store/bolt/tickets.go",
		old: "case live >= ticket.MaxLive:\n\t\t\tlive--", new: "case live >= 1000:\n\t\t\tlive--", packages: theStore,
	},
	{
		name: "recent: a redeemed ticket keeps its place", file: "store/bolt/recent.go",
		old: "return l.key == r.Key || r.voids", new: "return r.voids", packages: theStore,
	},
	{
		name: "recent: a ticket that another clock saw end lives", file: "store/bolt/tickets.go",
		old: "\t\tcase ended(l):\n", new: "\t\tcase ended(l):\n\t\t\tcontinue\n", packages: theStore,
	},
	{
		name: "recent: a restart forgets the tickets that live", file: "store/bolt/recent.go",
		old: "\tt.s.recent.begin(l)\n", new: "\tl.live = map[userHash][]liveTicket{}\n\tt.s.recent.begin(l)\n", packages: theStore,
	},
	{
		name: "recent: a restart forgets the logins", file: "store/bolt/recent.go",
		old: "\tt.s.recent.begin(l)\n", new: "\tl.logins = map[string][]login{}\n\tt.s.recent.begin(l)\n", packages: theStore,
	},
	{
		name: "recent: a restart forgets what was voided", file: "store/bolt/recent.go",
		old: "l.number <= voids[who] && voids[who] > 0", new: "l.number < voids[who] && voids[who] == 0", packages: theStore,
	},
	{
		name: "recent: a voiding ticket is swept before what it voids", file: "store/bolt/tickets.go",
		old: "l.number > 0 && l.end <= created.ExpiresAt.UnixMilli() {", new: "l.number > 0 {", packages: theStore,
	},
	{
		name: "recent: one batch is counted, and the others forgotten", file: "store/bolt/recent.go",
		old: "if err := errors.Join(err, ctx.Err()); err != nil {\n\t\t\treturn err\n\t\t}\n", new: "if err := errors.Join(err, ctx.Err()); err != nil {\n\t\t\treturn err\n\t\t}\n\t\tbreak\n", packages: theStore,
	},
	{
		name: "recent: what came while others were counted is taken for counted", file: "store/bolt/recent.go",
		old: "s.recent.settledUp(last, now)", new: "s.recent.settledUp(max(last, s.recent.newest), now)", packages: theStore,
	},
	{
		name: "recent: logins are forgotten as soon as they are counted", file: "store/bolt/recent.go",
		old: "\ts.recent.settledUp(last, now)\n", new: "\ts.recent.settledUp(last, now)\n\ts.recent.due()\n", packages: theStore,
	},
	{
		name: "recent: a clock that is ahead ends tickets", file: "store/bolt/recent.go",
		old: "seen = min(seen, s.clock.mark.Load())", new: "seen = min(seen, seen)", packages: theStore,
	},
	{
		name: "recent: a damaged sequence loses logins", file: "store/bolt/tickets.go",
		old: "if err = t.numberAbove(a.counted); err != nil {", new: "if err != nil {", packages: theStore,
	},
	{
		name: "recent: a replay is a login", file: "store/bolt/recent.go",
		old: "if r.counts() && !r.revoked {", new: "if r.counts() {", packages: theStore,
	},
	{
		name: "recent: in the order of hashes", file: "store/bolt/recent.go",
		old: "return cmp.Compare(a.number, b.number) })\n\t}\n\tfor _, logins", new: "return slices.Compare(a.key[:], b.key[:]) })\n\t}\n\tfor _, logins", packages: theStore,
	},
	{
		name: "recent: an earlier version's list is not counted", file: "store/bolt/recent.go",
		old: "for _, user := range listed {", new: "for _, user := range listed[:0] {", packages: theStore,
	},
	{
		name: "sign-out leaves tickets alive", file: "store/bolt/tickets.go",
		old: "case r.redeemedAt.IsZero() && !t.isLive(r), !r.Key.IssuedAt().After(a.notBefore):", new: "case r.redeemedAt.IsZero() && !t.isLive(r):", packages: theStore,
	},
	{
		name: "a swept ticket takes its login along", file: "store/bolt/tickets.go",
		old: "if err := s.settle(ctx, now); err != nil {", new: "if err := ctx.Err(); err != nil {", packages: theStore,
	},
	{
		name: "a swept login is counted twice", file: "store/bolt/users.go",
		old: "\ta.counted = last\n", new: "\t_ = last\n", packages: theStore,
	},
	{
		name: "a failed commit is answered as done", file: "store/bolt/commit.go",
		old: "return results, -1, s.commit(bt)", new: "_ = s.commit(bt)\n\treturn results, -1, nil", packages: theStore,
	},
	{
		name: "a refusal takes its group along", file: "store/bolt/commit.go",
		old: "if results[i] != nil && (panicked || t.writes != before) {", new: "if results[i] != nil && (panicked || t.writes >= before) {", packages: theStore,
	},
	{
		name: "a half-done write stays in its group", file: "store/bolt/commit.go",
		old: "if results[i] != nil && (panicked || t.writes != before) {", new: "if panicked && t.writes != before {", packages: theStore,
	},
	{
		name: "a damaged record is not found", file: "store/bolt/bolt.go",
		old: "\trecord, err = t.open(bucket, key, sealed)\n", new: "\tif record, err = t.open(bucket, key, sealed); err != nil {\n\t\treturn \"\", false, nil\n\t}\n", packages: theStore,
	},
	{
		name: "a code is sent to WeChat twice", file: "userpool/codes.go",
		old: "\tif !fresh {\n\t\treturn fmt.Errorf(\"%s code was used before: %w\", kind, ErrCode)\n\t}\n", new: "\t_ = fresh\n", packages: theUsers,
	},
	{
		name: "a code is sent on a connection that was closed", file: "wechat/conns.go",
		old: "p.keep && k.quiet()", new: "p.keep", packages: []string{"./wechat"},
	},
	{
		name: "an answer is taken for the next call's", file: "wechat/conns.go",
		old: " && k.r.Buffered() == 0", new: "", packages: []string{"./wechat"},
	},
	{
		name: "two users are merged silently", file: "userpool/signin.go",
		old: "if in.twin == \"\" && !slices.Contains", new: "if !slices.Contains", packages: theUsers,
	},
	{
		name: "a recycled number matches", file: "userpool/signin.go",
		old: "len(m.ByPhone) == 1 && in.mayBe(m.ByPhone[0]) {", new: "len(m.ByPhone) == 1 {", packages: theUsers,
	},
	{
		name: "token: the header decides the algorithm", file: "token/verify.go",
		old: "if t.header.Alg != k.alg() {", new: "if t.header.Alg == \"none\" {", packages: theToken,
	},
	{
		name: "two different tickets are taken", file: "bridge/redeem.go",
		old: "case a.Ticket != given:", new: "case a.Ticket != given && len(given) > 1000:", packages: theBridge,
	},
	{
		name: "histories: two replays both tell that they revoked", file: "store/bolt/tickets.go",
		old: "if r, err = t.ticket(attempt.Key); err != nil || r.revoked {", new: "if r, err = t.ticket(attempt.Key); err != nil {", packages: theStore,
	},
	{
		name: "audit: the end of the chain is not kept", file: "store/bolt/audit.go",
		old: "return t.put(bucketMeta, []byte(metaAudit), b)", new: "return json.Unmarshal(b, &end)", packages: theStore,
	},
	{
		name: "audit: a row does not hang on the one before", file: "store/record/event.go",
		old: "|| c.Head != nil && !bytes.Equal(r.Prev, c.Head) {", new: "|| c.Head != nil && !bytes.Equal(r.Prev, r.Prev) {", packages: theStore,
	},
	{
		name: "audit: each refusal is a row", file: "audit/tally.go",
		old: "\tif r == nil {\n\t\tr = &row{Event: e}\n", new: "\tif r == nil || n == 1 {\n\t\tr = &row{Event: e}\n", packages: []string{"./audit"},
	},
	{
		name: "audit: a replay that revoked is told twice", file: "ticket/service.go",
		old: "\t\ts.metrics.revoked.WithLabelValues(pool.ID).Inc()\n\t\treturn\n", new: "\t\ts.metrics.revoked.WithLabelValues(pool.ID).Inc()\n", packages: theTicket,
	},
	{
		name: "overload: everybody is let in", file: "bridge/shed.go",
		old: "return r.inside.Add(1) <= maxInside", new: "return r.inside.Add(1) > 0", packages: theBridge,
	},
	{
		name: "overload: who waits for WeChat keeps others out", file: "bridge/shed.go",
		old: "\tw.room.leave()\n\tdefer w.room.enter()\n\treturn w.WeChat.Code2Session", new: "\treturn w.WeChat.Code2Session", packages: theBridge,
	},
	{
		name: "overload: who waits for a body keeps others out", file: "bridge/shed.go",
		old: "\tb.room.leave()\n\tn, err := b.ReadCloser.Read(p)\n\tif !b.room.enter() {", new: "\tn, err := b.ReadCloser.Read(p)\n\tif b.room == nil {", packages: theBridge,
	},
}
