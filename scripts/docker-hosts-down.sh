#!/usr/bin/env bash
# Ends what docker-hosts-up.sh DIR started, and removes DIR.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=$(realpath -m "$1")
if [ -e "$dir/ssh/sshd.pid" ]; then kill "$(cat "$dir/ssh/sshd.pid")" 2>/dev/null || true; fi
for engine in one tls far; do WIPE=1 "$here/docker-down.sh" "$dir/$engine" || true; done
if [ -e "$dir/net" ]; then
  net=$(cat "$dir/net")
  ip link del "$net-a" 2>/dev/null || true
  ip netns del "$net" 2>/dev/null || true
fi
rm -rf "$dir"
