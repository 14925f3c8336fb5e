package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// pool is a user pool as the admin API shows it.
type pool struct {
	ID             string   `json:"id"`
	Name           string   `json:"name"`
	AppID          string   `json:"appId"`
	SecretRequired bool     `json:"secretRequired"`
	TicketTTL      int      `json:"ticketTTL"`
	PKCERequired   bool     `json:"pkceRequired"`
	ResponseFormat string   `json:"responseFormat"`
	RevokeOnReplay bool     `json:"revokeOnReplay"`
	TokenTTL       int      `json:"tokenTTL"`
	TokenAlg       string   `json:"tokenAlg"`
	Signup         string   `json:"signup"`
	MatchPhone     bool     `json:"matchPhone"`
	PhoneRequired  bool     `json:"phoneRequired"`
	AllowedApps    []string `json:"allowedApps"`
	MFA            string   `json:"mfa"`
	BindWays       []string `json:"bindWays"`
	BindRegister   bool     `json:"bindRegister"`
	LoginWays      []string `json:"loginWays"`
	SessionTTL     int      `json:"sessionTokenTTL"`
	SessionSliding bool     `json:"sessionTokenSliding"`
	Captcha        string   `json:"captcha"`
	Senders        struct {
		SMS   map[string]any `json:"sms"`
		Email map[string]any `json:"email"`
	} `json:"senders"`
	Secrets []struct {
		ID         string  `json:"id"`
		CreatedAt  string  `json:"createdAt"`
		LastUsedAt *string `json:"lastUsedAt"`
	} `json:"secrets"`
	CreatedAt string `json:"createdAt"`
	UpdatedAt string `json:"updatedAt"`
}

const settingsHelp = `Settings are given as key=value; key= alone is the default again.
A value that begins with @ is read from that file, @- from standard input: do so
with appSecret, since other users of the machine can see a command line.
设置写成 key=value；只写 key= 恢复默认值。以 @ 开头的值从文件读取，@- 从标准输入读取；
appSecret 请用这种方式，因为命令行会被本机其他用户看到。

  name  appId  appSecret  secretRequired=true|false  ticketTTL=10..600
  pkceRequired=true|false  responseFormat=user|envelope  revokeOnReplay=true|false
  tokenTTL=SECONDS  tokenAlg=HS256|RS256|ES256|EdDSA  signup=open|closed|bind
  matchPhone=true|false  phoneRequired=true|false  allowedApps=wx…,wx…
  bindWays=wechatPhone,smsCode,emailCode,password  bindRegister=true|false
  loginWays=wechatPhone,password
  mfa=off|enrolled|required
  sessionTokenTTL=300..31536000  sessionTokenSliding=true|false  captcha=on|off`

func poolCommand() *cobra.Command {
	c := &cobra.Command{Use: "pool", Short: "Create and change user pools of a running server / 管理用户池"}
	addAdminFlags(c)
	c.PersistentFlags().Bool("json", false, "print the server's answer as JSON")

	create := &cobra.Command{
		Use:     "create name=… appId=… appSecret=@FILE [key=value…]",
		Short:   "Create a pool; its secret is shown this once / 创建用户池，密钥只显示这一次",
		Long:    "Create a pool. id= may be given, for a pool that moves here, and jwtSecret=@FILE so that its tokens stay valid.\n创建用户池。从别处迁来的可用 id= 沿用原 id，用 jwtSecret=@FILE 让已发出的 token 继续有效。\n\n" + settingsHelp,
		Example: "  app2wxapp pool create name=Demo appId=wx0123456789abcdef appSecret=@appsecret.txt",
		Args:    cobra.MinimumNArgs(1), RunE: createPool,
	}
	set := &cobra.Command{
		Use: "set ID key=value…", Short: "Change settings; in force at once / 修改设置，立即生效",
		Long:    settingsHelp,
		Example: "  app2wxapp pool set 64b7f0a1c2d3e4f506172839 secretRequired=false",
		Args:    cobra.MinimumNArgs(2), RunE: setPool,
	}
	list := &cobra.Command{Use: "list", Short: "List the pools / 列出用户池", Args: cobra.NoArgs, RunE: listPools}
	show := &cobra.Command{Use: "show ID", Short: "Show a pool's settings and secrets' last use / 查看用户池", Args: cobra.ExactArgs(1), RunE: showPool}
	secret := &cobra.Command{Use: "secret", Short: "Replace the pool secret without an interruption / 轮换密钥"}
	secret.AddCommand(
		&cobra.Command{Use: "add ID", Short: "Make a second secret, shown this once / 新增密钥，只显示这一次", Args: cobra.ExactArgs(1), RunE: addSecret},
		&cobra.Command{Use: "delete ID SECRET-ID", Short: "End a secret at once / 立即删除密钥", Args: cobra.ExactArgs(2), RunE: deleteSecret},
	)
	c.AddCommand(create, list, show, set, secret, senderCommand())
	return c
}

