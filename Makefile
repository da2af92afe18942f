# What a developer needs: `make run` to try it, `make test` to test it, `make check` before a commit.
GOLANGCI = v2.15.0
GOFUMPT  = v0.12.0
TOOLS   := $(CURDIR)/bin
GO      ?= go
PACKAGES = ./... ./.ci/backends

.PHONY: run test check build bench fuzz cover format vet lint race stack stack-down integration clean

run: build ## serve everything on embedded stores, for trying out
	$(TOOLS)/tolkflip serve --dev

build: ## bin/tolkflip and bin/tolkbench
	$(GO) build -o $(TOOLS)/ ./cmd/...

test: ## all tests; what a machine cannot run is skipped with a line that says so
	$(GO) test ./... && .ci/left-out

check: format vet lint race ## what must hold before a commit

format: $(TOOLS)/gofumpt-$(GOFUMPT)
	@out=$$($(TOOLS)/gofumpt-$(GOFUMPT) -l .); if [ -n "$$out" ]; then echo "not formatted (gofumpt -w .):"; echo "$$out"; exit 1; fi

vet:
	$(GO) vet $(PACKAGES)

lint: $(TOOLS)/golangci-lint-$(GOLANGCI)
	$(TOOLS)/golangci-lint-$(GOLANGCI) run $(PACKAGES)

race: ## layers, and everything else, under the race detector
	$(GO) test -race -shuffle=on $(PACKAGES)

stack: ## real Cassandra, Redis (one, sentinel, cluster) and MinIO on free ports; prints how serve reaches them
	@.ci/stack/up && .ci/stack/howto

stack-down: ## end it, with all that is in it
	@.ci/stack/down

integration: ## the tests of every backend on the stack (started when there is none), counted by backend
	@.ci/integration

bench: ## the micro-benchmarks; whole-server figures come from bin/tolkbench
	$(GO) test -run '^$$' -bench . -benchmem ./...

fuzz: ## every fuzz target for FUZZTIME
	.ci/fuzz $(or $(FUZZTIME),30s)

cover:
	$(GO) test -coverprofile=cover.out ./... && $(GO) tool cover -func=cover.out | tail -n 1

clean:
	rm -rf $(TOOLS) cover.out

# Pinned tools, installed once per version under a name that says which.
$(TOOLS)/gofumpt-$(GOFUMPT):
	@mkdir -p $(TOOLS)/.get && GOBIN=$(TOOLS)/.get $(GO) install mvdan.cc/gofumpt@$(GOFUMPT) && mv $(TOOLS)/.get/gofumpt $@

$(TOOLS)/golangci-lint-$(GOLANGCI):
	@mkdir -p $(TOOLS)/.get && GOBIN=$(TOOLS)/.get $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI) && mv $(TOOLS)/.get/golangci-lint $@
