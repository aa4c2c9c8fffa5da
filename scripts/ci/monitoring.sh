#!/usr/bin/env bash
# Alert rules and dashboard of the chart in a real Prometheus: promtool's checks, then each alert caused in earnest, and each
# query of the dashboard under load. On a cluster of this run's own, with nodes of kwok, in namespaces of its own.
set -euo pipefail
script=$(realpath "${BASH_SOURCE[0]}")
cd "$(dirname "$script")/../.."
cluster=$PWD/scripts/cluster/cluster

if [ "${1:-}" = --inside ]; then
  ip link set lo up
  environment=$("$cluster" up kwok)
  eval "$environment"
  status=0
  python3 tests/monitoring/live.py || status=1
  if [ "$status" -ne 0 ]; then tail -n 20 "$CLUSTER_STATE"/{controller,prometheus}.log >&2 || true; fi
  "$cluster" down
  exit $status
fi

"$cluster" build prometheus promtool
"$cluster" prepare kwok
(
  . scripts/cluster/lib.sh
  need ip=iproute2 pgrep=procps python3=python3
)
home=${CLUSTER_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/poolkeeper-cluster}
PATH=$home/bin:$PATH
promtool check rules charts/poolkeeper/files/monitoring/alerts.yaml
promtool test rules tests/monitoring/alerts.test.yaml

# The program of the tests, which is there: `cargo build` would compile the dependencies once more, without the tests' features.
cargo test --locked --no-run --test crds
POOLKEEPER=$(realpath "${CARGO_TARGET_DIR:-target}/debug/poolkeeper")
CLUSTER_STATE=$(mktemp -d /tmp/pk-monitoring.XXXXXX)
export POOLKEEPER CLUSTER_STATE API_PORT=6443 NODES=2
trap 'rm -rf "$CLUSTER_STATE"' EXIT
# With this shell, process 1 of the namespaces goes, and with that one everything.
setpriv --pdeathsig KILL unshare --mount --net --pid --fork --kill-child --mount-proc "$script" --inside
