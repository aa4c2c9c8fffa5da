#!/usr/bin/env bash
# An older controller is upgraded and rolled back on a node while tasks run in its Pods: CRDs first, `helm upgrade`, `helm rollback`,
# `helm upgrade`. Commands of both versions work on each. No worker is replaced, and no task is lost.
#
# Needs what 50-kubernetes.sh needs, target/debug/poolkeeper, POOLKEEPER_CLUSTER_HOSTPATH, and what scripts/ci/older.sh has built.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

older=$(scripts/ci/older.sh) || [ $? = 3 ]
if [ -z "$older" ]; then
  echo "SKIPPED: the older version cannot be built here"
  exit 0
fi
ns=e2e-upgrade
. scripts/ci/kubernetes-lib.sh

newer=${CARGO_TARGET_DIR:-$PWD/target}/debug/poolkeeper
version=$(sed -n 's/^appVersion: "*\([^"]*\)"*$/\1/p' charts/poolkeeper/Chart.yaml)
export POOLKEEPER_HOME=$work/home
truth=$POOLKEEPER_CLUSTER_HOSTPATH/upgrade
mkdir -p "$truth"
chmod 777 "$truth"

mkdir "$work/image"
cp "$older" "$work/image/poolkeeper"
scripts/cluster/images/archive.py "$work/older.tar" ghcr.io/poolkeeper/poolkeeper:older "$work/image" \
  --entrypoint '["/poolkeeper"]' --user 65532:65532
scripts/cluster/cluster load "$work/older.tar" target/image/poolkeeper.tar

# of PROGRAM COMMAND...: a command of one of the versions, on the cluster.
of() { "$1" "$2" --namespace "$ns" "${@:3}"; }
uids() { k get pkw,pods -o 'jsonpath={range .items[*]}{.kind} {.metadata.name} {.metadata.uid}{"\n"}{end}' | sort; }
# keeps FILE: every field of the pools that were stored there is as it was. A newer version adds fields that have defaults.
keeps() {
  k get cpool -o json | python3 -c '
import json, sys
def keeps(old, now):
    if isinstance(old, dict): return isinstance(now, dict) and all(k in now and keeps(v, now[k]) for k, v in old.items())
    if isinstance(old, list): return isinstance(now, list) and len(old) == len(now) and all(map(keeps, old, now))
    return old == now
old, now = (json.load(f)["items"] for f in (open(sys.argv[1]), sys.stdin))
sys.exit(not keeps([pool["spec"] for pool in old], [pool["spec"] for pool in now]))' "$1"
}
runs() { k get pods -n poolkeeper -l app.kubernetes.io/name=poolkeeper -o 'jsonpath={.items[*].spec.containers[0].image}'; }

# holds VERSION: what must be as it was, whichever controller runs now, and new work with both commands.
holds() {
  local program before
  until_true "the controller is $1" eval '[ "$(runs)" = "ghcr.io/poolkeeper/poolkeeper:'"$1"'" ]'
  [ "$(uids)" = "$workers" ] || fail "other workers than before: $(uids)"
  keeps "$work/pools" || fail "other pools than before: $(k get cpool -o yaml)"
  is 1 pkd/held '{.status.attempt}'
  is Assigned pkd/held '{.status.phase}'
  before=$(wc -l <"$truth/log")
  until_true "the task runs on" eval '[ "$(wc -l <"$truth/log")" -gt "$before" ]'
  for program in "$older" "$newer"; do
    of "$program" get workers -o json >"$work/json"
    of "$program" get dispatches -o json >"$work/json"
    of "$program" status >"$work/status"
    seq 3 >"$work/tasks"
    of "$program" run short --tasks "$work/tasks" -- sh -c 'echo "done $TASK"' >"$work/out" 2>"$work/err" || fail "$(cat "$work/out" "$work/err")"
    [ "$(grep -c '^done' "$work/out")" = 3 ] || fail "$(cat "$work/out" "$work/err")"
  done
  k get pkd -o json >"$work/json"
}

step "the older version, with a task that is held and one that runs"
helm install poolkeeper "${older%/*}/charts/poolkeeper" --namespace poolkeeper --create-namespace --set image.tag=older --wait --timeout 10m
make_namespace
mounts=", mounts: [{hostPath: $truth, mountPath: /truth, readOnly: false}], terminationGracePeriod: 1s"
for name in agents short; do
  pool "$name" "$mounts" | sed 's/min: 1, max: 3/min: 2, max: 2/' | kubectl apply -f -
done
for name in agents short; do k wait --for=jsonpath='{.status.ready}'=2 "cpool/$name" --timeout="${patience}s"; done
dispatch held
# shellcheck disable=SC2016 # for the shell in the Pod
"$older" run agents -n "$ns" -- sh -c 'until [ -e /truth/end ]; do echo "$POOLKEEPER_TASK_ID.$POOLKEEPER_ATTEMPT" >>/truth/log; sleep 0.2; done' \
  >"$work/run" 2>&1 &
run=$!
# It ends with this script.
watchers+=("$run")
until_true "the task runs" test -s "$truth/log"
workers=$(uids)
k get cpool -o json >"$work/pools"
holds older

step "CRDs first: the older controller works on with those of this version"
"$newer" crd | kubectl apply --server-side --force-conflicts -f -
holds older

step "helm upgrade"
helm upgrade poolkeeper charts/poolkeeper --namespace poolkeeper --reset-then-reuse-values --set image.tag="$version" --wait --timeout 10m
holds "$version"

step "helm rollback"
helm rollback poolkeeper --namespace poolkeeper --wait --timeout 10m
holds older

step "helm upgrade again"
helm upgrade poolkeeper charts/poolkeeper --namespace poolkeeper --reset-then-reuse-values --set image.tag="$version" --wait --timeout 10m
record_words
holds "$version"

step "both tasks end once, in the workers in which they began"
touch "$truth/end"
wait "$run" || fail "$(cat "$work/run")"
[ "$(sort -u "$truth/log" | wc -l)" = 1 ] || fail "more than one attempt ran: $(sort "$truth/log" | uniq -c)"
k annotate cpool agents result.poolkeeper.dev/held='1 Succeeded'
finished held Succeeded
[ "$(uids)" = "$workers" ] || fail "other workers than before: $(uids)"
[ -z "$(k get pkd -o 'jsonpath={.items[?(@.status.attempt>1)].metadata.name}')" ] || fail "more than one attempt"

uninstall_controller
echo "$passed steps passed"
