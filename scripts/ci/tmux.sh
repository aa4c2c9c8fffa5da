#!/usr/bin/env bash
# Installs tmux, the terminal in which `poolkeeper top` is looked at.
set -euo pipefail

if ! command -v tmux >/dev/null; then
  apt-get update
  apt-get install --yes --no-install-recommends tmux
fi
