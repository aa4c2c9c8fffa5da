#!/usr/bin/env bash
# Installs Debian's Chromium, and the driver and the checker of accessibility that were tested with it. Prints the directory of the last two.
set -euo pipefail

driver=playwright-core@1.65.1 checker=axe-core@4.14.1
modules=${XDG_CACHE_HOME:-$HOME/.cache}/poolkeeper-ci/page
# The lanes of CI ask for it at the same time.
mkdir -p "$(dirname "$modules")"
exec 8>"$modules.lock"
flock 8
# Node.js from elsewhere has an npm of its own, which that of Debian conflicts with.
missing=()
if ! command -v chromium >/dev/null; then missing+=(chromium); fi
if ! command -v npm >/dev/null; then missing+=(nodejs npm); fi
if [ ${#missing[@]} -gt 0 ]; then
  apt-get update >&2
  apt-get install --yes --no-install-recommends "${missing[@]}" >&2
fi
if [ "$(cat "$modules/installed" 2>/dev/null)" != "$driver $checker" ]; then
  rm -rf "$modules"
  mkdir -p "$modules"
  npm install --prefix "$modules" --no-audit --no-fund --ignore-scripts "$driver" "$checker" >&2
  echo "$driver $checker" >"$modules/installed"
fi
echo "$modules"
