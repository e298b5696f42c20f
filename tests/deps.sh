#!/usr/bin/env bash
# Fetches what the heavier tests need, into .cache where it is no system package. A step that fails says why and is not
# fatal: the tests that miss it skip and say so. When all is there, this takes no time.
set -uo pipefail
cd "$(dirname "$0")/.."
cache=${PITR_TEST_CACHE:-$PWD/.cache}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# step NAME FUNCTION: run quietly, on failure print the end of what it said.
step() {
	if "$2" >"$log" 2>&1; then
		echo "deps: $1: there"
	else
		echo "deps: $1: MISSING; its tests will skip. The step said:"
		tail -n 5 "$log" | sed 's/^/deps:     /'
	fi
}

# Distribution packages, only when the command or module that they bring is not there.
updated=
packages() {
	command -v apt-get || { echo "no apt-get here: install $* by hand"; return 1; }
	local root=()
	[ "$(id -u)" = 0 ] || root=(sudo -n)
	[ -n "$updated" ] || "${root[@]}" apt-get update -q || return
	updated=yes
	DEBIAN_FRONTEND=noninteractive "${root[@]}" apt-get install -q -y --no-install-recommends "$@"
}

# The S3 server of the tests: a Go program, built from the module proxy under its checksum.
versitygw() {
	local version=v1.8.0
	local bin=$cache/versitygw-$version
	[ -x "$bin/versitygw" ] && return
	mkdir -p "$bin" && GOBIN=$bin GOFLAGS= go install "github.com/versity/versitygw/cmd/versitygw@$version"
}

zstandard() { command -v zstd || packages zstd; }

python_bson() { /usr/bin/python3 -c 'import bson; bson.decode_all' || packages python3-bson; }

python_openpyxl() { /usr/bin/python3 -c 'import openpyxl' || packages python3-openpyxl; }

browser() { command -v chromium || command -v chromium-browser || command -v google-chrome || packages chromium; }

mongosh() {
	local version=2.12.0
	local folder=$cache/mongosh-$version
	[ -x "$folder/node_modules/.bin/mongosh" ] && return
	command -v npm || packages nodejs npm || return
	# Into a folder of another name first, so that a broken-off download is never taken for the program.
	rm -rf "$folder.part" && mkdir -p "$folder.part" &&
		npm install --prefix "$folder.part" --no-audit --no-fund --omit=optional "mongosh@$version" &&
		rm -rf "$folder" && mv "$folder.part" "$folder"
}

# Judges of the page: an accessibility checker and an HTML validator.
webcheck() {
	local folder=$cache/webcheck-1
	[ -f "$folder/node_modules/axe-core/axe.min.js" ] && [ -x "$folder/node_modules/.bin/html-validate" ] && return
	command -v npm || packages nodejs npm || return
	rm -rf "$folder.part" && mkdir -p "$folder.part" &&
		npm install --prefix "$folder.part" --no-audit --no-fund axe-core@4.14.1 html-validate@10.17.0 &&
		rm -rf "$folder" && mv "$folder.part" "$folder"
}

step "versitygw (S3 server)" versitygw
step "zstd" zstandard
step "python3 with bson" python_bson
step "python3 with openpyxl" python_openpyxl
step "a Chromium browser" browser
step "mongosh" mongosh
step "judges of the page" webcheck
