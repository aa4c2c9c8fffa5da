#!/usr/bin/env bash
# What a Worker, the Events and the log say, in full: phases from the first version to the last, rests of a credential that two
# pools share, Pods that a policy refuses, evictions and forced ends, a failed uninstall, a controller without CRDs. And that nothing
# shows a token which workers read from a file.
#
# Needs a node (scripts/ci/cluster.sh makes one), kubectl, helm, the controller's image as target/image/poolkeeper.tar
# (scripts/image.sh), target/debug/poolkeeper and POOLKEEPER_AUDIT_LOG.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

ns=e2e-words
. scripts/ci/kubernetes-lib.sh

poolkeeper=${CARGO_TARGET_DIR:-$PWD/target}/debug/poolkeeper
export POOLKEEPER_HOME=$work/home

# log: the controller's lines about this namespace, without their beginning and without times.
log() {
  kubectl -n poolkeeper logs deploy/poolkeeper --tail=-1 | grep -F " namespace=$ns " |
    sed -E "s/^[^ ]+ +//; s/poolkeeper::controller: //; s/ namespace=$ns//; s/until=[^ ]+/until=TIME/"
}
# logged LINE...: these lines, in this order, are the newest about a worker, an attempt or a request; it waits for them.
logged() {
  shows "$(printf '%s\n' "$@")" newest $#
}
newest() { log | grep -v '^INFO pool event ' | tail -n "$1"; }
# columns WORKER: PHASE, RESTS-UNTIL, DISPATCH and MESSAGE as kubectl prints them, an empty column as it is.
columns() {
  k get pkw "$1" -o 'jsonpath={.status.phase}|{.status.restsUntil}|{.status.dispatch.name}|{.status.message}'
}

# The shortest time that the chart allows: one step waits for it.
install_controller --set uninstall.timeoutSeconds=10
make_namespace

step "a worker has a phase in every row of get -w, and the columns have these names"
kubectl -n "$ns" get pkw -w --no-headers -o custom-columns=NAME:.metadata.name,PHASE:.status.phase >"$work/rows" 2>/dev/null &
watcher=$!
watchers+=("$watcher")
# Not protected from evictions: one of them is to end an attempt.
pool agents ', max: 1, idleTimeout: 1h, drainTimeout: 0s' | sed 's/min: 1, max: 3, //; s/cooldown: 10s/min: 1, cooldown: 10s/' | kubectl apply -f -
k wait cpool/agents --for=condition=Ready --timeout="${patience}s"
header() { k get pkw | awk 'NR == 1 { $1 = $1; print }'; }
shows "NAME POOL PHASE RESTS-UNTIL DISPATCH DISPATCHES AGE" header
logged 'INFO worker started pool=agents worker=agents-0'

step "a busy worker that is deleted shows it, and what it waits for"
dispatch greet
is 'Busy||greet|' pkw/agents-0 '{.status.phase}|{.status.restsUntil}|{.status.dispatch.name}|{.status.message}'
k delete pkw agents-0 --wait=false
shows 'Draining||greet|deleted; waits for greet to end' columns agents-0
logged 'INFO worker deleted pool=agents worker=agents-0 dispatch=greet reason="another client deleted it; it waits for the end of greet"'
k annotate cpool agents result.poolkeeper.dev/greet='1 Succeeded' >/dev/null
finished greet Succeeded
becomes Ready pkw/agents-0 '{.status.phase}'
logged 'INFO worker started pool=agents worker=agents-0'
# Its replacement is up in the last row.
all_rows() { awk '{ last = $2 } last == "Draining" { ended = 1 } END { exit !(ended && last == "Ready") }' "$work/rows"; }
until_true "the watch has all rows" all_rows
kill "$watcher"
wait "$watcher" || true
grep -q '^agents-0 *Starting' "$work/rows" || fail "$(cat "$work/rows")"
if grep -v -E '^agents-0 +(Starting|Ready|Busy|Draining)$' "$work/rows"; then fail "a row without a phase: $(cat "$work/rows")"; fi

