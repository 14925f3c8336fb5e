package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"app2wxapp/userpool"
	"app2wxapp/wechat/sandbox"
	"app2wxapp/wechat/sandbox/demo"
)

// The sandbox's mini program.
const (
	sandboxAppID     = "wx5a6e64626f780001"
	sandboxAppSecret = "sandbox-app-secret"
	sandboxPlatform  = "sandbox" // Open Platform account: there are unionids
)

func sandboxCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "sandbox",
		Short: "Bridge and simulated WeChat to play with, on this machine only / 沙箱：服务加模拟微信，仅限本机",
		Long: `Run the bridge with a simulated WeChat and a demo pool, on loopback only and on a
temporary store that is deleted at the end. It serves one page that plays phone,
WeChat and mini program.

运行服务、模拟微信和一个演示用户池；只监听本机回环地址，数据是临时的，退出即删除。
附带一个页面，演示手机、微信和小程序的整个登录过程。`,
		Args: cobra.NoArgs,
		RunE: runSandbox,
	}
	c.Flags().Int("port", 0, "public port on 127.0.0.1, the next one is the admin port, the one after it the simulated WeChat's (default 8080, or any free ones)")
	return c
}

func runSandbox(c *cobra.Command, _ []string) error {
	port, err := c.Flags().GetInt("port")
	if err != nil {
		return err
	}
	if port < 0 || port > 65533 {
		return errors.New("--port must be 1 to 65533; the admin port and the simulated WeChat's are the next two")
	}
	if port == 0 && free(8080) && free(8081) && free(8082) {
		port = 8080
	}
	// Whoever reads the output may leave before the end, as head does: that must
	// not end the program before its data are deleted.
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Reset(syscall.SIGPIPE)
	log := slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil))
	s, err := newSimulation(port, log)
	if err != nil {
		return err
	}
	if err := s.print(c.OutOrStdout()); err != nil {
		return errors.Join(err, s.close(), s.remove())
	}
	return s.run(c.Context())
}

// free tells whether nothing listens on the port.
func free(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// simulation is a whole server on a temporary store, with a simulated WeChat
// and a demo pool.
type simulation struct {
	*server
	wechat *sandbox.Server
	weixin *httptest.Server // WeChat's address
	folder string
	info   demo.Info
}

// newSimulation makes one on this port and the next two, on any free ones if it
// is 0. Only its WeChat serves before run.
func newSimulation(port int, log *slog.Logger) (_ *simulation, err error) {
	on := func(next int) string {
		if port == 0 {
			return "127.0.0.1:0"
		}
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(port+next))
	}
	weixin, err := net.Listen("tcp", on(2))
	if err != nil {
		return nil, fmt.Errorf("simulated WeChat: %w", portTaken(err))
	}
	s := &simulation{wechat: sandbox.New(sandbox.Config{})}
	s.wechat.AddApp(sandbox.App{ID: sandboxAppID, Secret: sandboxAppSecret, Platform: sandboxPlatform})
	s.weixin = &httptest.Server{Listener: weixin, Config: &http.Server{Handler: s.wechat, ReadHeaderTimeout: 5 * time.Second}}
	s.weixin.Start()
	defer func() {
		if err != nil {
			err = errors.Join(err, s.remove())
		}
	}()
	if s.folder, err = os.MkdirTemp("", "app2wxapp-sandbox-"); err != nil {
		return nil, err
	}

	cfg, _, err := parseConfig("defaults", nil, nil)
	if err != nil {
		return nil, err
	}
	cfg.StoreURL = userpool.Secret("bolt:" + filepath.Join(s.folder, "app2wxapp.db"))
	cfg.AdminToken, cfg.EncryptionKey = userpool.NewSecret(), userpool.NewSecret()
	cfg.WeChat.BaseURL = s.weixin.URL
	cfg.Listen.Public, cfg.Listen.Admin = on(0), on(1)
	cfg.PublicURL = publicURL(cfg.Listen.Public, false)
	if s.server, err = newServer(cfg, log, s.routes); err != nil {
		return nil, err
	}
	p, secret, err := userpool.New(userpool.Config{Store: s.store, Now: now, Log: log}).CreatePool(context.Background(), userpool.NewPool{
		Settings: userpool.Settings{Name: "沙箱演示 Sandbox", AppID: sandboxAppID, AppSecret: sandboxAppSecret},
	})
	if err != nil {
		return nil, errors.Join(err, s.server.close())
	}
	s.info = demo.Info{
		BridgeURL: s.PublicURL, AdminURL: s.AdminURL, AdminToken: string(s.AdminToken),
		AppID: sandboxAppID, PoolID: p.ID, PoolSecret: string(secret),
	}
	return s, nil
}

