package openapi

import (
	"html"
	"strconv"
	"strings"
)

// sheet is the page as it is written. html/template would do the same, and keep
// every exported method in the program: 3.6 MB more of it.
type sheet struct{ strings.Builder }

// put writes markup, each %s of it replaced by one of the texts, escaped.
func (s *sheet) put(markup string, texts ...string) {
	for i, part := range strings.Split(markup, "%s") {
		if i > 0 {
			s.WriteString(html.EscapeString(texts[i-1]))
		}
		s.WriteString(part)
	}
}

// prose writes a text as paragraphs, code marked.
func (s *sheet) prose(text string) {
	for paragraph := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		if paragraph != "" {
			s.WriteString("<p>" + code.ReplaceAllString(html.EscapeString(paragraph), "<code>$1</code>") + "</p>")
		}
	}
}

func (s *sheet) group(g group) {
	s.put(`<section id="%s"><h2>%s</h2>`+"\n", g.Name, g.Title)
	for _, o := range g.Operations {
		s.operation(o)
	}
	s.put("</section>\n")
}

func (s *sheet) operation(o operation) {
	s.put(`<details id="%s"><summary><b class="%s">%s</b> <code>%s</code> <span>%s</span></summary><div class="operation">`+"\n", o.ID, o.Method, o.Method, o.Path, o.Title)
	s.prose(o.Description)
	for i, path := range o.Also {
		s.put(map[bool]string{true: `<p class="also">别名 Also: `, false: ", "}[i == 0]+"<code>%s</code>", path)
	}
	if o.Also != nil {
		s.put("</p>")
	}
	if o.Security != nil {
		s.put("<h3>鉴权 Authorization</h3><ul>")
		for _, way := range o.Security {
			s.put("<li>")
			s.prose(way)
			s.put("</li>")
		}
		s.put("</ul>")
	}
	if o.Parameters != nil {
		s.put("<h3>参数 Parameters</h3>")
		s.rows(o.Parameters)
	}
	if o.Bodies != nil {
		s.put("<h3>请求体 Body</h3>")
		s.bodies(o.Bodies)
	}
	s.put("<h3>返回 Answers</h3>\n")
	for _, a := range o.Answers {
		s.put(`<details class="answer"><summary><b class="status s%s">%s</b> `, a.Status[:1], a.Status)
		s.prose(a.Description)
		s.put("</summary>")
		s.bodies(a.Bodies)
		s.put("</details>\n")
	}
	if o.Curls != nil {
		s.put("<h3>示例 Examples</h3>\n")
	}
	for _, c := range o.Curls {
		s.put(`<figure><figcaption>%s</figcaption><pre><code>%s</code></pre><pre><code><b>%s</b>`+"\n%s</code></pre></figure>\n", c.Name, c.Command, strconv.Itoa(c.Status), c.Answer)
	}
	s.put("</div></details>\n")
}

func (s *sheet) bodies(all []body) {
	for _, b := range all {
		s.put(`<p class="media"><code>%s</code></p>`, b.Type)
		for _, v := range b.Variants {
			if v.Name != "" {
				s.put("<h4>%s</h4>", v.Name)
			}
			s.rows(v.Rows)
		}
	}
}

func (s *sheet) rows(all []row) {
	s.put("<dl>")
	for _, r := range all {
		s.put("<dt>")
		if r.Name != "" {
			s.put("<code>%s</code>", r.Name)
		}
		if r.Required {
			s.put(`<i title="required">*</i>`)
		}
		s.put(` <small>%s</small> <span class="type">%s</span></dt><dd>`, r.Where, r.Type)
		s.prose(r.Description)
		s.put("</dd>")
	}
	s.put("</dl>")
}
