package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"app2wxapp/store"
	"app2wxapp/store/bolt"
)

func backupCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "backup FILE", Args: cobra.ExactArgs(1), RunE: backup,
		Short: "Copy the store of a running server into a new file / 热备份到新文件",
		Long: `Copy the store of a running server, as it is at one moment, into a file that is
not there yet. It is sealed: restoring takes the encryption key, which is not in
it. Keep a copy of the key apart from it.

把运行中服务的数据按某一时刻的状态备份到新文件。备份是加密的，恢复需要加密密钥，
而密钥不在备份里，请另行保管。`,
		Example: "  app2wxapp backup /backup/app2wxapp-$(date +%F).db",
	}
	addAdminFlags(c)
	return c
}

func backup(c *cobra.Command, args []string) error {
	client, err := newAdminClient(c)
	if err != nil {
		return err
	}
	n, err := client.download(c.Context(), "/backup", args[0])
	if err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "%s: %d bytes, every page checked; the encryption key is not in it / 已备份并校验，加密密钥不在其中\n", args[0], n)
	return nil
}

// download keeps the answer to a GET in a file that is not there yet: all of it,
// checked and on disk, or nothing.
func (a *adminClient) download(ctx context.Context, path, file string) (n int64, err error) {
	if file == "" {
		return 0, errors.New("the file's name is empty; name one that is not there yet")
	}
	if _, err := os.Lstat(file); !errors.Is(err, os.ErrNotExist) {
		return 0, errors.Join(fmt.Errorf("%s is there already; name another file", file), err)
	}
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*") // O_EXCL and 0600
	if errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("there is no folder %s", filepath.Dir(file))
	}
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	n, err = a.fetch(ctx, path, f)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return 0, err
	}
	if err := bolt.CheckBackup(f.Name()); err != nil {
		return 0, fmt.Errorf("what came is damaged: %w", err)
	}
	if err := os.Link(f.Name(), file); err != nil {
		return 0, err
	}
	return n, bolt.SyncFolder(filepath.Dir(file))
}

// fetch writes the answer to a GET, which may take its time. One that is cut off
// is an error.
func (a *adminClient) fetch(ctx context.Context, path string, out io.Writer) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+"/admin/v1"+path, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	req.Header.Set("Accept-Language", language())
	res, err := direct.Do(req)
	if err != nil {
		return 0, fmt.Errorf("is the server running? %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
		return 0, errors.Join(refusal(a.url, req.Method, res, text), err)
	}
	return io.Copy(out, res.Body)
}

func restoreCommand() *cobra.Command {
	return &cobra.Command{
		Use: "restore FILE", Args: cobra.ExactArgs(1), RunE: restore,
		Short: "Make the store of the settings from a backup; there may be none yet / 从备份恢复，不覆盖已有数据",
		Long: `Make the store of the settings from a backup, or from the file of a store that
was stopped. Nothing is ever written over a store that is there: move it away
first. The encryption key must be that of the backup, in the settings or in the
file encryption.key beside the store.
Every ticket that was out is void. What came after the backup is forgotten:
block, sign out and delete again what was blocked, signed out and deleted since.
Tokens that were revoked since are valid again: sign their users out.

用备份（或已停服务的数据文件）恢复设置中的存储。不会覆盖已有数据，请先移走。
加密密钥必须是备份时的那一个，写在设置里或放在数据旁的 encryption.key 文件里。
所有在途票据作废；备份之后的锁定、下线、删除都要重做；备份之后吊销的 token 重新有效，
请让其用户下线。`,
	}
}

func restore(c *cobra.Command, args []string) error {
	cfg, _, err := load(c)
	if err != nil {
		return err
	}
	inTheWay := ""
	if !store.Remote(string(cfg.StoreURL)) {
		path, err := storePath(cfg)
		if err != nil {
			return err
		}
		if bolt.Exists(path) {
			inTheWay = path
		}
	}
	key, err := keyOf(cfg)
	if err != nil {
		return err
	}
	out := c.OutOrStdout()
	p := newProgress(out)
	sums, err := store.Restore(c.Context(), args[0], store.Config{
		URL: string(cfg.StoreURL), Key: key, Log: newLogger(cfg, c.ErrOrStderr()), Now: now,
	}, p.show)
	p.end()
	if err != nil && inTheWay != "" {
		return fmt.Errorf("%w; stop the server and move %s away, and it alone", err, inTheWay)
	}
	if err != nil {
		return err
	}
	printSums(out, sums)
	fmt.Fprintf(out, "restored to %s; every ticket that was out is void / 已恢复，在途票据全部作废\n", store.Name(string(cfg.StoreURL)))
	return nil
}