// routes puts the page and the simulator's controls before the bridge, on one
// origin.
func (s *simulation) routes(bridge http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", bridge)
	mux.Handle("/{$}", http.RedirectHandler("/sandbox/", http.StatusFound))
	mux.Handle("/sandbox/wechat/", s.wechat)
	mux.HandleFunc("/sandbox/", func(w http.ResponseWriter, r *http.Request) { demo.Handler(s.info).ServeHTTP(w, r) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The page gives the secrets to whoever is on its origin. A name that
		// somebody made point here is not its origin.
		if host, _, err := net.SplitHostPort(r.Host); err != nil || host != "127.0.0.1" && host != "localhost" {
			http.Error(w, "the sandbox answers to 127.0.0.1 and localhost only", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// run serves until ctx ends and deletes everything.
func (s *simulation) run(ctx context.Context) error {
	return errors.Join(s.server.run(ctx), s.remove())
}

func (s *simulation) remove() error {
	s.weixin.Close()
	return os.RemoveAll(s.folder)
}

// print tells what is where, and one login as commands to paste.
func (s *simulation) print(w io.Writer) error {
	_, err := fmt.Fprintf(w, `
  ┌─────────────────────────────────────────────────────────────────────┐
  │  SANDBOX: WeChat is simulated, the data are deleted at the end.     │
  │  沙箱：微信是模拟的，退出后数据即删除。切勿用于生产环境！           │
  └─────────────────────────────────────────────────────────────────────┘

  page / 演示页面          %[1]s/sandbox/
  bridge / 服务            %[1]s
  admin API / 管理接口     %[2]s
  simulated WeChat / 模拟  %[3]s
  pool id / 用户池         %[4]s
  pool secret / 密钥       %[5]s
  admin token / 管理令牌   %[6]s
  AppID, AppSecret         %[7]s %[8]s

  One login, to paste into a shell / 一次完整登录，可直接粘贴到终端：

    CODE=$(curl -s %[1]s/sandbox/wechat/login-code -H 'Content-Type: application/json' \
      -d '{"appId":"%[7]s","user":"alice"}' | sed 's/.*"code":"\([^"]*\)".*/\1/')
    TICKET=$(curl -s %[1]s/oauth/app2wxapp/ticket/%[4]s -H 'Content-Type: application/json' \
      -d '{"code":"'$CODE'"}' | sed 's/.*"ticket":"\([^"]*\)".*/\1/')
    curl -s %[1]s/oauth/app2wxapp/auth/%[4]s -H 'Content-Type: application/json' \
      -H "Idempotency-Key: $RANDOM$RANDOM" -d '{"ticket":"'$TICKET'","secret":"%[5]s"}'

  The same with every step explained / 逐步演示：  app2wxapp try --url %[1]s
  Press Ctrl-C to end / 按 Ctrl-C 退出

`, s.info.BridgeURL, s.info.AdminURL, s.weixin.URL, s.info.PoolID, s.info.PoolSecret, s.info.AdminToken, s.info.AppID, sandboxAppSecret)
	return err
}
