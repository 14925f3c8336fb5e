package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

const (
	// importers is how many users are sent at a time, so that they share commits.
	importers = 16
	// patientTries is how often a line is sent to a busy server.
	patientTries = 30
)

func importCommand() *cobra.Command {
	return &cobra.Command{
		Use: "import POOL FILE", Short: "Import users, a JSON object a line / 导入用户，每行一个 JSON 对象",
		Long: `FILE has a JSON object a line, of 1 MiB at most; - is standard input. The fields
are those of POST /admin/v1/pools/:id/users: id, unionid, openid, phone, email,
username, nickname, photo, registerMethod, password or passwordHash. One of id,
unionid, openid, username and email must be there: by these the user is known, so
that nobody is imported twice. A line that is refused is told with its number and
does not stop the others; with one the exit status is 1. A server that is gone
stops it. Imported again, users who are there are refused and stay as they are.
Lines are sent 16 at a time: refusals come in no order, and of two lines of one
user either may be the one that is imported.
FILE 每行一个 JSON 对象（最大 1 MiB），- 为标准输入；字段同 POST /admin/v1/pools/:id/users，
其中 id、unionid、openid、username、email 至少有一个，以免重复导入同一用户。
被拒绝的行会连同行号列出，不影响其他行，此时退出码为 1；重复导入时已有的用户不变。
同时发送 16 行：被拒绝的行不按行号排列；同一用户有两行时，导入的可能是其中任一行。`,
		Example: "  app2wxapp user import 64b7f0a1c2d3e4f506172839 users.jsonl",
		Args:    cobra.ExactArgs(2), RunE: importUsers,
	}
}

// importLine is a line of the file, from 1.
type importLine struct {
	number int
	text   []byte
}

// importer sends lines and counts what became of them.
type importer struct {
	client *adminClient
	pool   string
	told   io.Writer     // of refused lines
	pause  time.Duration // before a busy server is asked again

	mu                sync.Mutex
	imported, refused int
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
	i := &importer{client: client, pool: args[0], told: c.ErrOrStderr(), pause: time.Second}
	if err := i.run(c.Context(), in); err != nil {
		return fmt.Errorf("%w; at least %d imported before / 此前至少已导入 %[2]d 个", err, i.imported)
	}
	if i.refused > 0 {
		return fmt.Errorf("%d imported, %d lines refused / 已导入 %[1]d 个，%[2]d 行被拒绝", i.imported, i.refused)
	}
	return show(c, map[string]int{"imported": i.imported}, func(w io.Writer) {
		fmt.Fprintf(w, "%d users imported / 已导入 %[1]d 个用户\n", i.imported)
	})
}

// run sends the lines of in that are not empty. It ends with the first that is
// neither taken nor refused, without waiting for what in has not said yet.
func (i *importer) run(ctx context.Context, in io.Reader) error {
	group, ctx := errgroup.WithContext(ctx)
	lines, read := make(chan importLine), make(chan error, 1)
	go func() {
		defer close(lines)
		read <- readLines(ctx, in, lines)
	}()
	for range importers {
		group.Go(func() error {
			for {
				select {
				case l, more := <-lines:
					if !more {
						return nil
					}
					if err := i.send(ctx, l); err != nil {
						return fmt.Errorf("line %d: %w", l.number, err)
					}
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return <-read
}

// readLines passes on the lines that are not empty, until ctx ends.
func readLines(ctx context.Context, in io.Reader, lines chan<- importLine) error {
	scan := bufio.NewScanner(in)
	scan.Buffer(nil, 1<<20)
	number := 0
	for scan.Scan() {
		number++
		text := scan.Bytes()
		if number == 1 {
			text = bytes.TrimPrefix(text, []byte("\uFEFF")) // as editors on Windows write it
		}
		text = bytes.TrimSpace(text)
		if len(text) == 0 {
			continue
		}
		select {
		case lines <- importLine{number, bytes.Clone(text)}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	err := scan.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		err = errors.New("is longer than 1 MiB; one user stands on one line / 超过 1 MiB；每行一个用户")
	}
	if err != nil {
		return fmt.Errorf("line %d: %w", number+1, err)
	}
	return nil
}

// send sends a line, again while the server is busy. What it refuses is told.
func (i *importer) send(ctx context.Context, l importLine) error {
	err := i.create(ctx, l.text)
	for tries := 1; answered(err, http.StatusServiceUnavailable) && tries < patientTries; tries++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(i.pause):
		}
		if err = i.create(ctx, l.text); answered(err, http.StatusConflict) {
			err = nil // the try before was carried out, only its answer was lost
		}
	}
	// Others are refused to whoever asks: the pool is not there, the token wrong.
	ofLine := answered(err, http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge)
	if err != nil && !ofLine {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if err == nil {
		i.imported++
		return nil
	}
	i.refused++
	_, err = fmt.Fprintf(i.told, "line %d: %v\n", l.number, err)
	return err
}

func (i *importer) create(ctx context.Context, user []byte) error {
	var known struct{ ID, UnionID, OpenID, Username, Email string }
	switch err := json.Unmarshal(user, &known); {
	case err != nil:
		return &refused{http.StatusBadRequest, "this is no JSON object with texts as fields / 不是以文本为字段的 JSON 对象"}
	case known.ID+known.UnionID+known.OpenID+known.Username+known.Email == "":
		return &refused{http.StatusBadRequest, "give it an id, or a unionid, openid, username or email: imported again it would be another user / 请给出 id、unionid、openid、username 或 email，否则重复导入会变成另一个用户"}
	}
	return i.client.call(ctx, "POST", "/pools/"+url.PathEscape(i.pool)+"/users", json.RawMessage(user), nil)
}

// answered tells whether err is an answer of one of these statuses.
func answered(err error, status ...int) bool {
	answer := (*refused)(nil)
	return errors.As(err, &answer) && slices.Contains(status, answer.status)
}
