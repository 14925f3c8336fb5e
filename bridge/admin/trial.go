package admin

import (
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/labstack/echo/v4"

	"app2wxapp/audit"
	"app2wxapp/bridge/wire"
	"app2wxapp/userpool"
)

// trialLife is how long the code of a trial would hold.
const trialLife = 5 * time.Minute

// trial is what became of a code that an operator sent to try a sender.
type trial struct {
	Sent         bool              `json:"sent"`
	Result       string            `json:"result"`
	Provider     userpool.Provider `json:"provider"`
	ProviderCode string            `json:"providerCode"` // its own, "" for none
	Message      string            `json:"message"`
	Detail       string            `json:"detail"` // of the network, for an operator
	RetryAfter   int               `json:"retryAfter"`
}

// errUnsent stands for a Send that had no connection.
var errUnsent = errors.New("admin: no connection to the provider")

// outcomes say what a Send came to; the first that fits counts.
var outcomes = []struct {
	err            error
	result, zh, en string
}{
	{nil, "sent", "服务商已接收，请确认是否收到", "the provider has taken the code; see whether it arrives"},
	{userpool.ErrRecipientRefused, "refused", "服务商拒绝向该号码或地址发送", "the provider does not send to this number or address"},
	{userpool.ErrSendLimited, "limited", "已达到服务商的发送频率或数量限制", "a limit of the provider is reached"},
	{userpool.ErrSenderSetup, "setup", "服务商拒绝了配置或账户：请检查密钥、签名、模板、余额、地址和证书", "the provider refuses the settings or the account: keys, signature name, template, balance, address, certificate"},
	{errUnsent, "failed", "无法连接服务商，没有发出任何内容；请检查地址和网络", "no connection to the provider, so that nothing was sent; check its address and the network"},
	{userpool.ErrSendFailed, "failed", "服务商没有响应或出错，验证码仍有可能已发出", "the provider does not answer, or fails; the code may have gone out all the same"},
}

// TestSender answers POST /admin/v1/pools/:id/senders/:channel/test. What the
// provider says is no error of the call. The code is good for nothing.
func (a *API) TestSender(c echo.Context) error {
	var to string
	if err := wire.ReadStrict(c.Request(), wire.Fields{"to": &to}); err != nil {
		return err
	}
	ctx, channel := c.Request().Context(), userpool.Channel(c.Param("channel"))
	p, err := a.pools.Pool(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	n, err := rand.Int(rand.Reader, big.NewInt(1e6))
	if err != nil {
		return err
	}
	err = a.senders.Send(ctx, p, channel, userpool.Message{
		To: to, Code: fmt.Sprintf("%06d", n), Purpose: userpool.PurposeTest, Life: trialLife, English: wire.English(c.Request()),
	})
	var e *userpool.SendError
	if err != nil && !errors.As(err, &e) {
		return err
	}
	out := trial{Sent: err == nil, Provider: p.Sender(channel).Provider}
	came := err
	if e != nil && e.Unsent {
		came = errUnsent
	}
	for _, o := range outcomes {
		if errors.Is(came, o.err) {
			out.Result, out.Message = o.result, o.zh
			if wire.English(c.Request()) {
				out.Message = o.en
			}
			break
		}
	}
	if e != nil {
		out.ProviderCode, out.RetryAfter = e.Code, int(e.RetryAfter.Seconds())
		if e.Cause != nil {
			out.Detail = e.Cause.Error()
		}
	}
	event := audit.Event{At: a.now(), Type: audit.SenderTested, PoolID: p.ID, By: audit.By(ctx), Detail: map[string]string{
		audit.Channel: string(channel), audit.Provider: string(out.Provider), audit.Result: out.Result,
	}}
	if err := a.events.RecordEvents(ctx, []audit.Event{event}); err != nil {
		return err
	}
	return wire.OK(c, out)
}
