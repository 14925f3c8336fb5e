package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// user is a user as the admin API shows them.
type user struct {
	ID         string `json:"id"`
	PoolID     string `json:"poolId"`
	UnionID    string `json:"unionid"`
	Identities []struct {
		ID     string `json:"id"`
		AppID  string `json:"appId"`
		OpenID string `json:"openid"`
	} `json:"identities"`
	Phone          string  `json:"phone"`
	Email          string  `json:"email"`
	Username       string  `json:"username"`
	Nickname       string  `json:"nickname"`
	Photo          string  `json:"photo"`
	RegisterMethod string  `json:"registerMethod"`
	Blocked        bool    `json:"blocked"`
	LoginsCount    uint64  `json:"loginsCount"`
	LastLogin      *string `json:"lastLogin"`
	LastIP         string  `json:"lastIP"`
	SignedOutAt    *string `json:"signedOutAt"`
	SignedUp       string  `json:"signedUp"`
	UpdatedAt      string  `json:"updatedAt"`
	PasswordSetAt  *string `json:"passwordSetAt"`
	TOTP           *struct {
		AddedAt       string  `json:"addedAt"`
		ConfirmedAt   *string `json:"confirmedAt"`
		RecoveryCodes int     `json:"recoveryCodes"`
	} `json:"totp"`
}

func userCommand() *cobra.Command {
	c := &cobra.Command{Use: "user", Short: "Users of a running server / 管理用户"}
	addAdminFlags(c)
	c.PersistentFlags().Bool("json", false, "print the server's answer as JSON")
	identities := &cobra.Command{
		Use: "identities POOL USER", Short: "List the WeChat identities of a user / 列出用户的微信身份",
		Args: cobra.ExactArgs(2), RunE: listIdentities,
	}
	unbind := &cobra.Command{
		Use: "unbind POOL USER IDENTITY-ID", Short: "Take a WeChat identity from a user, who is signed out / 解绑微信身份，用户随之下线",
		Args: cobra.ExactArgs(3), RunE: unbindIdentity,
	}
	password := &cobra.Command{
		Use: "password POOL USER", Short: "Set a user's password, who is signed out / 设置用户密码，用户随之下线",
		Long: `The password is read from standard input, or from a file: other users of the
machine can see a command line. A line end after it is not part of it.
密码从标准输入或文件读取（命令行会被本机其他用户看到），末尾的换行不算在内。`,
		Example: "  app2wxapp user password 64b7f0a1c2d3e4f506172839 64b8012fa9b8c7d6e5f40312 --file password.txt",
		Args:    cobra.ExactArgs(2), RunE: setPassword,
	}
	password.Flags().String("file", "-", "where the password is; - is standard input")
	password.Flags().Bool("hash", false, "it is a hash that another system made: argon2id as a PHC string, or bcrypt")
	password.Flags().Bool("remove", false, "take the password away; nothing is read")
	password.MarkFlagsMutuallyExclusive("remove", "hash")
	password.MarkFlagsMutuallyExclusive("remove", "file")
	totp := &cobra.Command{Use: "totp", Short: "The second factor of a user / 管理用户的两步验证"}
	totp.AddCommand(
		&cobra.Command{Use: "show POOL USER", Short: "Tell whether there is one / 查看", Args: cobra.ExactArgs(2), RunE: showTOTP},
		&cobra.Command{Use: "add POOL USER", Short: "Make one, shown this once, to be confirmed / 新增，只显示这一次，需确认后生效", Args: cobra.ExactArgs(2), RunE: addTOTP},
		&cobra.Command{Use: "confirm POOL USER CODE", Short: "Put it in force by a code of the app / 用动态码确认生效", Args: cobra.ExactArgs(3), RunE: confirmTOTP},
		&cobra.Command{Use: "remove POOL USER", Short: "Take it away; the user is signed out / 移除，用户随之下线", Args: cobra.ExactArgs(2), RunE: removeTOTP},
	)
	c.AddCommand(
		&cobra.Command{Use: "show POOL USER", Short: "Show a user / 查看用户", Args: cobra.ExactArgs(2), RunE: showUser},
		&cobra.Command{Use: "block POOL USER", Short: "Let a user in no more; their tickets and tokens end / 锁定用户，随之下线", Args: cobra.ExactArgs(2), RunE: blockUser(true)},
		&cobra.Command{Use: "unblock POOL USER", Short: "Let a user in again / 解锁用户", Args: cobra.ExactArgs(2), RunE: blockUser(false)},
		&cobra.Command{Use: "signout POOL USER", Short: "End all tickets and tokens of a user / 让用户全部下线", Args: cobra.ExactArgs(2), RunE: signOutUser},
		importCommand(), identities, unbind, password, totp)
	return c
}

func userPath(args []string) string {
	return "/pools/" + url.PathEscape(args[0]) + "/users/" + url.PathEscape(args[1])
}

// onUser makes a call that answers with a user, and prints them.
func onUser(c *cobra.Command, method, path string, body any) error {
	var out user
	return onServer(c, method, path, body, &out, func(w io.Writer) { printUser(w, out) })
}

func showUser(c *cobra.Command, args []string) error { return onUser(c, "GET", userPath(args), nil) }

func blockUser(blocked bool) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		return onUser(c, "PATCH", userPath(args), map[string]any{"blocked": blocked})
	}
}

