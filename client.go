package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"app2wxapp/store"
)

// adminClient calls the admin API of a running server.
type adminClient struct {
	url, token string
}

// newAdminClient finds the server that the settings describe: its admin
// listener, and the admin token that is given there or lies beside the store.
func newAdminClient(c *cobra.Command) (*adminClient, error) {
	cfg, _, err := load(c)
	if err != nil {
		return nil, err
	}
	url, err := c.Flags().GetString("admin-url")
	if err != nil {
		return nil, err
	}
	if err := givenURL("admin-url", url); err != nil {
		return nil, err
	}
	file, err := c.Flags().GetString("admin-token-file")
	if err != nil {
		return nil, err
	}
	client := &adminClient{url: strings.TrimRight(cmp.Or(url, publicURL(cfg.Listen.Admin, false)), "/"), token: string(cfg.AdminToken)}
	if file == "" && client.token != "" {
		return client, nil
	}
	if file == "" {
		path, err := store.Path(string(cfg.StoreURL))
		if err != nil {
			return nil, fmt.Errorf("give the admin token: admin.token in the settings, or --admin-token-file")
		}
		file = filepath.Join(filepath.Dir(path), adminTokenFile)
	}
	text, err := os.ReadFile(file) // #nosec G304 -- the operator names the file
	if err != nil {
		return nil, fmt.Errorf("read the admin token (is the server started once, and is this its folder? else give --admin-token-file): %w", err)
	}
	client.token = strings.TrimSpace(string(text))
	return client, refuse(client.token == "", file+" is empty; the admin token belongs in it")
}

// givenURL returns what is wrong with the URL that a flag gives, "" for none.
func givenURL(flag, url string) error {
	if url == "" {
		return nil
	}
	if _, err := webURL(url); err != nil {
		return fmt.Errorf("--%s %w; write http://HOST:PORT", flag, err)
	}
	return nil
}

// direct goes to the server itself, never through a proxy of the environment,
// which would read the admin token.
var direct = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: importers}}

// addAdminFlags says where the server is.
func addAdminFlags(c *cobra.Command) {
	c.PersistentFlags().String("admin-url", "", "the server's admin listener; default: listen.admin of the settings")
	c.PersistentFlags().String("admin-token-file", "", "file with the admin token; default: the settings, else admin.token beside the store")
}

// call makes a call with body as JSON, nil for none, and decodes the answer
// into out, nil to drop it. The error of a refusal is the server's message.
func (a *adminClient) call(ctx context.Context, method, path string, body, out any) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	var send io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		send = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.url+"/admin/v1"+path, send)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept-Language", language())
	res, err := direct.Do(req)
	if err != nil {
		return fmt.Errorf("is the server running? %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return refusal(a.url, method, res, text)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

// refused is an answer that is none, in the server's words.
type refused struct {
	status int
	text   string
}

func (r *refused) Error() string { return r.text }

// refusal is the error of an answer that is none: the server's message. What has
// no such call is not the admin listener.
func refusal(url, method string, res *http.Response, text []byte) error {
	const elsewhere = "; is this the admin listener (listen.admin)?"
	var problem struct {
		Code           int
		Error, Message string
	}
	if json.Unmarshal(text, &problem) != nil {
		return &refused{res.StatusCode, fmt.Sprintf("%s %s: %s%s", method, url, res.Status, elsewhere)}
	}
	said := fmt.Sprintf("%s (%d %s)", problem.Message, problem.Code, problem.Error)
	if problem.Error == "not_found" {
		said += elsewhere
	}
	return &refused{res.StatusCode, said}
}

// language returns what the terminal's locale asks for.
func language() string {
	if locale := cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_MESSAGES"), os.Getenv("LANG")); strings.HasPrefix(locale, "zh") {
		return "zh"
	}
	return "en"
}
