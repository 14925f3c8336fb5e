//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// shots are requests that differ in one value of fixed width, such as a ticket:
// nothing is built while the clock runs.
type shots struct {
	request []byte // complete, with any value in the slot
	slot    int    // where in the request the value stands
	width   int
	values  []byte // one after another
}

// newShots returns POST requests for the path; body has %s where the value goes.
func newShots(path, body string, values []string) shots {
	s := shots{width: len(values[0])}
	head, tail, _ := bytes.Cut([]byte(body), []byte("%s"))
	s.request = fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		path, len(head)+s.width+len(tail), head)
	s.slot = len(s.request)
	s.request = append(append(s.request, values[0]...), tail...)
	for _, v := range values {
		if len(v) != s.width {
			panic("values of different widths")
		}
		s.values = append(s.values, v...)
	}
	return s
}

func (s shots) len() int { return len(s.values) / s.width }

// value returns the i-th value; it begins again after the last.
func (s shots) value(i int) []byte {
	i %= s.len()
	return s.values[i*s.width : (i+1)*s.width]
}

// part returns the shots from one index to another.
func (s shots) part(from, to int) shots {
	s.values = s.values[from*s.width : to*s.width]
	return s
}

// sample returns n of the shots, or all if there are fewer, evenly spread.
func (s shots) sample(n int) shots {
	var values []byte
	n = min(n, s.len())
	for i := range n {
		values = append(values, s.value(i*s.len()/n)...)
	}
	s.values = values
	return s
}

// times returns each shot n times, one after another.
func (s shots) times(n int) shots {
	var values []byte
	for i := range s.len() {
		values = append(values, bytes.Repeat(s.value(i), n)...)
	}
	s.values = values
	return s
}

// volley is what came of firing shots.
type volley struct {
	took      time.Duration
	latencies []time.Duration // of all requests, in no order
	statuses  []int           // by shot
	odd       []byte          // the body of an answer that was not 200, nil if all were
}

// fire sends n requests over that many connections, each after the answer to
// the one before. keep, which may be nil, is given every answer's body; it is
// called from several goroutines and must not hold on to it.
func fire(addr string, connections int, s shots, n int, keep func(i int, body []byte)) (volley, error) {
	v := volley{statuses: make([]int, n)}
	conns := make([]net.Conn, connections)
	defer func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	}()
	for i := range conns {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return v, err
		}
		conns[i] = c
		c.SetDeadline(time.Now().Add(2 * time.Minute))
	}

	var next atomic.Int64
	var wg sync.WaitGroup
	latencies, odd, errs := make([][]time.Duration, connections), make([][]byte, connections), make([]error, connections)
	start := time.Now()
	for i, c := range conns {
		latencies[i] = make([]time.Duration, 0, 2*n/connections+16)
		wg.Go(func() {
			request, answers := bytes.Clone(s.request), reader{conn: c}
			for {
				k := int(next.Add(1)) - 1
				if k >= n {
					return
				}
				copy(request[s.slot:], s.value(k))
				sent := time.Now()
				if _, errs[i] = c.Write(request); errs[i] != nil {
					return
				}
				status, body, err := answers.next()
				if err != nil {
					errs[i] = fmt.Errorf("answer %d: %w", k, err)
					return
				}
				latencies[i] = append(latencies[i], time.Since(sent))
				v.statuses[k] = status
				if status != 200 && odd[i] == nil {
					odd[i] = bytes.Clone(body)
				}
				if keep != nil {
					keep(k, body)
				}
			}
		})
	}
	wg.Wait()
	v.took = time.Since(start)
	for i := range conns {
		v.latencies = append(v.latencies, latencies[i]...)
		if odd[i] != nil {
			v.odd = odd[i]
		}
	}
	return v, errors.Join(errs...)
}

// reader reads answers off a connection. It knows as much of HTTP/1.1 as Go's
// server says to a short answer: a status line, headers, Content-Length.
type reader struct {
	conn net.Conn
	buf  [16 << 10]byte
}

var (
	headerEnd     = []byte("\r\n\r\n")
	contentLength = []byte("\r\nContent-Length: ")
)

// next returns the answer to the one request that was sent; body is valid until
// the next call.
func (r *reader) next() (status int, body []byte, err error) {
	start := -1 // of the body
	for have, end := 0, len(r.buf); have < end; {
		n, err := r.conn.Read(r.buf[have:end])
		if err != nil {
			return 0, nil, err
		}
		have += n
		if start >= 0 {
			continue
		}
		i := bytes.Index(r.buf[:have], headerEnd)
		if i < 0 {
			continue
		}
		var length int
		if status, length, err = parseHead(r.buf[:i+2]); err != nil {
			return 0, nil, err
		}
		start = i + len(headerEnd)
		if end = start + length; end > len(r.buf) || have > end {
			return 0, nil, fmt.Errorf("a body of %d bytes does not fit what came", length)
		}
		body = r.buf[start:end]
	}
	if start < 0 {
		return 0, nil, errors.New("the headers do not end")
	}
	return status, body, nil
}

// parseHead returns the status and the length of the body.
func parseHead(head []byte) (status, length int, err error) {
	if len(head) < 12 || string(head[:9]) != "HTTP/1.1 " {
		return 0, 0, io.ErrUnexpectedEOF
	}
	if status, err = strconv.Atoi(string(head[9:12])); err != nil {
		return 0, 0, err
	}
	_, rest, ok := bytes.Cut(head, contentLength)
	if !ok {
		return 0, 0, errors.New("no Content-Length")
	}
	digits, _, _ := bytes.Cut(rest, []byte("\r\n"))
	length, err = strconv.Atoi(string(digits))
	return status, length, err
}
