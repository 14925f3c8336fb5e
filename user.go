package main

import (
	"fmt"
	"io"
	"net/url"

	"github.com/spf13/cobra"
)

// user is a user as the admin API shows them, as far as the commands use it.
type user struct {
	ID         string `json:"id"`
	Phone      string `json:"phone"`
	Identities []struct {
		ID     string `json:"id"`
		AppID  string `json:"appId"`
		OpenID string `json:"openid"`
	} `json:"identities"`
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
	c.AddCommand(identities, unbind)
	return c
}

func userPath(args []string) string {
	return "/pools/" + url.PathEscape(args[0]) + "/users/" + url.PathEscape(args[1])
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
