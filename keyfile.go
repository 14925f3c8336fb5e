package main

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"app2wxapp/store/bolt"
)

// secretFile returns the secret kept in the file at path, without its newline.
// If there is none and mayCreate, it keeps what generate returns there and tells
// that it did. Of any number of processes that do so at once one creates the
// file, and all return its secret; nobody ever reads half a file. When it
// returns, the file is on disk. The folder must exist, with mode 0700.
//
// It refuses a file that anybody but its owner can read. Without mayCreate, a
// missing file is an error that wraps fs.ErrNotExist.
func secretFile(path string, generate func() string, mayCreate bool) (text string, created bool, err error) {
	text, err = readSecretFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return text, false, err
	}
	if !mayCreate {
		return "", false, fmt.Errorf("%w; put back the file that belongs to this store, as a new one is made only with a new store", err)
	}
	if created, err = createSecretFile(path, generate()); err != nil {
		return "", false, fmt.Errorf("create %s: %w", path, err)
	}
	text, err = readSecretFile(path)
	return text, created, err
}

// readSecretFile looks at the mode of the file that it has open, so that it
// cannot be another one's.
func readSecretFile(path string) (string, error) {
	f, err := os.Open(path) // #nosec G304 -- the operator names the file
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file; remove it, or put the secret's file there", path)
	}
	if mode := info.Mode().Perm(); mode&^0o600 != 0 {
		return "", fmt.Errorf("%s has mode %04o, and a secret is for its owner alone; run: chmod 600 %s", path, mode, path)
	}
	data, err := io.ReadAll(f)
	return secretText(path, data, err)
}

// secretText returns what was read from a secret's file, less one newline at its
// end. Nothing is an error, so that a lost secret is not taken for none.
func secretText(path string, data []byte, err error) (string, error) {
	if err != nil {
		return "", err
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if text == "" {
		return "", fmt.Errorf("%s %w", path, errEmpty)
	}
	return text, nil
}

var errEmpty = errors.New("is empty")

// createSecretFile keeps text at path and tells whether it did: false means that
// somebody else was first. The whole file is written aside and linked into
// place, as link, unlike rename, never replaces a file.
func createSecretFile(path, text string) (bool, error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // O_EXCL and 0600
	if err != nil {
		return false, err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text + "\n")
	if err := cmp.Or(err, f.Sync(), f.Close()); err != nil {
		return false, err
	}
	err = os.Link(f.Name(), path)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	// The loser syncs as well: it may use the winner's secret before the winner
	// comes to this line.
	return err == nil, bolt.SyncFolder(dir)
}

// decodeKey returns the 32 bytes of an encryption key in base64 (standard or
// URL alphabet, padded or not).
func decodeKey(text string) ([]byte, error) {
	std := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	key, err := base64.RawStdEncoding.DecodeString(std)
	return key, cmp.Or(refuse(err != nil, "is not base64"),
		refuse(len(key) != 32, fmt.Sprintf("is not 32 bytes long but %d", len(key))))
}
