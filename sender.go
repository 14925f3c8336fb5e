package main

import (
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"

	"github.com/spf13/cobra"
)

const senderHelp = `CHANNEL is sms or email. Settings are given as key=value; key= alone is the
default again. A value that begins with @ is read from that file, @- from standard
input: do so with secrets, since other users of the machine can see a command line.
CHANNEL 为 sms 或 email。设置写成 key=value；只写 key= 恢复默认值。以 @ 开头的值从文件读取，
@- 从标准输入读取；密钥请用这种方式，因为命令行会被本机其他用户看到。

  provider=aliyun    accessKeyId  accessKeySecret  signName  templateCode
                     templateCodeAbroad  codeParam  minutesParam  endpoint
  provider=tencent   secretId  secretKey  sdkAppId  signName  templateId
                     templateIdAbroad  templateParams=code|code,minutes|minutes,code
                     region  endpoint
  provider=smtp      host  port  tls=starttls|implicit|none  username  password
                     from  fromName
  provider=webhook   url  secret=whsec_…  allowHTTP=true|false`

func senderCommand() *cobra.Command {
	c := &cobra.Command{Use: "sender", Short: "What a pool's one-time codes go out by / 验证码的发送方式"}
	set := &cobra.Command{
		Use: "set POOL CHANNEL key=value…", Short: "Set or change the provider / 设置发送方式", Long: senderHelp,
		Example: "  app2wxapp pool sender set 64b7f0a1c2d3e4f506172839 sms provider=aliyun accessKeyId=LTAI… accessKeySecret=@key.txt signName=… templateCode=SMS_…",
		Args:    cobra.MinimumNArgs(3), RunE: setSender,
	}
	remove := &cobra.Command{Use: "remove POOL CHANNEL", Short: "Send nothing any more / 取消发送方式", Args: cobra.ExactArgs(2), RunE: removeSender}
	test := &cobra.Command{
		Use: "test POOL CHANNEL TO", Short: "Send a test code and tell what happened / 发送测试验证码",
		Example: "  app2wxapp pool sender test 64b7f0a1c2d3e4f506172839 sms +8613800138000",
		Args:    cobra.ExactArgs(3), RunE: testSender,
	}
	c.AddCommand(set, remove, test)
	return c
}

// patchSender changes one channel's sender; nil removes it.
func patchSender(c *cobra.Command, args []string, to any) error {
	var out pool
	return onServer(c, "PATCH", "/pools/"+url.PathEscape(args[0]), map[string]any{"senders": map[string]any{args[1]: to}}, &out, func(w io.Writer) {
		printSender(w, "sms", out.Senders.SMS)
		printSender(w, "email", out.Senders.Email)
	})
}

func setSender(c *cobra.Command, args []string) error {
	to, err := readSettings(args[2:], c.InOrStdin())
	if err != nil {
		return err
	}
	return patchSender(c, args, to)
}

func removeSender(c *cobra.Command, args []string) error { return patchSender(c, args, nil) }

// testSender fails if the code was not sent, so that scripts can go by it.
func testSender(c *cobra.Command, args []string) error {
	var out struct {
		Sent         bool   `json:"sent"`
		Result       string `json:"result"`
		Provider     string `json:"provider"`
		ProviderCode string `json:"providerCode"`
		Message      string `json:"message"`
		Detail       string `json:"detail"`
		RetryAfter   int    `json:"retryAfter"`
	}
	path := "/pools/" + url.PathEscape(args[0]) + "/senders/" + url.PathEscape(args[1]) + "/test"
	err := onServer(c, "POST", path, map[string]any{"to": args[2]}, &out, func(w io.Writer) {
		fmt.Fprintf(w, "%s by %s: %s\n", out.Result, out.Provider, out.Message)
		for _, more := range []string{out.ProviderCode, out.Detail} {
			if more != "" {
				fmt.Fprintln(w, more)
			}
		}
	})
	if err == nil && !out.Sent {
		return fmt.Errorf("not sent / 未发送：%s", out.Result)
	}
	return err
}

// printSender prints a channel's sender in one row.
func printSender(w io.Writer, channel string, s map[string]any) {
	if s == nil {
		fmt.Fprintf(w, "%s codes\tno sender set\n", channel)
		return
	}
	text := fmt.Sprint(s["provider"])
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if value := fmt.Sprint(s[name]); name != "provider" && value != "" {
			text += fmt.Sprintf(" %s=%s", name, value)
		}
	}
	fmt.Fprintf(w, "%s codes\t%s\n", channel, text)
}
