package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"sync"

	"github.com/spf13/cobra"
)

// importers is how many users are sent at a time, so that they share commits.
const importers = 16

func importCommand() *cobra.Command {
	return &cobra.Command{
		Use: "import POOL FILE", Short: "Import users, a JSON object a line / 导入用户，每行一个 JSON 对象",
		Long: `FILE has a JSON object a line; - is standard input. The fields are those of
POST /admin/v1/pools/:id/users: id, unionid, openid, phone, email, username,
nickname, photo, registerMethod, password or passwordHash. A line that is refused
is told with its number and does not stop the others; with one the exit status
is 1. Imported again, users who are there are refused and stay as they are.
FILE 每行一个 JSON 对象，- 为标准输入；字段同 POST /admin/v1/pools/:id/users。
被拒绝的行会连同行号列出，不影响其他行，此时退出码为 1；重复导入时已有的用户不变。`,
		Example: "  app2wxapp user import 64b7f0a1c2d3e4f506172839 users.jsonl",
		Args:    cobra.ExactArgs(2), RunE: importUsers,
	}
}

// importLine is a line of the file, from 1.
type importLine struct {
	number int
	text   []byte
}

func importUsers(c *cobra.Command, args []string) error {
	client, err := newAdminClient(c)
	if err != nil {
		return err
	}
	in := c.InOrStdin()
	if args[1] != "-" {
		f, err := os.Open(args[1])
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	var mu sync.Mutex
	imported, refused := 0, 0
	send := func(l importLine) {
		err := errors.New("this is no JSON")
		if json.Valid(l.text) {
			err = client.call(c.Context(), "POST", "/pools/"+url.PathEscape(args[0])+"/users", json.RawMessage(l.text), nil)
		}
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			imported++
			return
		}
		refused++
		fmt.Fprintf(c.ErrOrStderr(), "line %d: %v\n", l.number, err)
	}
	lines := make(chan importLine)
	var wg sync.WaitGroup
	for range importers {
		wg.Go(func() {
			for l := range lines {
				send(l)
			}
		})
	}
	err = readLines(in, lines)
	close(lines)
	wg.Wait()
	if err := errors.Join(err, c.Context().Err()); err != nil {
		return fmt.Errorf("%w; %d imported before", err, imported)
	}
	if refused > 0 {
		return fmt.Errorf("%d imported, %d lines refused / 已导入 %[1]d 个，%[2]d 行被拒绝", imported, refused)
	}
	return show(c, map[string]int{"imported": imported}, func(w io.Writer) { fmt.Fprintf(w, "%d users imported / 已导入 %d 个用户\n", imported, imported) })
}

// readLines passes on the lines of in that are not empty.
func readLines(in io.Reader, lines chan<- importLine) error {
	scan := bufio.NewScanner(in)
	scan.Buffer(nil, 1<<20)
	number := 0
	for scan.Scan() {
		number++
		if text := bytes.TrimSpace(scan.Bytes()); len(text) > 0 {
			lines <- importLine{number, bytes.Clone(text)}
		}
	}
	if err := scan.Err(); err != nil {
		return fmt.Errorf("line %d: %w", number+1, err)
	}
	return nil
}
