#!/usr/bin/env bash
# Fetches what the heavier tests need into .cache; tests that miss something skip and say so.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${PITR_TEST_CACHE:-$PWD/.cache}

# The S3 server of the tests: a Go program, built from the module proxy under its checksum.
versitygw() {
	local version=v1.8.0
	local bin=$cache/versitygw-$version
	[ -x "$bin/versitygw" ] && return
	mkdir -p "$bin"
	GOBIN=$bin GOFLAGS= go install "github.com/versity/versitygw/cmd/versitygw@$version"
}

versitygw