step "a Pod that is evicted, and an attempt that a person forces, are in the log"
pod=$(k get pods -l poolkeeper.dev/worker=agents-0 -o jsonpath='{.items[0].metadata.name}')
dispatch lost '{"retry":{"workerLost":0}}'
kubectl create --raw "/api/v1/namespaces/$ns/pods/$pod/eviction" -f - >/dev/null <<Y
{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "$pod", "namespace": "$ns"}}
Y
finished lost Failed
said=$(k get pkd lost -o jsonpath='{.status.lastResult.message}')
said=${said//\"/\\\"}
until_true "the worker is replaced" says "worker started" newest 1
logged "INFO attempt ended pool=agents worker=agents-0 dispatch=lost attempt=1 outcome=WorkerLost phase=Failed reason=\"$said\"" \
  'INFO worker deleted pool=agents worker=agents-0 dispatch=lost reason="attempt 1 of lost ended without a report"' \
  'INFO worker started pool=agents worker=agents-0'
dispatch stuck
k annotate pkw agents-0 poolkeeper.dev/force-delete=true >/dev/null
finished stuck Failed
until_true "the worker is replaced" says "worker started" newest 1
logged 'INFO attempt ended pool=agents worker=agents-0 dispatch=stuck attempt=1 outcome=Forced phase=Failed reason="annotation poolkeeper.dev/force-delete is set"' \
  'INFO worker deleted pool=agents worker=agents-0 dispatch=stuck reason="attempt 1 of stuck ended without a report"' \
  'INFO worker started pool=agents worker=agents-0'
k delete cpool agents --timeout="${patience}s"

step "a credential that two pools share: each worker says until when it rests, in whole seconds"
k create secret generic tokens --from-literal=a=secret
for name in one two; do
  pool "$name" ', rateLimit: {scope: Credential}, credentials: [{name: a, env: TOKEN, secretKeyRef: {name: tokens, key: a}}]' | kubectl apply -f -
done
k wait cpool/one cpool/two --for=condition=Ready --timeout="${patience}s"
k annotate cpool one dispatch.poolkeeper.dev/limited='{"retry":{"rateLimited":0}}' >/dev/null
k wait --for=create pkd/limited --timeout="${patience}s" >/dev/null
k wait --for=condition=Assigned pkd/limited --timeout="${patience}s" >/dev/null
k annotate cpool one result.poolkeeper.dev/limited='1 RateLimited retryAfter=10m' >/dev/null
finished limited Failed
end=$(k get pkd limited -o jsonpath='{.status.lastResult.until}')
# The next whole second.
end=$(date -u -d "@$(($(date -u -d "${end%.*}Z" +%s) + 1))" +%Y-%m-%dT%H:%M:%SZ)
shows "Ready|$end||" columns one-0
shows "Ready|$end||" columns two-0
logged 'INFO attempt ended pool=one worker=one-0 dispatch=limited attempt=1 outcome=RateLimited phase=Failed until=TIME'
k annotate cpool two cooldown.poolkeeper.dev/a=clear >/dev/null
shows "Ready|||" columns one-0
shows "Ready|||" columns two-0
k delete cpool one two --timeout="${patience}s"

step "a token in a file: the worker reads it, as any user, and nothing shows it"
secret=sesame-$RANDOM$RANDOM
k create secret generic logins --from-literal=first="$secret-1" --from-literal=second="$secret-2"
credentials() { echo '[{"name": "a", "env": "API_TOKEN", "file": "/run/secrets/token", "secretKeyRef": {"name": "logins", "key": "'"$1"'"}}]'; }
pool agents ", terminationGracePeriod: 1s, credentials: $(credentials first), podTemplate: {spec: {securityContext: {runAsUser: 65532}}}" |
  sed 's/min: 1, max: 3, cooldown: 10s/min: 1, max: 1/' | kubectl apply -f -
k wait cpool/agents --for=condition=Ready --timeout="${patience}s"
# token: as a task of the next worker that takes one reads it.
token() { "$poolkeeper" run agents -n "$ns" -- sh -c 'cat "$API_TOKEN"' </dev/null 2>"$work/err"; }
reads() { [ "$(token)" = "$1" ]; }
reads "$secret-1" || fail "$(cat "$work/err")"
in_worker() { k exec "$(k get pods -l poolkeeper.dev/pool=agents -o name)" -c worker -- "$@"; }
# shown: whatever describes the worker, and what the Secret's value must not be in.
shown() {
  k describe pods,cpool,pkw,pkd
  k get pods,cpool,pkw,pkd,events -o yaml
  in_worker sh -c 'env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null' | tr '\0' '\n'
  kubectl -n poolkeeper logs deploy/poolkeeper --tail=-1
  cat "$POOLKEEPER_AUDIT_LOG"
}
hidden() {
  shown >"$work/shown"
  grep -q '^API_TOKEN=/run/secrets/token$' "$work/shown" || fail "the worker has no variable with the path"
  if grep -F -e "$secret" -e "$(printf %s "$secret" | base64 | cut -c 1-12)" "$work/shown"; then fail "it is shown"; fi
}
hidden

step "another key, another content and a refusal: each way to change that token reaches the worker"
k patch cpool agents --type=merge -p '{"spec": {"credentials": '"$(credentials second)"'}}'
until_true "the other key" reads "$secret-2"
echo "$secret-3" | "$poolkeeper" credential set agents/a -n "$ns" 2>"$work/err"
says "keep the value that they have until they are replaced" cat "$work/err" || fail "$(cat "$work/err")"
reads "$secret-2" || fail "a worker that runs keeps its value: $(cat "$work/err")"
k patch cpool agents --type=merge -p '{"spec":{"podTemplate":{"metadata":{"annotations":{"restartedAt":"now"}}}}}'
until_true "the other content" reads "$secret-3"
dispatch refused '{"retry":{"rateLimited":0}}'
k annotate cpool agents result.poolkeeper.dev/refused='1 Unauthorized' >/dev/null
finished refused Failed
becomes true cpool/agents '{.status.restingCredentials[0].parked}'
echo "$secret-4" | "$poolkeeper" credential set agents/a -n "$ns" 2>/dev/null
k annotate cpool agents cooldown.poolkeeper.dev/a=clear >/dev/null
until_true "the value after the refusal" reads "$secret-4"
hidden
k delete cpool agents --timeout="${patience}s"

step "a policy that refuses Pods is one Event with a count, and one line for each worker"
kubectl apply -f - <<Y
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: no-pods}
spec:
  failurePolicy: Fail
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: $ns}}
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  validations: [{expression: "false", message: "no Pods today"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: no-pods}
spec: {policyName: no-pods, validationActions: [Deny]}
Y
until_true "the policy holds" eval '! k run probe --image=docker.io/library/busybox:local --restart=Never --dry-run=server'
pool denied | kubectl apply -f -
words="pods \"denied-0\" is forbidden: ValidatingAdmissionPolicy 'no-pods' with binding 'no-pods' denied request: no Pods today"
series() { k get events.events.k8s.io --field-selector "reason=StartFailed,regarding.name=denied" -o 'jsonpath={range .items[*]}{.note}|{.series.count}{"\n"}{end}'; }
until_true "it is counted" eval '[ "$(series | sed "s/.*|//")" -ge 3 ]'
[ "$(series | sed 's/|[0-9]*$//')" = "denied-0: $words" ] || fail "$(series)"
until_true "describe counts" eval 'k describe cpool denied | grep -E "Warning +StartFailed +[0-9a-z]+ \(x[0-9]+ over [0-9a-z]+\)"'
escaped=${words//\"/\\\"}
logged "INFO worker deleted pool=denied worker=denied-0 reason=\"it did not start: $escaped\""
kubectl delete validatingadmissionpolicybinding,validatingadmissionpolicy no-pods
k wait cpool/denied --for=condition=Ready --timeout="${patience}s"
k delete cpool denied --timeout="${patience}s"

step "an uninstall that fails says why, and only another one goes on from there"
pool agents | kubectl apply -f -
k wait cpool/agents --for=condition=Ready --timeout="${patience}s"
dispatch busy
if helm uninstall poolkeeper --namespace poolkeeper --wait --timeout 2m >"$work/out" 2>&1; then fail "it did not fail"; fi
cat >"$work/wanted" <<Y
poolkeeper: deleting pool $ns/agents
poolkeeper: after 10s there still is $ns/agents-0 (busy with busy); report, cancel or delete their dispatches, or wait longer with --wait-timeout
Error: 1 error occurred:
	* job poolkeeper-uninstall failed: PodFailurePolicy
Y
[ "$(cat "$work/out")" = "$(cat "$work/wanted")" ] || fail "$(cat "$work/out")"
refused '"poolkeeper" has no deployed releases' helm upgrade poolkeeper charts/poolkeeper --namespace poolkeeper
k patch pkd busy --type=merge -p '{"spec":{"cancel":true}}' >/dev/null
k wait cpool/agents --for=delete --timeout="${patience}s"
uninstall_controller

step "without the CRDs the log says which and how to install them"
helm install poolkeeper charts/poolkeeper --namespace poolkeeper --create-namespace --set crds.install=false >/dev/null
missing() { kubectl -n poolkeeper logs deploy/poolkeeper | grep -o ' WARN .*' | sort; }
for kind in ContainerPool Dispatch Worker; do
  echo " WARN poolkeeper::controller::watch: $kind is not served: install the CustomResourceDefinitions (poolkeeper crd | kubectl apply -f -)"
done >"$work/missing"
shows "$(cat "$work/missing")" missing
helm uninstall poolkeeper --namespace poolkeeper --no-hooks >/dev/null
kubectl delete namespace poolkeeper --timeout="${patience}s"

echo "$passed passed, 0 failed"
