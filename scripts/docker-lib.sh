# shellcheck shell=bash
# Sourced by docker-up.sh, docker-down.sh and docker-image.sh: where a private Docker Engine keeps its state.
set -euo pipefail

DEFAULT_SOCKET=/var/run/docker.sock
# Without a directory it is the machine's own engine that is meant; if this project starts it, its state is here.
DIR=$(realpath -m "${1:-${XDG_CACHE_HOME:-$HOME/.cache}/poolkeeper-docker}")
if [ $# -gt 0 ]; then SOCKET=$DIR/docker.sock; else SOCKET=$DEFAULT_SOCKET; fi
PIDFILE=$DIR/dockerd.pid
DOCKER_HOST=unix://$SOCKET
# A context of the user would win over nothing, but not over DOCKER_HOST.
export DOCKER_HOST

say() { echo "$(basename "$0"): $*" >&2; }

# running PID: it exists and is no zombie (kill -0 sees zombies as alive, and PID 1 of a container may reap slowly).
running() {
  local state
  state=$(sed 's/.*) \(.\).*/\1/' "/proc/$1/stat" 2>/dev/null) || return 1
  [ -n "$state" ] && [ "$state" != Z ]
}

# gone PID: waits until it ended, at most 20 s.
gone() {
  for _ in $(seq 200); do
    if ! running "$1"; then return 0; fi
    sleep 0.1
  done
  return 1
}

# ours: prints the pid of the dockerd that docker-up.sh started here, if it still runs. Pids are reused, so look at the program too.
ours() {
  local pid
  pid=$(cat "$PIDFILE" 2>/dev/null) || return 1
  [ -n "$pid" ] && running "$pid" && [ "$(basename "$(readlink "/proc/$pid/exe")")" = dockerd ] && echo "$pid"
}

answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }
