# make run     start the server with config.yaml
# make test    everything that must hold: lint, all tests with the race detector
# make lint    format, vet, staticcheck, module hygiene, import walls
# make build   the static release binary, dist/app2wxapp
# make fuzz    each fuzz target for FUZZTIME (default 1m)
# make crash   the kill -9 test, 100 rounds
# make mutants plant known defects in a copy and expect the tests to notice each
# make bench   load against a bare handler; see bench/README.md

SHELL       := /bin/bash
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME    ?= 1m

.PHONY: run build test lint tools fuzz crash mutants bench

run:
	go run . serve

build:
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o dist/app2wxapp .

test: tools lint
	go test -race -shuffle=on -timeout 20m ./...

# The browser tests need Chromium; nothing else is installed.
tools:
	@test -x /usr/bin/chromium || { apt-get update -q && apt-get install -y -q --no-install-recommends chromium; }

lint:
	@out=$$(gofmt -l .); test -z "$$out" || { echo "gofmt would change:"; echo "$$out"; exit 1; }
	go mod tidy -diff
	go mod verify
	go vet ./...
	$(STATICCHECK) ./...
	@! git grep -n 'labstack/echo' -- '*.go' ':!bridge/' || { echo "echo is imported only under bridge/"; exit 1; }
	@! git grep -nE 'go.etcd.io/bbolt|jackc/pgx' -- '*.go' ':!store/' ':!bench/' || { echo "database drivers are imported only under store/"; exit 1; }

fuzz:
	@set -e; for pkg in $$(go list ./...); do \
	  for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$target"; go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; done

crash:
	go test -race -run TestKill -timeout 60m . -args -kill.rounds=100

mutants:
	go run ./mutants

bench:
	go run ./bench
