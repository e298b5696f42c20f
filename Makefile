# The two commands that do all the set-up: `make demo` and `make test`.
GO      ?= go
BIN     := bin
FUZZTIME ?= 10m
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)

.PHONY: help demo test deps lint bench soak build dist schema clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

build: ## build the program (no cgo) into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-X main.version=$(VERSION)" -o $(BIN)/pitr ./cmd/pitr

# The same sources give the same bytes, on whatever machine: no paths, no time, no state of the checkout in them.
dist: ## build static programs for Linux and macOS, with checksums, into dist/
	rm -rf dist && mkdir dist
	for target in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64; do \
		CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} $(GO) build -trimpath -buildvcs=false \
			-ldflags "-s -w -buildid= -X main.version=$(VERSION)" -o dist/pitr-$${target%/*}-$${target#*/} ./cmd/pitr || exit 1; \
	done
	cd dist && $$(command -v sha256sum || echo shasum -a 256) pitr-* > SHA256SUMS

schema: ## write docs/schema from docs/json-lines.md
	$(GO) run ./tools/schema

demo: build ## run the main job on the incident of examples/mender, and check it against the generator's model
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN)/demo ./examples/mender/demo
	$(BIN)/demo -pitr $(BIN)/pitr

test: ## run every test that this machine can run; what is skipped says why
	$(GO) vet ./...
	$(GO) test -timeout 30m ./...
	cd tests && $(GO) test -timeout 30m ./...

deps: ## fetch what the heavier tests need (an S3 server, a browser, zstd, python readers)
	./tests/deps.sh

lint: $(BIN)/golangci-lint ## run the linter
	$(BIN)/golangci-lint run --build-tags failpoint ./...
	cd tests && ../$(BIN)/golangci-lint run ./...

$(BIN)/golangci-lint: tools/lint/go.mod
	cd tools/lint && $(GO) build -o ../../$(BIN)/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint

bench: ## run the benchmarks
	$(GO) test -run '^$$' -bench . -benchmem -timeout 60m ./...

soak: ## long runs: the tests that kill the program, then each fuzz target for FUZZTIME
	$(GO) test -tags failpoint -timeout 6h ./...
	for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package || exit 1; \
		done; \
	done

clean: ## remove what was built
	rm -rf $(BIN) dist
