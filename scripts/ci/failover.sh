#!/usr/bin/env bash
# Failover and faults on a real API server: leaders that are killed, stall and leave; an API server and an etcd that crash;
# and storms of faults between controllers and the server.
#
#   scripts/ci/failover.sh [ARGUMENT...]   arguments for the tests, as the name of one
#
# POOLKEEPER_SEEDS (100) storms, POOLKEEPER_BESIDE of them at a time; PROFILE=release for an optimised build;
# POOLKEEPER_PAUSE=6: everything stands still for 6 s after every 12, as on a machine that others use too. The cluster is
# one of this run's own, with nodes of kwok, in PID, network and mount namespaces: it meets no other, and all of it goes when
# this script does, even by kill -9.
set -euo pipefail
script=$(realpath "${BASH_SOURCE[0]}")
cd "$(dirname "$script")/../.."
cluster=$PWD/scripts/cluster/cluster

say() { echo "failover.sh: $*" >&2; }

# Stops all of this PID namespace but for its process 1 and itself. Waits without a child that would be left when it is killed.
pause_again_and_again() {
  local never
  exec {never}<> <(:)
  while true; do
    read -rt 12 -u "$never" || true
    kill -STOP -1
    read -rt "$POOLKEEPER_PAUSE" -u "$never" || true
    kill -CONT -1
  done
}

# Process 1 of the namespaces.
inside() {
  local status=0 program=$1 environment log pauses
  shift
  # There is no network but this.
  ip link set lo up
  trap '"$cluster" down; exit 1' TERM INT
  environment=$("$cluster" up kwok) || status=1
  if [ "$status" -eq 0 ]; then
    eval "$environment"
    export POOLKEEPER_TEST_API=$KUBECONFIG POOLKEEPER_TEST_KWOK=1 POOLKEEPER_TEST_ETCD=http://127.0.0.1:$((API_PORT + 1))
    if [ -n "${POOLKEEPER_PAUSE:-}" ]; then
      pause_again_and_again &
      pauses=$!
    fi
    # One after the other: they share the cluster, and some stop its parts.
    "$program" --nocapture --test-threads=1 "$@" || status=1
    if [ -n "${pauses:-}" ]; then
      kill "$pauses"
      wait "$pauses" || true
      kill -CONT -1
    fi
    "$cluster" status || status=1
  fi
  if [ "$status" -ne 0 ]; then
    for log in "$CLUSTER_STATE"/log/*.log; do
      if [ -e "$log" ]; then
        say "the end of $(basename "$log"):"
        tail -n 5 "$log" >&2
      fi
    done
  fi
  "$cluster" down || status=1
  "$cluster" leftovers || status=1
  mkdir -p "$CLUSTER_STATE"
  ps -e -o pid=,ppid=,stat=,args= >"$CLUSTER_STATE/processes"
  if awk '$1 != 1 && $2 == 1 && $3 !~ /^Z/ && $4 != "ps"' "$CLUSTER_STATE/processes" | grep . >&2; then
    say "these processes are left"
    status=1
  fi
  exit $status
}

# remove DIRECTORY: of a cluster whose processes are gone.
remove() {
  CLUSTER_STATE=$1 "$cluster" down
  CLUSTER_STATE=$1 "$cluster" leftovers
  rm -rf "$1"
}

if [ "${1:-}" = --inside ]; then
  shift
  inside "$@"
fi

if ! unshare --mount --net --pid --fork true; then
  say "a cluster needs namespaces of its own, and so root with CAP_SYS_ADMIN"
  exit 1
fi
"$cluster" prepare kwok
(
  . scripts/cluster/lib.sh
  need ip=iproute2 ps=procps
)
built=$(cargo test --locked --profile="${PROFILE:-dev}" --no-run --test failover --message-format=json |
  sed -n 's/.*"name":"failover".*"executable":"\([^"]*\)".*/\1/p')
if [ ! -x "$built" ]; then
  say "no test program '$built'"
  exit 1
fi

# A run that was killed could not remove its files. A lock says which one still runs, in whichever PID namespace.
for old in /tmp/pk-failover.*; do
  if [ -d "$old" ] && flock --nonblock "$old" true; then
    say "removing what is left of an earlier run: $old"
    remove "$old"
  fi
done
CLUSTER_STATE=$(mktemp -d /tmp/pk-failover.XXXXXX)
# JSON: what a recorder missed is read from etcd.
export CLUSTER_STATE API_PORT=6443 NODES=${NODES:-4} APISERVER_FLAGS=--storage-media-type=application/json
# Memory is there; without this a seventh of the API server's processor time is its collector's.
export GOGC=${GOGC:-400}
export POOLKEEPER_SEEDS=${POOLKEEPER_SEEDS:-100}
exec 7<"$CLUSTER_STATE"
flock 7
trap 'remove "$CLUSTER_STATE"' EXIT
# With this shell, process 1 of the namespaces goes, and with that one everything.
setpriv --pdeathsig KILL unshare --mount --net --pid --fork --kill-child --mount-proc "$script" --inside "$built" "$@"
