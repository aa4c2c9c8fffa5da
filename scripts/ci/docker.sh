#!/usr/bin/env bash
# Every test that needs a Docker Engine, on one of its own: installs Docker if it is missing, starts an engine in a
# scratch directory, makes the test images, and removes it all again, but for the package.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# Short, since a socket's path may have 107 characters.
dir=$(mktemp -d /tmp/pk-docker.XXXXXX)
trap 'WIPE=1 scripts/docker-down.sh "$dir"' EXIT
engine=$(scripts/docker-up.sh "$dir")
eval "$engine"
scripts/docker-image.sh "$dir"

# What is skipped elsewhere fails here.
export POOLKEEPER_REQUIRE_DOCKER=1
cargo test --locked --test docker_runtime --test docker_run --test readme
cargo test --locked --test local_server docker
# Three engines: one on its socket, one over TCP with TLS, one by ssh.
if [ "$(id -u)" = 0 ]; then
  hosts=$(mktemp -d /tmp/pk-hosts.XXXXXX)
  trap 'WIPE=1 scripts/docker-down.sh "$dir"; scripts/docker-hosts-down.sh "$hosts"' EXIT
  three=$(scripts/docker-hosts-up.sh "$hosts")
  (
    eval "$three"
    cargo test --locked --test docker_hosts -- --test-threads=1
  )
  scripts/docker-hosts-down.sh "$hosts"
else
  echo "SKIPPED: Docker hosts: networks and users need root"
fi
# Where the value of a credential can be seen.
cargo test --locked --test commands credentials_seen
# The quickstart as a reader types it.
cargo test --locked --test quickstart
# What dies and is cut off while tasks run in containers. One after the other: some freeze their engine.
if [ "$(id -u)" = 0 ] && [ -x /lib/systemd/systemd ]; then export POOLKEEPER_SYSTEMD=1; fi
POOLKEEPER_KILLS=30 POOLKEEPER_FROZEN=30 POOLKEEPER_CUTS=10 POOLKEEPER_ROUNDS=30 cargo test --locked --test kills -- --test-threads=1 --nocapture
# Batches in containers, and poolkeeper killed in their midst.
POOLKEEPER_CRASH_IMAGE=poolkeeper-test:1 POOLKEEPER_KILLS=30 cargo test --locked --test crash docker -- --nocapture
