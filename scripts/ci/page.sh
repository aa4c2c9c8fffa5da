#!/usr/bin/env bash
# The pages of a run and of a server in Debian's Chromium (tests/dashboard). Screenshots are left in target/page.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

modules=$(scripts/ci/browser.sh)
# The program of the tests, which is there.
cargo test --locked --no-run --test cli
POOLKEEPER=${CARGO_TARGET_DIR:-target}/debug/poolkeeper POOLKEEPER_PAGE_MODULES=$modules POOLKEEPER_SHOTS=${CARGO_TARGET_DIR:-target}/page \
  node --test tests/dashboard/page.test.mjs tests/dashboard/secure.test.mjs tests/dashboard/live.test.mjs
