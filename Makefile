# Clusterpedia. `make help` lists what can be made.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Hosts and plugins must be built alike: Go refuses a plugin whose packages were
# compiled in any other way. So there is one set of flags, and everything is built
# in the workspace.
export CGO_ENABLED := 1
BUILD_FLAGS := -trimpath -pgo=off -buildvcs=false

BIN     := $(CURDIR)/bin
HOSTS   := apiserver binding-apiserver clustersynchro-manager
STATIC  := controller-manager copy-plugins
TOOLS   := clusterpedia
PLUGINS := internalstorage memorystorage

# The modules of the workspace, and those that stand outside of it, so that tests
# and tools do not choose the versions of what is shipped.
MODULES := storage-api memorystorage internalstorage clusterpedia/api clusterpedia
OUTSIDE := hack/tools hack/testbed hack/bench clusterpedia/e2e

VERSION    ?= $(shell git describe --tags --always --dirty --match 'v*' 2>/dev/null || echo v0.0.0-unset)
COMMIT     ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
TREE_STATE ?= $(shell git diff --quiet HEAD 2>/dev/null && echo clean || echo dirty)
# The date of the commit, not of the build: the same sources give the same files.
BUILD_DATE ?= $(shell TZ=UTC0 git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ 2>/dev/null || echo 1970-01-01T00:00:00Z)
STAMP      := clusterpedia.io/clusterpedia/internal/process
LDFLAGS    := -s -w -X $(STAMP).gitVersion=$(VERSION) -X $(STAMP).gitCommit=$(COMMIT) -X $(STAMP).gitTreeState=$(TREE_STATE) -X $(STAMP).buildDate=$(BUILD_DATE)

TESTBED := GOWORK=off go run -C hack/testbed ./cmd/testbed

##@ Build

.PHONY: all
all: build plugins ## Build the servers, the tool and the storage plugins.

.PHONY: build
build: $(addprefix build-,$(HOSTS) $(STATIC) $(TOOLS)) ## Build the servers and the tool into bin/.

.PHONY: $(addprefix build-,$(HOSTS) $(STATIC) $(TOOLS))
$(addprefix build-,$(HOSTS) $(STATIC) $(TOOLS)): build-%:
	go build $(BUILD_FLAGS) -ldflags '$(LDFLAGS) $(EXTRA_LDFLAGS)' -o $(BIN)/$* ./clusterpedia/cmd/$*

.PHONY: plugins
plugins: $(addprefix plugin-,$(PLUGINS)) ## Build the storage plugins into bin/plugins/.

# They load no plugins, and run in images without a C library.
$(addprefix build-,$(STATIC)): export CGO_ENABLED := 0

# A running server has the old file mapped, so it is replaced and never written
# over.
.PHONY: $(addprefix plugin-,$(PLUGINS))
$(addprefix plugin-,$(PLUGINS)): plugin-%:
	@mkdir -p $(BIN)/plugins
	go build $(BUILD_FLAGS) -buildmode=plugin -ldflags '-s -w -X main.version=$(VERSION)' -o $(BIN)/plugins/.$*.so.new ./$*/plugin
	@mv -f $(BIN)/plugins/.$*.so.new $(BIN)/plugins/$*.so

MANIFESTS_ARGS ?= --set storage.password=change-me

.PHONY: manifests
manifests: ## Render the chart into dist/manifests.yaml (MANIFESTS_ARGS: of helm template).
	@mkdir -p dist
	@helm=$$($(TESTBED) build helm)/helm && $$helm template clusterpedia charts/clusterpedia --namespace clusterpedia-system --include-crds $(MANIFESTS_ARGS) >dist/manifests.yaml
	@echo dist/manifests.yaml

##@ Run

.PHONY: run
run: all ## Run everything here, with a host and two member clusters (or KUBECONFIGS=a,b), until Ctrl-C.
	@GOWORK=off go build -C hack/testbed -o $(BIN)/tools/run ./cmd/run
	@exec $(BIN)/tools/run --repository $(CURDIR) --kubeconfigs '$(KUBECONFIGS)'

##@ Test

.PHONY: test
test: all test-unit test-storage test-testbed test-bench test-e2e ## Run all tests: unit, conformance on real databases, end to end.

UNIT := storage-api memorystorage clusterpedia/api clusterpedia

.PHONY: test-unit
test-unit: ## Run the unit tests.
	@for m in $(UNIT); do echo "# $$m"; (cd $$m && go test -race ./...); done

# go-mysql-server isolates nothing: one test at a time.
STORAGE_TESTS := go test -race -timeout 20m -skip ^TestMySQL ./... && go test -run ^TestMySQL -parallel 1 ./store

