# make run     start the server with config.yaml
# make test    everything that must hold: lint, all tests with the race detector, those of rules
#              and through HTTP on either store, each fuzz target for TESTFUZZ (default 5s; CI: 1m)
# make lint    format, vet, staticcheck, gosec, module hygiene, import walls; known vulnerabilities where there is a database
# make build   the static release binary, dist/app2wxapp
# make gosec   the security lint alone
# make vuln    known vulnerabilities alone, by the database in VULNDB; skipped without one
# make fuzz    each fuzz target for FUZZTIME (default 10m: an hour in all, two at a time)
# make history concurrent histories and the machine over HTTP, long
# make crash   the kill -9 test, 100 rounds
# make soak    the long forms of the crash proofs, SOAKTIME at most for each; see docs/reliability.md
# make mutants plant known defects in a copy and expect the tests to notice each
# make bench   load against a bare handler; see bench/README.md

SHELL       := /bin/bash
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOSEC       := go run github.com/securego/gosec/v2/cmd/gosec@v2.22.8
GOVULNCHECK := go run golang.org/x/vuln/cmd/govulncheck@v1.1.4
FUZZTIME    ?= 10m
TESTFUZZ    ?= 5s
HISTORYOPS  ?= 200000
SOAKTIME    ?= 60m

# Tests of the program that choose their stores themselves, and take long: a
# second time would prove nothing. What is not here runs on either store.
ONESTORE    := ^(TestReplicasRace|TestReplicasKilled|TestPostgresCrashes|TestRollingRestart|TestPostgresInTrouble|TestOverloadOfStore|TestLimitsOfReplicas|TestServeOnPostgres|TestStoreMigrateCommand|TestBackupCommand)$$

.PHONY: run build test lint tools fuzz fuzz-target crash soak mutants bench gosec vuln history

run:
	go run . serve

build:
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o dist/app2wxapp .

test: tools lint
	go test -race -shuffle=on -timeout 20m ./...
	APP2WXAPP_TEST_STORE=postgres go test -race -shuffle=on -timeout 20m -skip '$(ONESTORE)' . ./bridge/... ./ticket ./userpool ./wechat/sandbox/demo
	cd deploy/check && go vet ./... && go test -count=1 ./... # the manifests lie outside, where the cache does not look
	cd bridge/casdoor/sdk && go vet ./... && go test -race -timeout 5m ./... && APP2WXAPP_TEST_STORE=postgres go test -race -timeout 5m ./...
	$(MAKE) --no-print-directory fuzz FUZZTIME=$(TESTFUZZ)

# The browser tests need Chromium, those of replicas and store/postgres the
# server and PgBouncer, those of foreign clients Node.js 20 or later and what
# their lock files name; nothing else is installed. The package of the server
# makes a cluster of its own and starts it, which the tests have no use for.
# With APP2WXAPP_TEST_POSTGRES most tests use that server; those that stop one,
# or let its disk fill, start their own all the same.
NODECLIENTS := bridge/oauth/testdata/clients bridge/clients

tools:
	@test -x /usr/bin/chromium || { apt-get update -q && apt-get install -y -q --no-install-recommends chromium; }
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { apt-get update -q && apt-get install -y -q --no-install-recommends postgresql; }
	@test -x /usr/sbin/pgbouncer || { apt-get update -q && apt-get install -y -q --no-install-recommends pgbouncer; }
	@command -v npm >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends nodejs npm; }
	@for dir in $(NODECLIENTS); do cmp -s $$dir/package-lock.json $$dir/node_modules/.installed || \
	  { (cd $$dir && npm ci --no-audit --no-fund) && cp $$dir/package-lock.json $$dir/node_modules/.installed; } || exit 1; done

lint: gosec vuln
	@out=$$(gofmt -l .); test -z "$$out" || { echo "gofmt would change:"; echo "$$out"; exit 1; }
	go mod tidy -diff
	go mod verify
	go vet ./...
	$(STATICCHECK) ./...
	@! git grep -n 'labstack/echo' -- '*.go' ':!bridge/' ':!bench/redis/' || { echo "echo is imported only under bridge/"; exit 1; }
	@! git grep -nE 'go.etcd.io/bbolt|jackc/pgx|pressly/goose' -- '*.go' ':!store/' ':!bench/' || { echo "database drivers are imported only under store/"; exit 1; }

# bench is a load driver and no part of the program.
gosec:
	$(GOSEC) -quiet -severity medium -confidence medium -exclude-dir=bench -exclude-dir=bare ./...

vuln:
	@if test -z "$(VULNDB)"; then echo "vuln: skipped: no database (set VULNDB to a folder; this is not a pass)"; \
	else $(GOVULNCHECK) -db "file://$(VULNDB)" ./...; fi

history:
	go test -race -count=1 -timeout 60m -run '^TestHistory' ./store/bolt ./store/postgres ./bridge -args -history.ops=$(HISTORYOPS)
	go test -race -count=1 -timeout 60m -run '^TestMachine$$' ./bridge -rapid.checks=1000 -args -machine.for=30m
	APP2WXAPP_TEST_STORE=postgres go test -race -count=1 -timeout 60m -run '^TestMachine$$' ./bridge -rapid.checks=1000 -args -machine.for=10m

# Two targets at a time, each with one worker.
fuzz:
	@git grep -o '^func Fuzz[A-Za-z]*' -- '*_test.go' | sed 's|^|./|; s|:func | |' | \
	  while read file target; do echo "$$(dirname $$file) $$target"; done | \
	  xargs -P 2 -L 1 sh -c '$(MAKE) --no-print-directory fuzz-target PKG=$$0 TARGET=$$1'

# A run may end with the target's own deadline and nothing found, which the go
# command reports as a failure: only a failing input is one.
fuzz-target:
	@out=$$(mktemp); trap 'rm -f "$$out"' EXIT; \
	  go test -run '^$$' -fuzz '^$(TARGET)$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 10x -parallel 1 $(PKG) >"$$out" 2>&1 || \
	  { grep -q 'context deadline exceeded' "$$out" && ! grep -q 'Failing input written' "$$out"; } || { cat "$$out"; exit 1; }; \
	  echo "$(PKG) $(TARGET): $$(grep -o 'execs: [0-9]*' "$$out" | tail -n 1), no finds"

crash:
	go test -race -run TestKill -timeout 60m . -args -kill.rounds=100

soak:
	go test -v -timeout $(SOAKTIME) -run 'TestPowerLoss$$' ./store/bolt -args -powerloss.states=80000
	go test -v -timeout $(SOAKTIME) -run 'TestCallFails|TestDiskFull|TestFileSizeLimit|TestReadOnly' ./store/bolt -args -faults.all
	go test -v -timeout $(SOAKTIME) -run 'TestBitFlips$$' ./store/bolt -args -flips=4000 -flips.seed=0
	go test -race -v -timeout $(SOAKTIME) -run TestKill . -args -kill.rounds=200
	go test -v -timeout $(SOAKTIME) -run 'TestReplicas|TestPostgresCrashes|TestRollingRestart' . \
	  -args -race.tickets=2000 -replica.kills=30 -postgres.crashes=20 -rolling.restarts=5
	go test -race -v -timeout $(SOAKTIME) -run 'TestWeChatHangs|TestOverload|TestSlowClients' . -args -wechat.hangs=3m -overload.for=10s
	$(MAKE) history
	$(MAKE) fuzz FUZZTIME=1m

mutants: tools
	go run ./mutants

bench:
	go run ./bench
