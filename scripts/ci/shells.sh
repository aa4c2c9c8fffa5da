#!/usr/bin/env bash
# Completion in the shells that people type in: installs zsh and fish, where they are missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if ! command -v zsh >/dev/null || ! command -v fish >/dev/null; then
  apt-get update && apt-get install --yes --no-install-recommends zsh fish
fi
POOLKEEPER_REQUIRE_SHELLS=1 cargo test --locked --test commands completion
