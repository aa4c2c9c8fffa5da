#!/usr/bin/env bash
# Builds the site from docs/ into target/site, and looks at it in Chromium (tests/site). Screenshots are left in target/page.
#
#   scripts/ci/site.sh           builds and checks it
#   scripts/ci/site.sh --build   builds it only
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

version=0.5.4
tools=${XDG_CACHE_HOME:-$HOME/.cache}/poolkeeper-ci/tools
if [ "$("$tools/bin/mdbook" --version 2>/dev/null)" != "mdbook v$version" ]; then
  # It builds the same pages without being optimised, and is itself built in a minute.
  nice cargo install --locked "mdbook@$version" --debug --no-default-features --features search --root "$tools"
fi
rm -rf target/site
mkdir -p target
# A warning is about a page that cannot be what its writer meant.
"$tools/bin/mdbook" build 2>&1 | tee target/site.log
if grep -E '^ *(WARN|ERROR)' target/site.log; then exit 1; fi
if [ "${1:-}" = --build ]; then exit 0; fi
modules=$(scripts/ci/browser.sh)
POOLKEEPER_PAGE_MODULES=$modules POOLKEEPER_SHOTS=${CARGO_TARGET_DIR:-target}/page node --test tests/site/site.test.mjs