func createPool(c *cobra.Command, args []string) error {
	body, err := readSettings(args, c.InOrStdin())
	if err != nil {
		return err
	}
	var out struct {
		Pool   pool   `json:"pool"`
		Secret string `json:"secret"`
	}
	return onServer(c, "POST", "/pools", body, &out, func(w io.Writer) {
		printPool(w, out.Pool)
		fmt.Fprintf(w, "\nsecret / 密钥：%s\nKeep it now: it is not shown again. 请立即保存，之后无法再次查看。\n", out.Secret)
	})
}

func setPool(c *cobra.Command, args []string) error {
	body, err := readSettings(args[1:], c.InOrStdin())
	if err != nil {
		return err
	}
	var out pool
	return onServer(c, "PATCH", "/pools/"+url.PathEscape(args[0]), body, &out, func(w io.Writer) { printPool(w, out) })
}

func showPool(c *cobra.Command, args []string) error {
	var out pool
	return onServer(c, "GET", "/pools/"+url.PathEscape(args[0]), nil, &out, func(w io.Writer) { printPool(w, out) })
}

func listPools(c *cobra.Command, _ []string) error {
	client, err := newAdminClient(c)
	if err != nil {
		return err
	}
	var all []pool
	for path := "/pools?limit=200"; path != ""; {
		var page struct {
			Items      []pool  `json:"items"`
			NextCursor *string `json:"nextCursor"`
		}
		if err := client.call(c.Context(), "GET", path, nil, &page); err != nil {
			return err
		}
		all = append(all, page.Items...)
		path = ""
		if page.NextCursor != nil {
			path = "/pools?limit=200&cursor=" + url.QueryEscape(*page.NextCursor)
		}
	}
	return show(c, all, func(w io.Writer) {
		fmt.Fprintln(w, "ID\tNAME\tAPPID\tREDEEM NEEDS\tSIGNUP")
		for _, p := range all {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", p.ID, p.Name, p.AppID, p.needs(), p.Signup)
		}
	})
}

func addSecret(c *cobra.Command, args []string) error {
	var out struct {
		ID        string `json:"id"`
		Secret    string `json:"secret"`
		CreatedAt string `json:"createdAt"`
	}
	return onServer(c, "POST", "/pools/"+url.PathEscape(args[0])+"/secrets", nil, &out, func(w io.Writer) {
		fmt.Fprintf(w, "id：%s\nsecret / 密钥：%s\nKeep it now: it is not shown again. 请立即保存，之后无法再次查看。\n", out.ID, out.Secret)
	})
}

func deleteSecret(c *cobra.Command, args []string) error {
	return onServer(c, "DELETE", "/pools/"+url.PathEscape(args[0])+"/secrets/"+url.PathEscape(args[1]), nil, nil, func(w io.Writer) {
		fmt.Fprintln(w, "deleted / 已删除")
	})
}

// onServer makes the call and shows the answer.
func onServer(c *cobra.Command, method, path string, body, out any, text func(io.Writer)) error {
	client, err := newAdminClient(c)
	if err != nil {
		return err
	}
	if err := client.call(c.Context(), method, path, body, out); err != nil {
		return err
	}
	return show(c, out, text)
}

// show prints the answer as JSON if that is asked for, else as text.
func show(c *cobra.Command, out any, text func(io.Writer)) error {
	if asJSON, err := c.Flags().GetBool("json"); err != nil || asJSON {
		if out == nil || err != nil {
			return err
		}
		enc := json.NewEncoder(c.OutOrStdout())
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(out)
	}
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
	text(w)
	return w.Flush()
}

// needs says in words what a redemption takes.
func (p pool) needs() string {
	switch {
	case p.SecretRequired && p.PKCERequired:
		return "secret+verifier"
	case p.SecretRequired:
		return "secret"
	case p.PKCERequired:
		return "verifier"
	}
	return "ticket only (OPEN)"
}

