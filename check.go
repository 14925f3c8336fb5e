package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"app2wxapp/store"
)

func configCommand() *cobra.Command {
	config := &cobra.Command{Use: "config", Short: "Look at the settings / 检查设置"}
	config.AddCommand(&cobra.Command{
		Use: "check", Args: cobra.NoArgs,
		Short: "Check the settings and tell every mistake / 检查设置并列出所有错误",
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, warnings, err := load(c)
			if err != nil {
				return err
			}
			// A URL of PostgreSQL was parsed with the settings: without asking the
			// server no more can be told. A file may turn out to be a folder.
			if !store.Remote(string(cfg.StoreURL)) {
				if _, err := storePath(cfg); err != nil {
					return err
				}
			}
			if _, err := certificate(cfg); err != nil {
				return err
			}
			out := c.OutOrStdout()
			for _, w := range append(warnings, addressWarnings(cfg)...) {
				fmt.Fprintln(out, "warning:", w)
			}
			fmt.Fprintf(out, "ok: public %s (%s), admin %s, store %s\n", cfg.Listen.Public, cfg.PublicURL, cfg.Listen.Admin, store.Name(string(cfg.StoreURL)))
			return nil
		},
	})
	return config
}

func healthcheckCommand() *cobra.Command {
	return &cobra.Command{
		Use: "healthcheck", Args: cobra.NoArgs,
		Short: "Ask the running server whether it is ready; exit status 0 or 1 / 探活",
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, _, err := load(c)
			if err != nil {
				return err
			}
			return healthcheck(c.Context(), publicURL(cfg.Listen.Admin, false))
		},
	}
}

func healthcheck(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return err
	}
	res, err := direct.Do(req)
	if err != nil {
		return fmt.Errorf("not reachable: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusOK {
		return nil
	}
	why, err := io.ReadAll(io.LimitReader(res.Body, 1024))
	return errors.Join(fmt.Errorf("not ready: %d %s", res.StatusCode, why), err)
}
