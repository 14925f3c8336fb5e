package sender

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"time"

	"app2wxapp/userpool"
)

// language returns the recipient's: "zh" or "en".
func (m message) language() string {
	if m.English {
		return "en"
	}
	return "zh"
}

// minutes returns how long the code holds, in whole minutes, rounded up.
func (m message) minutes() string {
	return strconv.Itoa(int(math.Ceil(float64(m.Life) / float64(time.Minute))))
}

// subject is without the code: subjects are shown on locked screens, and kept in
// the logs of mail servers.
func (m message) subject() string {
	if m.English {
		return m.pool.Name + ": verification code"
	}
	return "【" + m.pool.Name + "】验证码"
}

// lines are what an e-mail says before and after the code.
func (m message) lines() (before string, after []string) {
	switch test := m.Purpose == userpool.PurposeTest; {
	case m.English && test:
		return "A test of the sender. The code would be:", []string{"Nobody asked for it, and it is good for nothing."}
	case m.English:
		return "Your verification code:", []string{
			"It is valid for " + m.minutes() + " minutes. Give it to nobody.",
			"If you did not ask for it, ignore this message.",
		}
	case test:
		return "这是一封测试邮件，验证码示例：", []string{"该验证码没有实际用途。"}
	}
	return "您的验证码：", []string{m.minutes() + " 分钟内有效，请勿告诉他人。", "如非本人操作，请忽略本邮件。"}
}

// text is an e-mail for those who read plain text.
func (m message) text() string {
	before, after := m.lines()
	text := before + "\r\n\r\n    " + m.Code + "\r\n"
	for _, line := range after {
		text += "\r\n" + line
	}
	return text + "\r\n"
}

// page is the same in HTML, without pictures and links.
func (m message) page() string {
	before, after := m.lines()
	page := fmt.Sprintf(`<!doctype html><html lang="%s"><head><meta charset="utf-8"><title>%s</title></head><body>`+
		`<p>%s</p><p style="font-size:28px;letter-spacing:6px"><strong>%s</strong></p>`,
		m.language(), html.EscapeString(m.subject()), html.EscapeString(before), html.EscapeString(m.Code))
	for _, line := range after {
		page += "<p>" + html.EscapeString(line) + "</p>"
	}
	return page + "</body></html>\r\n"
}