func printPool(w io.Writer, p pool) {
	for _, row := range [][2]string{
		{"id", p.ID}, {"name", p.Name}, {"appId", p.AppID},
		{"secretRequired", strconv.FormatBool(p.SecretRequired)}, {"pkceRequired", strconv.FormatBool(p.PKCERequired)},
		{"ticketTTL", strconv.Itoa(p.TicketTTL)}, {"tokenTTL", strconv.Itoa(p.TokenTTL)}, {"tokenAlg", p.TokenAlg},
		{"responseFormat", p.ResponseFormat}, {"revokeOnReplay", strconv.FormatBool(p.RevokeOnReplay)}, {"signup", p.Signup},
		{"matchPhone", strconv.FormatBool(p.MatchPhone)}, {"phoneRequired", strconv.FormatBool(p.PhoneRequired)},
		{"allowedApps", strings.Join(p.AllowedApps, ",")},
		{"mfa", p.MFA},
		{"bindWays", strings.Join(p.BindWays, ",")}, {"bindRegister", strconv.FormatBool(p.BindRegister)},
		{"loginWays", strings.Join(p.LoginWays, ",")}, {"sessionTokenTTL", strconv.Itoa(p.SessionTTL)}, {"sessionTokenSliding", strconv.FormatBool(p.SessionSliding)},
		{"captcha", p.Captcha}, {"createdAt", p.CreatedAt}, {"updatedAt", p.UpdatedAt},
	} {
		fmt.Fprintf(w, "%s\t%s\n", row[0], row[1])
	}
	printSender(w, "sms", p.Senders.SMS)
	printSender(w, "email", p.Senders.Email)
	for _, k := range p.Secrets {
		used := "never"
		if k.LastUsedAt != nil {
			used = *k.LastUsedAt
		}
		fmt.Fprintf(w, "secret %s\tcreated %s, last used %s\n", k.ID, k.CreatedAt, used)
	}
	if !p.SecretRequired && !p.PKCERequired {
		fmt.Fprintln(w, "\nwarning: open pool, a ticket alone redeems / 警告：开放用户池，仅凭票据即可换取用户信息")
		if p.TicketTTL > 60 {
			fmt.Fprintln(w, "set ticketTTL to 60 or less / 建议 ticketTTL 不超过 60")
		}
	}
	if len(p.AllowedApps) == 0 {
		fmt.Fprintln(w, "\nnote: any app may launch the mini program for this pool; list yours in allowedApps / 提示：任何 App 都可以为该用户池拉起小程序；建议设置 allowedApps")
	}
}

// kinds of the settings that are not texts. The server checks everything else.
var kinds = map[string]string{
	"secretRequired": "bool", "pkceRequired": "bool", "revokeOnReplay": "bool", "matchPhone": "bool", "phoneRequired": "bool",
	"ticketTTL": "int", "tokenTTL": "int", "allowedApps": "list",
	"bindWays": "list", "bindRegister": "bool", "loginWays": "list", "sessionTokenTTL": "int", "sessionTokenSliding": "bool",
	"port": "int", "allowHTTP": "bool",
}

// readSettings turns key=value arguments into the members of a request.
func readSettings(args []string, stdin io.Reader) (map[string]any, error) {
	body := map[string]any{}
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("%q is no setting; write key=value", key)
		}
		if _, twice := body[key]; twice {
			return nil, fmt.Errorf("%s is given twice", key)
		}
		value, err := fromFile(value, stdin)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		if body[key], err = typed(kinds[key], value); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	return body, nil
}

func fromFile(value string, stdin io.Reader) (string, error) {
	name, ok := strings.CutPrefix(value, "@")
	if !ok {
		return value, nil
	}
	var b []byte
	var err error
	if name == "-" {
		b, err = io.ReadAll(io.LimitReader(stdin, 64<<10))
	} else {
		b, err = os.ReadFile(name) // #nosec G304 -- the operator names the file
	}
	return strings.TrimSpace(string(b)), err
}

func typed(kind, value string) (any, error) {
	if value == "" {
		return nil, nil // the default
	}
	switch kind {
	case "bool":
		switch value {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		return nil, fmt.Errorf("write true or false")
	case "int":
		n, err := strconv.Atoi(value)
		if err != nil {
			return nil, fmt.Errorf("write a whole number")
		}
		return n, nil
	case "list":
		return strings.Split(value, ","), nil
	}
	return value, nil
}
