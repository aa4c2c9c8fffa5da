#!/usr/bin/env bash
# Measures `poolkeeper controller` on a real API server whose nodes only pretend to run Pods (kwok), and prints one table.
# Each figure stands beside what plain status PATCHes take on the same server in the same run.
#
#   scripts/bench-cycle.sh [FLAG...] [SCENARIO...]     flags and scenarios: benches/cycle/cluster/mod.rs, USAGE
#   scripts/bench-cycle.sh --pools 200 rest            2,000 workers at rest, which takes a few minutes less than 10,000
#
# API_PORT: this one and the next two are used; default 27443. POOLKEEPER: the controller's binary, instead of building it.
set -euo pipefail
cd "$(dirname "$0")/.."

cluster=scripts/cluster/cluster
tmp=$(mktemp -d "${TMPDIR:-/tmp}/poolkeeper-bench.XXXXXX")
export CLUSTER_STATE=$tmp/cluster API_PORT=${API_PORT:-27443}
workers=300 pools=1000 per_pool=10 flags=() loads=() rest=
while (($#)); do
    case $1 in
    --*)
        value=${2:?$1 wants a value}
        case $1 in
        --workers) workers=$value ;;
        --pools) pools=$value ;;
        --per-pool) per_pool=$value ;;
        esac
        flags+=("$1" "$value")
        shift
        ;;
    rest) rest=yes ;;
    *) loads+=("$1") ;;
    esac
    shift
done
if [[ -z $rest && ${#loads[@]} == 0 ]]; then
    rest=yes
    loads=(serial cycles queued poisson45 half ninety burst release)
fi

# The benchmark before the cluster: what is built meanwhile would be measured.
bench=$(cargo bench --locked --bench cycle --no-run --message-format=json |
    sed -n 's/.*"name":"cycle".*"executable":"\([^"]*\)".*/\1/p' | tail -1)
[[ -x $bench ]] || { echo "bench-cycle: cargo named no benchmark" >&2; exit 1; }

stop() {
    # A second interrupt must not leave the cluster behind.
    trap '' INT TERM
    "$cluster" down >/dev/null 2>&1 || true
    rm -rf "$tmp"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# run PODS ARGUMENT...: on a fresh cluster with room for so many. On few nodes, as each of kwok's writes of its own accord.
nodes=5
run() {
    local kubeconfig kubectl room i
    NODES=$nodes "$cluster" up kwok >/dev/null
    kubeconfig=$("$cluster" kubeconfig)
    kubectl=$("$cluster" kubectl)
    room="{\"pods\": \"$(($1 / nodes + 100))\"}"
    for ((i = 0; i < nodes; i++)); do
        "$kubectl" --kubeconfig "$kubeconfig" patch node "kwok-$i" --subresource=status --type=merge \
            -p "{\"status\": {\"capacity\": $room, \"allocatable\": $room}}" >/dev/null
    done
    "$kubectl" --kubeconfig "$kubeconfig" apply -f crds >/dev/null
    TMPDIR=$tmp "$bench" --kubeconfig "$kubeconfig" "${@:2}"
    "$cluster" down >/dev/null 2>&1
}

echo "machine: $(nproc) x $(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo), $(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo), Linux $(uname -r)"
if ((${#loads[@]})); then run $((workers + 32)) "${flags[@]}" "${loads[@]}"; fi
# On a cluster of its own: what the others left there would be in its listings.
if [[ $rest ]]; then run $((pools * per_pool)) "${flags[@]}" rest; fi