.PHONY: test-storage
test-storage: packages ## Run the SQL storage layer's tests on SQLite, PostgreSQL, MariaDB and go-mysql-server.
	$(TESTBED) databases --workdir internalstorage -- bash -c '$(STORAGE_TESTS)'

.PHONY: packages
packages:
	@hack/testbed/install-packages.sh

.PHONY: test-testbed
test-testbed: packages ## Run the tests of the test bed itself.
	cd hack/testbed && GOWORK=off go test ./...

.PHONY: test-bench
test-bench: ## Run the tests of the benchmarks' own parts.
	cd hack/bench && GOWORK=off go test -race ./...

# One package at a time: both keep all processors busy.
.PHONY: test-e2e
test-e2e: all packages ## Run the end-to-end tests on the built binaries.
	$(TESTBED) databases --workdir clusterpedia/e2e -- env GOWORK=off go test -count=1 -timeout 30m -p 1 -v ./...

# Part of test-e2e, for those who work on it. It starts its own databases.
.PHONY: test-fault
test-fault: all packages ## Run the end-to-end tests that break databases, members and the manager.
	cd clusterpedia/e2e && GOWORK=off go test -count=1 -timeout 30m -v ./fault

.PHONY: test-fault-long
test-fault-long: export FAULT_LONG := 1
test-fault-long: test-fault ## The same, with faults that last as long as outages do.

.PHONY: fuzz
fuzz: packages ## Fuzz what reads the texts of users, each test for FUZZ_TIME (10s).
	hack/fuzz.sh storage-api internalstorage clusterpedia

##@ Benchmarks

PROFILE ?= small

.PHONY: bench
bench: all packages bench-storage bench-sync bench-tool ## Measure what the built apiserver costs (PROFILE: small, pods, million), and write docs/benchmarks.md.
	@exec $(BIN)/tools/bench --repository $(CURDIR) --profile $(PROFILE) $(BENCH_ARGS)

.PHONY: bench-tool
bench-tool:
	@GOWORK=off go build -C hack/bench $(BUILD_FLAGS) -o $(BIN)/tools/bench ./cmd/bench

.PHONY: bench-storage
bench-storage: packages ## Run the benchmarks of the storage layers: memory, SQLite, PostgreSQL, MariaDB.
	cd memorystorage && go test -run '^$$' -bench . -benchmem ./memory
	$(TESTBED) databases --workdir internalstorage -- go test -run '^$$' -bench . -benchmem ./store

# The manager as a process, with a storage layer that forgets and with SQLite.
.PHONY: bench-sync
bench-sync: all bench-tool ## Measure the memory, the processor time and the writes of clustersynchro-manager, and write docs/benchmarks.md.
	cd clusterpedia/internal/synchro && go test -run '^$$' -bench 'Known|Listed' . ./document
	cd clusterpedia/e2e && GOWORK=off go test -run '^$$' -bench . -benchtime 1x ./syncbench | tee $(BIN)/sync.txt
	@$(BIN)/tools/bench --repository $(CURDIR) --sync $(BIN)/sync.txt

##@ Check

.PHONY: verify
verify: check-boundaries verify-modules verify-digest verify-codegen ## Check that what is generated, and what is promised, is so.

.PHONY: check-boundaries
check-boundaries: ## Check which module may use which (design.md, section 2).
	hack/check-boundaries.sh

.PHONY: verify-modules
verify-modules: ## Check that go.mod and go.sum of every module are tidy, and go.work in step.
	hack/verify-modules.sh

.PHONY: verify-digest
verify-digest: ## Check the digest of the storage contract.
	cd storage-api && go test ./digest

.PHONY: verify-codegen
verify-codegen: ## Check the generated code and CRDs.
	hack/verify-codegen.sh

.PHONY: lint
lint: ## Run the linters on every module.
	hack/lint.sh $(MODULES) $(OUTSIDE)

.PHONY: generate
generate: update-digest update-codegen ## Generate whatever is generated.

.PHONY: update-digest
update-digest: ## Write the digest of the storage contract, which may need another version.
	cd storage-api && go test ./digest -run TestSource -update && go test ./digest -run TestVersion -update

.PHONY: update-golden
update-golden: ## Write the golden files of the chart and of the flags.
	$(MAKE) -C . all >/dev/null && cd clusterpedia/e2e && GOWORK=off go test -run 'Golden$$' . -update

.PHONY: update-codegen
update-codegen: ## Generate code and CRDs from the API types.
	hack/update-codegen.sh

.PHONY: update-modules
update-modules: ## Tidy every module and bring go.work in step.
	hack/update-modules.sh

##@ Help

.PHONY: clean
clean: ## Remove what was built, and stop and remove the test bed.
	-$(TESTBED) stop --all --purge
	rm -rf $(BIN) .testbed

.PHONY: help
help: ## Show this help.
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
