package sender_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"app2wxapp/userpool"
)

func bySMTP(addr string, how userpool.SMTPTLS) userpool.Sender {
	host, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port)
	return userpool.Sender{Provider: userpool.ProviderSMTP, SMTP: userpool.SMTPSender{
		Host: host, Port: n, TLS: how, From: "no-reply@shop.example.com", FromName: "小店",
	}}
}

// mailbox is a mail server and what it was given.
type mailbox struct {
	addr  string
	roots *x509.CertPool

	// What it says, nil for yes; n is how many letters it was offered before.
	sender, recipient, content func(n int) error
	password                   string // "" for none

	mu      sync.Mutex
	offered int
	letters []letter
	logins  []string
}

// letter is a mail as it came.
type letter struct {
	from, to string
	text     string
	secure   bool
}

// session implements smtp.Session and smtp.AuthSession.
type session struct {
	*mailbox
	conn *smtp.Conn
	letter
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }

func (s *session) say(answer func(int) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if answer == nil {
		return nil
	}
	return answer(s.offered)
}

func (s *session) AuthMechanisms() []string {
	if s.password == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.logins = append(s.logins, user)
		if password != s.password {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return s.say(s.sender)
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = to
	return s.say(s.recipient)
}

func (s *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	err = s.say(s.content)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offered++
	if err != nil {
		return err
	}
	s.text = string(b)
	_, s.secure = s.conn.TLSConnectionState()
	s.letters = append(s.letters, s.letter)
	return nil
}

// newMailbox starts a mail server; how is the way that it takes connections.
func newMailbox(t testing.TB, how userpool.SMTPTLS, options ...func(*mailbox)) *mailbox {
	t.Helper()
	m := &mailbox{}
	for _, o := range options {
		o(m)
	}
	cert, roots := certificate(t, "127.0.0.1")
	m.roots = roots
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &session{mailbox: m, conn: c}, nil }))
	server.Domain, server.AllowInsecureAuth = "mail.example.com", true
	server.ErrorLog = quiet{}
	on, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.addr = on.Addr().String()
	config := &tls.Config{Certificates: []tls.Certificate{cert}}
	switch how {
	case userpool.SMTPStartTLS:
		server.TLSConfig = config
	case userpool.SMTPImplicit:
		on = tls.NewListener(on, config)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(on)
	}()
	t.Cleanup(func() {
		server.Close()
		on.Close() // it may not have begun
		<-done
	})
	return m
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

// all returns the letters that it took.
func (m *mailbox) all() []letter {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]letter{}, m.letters...)
}

// read returns a letter's header and its parts by media type.
func (l letter) read(t testing.TB) (mail.Header, map[string]string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(l.text))
	if err != nil {
		t.Fatal(err)
	}
	media, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || media != "multipart/alternative" {
		t.Fatalf("Content-Type %s: %v", m.Header.Get("Content-Type"), err)
	}
	parts := map[string]string{}
	for r := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return m.Header, parts
		}
		if err != nil {
			t.Fatal(err)
		}
		if enc := p.Header.Get("Content-Transfer-Encoding"); enc != "quoted-printable" {
			t.Errorf("Content-Transfer-Encoding %s", enc)
		}
		b, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil {
			t.Fatal(err)
		}
		media, params, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
		if err != nil || !strings.EqualFold(params["charset"], "utf-8") {
			t.Errorf("part of %s", p.Header.Get("Content-Type"))
		}
		parts[media] = string(b)
	}
}

