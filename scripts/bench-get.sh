#!/usr/bin/env bash
# Measures `kubectl get workers` against 1,000 workers, on the local server and on a kube-apiserver, alternating.
#
#   scripts/bench-get.sh [ROUNDS]      default 11
#
# POOLKEEPER: the binary; default target/release/poolkeeper. It starts a kube-apiserver and a local server of its own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
script=bench-get
. scripts/bench-lib.sh

rounds=${1:-11} workers=1000
bin=$(realpath "${POOLKEEPER:-target/release/poolkeeper}")
tmp=$(mktemp -d "${TMPDIR:-/tmp}/poolkeeper-bench.XXXXXX")
export POOLKEEPER_HOME=$tmp/home CLUSTER_STATE=$tmp/cluster API_PORT=${API_PORT:-7643}
clean_up() {
  "$bin" local down --force --purge >"$tmp/down" 2>&1 || cat "$tmp/down" >&2
  scripts/cluster/cluster down >"$tmp/down" 2>&1 || cat "$tmp/down" >&2
  rm -rf "$tmp"
}
trap clean_up EXIT

scripts/cluster/cluster up api >"$tmp/env"
eval "$(cat "$tmp/env")"
real=$KUBECONFIG
"$bin" crd | kubectl apply -f - >/dev/null
kubectl wait --for=condition=Established crd/workers.poolkeeper.dev --timeout=60s >/dev/null
"$bin" local up 2>"$tmp/up"
mine=$POOLKEEPER_HOME/kubeconfig

# The pool is paused, so that no controller removes what has no process.
for server in "$real" "$mine"; do
  echo '{apiVersion: poolkeeper.dev/v1alpha1, kind: ContainerPool, metadata: {name: agents}, spec: {runtime: Process, max: 1000, paused: true}}' |
    kubectl --kubeconfig "$server" create -f - >/dev/null
  uid=$(kubectl --kubeconfig "$server" get containerpool agents -o jsonpath='{.metadata.uid}')
  owner="{apiVersion: poolkeeper.dev/v1alpha1, kind: ContainerPool, name: agents, uid: $uid, controller: true, blockOwnerDeletion: true}"
  for ((i = 0; i < workers; i++)); do
    echo "---"
    echo "{apiVersion: poolkeeper.dev/v1alpha1, kind: Worker, metadata: {name: agents-$i, labels: {poolkeeper.dev/pool: agents}, ownerReferences: [$owner]}, spec: {pool: agents, poolGeneration: 1, runtime: Process, host: local, templateHash: x}}"
  done >"$tmp/objects.yaml"
  kubectl --kubeconfig "$server" create -f "$tmp/objects.yaml" >/dev/null
done

get() { kubectl --kubeconfig "$1" get workers --no-headers; }
machine
echo "load before: $(cut -d' ' -f1-3 /proc/loadavg); $rounds rounds"
for server in "$real" "$mine"; do
  get "$server" >"$tmp/found"
  [[ $(wc -l <"$tmp/found") -eq $workers ]] || { echo "bench-get: $(wc -l <"$tmp/found") workers are there" >&2; exit 1; }
done
for ((i = 0; i < rounds; i++)); do
  seconds get "$mine" >>"$tmp/mine"
  seconds get "$real" >>"$tmp/real"
  seconds kubectl --kubeconfig "$mine" get namespace default --no-headers >>"$tmp/mine-one"
  seconds kubectl --kubeconfig "$real" get namespace default --no-headers >>"$tmp/real-one"
done
echo "load after: $(cut -d' ' -f1-3 /proc/loadavg)"
printf '| `kubectl get` | local server | kube-apiserver | ratio |\n|---|---|---|---|\n'
row() { printf '| %s | %.3f s (%s) | %.3f s (%s) | %.2f |\n' "$1" "$(median "$tmp/mine$2")" "$(spread "$tmp/mine$2")" "$(median "$tmp/real$2")" "$(spread "$tmp/real$2")" "$(awk -v a="$(median "$tmp/mine$2")" -v b="$(median "$tmp/real$2")" 'BEGIN { print a / b }')"; }
row "1,000 workers" ""
row "one namespace" "-one"
