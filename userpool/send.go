package userpool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Channel is what a one-time code goes out by.
type Channel string

// The channels that there are.
const (
	ChannelSMS   Channel = "sms"
	ChannelEmail Channel = "email"
)

// Channels are all of them.
var Channels = []Channel{ChannelSMS, ChannelEmail}

// PurposeTest is the Purpose of a code that an operator sends to try a sender.
const PurposeTest = "test"

// Errors of sending. Each of the other three wraps ErrSendFailed.
var (
	// ErrNoSender says that the pool has nothing to send by on this channel.
	// Nothing was sent.
	ErrNoSender = errors.New("userpool: the pool has no sender for this channel")

	// ErrSendFailed says that the provider does not answer, answers nonsense, or
	// fails. The code may have gone out all the same, so that one that arrives
	// should be taken.
	ErrSendFailed = errors.New("userpool: the code could not be sent")
	// ErrRecipientRefused says that the provider does not send to this number or
	// address: there is none, or it is on a list. Nothing was sent, and another
	// try is of no use. A caller may be told so.
	ErrRecipientRefused = fmt.Errorf("%w: the number or address was refused", ErrSendFailed)
	// ErrSendLimited says that the provider sends no more to this number or
	// address, or of this operator, for now. Nothing was sent. A caller may be
	// told so, and SendError.RetryAfter.
	ErrSendLimited = fmt.Errorf("%w: the provider's limit is reached", ErrSendFailed)
	// ErrSenderSetup says that the provider refuses the operator: keys, template,
	// signature name, balance. Nothing was sent, and only the operator can help:
	// a caller is told no more than of ErrSendFailed.
	ErrSenderSetup = fmt.Errorf("%w: the sender's settings are refused", ErrSendFailed)
)

// SendError is what Send returns of a provider that was asked. It unwraps to
// ErrSendFailed or one of those that wrap it, and to its cause. It has no
// number, address, code or key, and neither has its text.
type SendError struct {
	Means    error  // one of the four
	Provider string // "webhook", "aliyun", "tencent" or "smtp"
	// Code is the provider's own, such as "isv.BUSINESS_LIMIT_CONTROL", an HTTP
	// status or an SMTP reply; "" if it gave none. For an operator's eyes.
	Code string
	// RetryAfter is when another try may pass, 0 if that is not known.
	RetryAfter time.Duration
	// Unsent says that no connection was had: the code cannot have gone out.
	Unsent bool
	Cause  error // nil if Code tells all
}

func (e *SendError) Error() string {
	text := fmt.Sprintf("send by %s: %v", e.Provider, e.Means)
	if e.Code != "" {
		text += " (" + e.Code + ")"
	}
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

func (e *SendError) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Means}
	}
	return []error{e.Means, e.Cause}
}

// Message is a one-time code that is to go out. fmt, slog and encoding/json show
// nothing of it but its purpose.
type Message struct {
	To      string // a phone number in E.164, or an e-mail address
	Code    string
	Purpose string        // what it is for, as "bind"; PurposeTest of a trial
	Life    time.Duration // how long the code holds
	English bool          // what the recipient reads; else Chinese
}

func (m Message) String() string               { return "message for " + m.Purpose }
func (m Message) LogValue() slog.Value         { return slog.StringValue(m.String()) }
func (m Message) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// Validate returns an *InvalidError named "to" if To cannot be a number or an
// address of that channel.
func (m Message) Validate(c Channel) error {
	switch c {
	case ChannelSMS:
		if Phone(m.To).valid() {
			return nil
		}
		return Invalid("to", "must be a phone number in E.164, such as +8613800138000", "必须为 E.164 格式的手机号，例如 +8613800138000")
	case ChannelEmail:
		if _, ok := ParseEmail(m.To); ok {
			return nil
		}
		return Invalid("to", "must be an e-mail address", "必须为邮箱地址")
	}
	return ErrNoSender
}

// Format is for every verb, as Secret's.
func (m Message) Format(f fmt.State, _ rune) { io.WriteString(f, m.String()) }

// Senders send one-time codes.
type Senders interface {
	// Can tells whether the pool has something to send by on that channel. It
	// asks nobody.
	Can(pool Pool, channel Channel) bool
	// Send returns when the provider has taken the message, which is before it
	// arrives. It takes ten seconds at most, and ends with ctx. Its errors are
	// ErrNoSender, the *InvalidError of Message.Validate, and a *SendError for
	// whatever else. Who may be sent how much is not its business.
	Send(ctx context.Context, pool Pool, channel Channel, m Message) error
}
