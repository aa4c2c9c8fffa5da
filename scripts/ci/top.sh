#!/usr/bin/env bash
# `poolkeeper top` on a terminal: tests/top, in tmux.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

scripts/ci/tmux.sh
POOLKEEPER_REQUIRE_TMUX=1 cargo test --locked --test top -- --nocapture
