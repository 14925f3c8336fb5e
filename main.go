// Command app2wxapp logs a WeChat user into a native app: the app opens a mini
// program, the user authorizes there, and a one-time ticket comes back that the
// app or its server redeems for the profile and a token.
//
// Commands are in files of their own: serve.go, sandbox.go, try.go, pool.go,
// user.go, import.go, audit.go, backup.go, migrate.go, check.go. server.go wires the program together.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the release build.
var version = "dev"

func main() {
	tuneRuntime()
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		ends = append(ends, syscall.SIGHUP) // a terminal that is closed
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "app2wxapp:", err)
		os.Exit(1)
	}
}

// tuneRuntime lets the heap grow to four times what lives, which is a few MiB: at
// the default the collector would run hundreds of times a second under load. And
// it lets one more thread run than there are processors at the start, for the one
// that waits for the disk: Go takes it for running. The environment's GOGC and
// GOMAXPROCS are an operator's word, and count.
func tuneRuntime() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(300)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
}

// newCommand returns the command line. Commands write to its output and error
// streams and end when the context does.
func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "app2wxapp",
		Short: "Log WeChat users into native apps / 让原生 App 用微信小程序登录",
		Long: `app2wxapp logs WeChat users into native apps through a mini program.
Without a command it serves, as "app2wxapp serve" does.
Start with "app2wxapp try" or "app2wxapp sandbox": they need no configuration.

app2wxapp 让原生 App 通过微信小程序登录用户。不带子命令时等同于 serve。
初次使用请运行 app2wxapp try 或 app2wxapp sandbox，无需任何配置。`,
		Args:          cobra.NoArgs,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().String("config", "config.yaml", "the settings; without this flag a missing file means all defaults")
	serve := serveCommand()
	root.RunE = serve.RunE
	root.AddCommand(serve, sandboxCommand(), tryCommand(), poolCommand(), userCommand(), auditCommand(), storeCommand(), backupCommand(), restoreCommand(), configCommand(), healthcheckCommand(), versionCommand())
	root.InitDefaultCompletionCmd()
	refuseUnknown(root)
	sayUsage(root)
	return root
}

// sayUsage has each command that refuses its arguments say which it takes.
func sayUsage(c *cobra.Command) {
	if check := c.Args; check != nil && !c.HasSubCommands() {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return fmt.Errorf("%w\nUsage / 用法：%s", err, c.UseLine())
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		sayUsage(sub)
	}
}

// refuseUnknown has each command with others below it refuse a word that is none
// of them, and print its help where it does nothing by itself. Cobra refuses at
// the root only: below it a misspelt command is help and exit status 0, which a
// script takes for success.
func refuseUnknown(c *cobra.Command) {
	if !c.HasSubCommands() {
		return
	}
	c.Args = subcommand
	if !c.Runnable() {
		c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	}
	for _, sub := range c.Commands() {
		refuseUnknown(sub)
	}
}

// subcommand is the cobra.PositionalArgs of a command with others below it: what
// is left is none of their names. The error is like cobra's own.
func subcommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	c.SuggestionsMinimumDistance = 2 // as cobra has it at the root
	near := c.SuggestionsFor(args[0])
	if len(near) == 0 {
		return fmt.Errorf("unknown command %q for %q; see %[2]s --help", args[0], c.CommandPath())
	}
	return fmt.Errorf("unknown command %q for %q\n\nDid you mean this?\n\t%s", args[0], c.CommandPath(), strings.Join(near, "\n\t"))
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version / 打印版本", Args: cobra.NoArgs,
		Run: func(c *cobra.Command, _ []string) {
			fmt.Fprintf(c.OutOrStdout(), "app2wxapp %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}

// load reads the settings that the command line and the environment name.
func load(c *cobra.Command) (Config, []string, error) {
	flag := c.Flag("config")
	return LoadConfig(flag.Value.String(), flag.Changed, os.Environ())
}
