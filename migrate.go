package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
	toKey, whereKey, err := destinationKey(cfg, to, c.Flag("to-key-file").Value.String(), log)
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
	fmt.Fprintln(out, whereKey)
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
		text, err = readSecretFile(keyBeside(path))
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w; put back the file that belongs to this store", err)
		}
		if err != nil {
			return [32]byte{}, fmt.Errorf("encryption.key: %w", err)
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

// destinationKey returns the encryption key of a store that is to be made, and
// says where it is.
func destinationKey(cfg Config, url, file string, log *slog.Logger) (key [32]byte, where string, err error) {
	switch {
	case file != "":
		text, err := readSecretFile(file)
		if err == nil {
			key, err = parseKey(text)
		}
		if err == nil && !store.Remote(url) {
			err = nothingElseBeside(url, key)
		}
		if err != nil {
			return key, "", fmt.Errorf("--to-key-file: %w", err)
		}
		return key, fmt.Sprintf(`Its encryption key is the one in %s: give it to the servers as encryption.key.
新存储的加密密钥在 %[1]s 中，请作为 encryption.key 交给服务。`, file), nil
	case cfg.EncryptionKey != "":
		key, err = parseKey(string(cfg.EncryptionKey))
		return key, `Its encryption key is the encryption.key of these settings: leave that in them.
新存储的加密密钥即本设置中的 encryption.key，请保留该设置。`, err
	case store.Remote(url):
		return key, "", errors.New("give the encryption key that the store in PostgreSQL is to have, and that every server is given then: --to-key-file FILE")
	}
	path, err := store.Path(url)
	if err != nil {
		return key, "", err
	}
	if err := bolt.MakeFolder(filepath.Dir(path)); err != nil {
		return key, "", fmt.Errorf("create the store's folder: %w", err)
	}
	// Without a store a key is made, as a server would.
	text, err := keptSecret("", keyBeside(path), !bolt.Exists(path), log)
	if err != nil {
		return key, "", fmt.Errorf("encryption.key: %w", err)
	}
	key, err = parseKey(string(text))
	return key, fmt.Sprintf(`Its encryption key is in %s, where a server finds it.
新存储的加密密钥在 %[1]s 中，服务会自行读取。`, keyBeside(path)), err
}

// nothingElseBeside returns an error if a server would find another key than that
// one beside the store's file.
func nothingElseBeside(url string, key [32]byte) error {
	path, err := store.Path(url)
	if err != nil {
		return err
	}
	beside := keyBeside(path)
	text, err := readSecretFile(beside)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	there, err := decodeKey(text)
	return refuse(err != nil || !bytes.Equal(there, key[:]),
		beside+" is another key, which a server would take for the new store's; remove it if it is no store's, or give the new store another folder")
}
