# Order only: lock file -> install -> generate -> build -> task. Each step runs when its inputs changed.
SHELL := /bin/sh
BIN := node dist/cli/main.js
SOURCES := $(shell find src -name '*.ts' -not -path 'src/gen/*' 2>/dev/null)
PROTOS := $(shell find proto -name '*.proto' -o -name '*.yaml')

.PHONY: run test bench bench-authority bench-fleet lint interop soak ca-soak limbo wycheproof fuzz bogo chaos mutations cover races crash build clean

run: build
	$(BIN) demo

test: build
	npm test --silent

bench: build
	node --expose-gc --import ./test/support/typescript.mjs bench/main.ts
	$(MAKE) --no-print-directory bench-authority

# One manager and many simulated agents. ARGS: how many.
bench-fleet: build
	node --import ./test/support/typescript.mjs bench/fleet/main.ts $(ARGS)

bench-authority: build
	node --import ./test/support/typescript.mjs bench/authority/main.ts $(ARGS)

interop: build
	node --import ./test/support/typescript.mjs test/interop/main.ts

# HANDSHAKES: only these, a fourth of them bad, and what they do to memory.
soak: build
	node --import ./test/support/typescript.mjs test/soak/$(if $(HANDSHAKES),long.ts --handshakes $(HANDSHAKES),main.ts)

# Lifetimes of an authority on a fast clock, with deaths. ARGS: days, sqlite or postgres, seed.
ca-soak: build
	node --import ./test/support/typescript.mjs test/ca/soak/main.ts $(ARGS)

# RUNNER: a build of BoringSSL's ssl/test/runner.
bogo: build
	npx tsc -p test/bogo
	node --import ./test/support/typescript.mjs test/bogo/main.ts "$(RUNNER)" $(ARGS)

# SIDEKEY_VECTORS: a directory with the data of these suites.
limbo: build
	node --import ./test/support/typescript.mjs test/pki/limbo.ts

wycheproof: build
	npx mocha test/crypto/wycheproof.test.ts

fuzz: build
	nice node --import ./test/support/typescript.mjs test/fuzz/main.ts $(or $(SECONDS),60)

chaos: build
	node --import ./test/support/typescript.mjs test/chaos/main.ts $(ARGS)

mutations: .stamps/generate
	node --import ./test/support/typescript.mjs test/mutations/main.ts $(ARGS)

# RACES: how many, by two and by three replicas on one PostgreSQL.
races: build
	RACES=$(or $(RACES),10000) npx mocha --no-timeout test/ca/crash/replicas.test.ts

# Every point of every deed, on both stores. POINTS=once: each point once.
crash: build
	CRASH_POINTS=$(or $(POINTS),all) npx mocha --no-timeout test/ca/crash/crash-points.test.ts

cover: build
	npm run --silent cover

lint: .stamps/generate
	npm run --silent lint:proto
	npm run --silent typecheck
	npm run --silent lint
	npm run --silent format:check

build: .stamps/build

.stamps/install: package.json package-lock.json .npmrc
	npm ci --loglevel=error
	@mkdir -p .stamps && touch $@

.stamps/generate: .stamps/install $(PROTOS)
	npm run --silent generate
	npm run --silent descriptors
	@touch $@

.stamps/build: .stamps/generate tsconfig.json src/tsconfig.json $(SOURCES)
	npm run --silent build
	@touch $@

clean:
	rm -rf node_modules dist coverage src/gen proto/descriptors.binpb .stamps bench/results
