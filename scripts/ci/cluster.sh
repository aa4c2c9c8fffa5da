#!/usr/bin/env bash
# Every test that needs a Kubernetes cluster, on one of its own: builds it, starts a node, checks that, runs the suites in
# scripts/ci/cluster.d in order, ends it, and checks that nothing is left.
#
#   scripts/ci/cluster.sh [SUITE...]             all suites, or these (names without .sh)
#   scripts/ci/cluster.sh --existing [SUITE...]  the same against the cluster that KUBECONFIG names, which is only used
#
# The cluster gets PID, network and mount namespaces of its own. So it meets no other cluster, seen or unseen, and all of
# it goes when this script does, even by kill -9. In there is no network but the cluster's: suites get CARGO_NET_OFFLINE.
# A suite is a program. It gets KUBECONFIG, a PATH with kubectl and helm, and for use with scripts/cluster/cluster (as
# in `cluster load`) CLUSTER_STATE; POOLKEEPER_CLUSTER_HOSTPATH is a directory of the node that pods may mount.
set -euo pipefail
script=$(realpath "${BASH_SOURCE[0]}")
cd "$(dirname "$script")/../.."
cluster=$PWD/scripts/cluster/cluster
suites=$PWD/scripts/ci/cluster.d

say() { echo "cluster.sh: $*" >&2; }

# The suite that failed, and a file with what the last suite said.
failed=
said=

# shown COMMAND: runs it, shows what it says and writes that to $said too. In a pipe to `tee` a process that a suite leaves
# behind would keep this script waiting; in the background a suite would ignore Ctrl-C.
shown() {
  local status=0 running reader
  : >"$said"
  sleep infinity &
  running=$!
  # It reads to the end once more after that process is gone.
  tail --lines=+1 --follow --sleep-interval=0.2 --pid="$running" "$said" >&2 &
  reader=$!
  "$1" >"$said" 2>&1 || status=$?
  kill "$running"
  wait "$running" "$reader" 2>/dev/null || true
  return "$status"
}

# Last of all, for those who see only the end of a log.
say_again() {
  if [ -n "$failed" ]; then
    say "suite $failed FAILED; its last lines:"
    tail -n 20 "$said" >&2
  fi
  rm -f "$said"
}

run_suites() {
  local name began wanted=("$@")
  said=$(mktemp)
  if [ $# -eq 0 ]; then
    for name in "$suites"/*.sh; do
      if [ -e "$name" ]; then wanted+=("$(basename "$name" .sh)"); fi
    done
  fi
  for name in "${wanted[@]}"; do
    say "suite $name"
    began=$SECONDS
    if ! shown "$suites/$name.sh"; then
      say "suite $name FAILED after $((SECONDS - began)) s"
      failed=$name
      return 1
    fi
    say "suite $name passed in $((SECONDS - began)) s"
  done
}

# Process 1 of the namespaces.
inside() {
  local status=0
  # What nodes share by name alone is covered, for this mount namespace only; so are copies of another node's mounts
  # taken away, which would be listed still.
  local directory mount
  for directory in /run/poolkeeper-node /run/containerd /var/lib/cni /var/log/containers; do
    awk -v d="$directory/" 'index($2, d) == 1 { print $2 }' /proc/mounts | sort -r | while read -r mount; do
      umount -l "$mount"
    done
    mkdir -p "$directory"
    mount -t tmpfs -o mode=700 poolkeeper "$directory"
  done
  export CARGO_NET_OFFLINE=true
  # A suite looks for what must not be in it.
  export POOLKEEPER_AUDIT_LOG=$CLUSTER_STATE/log/audit.log
  export APISERVER_FLAGS="${APISERVER_FLAGS:-} --audit-policy-file=$PWD/scripts/ci/audit-policy.yaml --audit-log-path=$POOLKEEPER_AUDIT_LOG"

  # In a function for `||`, where set -e has no effect: each line says itself what to do on failure.
  tests() {
    local environment
    environment=$("$cluster" up node) || return 1
    eval "$environment"
    "$cluster" smoke || return 1
    run_suites "$@" || return 1
    "$cluster" status || return 1
  }
  trap '"$cluster" down; exit 1' TERM INT
  tests "$@" || status=1
  if [ "$status" -ne 0 ]; then
    for log in "$CLUSTER_STATE"/log/*.log; do
      if [ -e "$log" ]; then
        say "the end of $(basename "$log"):"
        tail -n 15 "$log" >&2
      fi
    done
  fi
  "$cluster" down || status=1
  "$cluster" leftovers || status=1
  # Whatever else the suites started.
  ps -e -o pid=,ppid=,stat=,args= >/run/poolkeeper-node/processes
  if awk '$1 != 1 && $2 == 1 && $3 !~ /^Z/ && $4 != "ps"' /run/poolkeeper-node/processes | grep . >&2; then
    say "these processes are left"
    status=1
  fi
  say_again
  exit $status
}

# remove DIRECTORY: of a cluster whose processes are gone.
remove() {
  CLUSTER_STATE=$1 "$cluster" down
  CLUSTER_STATE=$1 "$cluster" leftovers
  # /run/poolkeeper-node stays: if it were removed, the mount of a cluster in another namespace would go with it.
  rm -rf "$1"
}

case ${1:-} in
--inside)
  shift
  inside "$@"
  ;;
--existing)
  shift
  : "${KUBECONFIG:?names no cluster}"
  PATH=$(dirname "$("$cluster" kubectl)"):$PATH
  kubectl version
  status=0
  run_suites "$@" || status=$?
  say_again
  exit "$status"
  ;;
esac

for name in "$@"; do
  if [ ! -e "$suites/$name.sh" ]; then
    say "no suite '$name' in $suites"
    exit 2
  fi
done
if ! unshare --mount --net --pid --fork true; then
  say "a cluster needs namespaces of its own, and so root with CAP_SYS_ADMIN"
  exit 1
fi
"$cluster" build
"$cluster" prepare node
# Here is the last chance for that.
if command -v cargo >/dev/null; then cargo fetch --locked; fi

# A run that was killed could not remove its files. A lock says which one still runs, in whichever PID namespace.
for old in /tmp/pk-cluster.*; do
  if [ -d "$old" ] && [ ! -L "$old" ] && [ -O "$old" ] && flock --nonblock "$old" true; then
    say "removing what is left of an earlier run: $old"
    remove "$old"
  fi
done
CLUSTER_STATE=$(mktemp -d /tmp/pk-cluster.XXXXXX)
export CLUSTER_STATE
exec 7<"$CLUSTER_STATE"
flock 7
trap 'remove "$CLUSTER_STATE"' EXIT
# With this shell, process 1 of the namespaces goes, and with that one everything.
setpriv --pdeathsig KILL unshare --mount --net --pid --fork --kill-child --mount-proc "$script" --inside "$@"
