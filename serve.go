package main

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"app2wxapp/store"
	"app2wxapp/userpool"
)

func serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the bridge / 运行服务",
		Long: `Run the bridge until SIGTERM or Ctrl-C, then answer what is under way and end.
On the first start it makes the store, an encryption key and an admin token.

运行服务，直到收到 SIGTERM 或 Ctrl-C；收到后处理完进行中的请求再退出。
首次启动会创建数据文件、加密密钥和管理令牌。`,
		Args: cobra.NoArgs,
		RunE: serve,
	}
}

func serve(c *cobra.Command, _ []string) error {
	start := time.Now()
	cfg, warnings, err := load(c)
	if err != nil {
		return err
	}
	log := newLogger(cfg, c.ErrOrStderr())
	for _, w := range warnings {
		log.Warn(w)
	}
	s, err := newServer(cfg, log, nil)
	if err != nil {
		return err
	}
	s.warnOfOpenPools(c.Context())
	for _, w := range addressWarnings(cfg) {
		log.Warn(w)
	}
	warnOfFiles(maxFiles(), log)
	log.Info("ready", "version", version, "public", s.PublicURL, "listen_public", s.onPublic.Addr().String(),
		"admin", s.AdminURL, "listen_admin", s.onAdmin.Addr().String(), "store", store.Name(string(cfg.StoreURL)), "after", time.Since(start).Round(time.Millisecond).String())
	return s.run(c.Context())
}

// addressWarnings returns a sentence for each address that works today and hurts
// later.
func addressWarnings(cfg Config) (all []string) {
	derived := cfg.PublicURL == publicURL(cfg.Listen.Public, cfg.Listen.TLS.Cert != "")
	if host, _, _ := net.SplitHostPort(cfg.Listen.Public); derived && !isLoopback(host) {
		all = append(all, "public_url is not set, so it is "+cfg.PublicURL+": it is the issuer of the tokens, and they end when it changes; set it before the first login")
	}
	if host, _, _ := net.SplitHostPort(cfg.Listen.Admin); !isLoopback(host) {
		all = append(all, "listen.admin is not loopback: whoever reaches "+cfg.Listen.Admin+" can try admin tokens there, without TLS; let a firewall or a network policy keep others out")
	}
	if strings.HasPrefix(cfg.PublicURL, "https:") && cfg.Listen.TLS.Cert == "" && len(cfg.TrustedProxies) == 0 {
		all = append(all, "a proxy seems to be in front, and trusted_proxies is not set: all callers count as one address, and the wrong attempts of one stop the redemptions of all")
	}
	return all
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// warnOfOpenPools logs the pools whose tickets alone are enough.
func (s *server) warnOfOpenPools(ctx context.Context) {
	pools, err := allPools(ctx, s.store)
	if err != nil {
		s.log.Error("list pools", "err", err)
	}
	for _, p := range pools {
		if p.Open() {
			s.log.Warn("this pool is open: a ticket alone redeems, without secret or verifier; set secretRequired or pkceRequired", "pool", p.ID)
		}
	}
}

func allPools(ctx context.Context, st userpool.Store) (all []userpool.Pool, err error) {
	for after := ""; ; {
		page, err := st.Pools(ctx, after, 200)
		all = append(all, page...)
		if err != nil || len(page) == 0 {
			return all, err
		}
		after = page[len(page)-1].ID
	}
}
