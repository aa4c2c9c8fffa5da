#!/usr/bin/env bash
# The page of a run in Debian's Chromium (tests/dashboard). Screenshots are left in target/page.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# The driver and the checker of accessibility that were tested.
driver=playwright-core@1.65.1 checker=axe-core@4.14.1
modules=${XDG_CACHE_HOME:-$HOME/.cache}/poolkeeper-ci/page
if ! command -v chromium >/dev/null || ! command -v npm >/dev/null; then
  apt-get update
  apt-get install --yes --no-install-recommends chromium nodejs npm
fi
if [ "$(cat "$modules/installed" 2>/dev/null)" != "$driver $checker" ]; then
  rm -rf "$modules"
  mkdir -p "$modules"
  npm install --prefix "$modules" --no-audit --no-fund --ignore-scripts "$driver" "$checker"
  echo "$driver $checker" >"$modules/installed"
fi
# The program of the tests, which is there.
cargo test --locked --no-run --test cli
POOLKEEPER=${CARGO_TARGET_DIR:-target}/debug/poolkeeper POOLKEEPER_PAGE_MODULES=$modules POOLKEEPER_SHOTS=${CARGO_TARGET_DIR:-target}/page \
  node --test tests/dashboard/page.test.mjs
