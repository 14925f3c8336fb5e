package main

var (
	theOAuth   = []string{"./bridge/oauth"}
	theCasdoor = []string{"./bridge/casdoor"}
	theCaptcha = []string{"./captcha"}
)

// newer are the defects of what came after the ticket.
var newer = []mutant{
	{
		name: "oauth: a refresh may widen the scope", file: "bridge/oauth/token.go",
		old: "narrowed(session.Scope, asked)", new: "narrowed(session.Scope+\" \"+asked, asked)", packages: theOAuth,
	},
	{
		name: "oauth: a repeat begins with another refresh token", file: "bridge/oauth/token.go",
		old: "begin.Seed = attempt.Ticket + \" \" + attempt.IdempotencyKey", new: "begin.Seed = \"\"", packages: theOAuth,
	},
	{
		name: "oauth: a repeat may want something else", file: "ticket/service.go",
		old: "if a.Wanted == \"\" {", new: "if a.Wanted == \"\" || a.Secret != \"\" {", packages: theOAuth,
	},
	{
		name: "oauth: introspection without the secret", file: "bridge/oauth/introspect.go",
		old: "if !proved {", new: "if !proved && !pool.SecretOptional {", packages: theOAuth,
	},
	{
		name: "oauth: another client's token is active", file: "bridge/oauth/introspect.go",
		old: "case notGood(err), err == nil && claims.PoolID != pool.ID:", new: "case notGood(err):", packages: theOAuth,
	},
	{
		name: "oauth: a refresh token that was used is active", file: "bridge/oauth/introspect.go",
		old: "if err == nil && newest && session.PoolID == pool.ID {", new: "if err == nil && (newest || !session.Ended) && session.PoolID == pool.ID {", packages: theOAuth,
	},
	{
		name: "oauth: any client revokes", file: "bridge/oauth/revoke.go",
		old: "\tcase claims.PoolID != pool.ID:\n\t\treturn errOtherClient\n\t}\n\treturn a.tokens.Revoke", new: "\t}\n\treturn a.tokens.Revoke", packages: theOAuth,
	},
	{
		name: "oauth: userinfo without openid", file: "bridge/oauth/userinfo.go",
		old: "!has(claims.Scope, scopeOpenID) {", new: "!has(claims.Scope, scopeOpenID) && claims.Scope == \"\" {", packages: theOAuth,
	},
	{
		name: "oauth: the phone without its scope", file: "bridge/oauth/idtoken.go",
		old: "if has(scope, scopePhone) && u.Phone != \"\" {", new: "if u.Phone != \"\" {", packages: theOAuth,
	},
	{
		name: "oauth: at_hash is the whole hash", file: "bridge/oauth/idtoken.go",
		old: "EncodeToString(sum[:16])", new: "EncodeToString(sum[:])", packages: theOAuth,
	},
	{
		name: "casdoor: a wrong secret does as well", file: "bridge/casdoor/client.go",
		old: "\t_, err = a.tickets.Authenticate(pool, secret, wire.Addr(c))\n\treturn pool, err\n", new: "\t_, _ = a.tickets.Authenticate(pool, secret, wire.Addr(c))\n\treturn pool, nil\n", packages: theCasdoor,
	},
	{
		name: "casdoor: another application's token is told", file: "bridge/casdoor/introspect.go",
		old: "\tif claims.PoolID != pool.ID {\n\t\treturn introspection{}, token.ErrInvalid\n\t}\n", new: "", packages: theCasdoor,
	},
	{
		name: "casdoor: the token before a refresh holds", file: "bridge/casdoor/token.go",
		old: "RevokePrevious: true", new: "RevokePrevious: false", packages: theCasdoor,
	},
	{
		name: "casdoor: a user changes their phone", file: "bridge/casdoor/update.go",
		old: "if !application {\n\t\treturn onlyAdmin(\"Phone\")", new: "if !application && phone == \"\" {\n\t\treturn onlyAdmin(\"Phone\")", packages: theCasdoor,
	},
	{
		name: "casdoor: another user's record is not told from one's own", file: "bridge/casdoor/update.go",
		old: "if !up.query.names(pool, u) || !up.body.names(pool, u) {", new: "if !up.body.names(pool, u) {", packages: theCasdoor,
	},
	{
		name: "bind: another mini program's sign-in", file: "userpool/finish.go",
		old: "case of.Identity.AppID != pool.AppID:", new: "case of.Identity.AppID != pool.AppID && pool.AppID == \"\":", packages: theUsers,
	},
	{
		name: "bind: a closed pool lets in who had begun", file: "userpool/finish.go",
		old: "case pool.Signup == SignupClosed:", new: "case pool.Signup == SignupClosed && pool.BindOnly:", packages: theUsers,
	},
	{
		name: "bind: who began before registration was closed registers", file: "userpool/finish.go",
		old: "mayRegister: of.MayRegister && !pool.BindOnly,", new: "mayRegister: of.MayRegister,", packages: theUsers,
	},
	{
		name: "codes: guesses without end", file: "userpool/sentcode.go",
		old: "c.Guesses++", new: "c.Guesses += 0", packages: theStore,
	},
	{
		name: "codes: > for >= at a code's end", file: "userpool/sentcode.go",
		old: "case !now.Before(c.ExpiresAt):\n", new: "case now.After(c.ExpiresAt):\n", packages: theStore,
	},
	{
		name: "codes: a code is used twice", file: "userpool/sentcode.go",
		old: "c.Used = true", new: "c.Used = len(shown) == 0", packages: theStore,
	},
	{
		name: "session: > for >= at its end", file: "token/session.go",
		old: "case !r.Now.Before(s.ExpiresAt):", new: "case r.Now.After(s.ExpiresAt):", packages: append(theToken, theStore...),
	},
	{
		name: "session: a blocked user refreshes", file: "token/session.go",
		old: "case blocked:\n", new: "case blocked && s.Ended:\n", packages: append(theToken, theStore...),
	},
	{
		name: "captcha: a wrong answer leaves another try", file: "captcha/captcha.go",
		old: "\tif err := s.claim(ctx, forChallenge, id, now); err != nil {\n\t\treturn err\n\t}\n\tif !of.holds(id.secretKey(pool), a.Answer) {\n\t\treturn ErrWrong\n\t}\n\treturn nil\n",
		new: "\tif !of.holds(id.secretKey(pool), a.Answer) {\n\t\treturn ErrWrong\n\t}\n\treturn s.claim(ctx, forChallenge, id, now)\n", packages: theCaptcha,
	},
	{
		name: "captcha: solved once, spent often", file: "captcha/captcha.go",
		old: "return s.claim(ctx, forToken, id, now)", new: "_ = s.claim(ctx, forToken, id, now)\n\treturn nil", packages: theCaptcha,
	},
	{
		name: "captcha: solved for one receiver, spent for another", file: "captcha/captcha.go",
		old: "case subtle.ConstantTimeCompare(of.sender[:], sum[:]) != 1:", new: "case subtle.ConstantTimeCompare(of.sender[:], sum[:]) > 1:", packages: theCaptcha,
	},
	{
		name: "captcha: > for >= at the challenge's end", file: "captcha/captcha.go",
		old: "if !now.Before(of.expiresAt) {", new: "if now.After(of.expiresAt) {", packages: theCaptcha,
	},
	{
		name: "captcha: guesses without end", file: "captcha/captcha.go",
		old: "\t\ts.failures.Count(addr, now)\n", new: "", packages: theCaptcha,
	},
	{
		name: "captcha: the hole shows what the piece shows", file: "captcha/puzzle.go",
		old: "hole.dig(out, under)", new: "hole.dig(out, scene)", packages: theCaptcha,
	},
	{
		name: "names: a username is another's id", file: "store/bolt/users.go",
		old: "if named && t.sealed(bucketUsers, t.userKey(u.PoolID, u.Username)) != nil {", new: "if named && u.ID == \"\" {", packages: theStore,
	},
	{
		name: "names: a username is the id of who is yet to come", file: "userpool/username.go",
		old: " && uuid.Validate(s) != nil", new: " && (uuid.Validate(s) != nil || s != \"\")", packages: append(theUsers, theCasdoor...),
	},
	{
		name: "tokens: any end", file: "token/verify.go",
		old: "case p.ExpiresAt > LastExp, !byAuthing && p.ExpiresAt-p.IssuedAt > maxLife:", new: "case p.ExpiresAt > LastExp && byAuthing:", packages: theToken,
	},
	{
		name: "tokens: a renewed one outlives its login", file: "token/renew.go",
		old: "return s.issue(ctx, pool, user, stamp, id)", new: "return s.issue(ctx, pool, user, stamp, id[:0])", packages: append(theToken, theAuthing...),
	},
	{
		name: "sweep: what was renewed meanwhile goes", file: "store/bolt/sessions.go",
		old: "if damaged == nil && !bytes.Equal(own, k) {", new: "if damaged == nil && own == nil {", packages: theStore,
	},
	{
		name: "codes: refused without end", file: "userpool/ask.go",
		old: "\t\ts.refused.Count(from, s.now())\n", new: "", packages: append(theUsers, theBridge...),
	},
	{
		name: "passwords: in the millisecond in which it was set anew", file: "userpool/finish.go",
		old: "!u.NotBefore.Before(in.begun)", new: "u.NotBefore.After(in.begun)", packages: theUsers,
	},
	{
		name: "secrets: wrong ones elsewhere are not noted", file: "ticket/service.go",
		old: "\t\ts.note(pool, Attempt{Addr: addr}, now, Redeemed{}, how)\n", new: "\t\t_ = now\n", packages: []string{"./ticket"},
	},
}
