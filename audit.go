package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// event is an audit event as the admin API shows it.
type event struct {
	ID     string            `json:"id"`
	At     string            `json:"at"`
	Type   string            `json:"type"`
	PoolID string            `json:"poolId"`
	UserID string            `json:"userId"`
	Actor  string            `json:"actor"`
	Addr   string            `json:"addr"`
	Detail map[string]string `json:"detail"`
}

func auditCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "audit", Args: cobra.NoArgs, RunE: listEvents,
		Short: "Show who did what, newest first / 查看审计记录，最新的在前",
		Long: `Show who did what, newest first: in the order in which the rows were written.
Rows with a count are written once a minute, and AT is when the last of those
happened, so it may be before the AT of a row below.
查看审计记录，按写入先后，最新的在前。带 count 的记录每分钟写一次，AT 是其中最后一次发生的时间，
可能早于下一行的 AT。`,
		Example: "  app2wxapp audit --since 24h --type ticket.replayed",
	}
	addAdminFlags(c)
	c.PersistentFlags().Bool("json", false, "print the server's answer as JSON")
	c.Flags().String("pool", "", "of this pool only")
	c.Flags().String("type", "", "of this type only, such as redeem.refused")
	c.Flags().String("since", "", "since then: how long ago, such as 24h, or an instant, such as 2026-11-20T08:30:00Z")
	c.Flags().Int("limit", 100, "at most so many; 0 for all")
	c.AddCommand(&cobra.Command{
		Use: "verify", Args: cobra.NoArgs, RunE: verifyEvents,
		Short: "Tell whether events were altered or taken out; exit status 0 or 1 / 校验审计记录是否被改动",
	})
	return c
}

func listEvents(c *cobra.Command, _ []string) error {
	client, err := newAdminClient(c)
	if err != nil {
		return err
	}
	limit, err := c.Flags().GetInt("limit")
	if err != nil {
		return err
	}
	query := url.Values{"limit": {"200"}}
	for _, name := range []string{"pool", "type", "since"} {
		if value := c.Flag(name).Value.String(); value != "" {
			query.Set(name, value)
		}
	}
	all := []event{}
	for more := true; more && (limit <= 0 || len(all) < limit); {
		var page struct {
			Items      []event `json:"items"`
			NextCursor *string `json:"nextCursor"`
		}
		if limit > 0 {
			query.Set("limit", strconv.Itoa(min(200, limit-len(all))))
		}
		if err := client.call(c.Context(), "GET", "/audit?"+query.Encode(), nil, &page); err != nil {
			return err
		}
		all = append(all, page.Items...)
		if more = page.NextCursor != nil; more {
			query.Set("cursor", *page.NextCursor)
		}
	}
	return show(c, all, func(w io.Writer) {
		fmt.Fprintln(w, "AT\tTYPE\tPOOL\tUSER\tBY\tADDRESS\tDETAIL")
		for _, e := range all {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.At, e.Type, e.PoolID, e.UserID, e.Actor, e.Addr, e.details())
		}
	})
}

// details returns "name=value" in the names' order.
func (e event) details() string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(e.Detail)) {
		all = append(all, name+"="+e.Detail[name])
	}
	return strings.Join(all, " ")
}

func verifyEvents(c *cobra.Command, _ []string) error {
	var out struct {
		OK       bool    `json:"ok"`
		Events   int     `json:"events"`
		Head     string  `json:"head"`
		BrokenAt *string `json:"brokenAt"`
	}
	err := onServer(c, "GET", "/audit/verify", nil, &out, func(w io.Writer) {
		fmt.Fprintf(w, "events\t%d\nhead\t%s\n", out.Events, out.Head)
		if out.BrokenAt != nil {
			fmt.Fprintf(w, "broken at\t%s\n", *out.BrokenAt)
		}
	})
	if err == nil && !out.OK {
		err = errors.New("the audit chain is broken: events were altered or taken out / 审计链已断裂：记录被改动或删除")
	}
	return err
}