func decoded(t testing.TB, words string) string {
	t.Helper()
	text, err := new(mime.WordDecoder).DecodeHeader(words)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A mail says the code in text and in HTML, and not in its subject.
func TestMail(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		english       bool
		purpose       string
		subject, says string
		lang          string
	}{
		{false, "bind", "【Shop <&> 店】验证码", "5 分钟内有效", "zh"},
		{true, "bind", "Shop <&> 店: verification code", "valid for 5 minutes", "en"},
		{false, userpool.PurposeTest, "【Shop <&> 店】验证码", "测试", "zh"},
		{true, userpool.PurposeTest, "Shop <&> 店: verification code", "test", "en"},
	} {
		box := newMailbox(t, userpool.SMTPStartTLS)
		p := newPost(t, box.roots)
		m := email()
		m.English, m.Purpose = row.english, row.purpose
		to := pool(t, userpool.ChannelEmail, bySMTP(box.addr, ""))
		to.Name = "Shop <&> 店"
		if err := p.Send(t.Context(), to, userpool.ChannelEmail, m); err != nil {
			t.Fatal(err)
		}
		p.wantResult(userpool.ChannelEmail, "smtp", "sent")
		got := box.all()
		if len(got) != 1 || got[0].from != "no-reply@shop.example.com" || got[0].to != address || !got[0].secure {
			t.Fatalf("got %+v", got)
		}
		h, parts := got[0].read(t)
		if subject := decoded(t, h.Get("Subject")); subject != row.subject || strings.Contains(subject, code) {
			t.Errorf("subject %q, want %q", subject, row.subject)
		}
		if from := decoded(t, h.Get("From")); from != `"小店" <no-reply@shop.example.com>` && from != `小店 <no-reply@shop.example.com>` {
			t.Errorf("from %s", from)
		}
		if h.Get("To") != "<"+address+">" || h.Get("Auto-Submitted") != "auto-generated" || h.Get("Content-Language") != row.lang ||
			h.Get("Date") != "Sun, 22 Nov 2026 03:04:05 +0000" || !strings.HasSuffix(h.Get("Message-ID"), "@shop.example.com>") ||
			h.Get("User-Agent") != "" || h.Get("X-Mailer") != "" {
			t.Errorf("header %v", h)
		}
		for media, part := range parts {
			if !strings.Contains(part, code) || !strings.Contains(part, row.says) {
				t.Errorf("%s: %s", media, part)
			}
		}
		if len(parts) != 2 || strings.Contains(parts["text/html"], "<&>") || !strings.Contains(parts["text/html"], "&lt;&amp;&gt;") {
			t.Errorf("parts %v", parts)
		}
	}
}

// Each way of securing the connection, with and without signing in.
func TestMailTLS(t *testing.T) {
	t.Parallel()
	for _, how := range []userpool.SMTPTLS{userpool.SMTPStartTLS, userpool.SMTPImplicit, userpool.SMTPPlain} {
		for _, password := range []string{"", key} {
			box := newMailbox(t, how, func(m *mailbox) { m.password = password })
			s := bySMTP(box.addr, how)
			if password != "" {
				s.SMTP.Username, s.SMTP.Password = "shop", userpool.Secret(password)
			}
			what := fmt.Sprintf("%s, password %t", how, password != "")
			want(t, what, newPost(t, box.roots).send(userpool.ChannelEmail, s, email()), nil, "")
			if got := box.all(); len(got) != 1 || got[0].secure != (how != userpool.SMTPPlain) {
				t.Errorf("%s: %d letters", what, len(got))
			}
			if (len(box.logins) == 1) != (password != "") {
				t.Errorf("%s: logins %v", what, box.logins)
			}
		}
	}
}

// What is wrong with the operator's settings is told so, and nothing goes in the
// clear that should not.
func TestMailSetup(t *testing.T) {
	t.Parallel()
	withPassword := func(s userpool.Sender, password string) userpool.Sender {
		s.SMTP.Username, s.SMTP.Password = "shop", userpool.Secret(password)
		return s
	}
	secure := newMailbox(t, userpool.SMTPStartTLS, func(m *mailbox) { m.password = key })
	open := newMailbox(t, userpool.SMTPPlain)
	for name, row := range map[string]struct {
		p    *post
		s    userpool.Sender
		code string
	}{
		"wrong password":   {newPost(t, secure.roots), withPassword(bySMTP(secure.addr, ""), key+"-wrong"), "SMTP-535"},
		"unknown issuer":   {newPost(t, nil), bySMTP(secure.addr, ""), ""},
		"no STARTTLS":      {newPost(t, nil), bySMTP(open.addr, ""), ""},
		"no TLS":           {newPost(t, nil), bySMTP(open.addr, userpool.SMTPImplicit), ""},
		"no way to log in": {newPost(t, nil), withPassword(bySMTP(open.addr, userpool.SMTPPlain), key), ""},
	} {
		want(t, name, row.p.send(userpool.ChannelEmail, row.s, email()), userpool.ErrSenderSetup, row.code)
	}
	if n := len(secure.all()) + len(open.all()); n != 0 {
		t.Errorf("%d letters were sent", n)
	}
}

func reply(code int, enhanced smtp.EnhancedCode) func(int) error {
	return func(int) error {
		return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: "<" + address + "> " + code4() + " no"}
	}
}

// code4 is what a server could repeat of a letter.
func code4() string { return "code " + code }