func signOutUser(c *cobra.Command, args []string) error {
	return onUser(c, "POST", userPath(args)+"/revoke", nil)
}

func printUser(w io.Writer, u user) {
	never := func(at *string) string {
		if at == nil {
			return "-"
		}
		return *at
	}
	for _, row := range [][2]string{
		{"id", u.ID}, {"poolId", u.PoolID}, {"unionid", u.UnionID}, {"phone", u.Phone}, {"email", u.Email}, {"username", u.Username},
		{"nickname", u.Nickname}, {"photo", u.Photo}, {"registerMethod", u.RegisterMethod}, {"blocked", fmt.Sprint(u.Blocked)},
		{"loginsCount", fmt.Sprint(u.LoginsCount)}, {"lastLogin", never(u.LastLogin)}, {"lastIP", u.LastIP}, {"signedOutAt", never(u.SignedOutAt)},
		{"signedUp", u.SignedUp}, {"updatedAt", u.UpdatedAt}, {"passwordSetAt", never(u.PasswordSetAt)}, {"totp", secondFactor(u)},
	} {
		fmt.Fprintf(w, "%s\t%s\n", row[0], cmp.Or(row[1], "-"))
	}
	for _, id := range u.Identities {
		fmt.Fprintf(w, "identity\t%s %s %s\n", id.ID, id.AppID, id.OpenID)
	}
}

func listIdentities(c *cobra.Command, args []string) error {
	var out user
	return onServer(c, "GET", userPath(args), nil, &out, func(w io.Writer) {
		fmt.Fprintln(w, "ID\tAPPID\tOPENID")
		for _, id := range out.Identities {
			fmt.Fprintf(w, "%s\t%s\t%s\n", id.ID, id.AppID, id.OpenID)
		}
	})
}

func unbindIdentity(c *cobra.Command, args []string) error {
	return onServer(c, "DELETE", userPath(args)+"/identities/"+url.PathEscape(args[2]), nil, nil, func(w io.Writer) {
		fmt.Fprintln(w, "unbound / 已解绑")
	})
}

func setPassword(c *cobra.Command, args []string) error {
	flags := c.Flags()
	file, fileErr := flags.GetString("file")
	hash, hashErr := flags.GetBool("hash")
	remove, removeErr := flags.GetBool("remove")
	if err := errors.Join(fileErr, hashErr, removeErr); err != nil {
		return err
	}
	name, said := "password", "the password is set / 密码已设置"
	if hash {
		name = "passwordHash"
	}
	body := map[string]any{name: nil}
	if remove {
		said = "the password is gone / 密码已清除"
	} else {
		text, err := readSecret(file, c.InOrStdin())
		if err != nil {
			return fmt.Errorf("read the password: %w", err)
		}
		body[name] = text
	}
	var out user
	return onServer(c, "PATCH", userPath(args), body, &out, func(w io.Writer) { fmt.Fprintln(w, said) })
}

// readSecret reads a text that may begin and end with spaces, without the line
// end after it.
func readSecret(file string, stdin io.Reader) (string, error) {
	in := stdin
	if file != "-" {
		f, err := os.Open(file) // #nosec G304 -- the operator names the file
		if err != nil {
			return "", err
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, 64<<10))
	if !utf8.Valid(b) {
		return "", errors.New("it must be UTF-8")
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), err
}

func showTOTP(c *cobra.Command, args []string) error {
	var out user
	return onServer(c, "GET", userPath(args), nil, &out, func(w io.Writer) { fmt.Fprintln(w, secondFactor(out)) })
}

func secondFactor(u user) string {
	switch {
	case u.TOTP == nil:
		return "none / 无"
	case u.TOTP.ConfirmedAt == nil:
		return fmt.Sprintf("added %s, not confirmed / 尚未确认", u.TOTP.AddedAt)
	}
	return fmt.Sprintf("in force since %s / 已生效, recovery codes left / 剩余恢复码 %d", *u.TOTP.ConfirmedAt, u.TOTP.RecoveryCodes)
}

func addTOTP(c *cobra.Command, args []string) error {
	var out struct {
		Secret string `json:"secret"`
		URI    string `json:"uri"`
	}
	return onServer(c, "POST", userPath(args)+"/totp", nil, &out, func(w io.Writer) {
		fmt.Fprintf(w, "secret / 密钥：%s\nURI：%s\nThey are not shown again. Confirm with a code of the app: app2wxapp user totp confirm. 之后无法再次查看；请用动态码确认。\n", out.Secret, out.URI)
	})
}

func confirmTOTP(c *cobra.Command, args []string) error {
	var out struct {
		RecoveryCodes []string `json:"recoveryCodes"`
	}
	return onServer(c, "POST", userPath(args)+"/totp/confirm", map[string]any{"code": args[2]}, &out, func(w io.Writer) {
		fmt.Fprintln(w, "in force; recovery codes, each for once, not shown again / 已生效；恢复码每个只能用一次，之后无法再次查看：")
		for _, code := range out.RecoveryCodes {
			fmt.Fprintln(w, code)
		}
	})
}

func removeTOTP(c *cobra.Command, args []string) error {
	return onServer(c, "DELETE", userPath(args)+"/totp", nil, nil, func(w io.Writer) { fmt.Fprintln(w, "removed / 已移除") })
}
