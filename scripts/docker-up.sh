#!/usr/bin/env bash
# Brings up a Docker Engine and prints how to reach it:   eval "$(scripts/docker-up.sh [DIR])"
#
# With DIR a private one: socket, images, state, pid file and network of its own, no bridge and no iptables rules, so
# that several may run beside each other and beside the machine's own. Without DIR the machine's own at the default socket,
# started only if none answers there. Installs Debian's docker.io if dockerd is missing. Calling it again is harmless.
# Needs root only where it must install or start something. NETNS=NAME: in that network instead of one of its own.
# DOCKERD_FLAGS: more flags for dockerd.
. "$(dirname "$0")/docker-lib.sh"

if ! command -v dockerd >/dev/null && ! answers; then
  say "installing docker.io"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update && apt-get install -y --no-install-recommends docker.io; } >&2
fi

DOCKERD_FLAGS=${DOCKERD_FLAGS:-}
finish() {
  say "Docker Engine $(docker version --format '{{.Server.Version}}, API {{.Server.APIVersion}}') at $DOCKER_HOST"
  echo "export DOCKER_HOST=$DOCKER_HOST"
  # The tests may kill only what this script started.
  if [ "$SOCKET" != "$DEFAULT_SOCKET" ]; then
    echo "export POOLKEEPER_DOCKERD_PRIVATE=1 POOLKEEPER_DOCKERD_DIR=$DIR"
  fi
  exit 0
}
if answers; then finish; fi

mkdir -p "$DIR"
# start FLAGS...: starts dockerd and waits until it answers. 1: it ended instead; its last words are in the log.
start() {
  local pid around=()
  # An engine without a bridge removes docker0 when it starts, and so takes the network from the machine's own one. It must
  # not see it. Only its own loopback device is there.
  if [ -n "${NETNS:-}" ]; then
    around=(nsenter "--net=/run/netns/$NETNS")
  elif [ "$SOCKET" != "$DEFAULT_SOCKET" ] && unshare --net true 2>/dev/null; then
    # shellcheck disable=SC2016
    around=(unshare --net sh -c 'ip link set lo up; exec "$@"' sh)
  fi
  # Its own containerd namespace: where a system containerd runs, dockerd uses it, and two engines in one namespace
  # would take each other's containers for leftovers.
  # shellcheck disable=SC2086 # flags
  setsid "${around[@]}" dockerd --host "$DOCKER_HOST" --data-root "$DIR/data" --exec-root "$DIR/exec" --pidfile "$DIR/engine.pid" \
    --containerd-namespace "poolkeeper-$(printf %s "$DIR" | cksum | cut -d' ' -f1)" $DOCKERD_FLAGS "$@" \
    >>"$DIR/dockerd.log" 2>&1 </dev/null &
  pid=$!
  echo "$pid" >"$PIDFILE"
  for _ in $(seq 600); do
    if answers; then return 0; fi
    if ! running "$pid"; then return 1; fi
    sleep 0.1
  done
  say "no answer after 60 s"
  return 1
}

# What a killed engine leaves behind would keep the next one from starting. Its containerd ends with it, a little later,
# and dockerd would take a zombie of it for alive.
if ! ours >/dev/null; then
  if pid=$(cat "$DIR/exec/containerd/containerd.pid" 2>/dev/null) &&
    [ "$(basename "$(readlink "/proc/$pid/exe" || true)")" = containerd ]; then
    kill "$pid" 2>/dev/null || true
    gone "$pid" || kill -9 "$pid"
  fi
  rm -f "$DIR/exec/containerd/containerd.pid" "$DIR/engine.pid" "$SOCKET"
fi
if [ "$SOCKET" = "$DEFAULT_SOCKET" ]; then
  # In a container without the right to change iptables only the second can be had: workers have no network then.
  if start || start --iptables=false --bridge=none; then finish; fi
else
  # Engines before version 23 have their id from a key that all engines of a machine share, unless the configuration names another.
  case $(dockerd --version) in
  *version\ 1[0-9].* | *version\ 20.*) echo "{\"deprecated-key-path\": \"$DIR/key.json\"}" ;;
  *) echo "{}" ;;
  esac >"$DIR/daemon.json"
  if start --iptables=false --bridge=none --config-file "$DIR/daemon.json"; then finish; fi
fi
say "dockerd did not start; the end of $DIR/dockerd.log:"
tail -n 20 "$DIR/dockerd.log" >&2
exit 1
