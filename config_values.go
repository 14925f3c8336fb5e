package main

import (
	"cmp"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"app2wxapp/store"
	"app2wxapp/userpool"
)

// What a setting can be.

// field makes a setting's set: parse the text and keep what it gives.
func field[T any](at func(*Config) *T, parse func(string) (T, error)) func(*Config, string) error {
	return func(c *Config, text string) (err error) {
		*at(c), err = parse(text)
		return err
	}
}

func refuse(when bool, reason string) error {
	if when {
		return errors.New(reason)
	}
	return nil
}

func refusePort(port string) error {
	_, err := strconv.ParseUint(port, 10, 16)
	return refuse(err != nil, "has a port that is not a number from 0 to 65535")
}

const nameChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-"

func listenAddr(text string) (string, error) {
	host, port, err := net.SplitHostPort(text)
	_, notIP := netip.ParseAddr(host)
	return text, cmp.Or(refuse(err != nil, "is not host:port"), refusePort(port),
		refuse(notIP != nil && strings.Trim(host, nameChars) != "", "has a host that is neither an address nor a name"))
}

func webURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return "", errors.New("is not a URL that begins with https:// or http://")
	}
	return strings.TrimRight(text, "/"), cmp.Or(
		refuse(u.Hostname() == "", "has no host"),
		refuse(u.User != nil, "has a user name or password in it"),
		refuse(strings.ContainsAny(text, "?#"), "has a query or fragment (? or #)"),
		refusePort(cmp.Or(u.Port(), "0")))
}

// wechatURL insists on https, as an AppSecret travels in the query; only what
// never leaves this machine may do without.
func wechatURL(text string) (string, error) {
	base, err := webURL(text)
	u, _ := url.Parse(base)
	if err != nil || u.Scheme == "https" || u.Hostname() == "localhost" {
		return base, err
	}
	ip, _ := netip.ParseAddr(u.Hostname())
	return base, refuse(!ip.IsLoopback(), "is not https and would send AppSecrets in the clear")
}

func storeURL(text string) (userpool.Secret, error) {
	if err := store.Check(text); err != nil {
		return "", err
	}
	return userpool.Secret(text), nil
}

// adminToken insists on visible ASCII, as the token travels in a header.
func adminToken(text string) (userpool.Secret, error) {
	odd := func(c rune) bool { return c <= ' ' || c > '~' }
	return userpool.Secret(text), cmp.Or(refuse(len(text) < 32, "is shorter than 32 characters"),
		refuse(strings.ContainsFunc(text, odd), "has whitespace or characters outside ASCII in it"))
}

func keyText(text string) (userpool.Secret, error) {
	_, err := decodeKey(text)
	return userpool.Secret(text), err
}

// wechatTimeout stops at 10 s: the answer to the mini program is cut off by the
// server's write time-out after 15 s.
func wechatTimeout(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	return d, cmp.Or(refuse(err != nil, "is not a duration with its unit"),
		refuse(d <= 0, "is not more than zero"), refuse(d > 10*time.Second, "is too long"))
}

// drainDelay stops at two minutes: whoever sent the signal waits for the end.
func drainDelay(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	return d, cmp.Or(refuse(err != nil, "is not a duration with its unit"),
		refuse(d < 0, "is less than zero"), refuse(d > 2*time.Minute, "is too long"))
}

// errorPrefix is short: whatever it is stands before every code.
func errorPrefix(text string) (string, error) {
	word, dot := strings.CutSuffix(text, ".")
	return text, refuse(!dot || word == "" || len(word) > 32 || strings.Trim(word, nameChars) != "", "is not a word with a dot after it")
}

func prefixes(text string) (all []netip.Prefix, err error) {
	for item := range strings.SplitSeq(text, ",") {
		item = strings.TrimSpace(item)
		if item == "aliyun" || item == "tencent" {
			// Both reserve it for their load balancers; no customer has an address in it:
			// https://www.alibabacloud.com/help/en/slb/classic-load-balancer/user-guide/health-check-overview
			// https://cloud.tencent.com/document/product/214/65860
			// Not 9.0.0.0/8, from which old CLBs connect: in the Internet it is
			// IBM's, and whoever sits there could forge a client address.
			item = "100.64.0.0/10"
		}
		p, err := netip.ParsePrefix(item)
		if ip, notIP := netip.ParseAddr(item); notIP == nil {
			p, err = netip.PrefixFrom(ip, ip.BitLen()), nil
		}
		if err == nil && p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		if err := cmp.Or(refuse(err != nil, "is neither an address, a CIDR nor a preset"),
			refuse(p.Bits() == 0, "trusts everybody, who could then forge their address")); err != nil {
			return nil, err
		}
		if p = p.Masked(); !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all, nil
}

func anyText(text string) (string, error) { return text, nil }

func logLevel(text string) (level slog.Level, err error) {
	err = level.UnmarshalText([]byte(text))
	return level, refuse(err != nil, "is not a log level")
}

func logFormat(text string) (string, error) {
	return text, refuse(text != "json" && text != "text", "is not a log format")
}
