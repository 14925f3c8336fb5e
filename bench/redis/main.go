// Command redis is the bench's rival: echo in front of Redis. It is driven as
// the bench's other servers are (../child.go): an order, then "usage".
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/redis/go-redis/v9"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench/redis:", err)
		os.Exit(1)
	}
}

func run() error {
	lines, answers := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	var order struct {
		Network, Redis, Secret string
		Helped, Lua            bool
	}
	lines.Scan()
	if err := json.Unmarshal(lines.Bytes(), &order); err != nil {
		return err
	}
	if order.Helped {
		debug.SetGCPercent(300) // as the bench's other servers have it
	}
	s := &server{
		db:     redis.NewClient(&redis.Options{Network: order.Network, Addr: order.Redis}),
		secret: order.Secret, lua: order.Lua, finished: order.Helped,
	}
	e := echo.New()
	e.POST("/oauth/app2wxapp/auth/:pool", s.redeem)
	on, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go http.Serve(on, e)
	if err := answers.Encode(map[string]string{"Public": on.Addr().String()}); err != nil {
		return err
	}
	for lines.Scan() {
		used, err := s.usage()
		if err != nil {
			return err
		}
		if err := answers.Encode(map[string]time.Duration{"CPU": used}); err != nil {
			return err
		}
	}
	return lines.Err()
}

var usedCPU = regexp.MustCompile(`(?m)^used_cpu_(?:sys|user):([0-9.]+)`)

// usage returns the processor time that this process and Redis have taken.
func (s *server) usage() (time.Duration, error) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0, err
	}
	used := time.Duration(r.Utime.Nano() + r.Stime.Nano())
	info, err := s.db.Info(context.Background(), "cpu").Result()
	for _, m := range usedCPU.FindAllStringSubmatch(info, -1) {
		seconds, _ := strconv.ParseFloat(m[1], 64)
		used += time.Duration(seconds * float64(time.Second))
	}
	return used, err
}
