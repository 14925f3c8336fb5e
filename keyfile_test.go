package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func never() string { panic("generated a secret beside a file that exists") }

func TestSecretFileIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.token")
	text, created, err := secretFile(path, func() string { return "s3cret" }, true)
	if text != "s3cret" || !created || err != nil {
		t.Fatalf("first: %q, %v, %v, want s3cret, created", text, created, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file: %v, %v, want mode 0600", info.Mode(), err)
	}
	text, created, err = secretFile(path, never, true)
	if text != "s3cret" || created || err != nil {
		t.Errorf("second: %q, %v, %v, want s3cret, not created", text, created, err)
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if text, _, err = secretFile(path, never, false); text != "s3cret" || err != nil {
		t.Errorf("mode 0400: %q, %v, want s3cret", text, err)
	}
}

func TestSecretFileMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "encryption.key")
	_, _, err := secretFile(path, never, false)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "put back") {
		t.Errorf("missing: %v, want fs.ErrNotExist with path and advice", err)
	}
	if _, _, err = secretFile(filepath.Join(path, "none"), func() string { return "x" }, true); err == nil {
		t.Error("missing folder: no error")
	}
}

func TestSecretFileRefused(t *testing.T) {
	for _, row := range []struct {
		mode fs.FileMode
		text string
		want string
	}{
		{0o640, "PLANTED", "mode 0640, and a secret is for its owner alone; run: chmod 600 "},
		{0o604, "PLANTED", "mode 0604, and a secret is for its owner alone; run: chmod 600 "},
		{0o700, "PLANTED", "mode 0700, and a secret is for its owner alone; run: chmod 600 "},
		{0o600, "\n", "is empty"},
		{0o700 | fs.ModeDir, "", "is not a regular file"},
	} {
		path := filepath.Join(t.TempDir(), "key")
		var err error
		if row.mode.IsDir() {
			err = os.Mkdir(path, row.mode)
		} else if err = os.WriteFile(path, []byte(row.text), row.mode); err == nil {
			err = os.Chmod(path, row.mode)
		}
		if err != nil {
			t.Fatal(err)
		}
		text, created, err := secretFile(path, never, true)
		if text != "" || created || err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "PLANTED") {
			t.Errorf("%v %q: %q, %v, %v, want an error with %q", row.mode, row.text, text, created, err, row.want)
		}
	}
}

// Of many starters at once one creates the secret and all use it.
func TestSecretFileRace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	const n = 32
	var texts [n]string
	var made [n]bool
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			var err error
			if texts[i], made[i], err = secretFile(path, func() string { return fmt.Sprint("secret ", i) }, true); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	winners := 0
	for i := range n {
		if made[i] {
			winners++
		}
		if texts[i] != texts[0] {
			t.Errorf("starter %d got %q, starter 0 %q, want the same", i, texts[i], texts[0])
		}
	}
	if winners != 1 {
		t.Errorf("%d created the secret, want 1", winners)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left in the folder: %v, want the secret alone", left)
	}
}

func TestDecodeKey(t *testing.T) {
	want := strings.Repeat("\xfb\xff", 16)
	for _, text := range []string{
		"+//7//v/+//7//v/+//7//v/+//7//v/+//7//v/+/8=",
		"-__7__v_-__7__v_-__7__v_-__7__v_-__7__v_-_8",
	} {
		if got, err := decodeKey(text); string(got) != want || err != nil {
			t.Errorf("decodeKey(%q) = %x, %v, want %x", text, got, err, want)
		}
	}
}
