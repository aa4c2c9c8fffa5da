#!/usr/bin/env bash
# `poolkeeper top` on a terminal: tests/top, in tmux.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if ! command -v tmux >/dev/null; then apt-get update && apt-get install --yes --no-install-recommends tmux; fi
POOLKEEPER_REQUIRE_TMUX=1 cargo test --locked --test top -- --nocapture
