# Everything that is done with this repository, one target each. `make help` lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# How long `make fuzz` spends on one target, which group `make bench` runs, and on which broker, and how much of it,
# `make chaos`: 1 is 100,000 messages.
FUZZTIME ?= 60s
GROUP ?= http
BROKER ?= nats
SCALE ?= 1

# Tools are run at these versions and are in no go.mod of ours.
GOLANGCI_LINT := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK := go run golang.org/x/vuln/cmd/govulncheck@v1.9.0

# Every module, from its go.mod; those of the benchmarks are in no workspace.
MODULES := $(sort $(patsubst %/,%,$(dir $(shell git ls-files go.mod '*/go.mod'))))

# Packages with tests that talk to the servers of scripts/services, or have the clients of scripts/tools.
REAL := ./transport/grpcserver ./metrics/... ./pubsub/kafkapubsub/... ./pubsub/natspubsub/... ./pubsub/sqspubsub/... ./sqlx/sqlxtest/... ./examples/... ./transport/httpserver/...

# $(call each,COMMAND) runs the command in every module, as a user has it: without the workspace.
each = @for m in $(MODULES); do echo "== $$m: $(1)"; (cd $$m && GOWORK=off $(1)); done

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## Start the shop: six services, a broker and their databases, until Ctrl-C
	go run ./examples/shop

# The race detector needs cgo, and that a C compiler; without one the tests still run.
RACE := $(shell [[ $$(go env CGO_ENABLED) == 1 ]] && command -v "$$(go env CC)" >/dev/null && echo -race)

# For one package, on a slow machine that others use too.
TIMEOUT := -timeout 30m

.PHONY: test
test: ## Test every module, with the race detector where there is a C compiler
	go test $(RACE) $(TIMEOUT) work
	@for m in $(filter benchmarks/%,$(MODULES)); do echo "== $$m"; (cd $$m && GOWORK=off go test $(RACE) $(TIMEOUT) ./...); done
	# The test cache does not see the README, which is outside of the module that compiles its Go.
	go test -count=1 -run TestReadme ./examples

.PHONY: check
check: fmt vet lint vuln isolated tidy-diff test demo consume bench-smoke ## All that a change must pass but test-real

.PHONY: test-real
test-real: ## Test against real servers, which are started, and ended whatever happens (scripts/services)
	@scripts/tools; trap 'scripts/services down' EXIT; scripts/services up; eval "$$(scripts/services env)"; set -x; \
	MAINSTAY_TEST_REAL=1 go test -race $(TIMEOUT) -count=1 -v $(REAL) 2>&1 | go run ./pubsub/pubsubtest/casetable

# The service of scripts/services that a broker comes with: SQS needs none, it is sqstest.
SERVICE_sqs := postgres

.PHONY: chaos
chaos: ## Kill consumers and stop a broker while messages travel: make chaos BROKER=nats|kafka|sqs SCALE=1
	@scripts/services install postgres $(or $(SERVICE_$(BROKER)),$(BROKER))
	cd benchmarks/chaos && GOWORK=off go run . -broker $(BROKER) -scale $(SCALE)

.PHONY: bench
bench: ## Run a group of benchmarks beside its peers: make bench GROUP=http
	cd benchmarks/$(GROUP) && GOWORK=off go run .

.PHONY: bench-smoke
bench-smoke: ## Run each group of benchmarks for a moment
	@for m in $(filter-out benchmarks/bench benchmarks/chaos,$(filter benchmarks/%,$(MODULES))); do \
		echo "== $$m"; (cd $$m && GOWORK=off go run . -quick); \
	done

# Without a bound on how long an input is made shorter, one long text takes a target's whole minute.
.PHONY: fuzz
fuzz: ## Run every fuzz target for a while: make fuzz FUZZTIME=60s
	@git grep -n '^func Fuzz' -- '*_test.go' | sed -E 's/^([^:]*)\/[^:]*:[0-9]+:func (Fuzz[A-Za-z0-9_]*).*/\1 \2/' | \
	while read -r dir name; do \
		echo "== $$dir: $$name"; \
		(cd "$$dir" && go test -run='^$$' -fuzz="^$$name\$$" -fuzztime=$(FUZZTIME) -fuzzminimizetime=1000x .); \
	done

.PHONY: fmt
fmt: ## Say which files gofmt would change
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); [[ -z $$unformatted ]] || { echo "gofmt: $$unformatted"; exit 1; }

.PHONY: vet
vet: ## go vet every module of the workspace
	go vet work

.PHONY: lint
lint: ## Run golangci-lint on every module (.golangci.yml)
	$(call each,$(GOLANGCI_LINT) run --allow-parallel-runners ./...)

.PHONY: vuln
vuln: ## Look for known vulnerabilities, where their database can be reached
	@for m in $(MODULES); do echo "== $$m: govulncheck"; \
		out=$$(cd $$m && GOWORK=off $(GOVULNCHECK) ./... 2>&1) && continue; \
		if grep -q 'fetching vulnerabilities' <<<"$$out"; then echo "govulncheck: skipped: database out of reach"; break; fi; \
		echo "$$out"; exit 1; \
	done

.PHONY: isolated
isolated: ## Build and vet every module without the workspace
	$(call each,go build -o /dev/null ./...)
	$(call each,go vet ./...)

.PHONY: tidy
tidy: ## Tidy every go.mod
	$(call each,go mod tidy)

.PHONY: tidy-diff
tidy-diff: ## Say what tidy would change
	$(call each,go mod tidy -diff)

.PHONY: demo
demo: ## Run the shop's trial: 500 orders while services are killed and messages duplicated and poisoned
	go run ./examples/shop -demo

.PHONY: consume
consume: ## Get one package at a time as a stranger would, and hold its cost to the budget
	go run ./scripts/consume
