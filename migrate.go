package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"app2wxapp/store"
	"app2wxapp/store/bolt"
	"app2wxapp/store/move"
)

func storeCommand() *cobra.Command {
	c := &cobra.Command{Use: "store", Short: "Look after the store while no server runs / 维护数据（需先停服务）"}
	migrate := &cobra.Command{
		Use: "migrate --to URL", Args: cobra.NoArgs, RunE: migrateStore,
		Short: "Move everything into another, empty store / 把全部数据迁到另一个空的存储",
		Long: `Move everything from the store of the settings into another one, which must be
empty, and compare the two at the end. Stop all servers first. If it is
interrupted, run it again: it goes on. The store of the settings is not changed.
Tickets that are live are not moved: their users sign in once more.

The other store has an encryption key of its own: that of --to-key-file; else
encryption.key, if the settings give it; else, for a bolt: store, the one in the
file beside it, made if there is none.

把设置中的存储里的全部数据迁到另一个空的存储，最后逐条核对。请先停掉所有服务。
中断后再次运行即可继续。原存储不会被改动。未换取的票据不迁移，用户需重新登录。

新存储的加密密钥：--to-key-file 的；否则为设置中给出的 encryption.key；
否则（bolt:）为其旁边文件里的，没有则新建。`,
		Example: `  app2wxapp store migrate --to @postgres-url.txt --to-key-file encryption.key
  app2wxapp store migrate --to bolt:copy/app2wxapp.db`,
	}
	migrate.Flags().String("to", "", "bolt:PATH or postgres://…; @FILE reads it from a file, since other users of the machine can see a command line")
	migrate.Flags().String("to-key-file", "", "file with the other store's encryption key: 32 bytes in base64, mode 0600")
	if err := migrate.MarkFlagRequired("to"); err != nil {
		panic(err) // the flag is there, three lines up
	}
	c.AddCommand(migrate)
	return c
}

func migrateStore(c *cobra.Command, _ []string) error {
	cfg, _, err := load(c)
	if err != nil {
		return err
	}
	to, err := fromFile(c.Flag("to").Value.String(), c.InOrStdin())
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	if err := store.Check(to); err != nil {
		return fmt.Errorf("--to %w; write bolt:PATH or postgres://USER:PASSWORD@HOST:5432/DATABASE", err)
	}
	log := newLogger(cfg, c.ErrOrStderr())
	fromKey, err := keyOf(cfg)
	if err != nil {
		return err
	}
	toKey, err := destinationKey(cfg, to, c.Flag("to-key-file").Value.String(), log)
	if err != nil {
		return err
	}
	out := c.OutOrStdout()
	p := newProgress(out)
	fmt.Fprintf(out, "%s → %s\n", store.Name(string(cfg.StoreURL)), store.Name(to))
	sums, err := store.Migrate(c.Context(), store.Config{URL: string(cfg.StoreURL), Key: fromKey, Log: log, Now: now},
		store.Config{URL: to, Key: toKey, Log: log, Now: now}, p.show)
	p.end()
	if err != nil {
		return err
	}
	printSums(out, sums)
	fmt.Fprintln(out, `Both stores have the same. Set store.url to the new one, and do not start the
old one again: it does not know what comes now. Tickets that were out are void.
两边一致。把 store.url 改为新的存储；不要再启动旧的，它不知道之后发生的事。在途票据已作废。`)
	return nil
}

// printSums prints what was found.
func printSums(out io.Writer, sums map[move.Kind]move.Sum) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, k := range move.Kinds() {
		fmt.Fprintf(w, "%s\t%d\t%s\n", k, sums[k].Count, sums[k])
	}
	_ = w.Flush() // out's own error comes with what is printed next
}

// keyOf returns the encryption key of a store that exists: the one that the
// settings give, or that lies beside it.
func keyOf(cfg Config) ([32]byte, error) {
	text := string(cfg.EncryptionKey)
	if text == "" {
		path, err := store.Path(string(cfg.StoreURL))
		if err != nil {
			return [32]byte{}, err
		}
		if text, err = readSecretFile(keyBeside(path)); err != nil {
			return [32]byte{}, fmt.Errorf("encryption.key: %w; put back the file that belongs to this store", err)
		}
	}
	return parseKey(text)
}

func parseKey(text string) ([32]byte, error) {
	raw, err := decodeKey(text)
	if err != nil {
		return [32]byte{}, fmt.Errorf("encryption.key %w", err)
	}
	return [32]byte(raw), nil
}

// keyBeside is the file of the encryption key of the store at path.
func keyBeside(path string) string { return filepath.Join(filepath.Dir(path), "encryption.key") }

// destinationKey returns the encryption key of a store that is to be made.
func destinationKey(cfg Config, url, file string, log *slog.Logger) ([32]byte, error) {
	text := string(cfg.EncryptionKey)
	switch {
	case file != "":
		var err error
		if text, err = readSecretFile(file); err != nil {
			return [32]byte{}, fmt.Errorf("--to-key-file: %w", err)
		}
	case text != "":
	case store.Remote(url):
		return [32]byte{}, errors.New("give the encryption key that the store in PostgreSQL is to have, and that every server is given then: --to-key-file FILE")
	default:
		path, err := store.Path(url)
		if err != nil {
			return [32]byte{}, err
		}
		if err := bolt.MakeFolder(filepath.Dir(path)); err != nil {
			return [32]byte{}, fmt.Errorf("create the store's folder: %w", err)
		}
		// Without a store a key is made, as a server would.
		kept, err := keptSecret("", keyBeside(path), !bolt.Exists(path), log)
		if err != nil {
			return [32]byte{}, fmt.Errorf("encryption.key: %w", err)
		}
		text = string(kept)
	}
	return parseKey(text)
}
