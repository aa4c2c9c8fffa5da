#!/usr/bin/env bash
# Scale and long runs of `poolkeeper controller` on a real API server (etcd and kube-apiserver; the bench plays the nodes), and of
# the local server.
#
#   scripts/soak.sh soak [--dispatches N] [--minutes N]   a million dispatches, one after the other; fails if anything grew
#   scripts/soak.sh local [--dispatches N] [--minutes N]  the same through the local server, without a cluster
#   scripts/soak.sh waiting [--waiting N]                 100,000 dispatches that wait for 10 workers
#   scripts/soak.sh busy [--workers N]                    10,000 workers, all busy
#
# Each prints a table. `waiting` and `busy` start a second controller over what is there. More: benches/scale.
#
# API_PORT: this one and the next two are used; default 28443. POOLKEEPER: the controller's binary, instead of building it.
# PROFILE: of the program that drives it all, by default bench. With `nice -n 10` all of it runs at that niceness.
set -euo pipefail
cd "$(dirname "$0")/.."
script=soak
. scripts/bench-lib.sh

cluster=scripts/cluster/cluster
tmp=$(mktemp -d "${TMPDIR:-/tmp}/poolkeeper-soak.XXXXXX")
export CLUSTER_STATE=$tmp/cluster API_PORT=${API_PORT:-28443}

# Before the cluster: what is built meanwhile would be measured.
bench=$(cargo build --locked --profile "${PROFILE:-bench}" --bench scale --message-format=json |
    sed -n 's/.*"name":"scale".*"executable":"\([^"]*\)".*/\1/p' | tail -1)
[[ -x $bench ]] || { echo "$script: cargo named no benchmark" >&2; exit 1; }

stop() {
    # A second interrupt must not leave the cluster behind.
    trap '' INT TERM
    "$cluster" down >/dev/null 2>&1 || true
    rm -rf "$tmp"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

echo "$(machine), niceness $(nice)"
if [[ ${1:-} == local ]]; then
    TMPDIR=$tmp "$bench" "$@"
    exit
fi
"$cluster" up api >/dev/null
kubeconfig=$("$cluster" kubeconfig)
"$("$cluster" kubectl)" --kubeconfig "$kubeconfig" apply -f crds >/dev/null
"$("$cluster" kubectl)" --kubeconfig "$kubeconfig" wait --for=condition=Established --timeout=60s -f crds >/dev/null
TMPDIR=$tmp "$bench" --kubeconfig "$kubeconfig" --etcd "http://127.0.0.1:$((API_PORT + 1))" "$@"
