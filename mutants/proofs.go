package main

var (
	theIDaaS   = []string{"./bridge/idaas"}
	theAuthing = []string{"./bridge/authing"}
	theSenders = []string{"./sender"}
)

// proofs are the defects of second factors and passwords, of what sends codes,
// and of the two dialects that use them.
var proofs = []mutant{
	{
		name: "totp: a code is taken twice", file: "userpool/totp.go",
		old: "err == nil && ok && step > t.Step {", new: "err == nil && ok {", packages: theUsers,
	},
	{
		name: "totp: codes of a minute ago", file: "userpool/totp.go",
		old: "totpSkew       = 1 ", new: "totpSkew       = 2 ", packages: theUsers,
	},
	{
		name: "totp: a recovery code is taken twice", file: "userpool/totp.go",
		old: "t.Recovery = slices.Delete(slices.Clone(t.Recovery), found, found+1)", new: "t.Recovery = slices.Clone(t.Recovery)", packages: theUsers,
	},
	{
		name: "totp: one that was not confirmed counts", file: "userpool/totp.go",
		old: "right, recovery := t.InForce(), false", new: "right, recovery := t.Secret != \"\", false", packages: theUsers,
	},
	{
		name: "totp: guesses without end", file: "userpool/totp.go",
		old: "\t\tp.s.totps.Count(who, now)\n", new: "", packages: theUsers,
	},
	{
		name: "totp: taken away, tokens live on", file: "userpool/totp.go",
		old: "\t\t*t = TOTP{}\n\t\tu.endSessions(now)\n", new: "\t\t*t = TOTP{}\n\t\t_ = now\n", packages: theUsers,
	},
	{
		name: "totp: another one replaces one in force", file: "userpool/totp.go",
		old: "\t\tif t.InForce() {\n\t\t\treturn ErrTOTPExists\n\t\t}\n\t\t*t = TOTP{Secret", new: "\t\t*t = TOTP{Secret", packages: theUsers,
	},
	{
		name: "totp: who has none passes where all must", file: "userpool/totp.go",
		old: "case in.pool.MFA == MFARequired:", new: "case in.pool.MFA == MFARequired && t.Secret != \"\":", packages: theUsers,
	},
	{
		name: "passwords: set anew, tokens live on", file: "userpool/password.go",
		old: "\t\tu.endSessions(now)\n", new: "", packages: theUsers,
	},
	{
		name: "passwords: wrong ones are not counted", file: "userpool/password.go",
		old: "\t\tlimits.count(s.now())\n", new: "", packages: theUsers,
	},
	{
		name: "passwords: who waited for a turn is not stopped", file: "userpool/password.go",
		old: "\tdefer turn.End()\n\t// Others may have failed while this one waited. As few have a turn at a time,\n\t// few more than the limits allow are ever made at once.\n\tif err := limits.check(s.now()); err != nil {\n\t\treturn \"\", err\n\t}\n",
		new: "\tdefer turn.End()\n", packages: theUsers,
	},
	{
		name: "passwords: strangers lock a user out at home", file: "userpool/tries.go",
		old: "\tif !try.known {\n\t\tall = append(all, limitOf(t.account, try.account))\n\t}\n", new: "\tall = append(all, limitOf(t.account, try.account))\n", packages: theUsers,
	},
	{
		name: "passwords: one address, any number of accounts", file: "userpool/tries.go",
		old: ", limitOf(t.anywhere, try.addr)}", new: "}", packages: theUsers,
	},
	{
		name: "passwords: an unknown name takes no time", file: "userpool/password.go",
		old: "if err != nil && !errors.Is(err, ErrUserNotFound) {\n\t\treturn \"\", err\n\t}\n\t// A user", new: "if err != nil {\n\t\tif errors.Is(err, ErrUserNotFound) {\n\t\t\terr = ErrPasswordWrong\n\t\t}\n\t\treturn \"\", err\n\t}\n\t// A user", packages: theUsers,
	},
	{
		name: "senders: an answer is quoted", file: "sender/sender.go",
		old: "!codeShape.MatchString(r.code) || strings.Contains(r.code, m.Code) || ", new: "!codeShape.MatchString(r.code) || ", packages: theSenders,
	},
	{
		name: "senders: the webhook's time is not signed", file: "sender/webhook.go",
		old: "mac.Write([]byte(id + \".\" + at + \".\"))", new: "mac.Write([]byte(id + \"..\"))", packages: theSenders,
	},
	{
		name: "senders: a refused message is sent again", file: "sender/webhook.go",
		old: "\t\tr.means = userpool.ErrRecipientRefused\n\t\treturn false, r\n\t}\n\tr.means", new: "\t\tr.means = userpool.ErrRecipientRefused\n\t\treturn true, r\n\t}\n\tr.means", packages: theSenders,
	},
	{
		name: "idaas: userinfo for any kind of token", file: "bridge/idaas/idtoken.go",
		old: "strings.TrimSpace(raw), token.KindIDaaS)", new: "strings.TrimSpace(raw), token.KindAuthing)", packages: theIDaaS,
	},
	{
		name: "idaas: logging out ends nothing", file: "bridge/idaas/session.go",
		old: "if err := a.tokens.Close(c.Request().Context(), pool, header(c, sessionHeader)); err != nil {", new: "if err := a.tokens.Close(c.Request().Context(), pool, \"\"); err != nil {", packages: theIDaaS,
	},
	{
		name: "authing: another user's record", file: "bridge/authing/operations.go",
		old: "id != \"\" && id != u.ID {", new: "id != \"\" && u.ID == \"\" {", packages: theAuthing,
	},
	{
		name: "authing: a user changes their phone", file: "bridge/authing/update.go",
		old: "\"email\": errEmail, \"phone\": errPhone,\n", new: "\"email\": errEmail,\n", packages: theAuthing,
	},
	{
		name: "authing: a username is given twice", file: "bridge/authing/update.go",
		old: "if s != u.Username && u.Username != \"\" {", new: "if s != u.Username && u.Username == \"-\" {", packages: theAuthing,
	},
}