func TestMailAnswers(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		set   func(*mailbox)
		means error
		code  string
	}{
		"no such mailbox":   {func(m *mailbox) { m.recipient = reply(550, smtp.EnhancedCode{5, 1, 1}) }, userpool.ErrRecipientRefused, "SMTP-550-5.1.1"},
		"relaying":          {func(m *mailbox) { m.recipient = reply(554, smtp.EnhancedCode{5, 7, 1}) }, userpool.ErrSenderSetup, "SMTP-554-5.7.1"},
		"greylisting":       {func(m *mailbox) { m.recipient = reply(450, smtp.EnhancedCode{4, 7, 1}) }, userpool.ErrSendFailed, "SMTP-450-4.7.1"},
		"sender not owned":  {func(m *mailbox) { m.sender = reply(553, smtp.EnhancedCode{5, 7, 1}) }, userpool.ErrSenderSetup, "SMTP-553-5.7.1"},
		"spam":              {func(m *mailbox) { m.content = reply(554, smtp.EnhancedCode{5, 7, 1}) }, userpool.ErrSenderSetup, "SMTP-554-5.7.1"},
		"full for a moment": {func(m *mailbox) { m.content = reply(452, smtp.EnhancedCode{4, 3, 1}) }, userpool.ErrSendFailed, "SMTP-452-4.3.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			box := newMailbox(t, userpool.SMTPStartTLS, row.set)
			want(t, name, newPost(t, box.roots).send(userpool.ChannelEmail, bySMTP(box.addr, ""), email()), row.means, row.code)
		})
	}
}

// What is refused for the time being is offered again, as the same letter.
func TestMailAgain(t *testing.T) {
	t.Parallel()
	box := newMailbox(t, userpool.SMTPStartTLS, func(m *mailbox) {
		m.content = func(n int) error {
			if n < 2 {
				return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "later"}
			}
			return nil
		}
	})
	want(t, "third try", newPost(t, box.roots).send(userpool.ChannelEmail, bySMTP(box.addr, ""), email()), nil, "")
	if got := box.all(); len(got) != 1 || box.offered != 3 {
		t.Errorf("%d letters, %d offered, want 1 of 3", len(got), box.offered)
	}
}

// A server that takes a letter and then says nothing more has taken it.
func TestMailFarewell(t *testing.T) {
	t.Parallel()
	on, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { on.Close() })
	letters := make(chan string, 10)
	go func() {
		for {
			c, err := on.Accept()
			if err != nil {
				return
			}
			go silentAfterData(c, letters)
		}
	}()
	want(t, "silent server", newPost(t, nil).send(userpool.ChannelEmail, bySMTP(on.Addr().String(), userpool.SMTPPlain), email()), nil, "")
	if len(letters) != 1 {
		t.Errorf("%d letters, want one", len(letters))
	}
}

// silentAfterData speaks SMTP up to the letter's end, and nothing from then on.
func silentAfterData(c net.Conn, letters chan<- string) {
	defer c.Close()
	fmt.Fprint(c, "220 here\r\n")
	r, inData, text := bufio.NewReader(c), false, ""
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch {
		case inData && line == ".\r\n":
			letters <- text
			fmt.Fprint(c, "250 taken\r\n")
			io.Copy(io.Discard, r)
			return
		case inData:
			text += line
		case strings.HasPrefix(line, "DATA"):
			inData = true
			fmt.Fprint(c, "354 go on\r\n")
		default:
			fmt.Fprint(c, "250 yes\r\n")
		}
	}
}

// Nothing that is put into a letter can become a header of its own.
func TestMailInjection(t *testing.T) {
	t.Parallel()
	box := newMailbox(t, userpool.SMTPStartTLS)
	p := newPost(t, box.roots)
	s := bySMTP(box.addr, "")
	s.SMTP.FromName = "Shop\r\nBcc: other@example.com"
	bad := userpool.Settings{Name: "Shop", AppID: "wx0", AppSecret: "s", Email: s}
	var invalid *userpool.InvalidError
	if err := bad.Validate(); !errors.As(err, &invalid) || invalid.Field != "senders.email.fromName" {
		t.Errorf("fromName with a line's end: %v", err)
	}
	// And if one came past Validate:
	if got := p.Send(t.Context(), userpool.Pool{ID: "p1", Settings: bad}, userpool.ChannelEmail, email()); !errors.Is(got, userpool.ErrSenderSetup) {
		t.Errorf("sent so: %v, want ErrSenderSetup", got)
	}
	s.SMTP.FromName = "Shop"
	if err := p.Send(t.Context(), userpool.Pool{ID: "p1", Settings: userpool.Settings{Name: "Shop\r\nBcc: other@example.com", Email: s}}, userpool.ChannelEmail, email()); err != nil {
		t.Fatal(err)
	}
	h, _ := box.all()[0].read(t)
	if h.Get("Bcc") != "" || len(box.all()) != 1 || box.all()[0].to != address {
		t.Errorf("header %v", h)
	}
}
