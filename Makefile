# Everything a developer runs. Build tags, C flags and SQLite's options are in scripts/go-env.sh and nowhere else.

# Sets LIB to .so, .dylib or .dll, and EXE to .exe on Windows.
OS_NAME := $(shell go env GOOS)
LIB := out/libpagewire.$(if $(filter darwin,$(OS_NAME)),dylib,$(if $(filter windows,$(OS_NAME)),dll,so))
CMD := out/pagewire$(if $(filter windows,$(OS_NAME)),.exe)
BRIDGE := build/Release/pagewire.node
JS := dist/.stamp
SETUP := node_modules/.stamp

# What the outputs are made of. A build with nothing to do starts no compiler.
GO_FILES := go.mod go.sum scripts/go-env.sh $(shell find addon cmd internal -type f ! -name '*_test.go' 2>/dev/null)
C_FILES := binding.gyp internal/sqlite/pagewire.h $(shell find napi -type f 2>/dev/null)
JS_FILES := package.json scripts/bundle.mjs $(wildcard tsconfig*.json) $(shell find js -type f 2>/dev/null)

# Node's own headers, where they came with it, so that node-gyp need not download them.
NODE_DIR := $(shell node -p 'd = path.resolve(process.execPath, "../.."); fs.existsSync(d + "/include/node/node_api.h") ? d : ""')

FUZZTIME ?= 30s
SOAKTIME ?= 600
SEEDS ?= 1000
FIRST ?= 1
TRACE ?=
SECONDS ?= 30
SEED ?=
TARGETS ?=
TARGET ?=
TAG ?=
PREBUILT ?=
SMOKE ?=
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup build test test-go test-js test-rivetkit test-chat test-nodes lint fmt pack target sbom check-tag publish github-release smoke demo chat bench bench-quick bench-setup soak soak-memory sim chaos sweeps fuzz sanitize env clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' Makefile

setup: $(SETUP) ## fetch what the build needs
$(SETUP): package-lock.json go.sum
	npm ci --no-audit --no-fund
	go mod download
	@touch $@

build: $(LIB) $(CMD) $(BRIDGE) $(JS) ## build the library, the command, the bridge and the TypeScript

$(LIB): $(GO_FILES) scripts/build-addon
	scripts/build-addon $@

$(CMD): $(GO_FILES)
	scripts/go build -ldflags '-s -w' -o $@ ./cmd/pagewire

$(BRIDGE): $(C_FILES) | $(SETUP)
	node_modules/.bin/node-gyp $(if $(wildcard build/Makefile),,configure) build --loglevel=warn $(if $(NODE_DIR),--nodedir=$(NODE_DIR))
	@touch $@

$(JS): $(JS_FILES) | $(SETUP)
	npm run --silent build:js
	@touch $@

test: test-go test-js test-rivetkit test-chat ## run every test

test-go: $(LIB) ## run the Go tests, and check what the library exports
	scripts/check-exports $(LIB)
	scripts/go test ./...

test-js: build ## run the TypeScript tests against the built package
	npm run --silent test:js

# npm install keeps to the lock file; npm ci refuses it where a registry lacks a platform's optional package.
RIVETKIT_SETUP := test/rivetkit/node_modules/.stamp
$(RIVETKIT_SETUP): test/rivetkit/package.json test/rivetkit/package-lock.json
	npm install --prefix test/rivetkit --no-audit --no-fund --loglevel=error
	@ln -sfn ../../.. test/rivetkit/node_modules/pagewire
	@touch $@

