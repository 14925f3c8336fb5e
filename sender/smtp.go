package sender

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"app2wxapp/userpool"
)

// mailServer sends e-mails by SMTP.
//
// What is refused for the time being (4xx), and what breaks off, is sent again,
// also where the server may have taken it: a second mail has the same Message-ID
// and the same code, costs nothing, and harms nobody.
type mailServer struct {
	*Service
	to userpool.SMTPSender
}

func (s mailServer) try(ctx context.Context, m message) (again bool, err error) {
	letter, err := s.letter(m)
	if err != nil {
		return false, err
	}
	var conn net.Conn
	client, err := mail.NewClient(s.to.Host, append(s.options(), mail.WithDialContextFunc(func(within context.Context, network, address string) (net.Conn, error) {
		var err error
		if conn, err = s.dial(within, network, address); err == nil {
			// The library heeds ctx no longer than here.
			context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
		}
		return conn, err
	}))...)
	if err != nil {
		return false, refusal{means: userpool.ErrSenderSetup, cause: errors.New("host or port")}
	}
	// It leaves connections open that fail while they begin.
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	session, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return judgeGreeting(ctx, err)
	}
	if err := client.SendWithSMTPClient(session, letter); err != nil && !letter.IsDelivered() {
		return judgeLetter(ctx, err)
	}
	// The letter is the server's now: nothing that goes wrong with a farewell
	// concerns it, and nobody waits for the answer long.
	_ = conn.SetDeadline(time.Now().Add(farewell))
	_ = client.CloseWithSMTPClient(session)
	return false, nil
}

// farewell is how long a server has to answer to QUIT.
const farewell = 300 * time.Millisecond

// options are those of the library.
func (s mailServer) options() []mail.Option {
	o := []mail.Option{mail.WithPort(s.to.Port), mail.WithTimeout(tryTimeout), mail.WithoutNoop(), mail.WithoutRset(), mail.WithTLSPolicy(mail.NoTLS)}
	if s.to.TLS == userpool.SMTPStartTLS {
		o = append(o, mail.WithTLSPolicy(mail.TLSMandatory), mail.WithTLSConfig(s.config()))
	}
	if s.to.Username == "" {
		return o
	}
	// What the server offers of these. The password goes in the clear on loopback
	// only: userpool.SMTPSender is not valid otherwise.
	auth := []mail.SMTPAuthType{mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthPlain, mail.SMTPAuthLogin}
	if s.to.TLS == userpool.SMTPPlain && userpool.Loopback(s.to.Host) {
		auth = []mail.SMTPAuthType{mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthPlainNoEnc, mail.SMTPAuthLoginNoEnc}
	}
	return append(o, mail.WithOpportunisticSMTPAuth(auth...), mail.WithUsername(s.to.Username), mail.WithPassword(string(s.to.Password)))
}

func (s mailServer) config() *tls.Config {
	c := s.tls.Clone()
	c.ServerName = s.to.Host
	return c
}

// dial connects, with TLS where that comes first.
func (s mailServer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := &net.Dialer{Timeout: connectTimeout}
	if s.to.TLS == userpool.SMTPImplicit {
		return (&tls.Dialer{NetDialer: d, Config: s.config()}).DialContext(ctx, network, address)
	}
	return d.DialContext(ctx, network, address)
}

// letter returns the e-mail. Nothing in it can begin another header: addresses
// are parsed, and other texts are encoded as words of RFC 2047 where they are not
// plain.
func (s mailServer) letter(m message) (*mail.Msg, error) {
	l := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := l.FromFormat(s.to.FromName, s.to.From); err != nil {
		return nil, refusal{means: userpool.ErrSenderSetup, cause: errors.New("from or fromName")}
	}
	if err := l.To(m.To); err != nil {
		return nil, refusal{means: userpool.ErrRecipientRefused, cause: errors.New("not an address that mail servers take")}
	}
	_, domain, _ := strings.Cut(s.to.From, "@")
	l.SetMessageIDWithValue(m.id + "@" + domain)
	l.SetDateWithValue(s.now())
	l.Subject(m.subject())
	l.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: nobody is to answer
	l.SetGenHeader("Content-Language", m.language())
	l.SetBodyString(mail.TypeTextPlain, m.text())
	l.AddAlternativeString(mail.TypeTextHTML, m.page())
	return l, nil
}

// judgeGreeting returns what it means that no session came about: connection,
// greeting, TLS, authentication.
func judgeGreeting(ctx context.Context, err error) (again bool, _ error) {
	var reply *textproto.Error
	switch {
	case ctx.Err() != nil || isTimeout(err):
		return true, failed(networkCause(errors.Join(ctx.Err(), err)))
	case badCertificate(err) != nil:
		return false, refusal{means: userpool.ErrSenderSetup, cause: badCertificate(err)}
	case errors.As(err, &reply) && reply.Code/100 == 4:
		return true, refusal{means: userpool.ErrSendFailed, code: smtpCode(reply.Code, "")}
	case errors.As(err, &reply):
		return false, refusal{means: userpool.ErrSenderSetup, code: smtpCode(reply.Code, "")}
	case isNetwork(err):
		return true, failed(networkCause(err))
	}
	return false, refusal{means: userpool.ErrSenderSetup, cause: errors.New("the server offers no STARTTLS, or no way to sign in that is safe")}
}

// judgeLetter returns what it means that a letter was not taken.
func judgeLetter(ctx context.Context, err error) (again bool, _ error) {
	var e *mail.SendError
	if ctx.Err() != nil || !errors.As(err, &e) || e.ErrorCode() == 0 {
		return true, failed(networkCause(errors.Join(ctx.Err(), err)))
	}
	r := refusal{means: userpool.ErrSendFailed, code: smtpCode(e.ErrorCode(), e.EnhancedStatusCode())}
	policy := strings.HasPrefix(e.EnhancedStatusCode(), "5.7.")
	switch {
	case e.ErrorCode()/100 == 4:
		return true, r
	case e.Reason == mail.ErrSMTPRcptTo && !policy:
		r.means = userpool.ErrRecipientRefused
	default: // relaying, the sender's address, the content
		r.means = userpool.ErrSenderSetup
	}
	return false, r
}

// isNetwork tells whether the connection is to blame.
func isNetwork(err error) bool {
	var n net.Error
	return errors.As(err, &n) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// smtpCode returns a reply's code, with the enhanced one of RFC 3463 if there is
// one: "SMTP-550-5.1.1".
func smtpCode(code int, enhanced string) string {
	text := "SMTP-" + strconv.Itoa(code)
	if enhanced != "" {
		text = fmt.Sprintf("%s-%s", text, enhanced)
	}
	return text
}