test-rivetkit: build $(RIVETKIT_SETUP) ## run actors of RivetKit on Pagewire, on two versions of it (fetches 280 MB)
	@if node=$$(scripts/fetch-node 22+); then $$node --test --test-concurrency=3 --test-timeout=120000 test/rivetkit/cases/*.test.mjs; \
		else echo "test-rivetkit: SKIPPED: RivetKit needs Node.js 22 or newer"; fi

CHAT_SETUP := examples/chat/node_modules/.stamp
$(CHAT_SETUP): examples/chat/package.json examples/chat/package-lock.json
	npm install --prefix examples/chat --no-audit --no-fund --loglevel=error
	@ln -sfn ../../.. examples/chat/node_modules/pagewire
	@touch $@

chat: build $(CHAT_SETUP) ## a chat of two processes to try in a browser
	cd examples/chat && node try.js

test-chat: build $(CHAT_SETUP) ## test the chat, in a browser too where Chromium is installed
	node --test --test-timeout=120000 examples/chat/test/*.test.js

test-nodes: build ## run what depends on Node.js itself on its other versions (Linux x86-64; downloads them)
	scripts/test-nodes

lint: $(SETUP) ## run every check of scripts/lint
	scripts/lint

fmt: $(SETUP) ## format Go, C, TypeScript and JSON
	gofmt -w $$(git ls-files -co --exclude-standard '*.go')
	node_modules/.bin/clang-format -i $$(git ls-files -co --exclude-standard '*.c' '*.h')
	node_modules/.bin/biome check --write

pack: build ## build and pack the npm packages of TARGETS (all that this machine can) into dist/; PREBUILT=DIR takes their files from there
	node scripts/pack.mjs $(if $(PREBUILT),--prebuilt $(PREBUILT)) $(TARGETS)

target: $(SETUP) ## build the files of one platform package, TARGET, into out/targets
	scripts/build-target $(TARGET)

sbom: $(SETUP) ## write what the native files are made of to dist/sbom.cdx.json (CycloneDX)
	go tool -modfile=scripts/tools.mod cyclonedx-gomod mod -licenses -json -output dist/sbom.cdx.json

check-tag: ## check that TAG is the version of package.json with a v before it
	@[ "$(TAG)" = "v$$(node -p 'require("./package.json").version')" ] || { echo "the tag $(TAG) is not the version of package.json" >&2; exit 1; }

publish: ## publish what is in dist/ to npm
	scripts/publish

github-release: check-tag ## make the release TAG on GitHub with the packages, their checksums and the SBOM
	gh release create $(TAG) --verify-tag --generate-notes dist/*.tgz dist/SHA256SUMS dist/sbom.cdx.json

# The tools of the smoke tests: package managers, Node.js 20 to 26, Bun, Deno, bundlers (1.5 GB).
SMOKE_SETUP := test/installed/node_modules/.stamp
$(SMOKE_SETUP): test/installed/package.json test/installed/package-lock.json
	npm install --prefix test/installed --no-audit --no-fund --loglevel=error
	@touch $@

smoke: $(SETUP) $(SMOKE_SETUP) ## install what was packed into empty projects, run it there, print the matrix; SMOKE=--quick for a share
	node test/installed/main.mjs $(SMOKE)

demo: build ## many actors at work, a crash, and proof that nothing acknowledged was lost
	npm run --silent demo

# npm install keeps to the lock file; npm ci refuses it where a registry lacks a platform's optional package.
BENCH_SETUP := bench/node_modules/.stamp
bench-setup: $(BENCH_SETUP) ## fetch the systems to compare with (500 MB)
$(BENCH_SETUP): bench/package.json bench/package-lock.json
	npm install --prefix bench --no-audit --no-fund --loglevel=error
	@touch $@

bench: build $(BENCH_SETUP) ## run every benchmark on every system, report into bench/report
	node bench/run.mjs --report bench/report

bench-quick: build $(BENCH_SETUP) ## the benchmarks without the slow systems, about 80 seconds
	node bench/run.mjs --quick

soak: build ## repeat all tests, with the race detector, for SOAKTIME (600 s)
	scripts/soak $(SOAKTIME)

soak-memory: build ## terminate 1,000 workers, open and close CYCLES (100000) databases, use 200 for MINUTES (10): nothing grows
	PAGEWIRE_WORKERS=1000 node --test test/lifecycle/workers.test.mjs
	node --expose-gc test/lifecycle/soak.mjs

sim: ## run SEEDS (1000) seeds of the simulator from FIRST (1), with TRACE=1 to print what happens
	scripts/sim $(SEEDS) $(FIRST) $(TRACE)

chaos: build ## kill, pause and cut off server and clients for SECONDS (30), then look for all that was promised; SEED repeats
	@SECONDS=$(SECONDS) SEED=$(SEED) node test/chaos/main.mjs

sweeps: ## let every operation on network, store and disk, and every allocation in C, fail once and from then on
	PAGEWIRE_SWEEPS=1 scripts/go test -v -count=1 -timeout 30m -run '^(TestSweep|TestFailedOperations|TestDiskFull|TestDamagedFiles|TestOutOfMemory)$$' \
		./internal/sim ./internal/store/pebble ./internal/sqlite/memfault

fuzz: ## run every Go fuzz target for FUZZTIME (30s)
	scripts/fuzz $(FUZZTIME)

sanitize: $(LIB) ## run the tests under ASan, UBSan, the race detector and cgo's pointer checks
	scripts/sanitize

env: ## print the environment of every Go build and test
	@scripts/go env | grep -E '^(CGO_ENABLED|CGO_CFLAGS|GOFLAGS)='

clean: ## remove what was built
	rm -rf out dist build
