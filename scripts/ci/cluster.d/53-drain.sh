#!/usr/bin/env bash
# A node that is drained: idle workers leave it, a busy one is protected until its task is done or `drainTimeout` is over. What
# ends say, the grace of a task, and an update of a pool of one. The node that is drained is one of kwok, since the controller
# runs on the real one; what it takes away starts again on the real one.
#
# Needs what 50-kubernetes.sh needs, and a cluster of its own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

ns=e2e-drain
. scripts/ci/kubernetes-lib.sh

if [ -z "${CLUSTER_STATE:-}" ]; then
  echo "SKIPPED: no second node can be added to this cluster"
  exit 0
fi
real=$(kubectl get nodes -o jsonpath='{.items[0].metadata.name}')
install_controller
make_namespace
scripts/cluster/cluster pretend 1
fake=kwok-0

# pods POOL NODE: names of the pool's Pods on a node.
pods() { k get pods -l "poolkeeper.dev/pool=$1" --field-selector "spec.nodeName=$2" -o 'jsonpath={.items[*].metadata.name}'; }
# on_fake POOL [SPEC]: a pool whose first workers are on the node that will be drained.
on_fake() {
  kubectl cordon "$real" >/dev/null
  pool "$@" | kubectl apply -f -
  k wait "cpool/$1" --for=condition=Ready --timeout="${patience}s"
  kubectl uncordon "$real" >/dev/null
}
# request POOL TASK [SPEC]
request() {
  k annotate cpool "$1" "dispatch.poolkeeper.dev/$2=${3:-}" >/dev/null
  k wait --for=create "pkd/$2" --timeout="${patience}s" >/dev/null
  k wait --for=condition=Assigned "pkd/$2" --timeout="${patience}s" >/dev/null
}

step "a Pod has its Worker as controller, and its pool a budget that grants no eviction"
on_fake agents ', warm: 0'
k scale cpool agents --replicas=1
shows "Worker agents-0 true" k get pods -l poolkeeper.dev/pool=agents -o 'jsonpath={range .items[*]}{.metadata.ownerReferences[*].kind} {.metadata.ownerReferences[*].name} {.metadata.ownerReferences[*].controller}{end}'
shows "ContainerPool agents 0 AlwaysAllow" k get pdb -o 'jsonpath={range .items[*]}{.metadata.ownerReferences[*].kind} {.metadata.ownerReferences[*].name} {.status.disruptionsAllowed} {.spec.unhealthyPodEvictionPolicy}{end}'

step "a drain waits for a busy worker; the idle one leaves and is replaced on another node"
kubectl cordon "$real" >/dev/null
k scale cpool agents --replicas=2
becomes 2 cpool/agents '{.status.ready}'
kubectl uncordon "$real" >/dev/null
request agents long
busy=$(k get pkd long -o jsonpath='{.status.target.id}')
idle=$(pods agents "$fake" | tr ' ' '\n' | grep -v "$busy")
refused "Cannot evict pod as it would violate the pod's disruption budget." kubectl drain "$fake" --delete-emptydir-data --timeout=15s
k wait --for=delete "pod/$idle" --timeout="${patience}s"
until_true "another worker on the other node" eval '[ -n "$(pods agents "$real")" ]'
becomes "1 1" cpool/agents '{.status.ready} {.status.busy}'
is Assigned pkd/long '{.status.phase}'
says "Normal its node $fake is cordoned" k get events --field-selector reason=NodeDrained -o 'jsonpath={.items[0].type} {.items[0].message}'

step "when the task is done, the worker takes no other one, and the drain ends"
k annotate cpool agents dispatch.poolkeeper.dev/next= dispatch.poolkeeper.dev/after= >/dev/null
k wait --for=create pkd/next pkd/after --timeout="${patience}s" >/dev/null
kubectl drain "$fake" --delete-emptydir-data --timeout="${patience}s" >"$work/drain" 2>&1 &
drain=$!
k annotate cpool agents result.poolkeeper.dev/long='1 Succeeded'
wait "$drain" || fail "the drain failed: $(cat "$work/drain")"
finished long Succeeded
[ -z "$(pods agents "$fake")" ]
for task in next after; do
  k wait --for=condition=Assigned "pkd/$task" --timeout="${patience}s"
  is "$real" "pod/$(k get pkd "$task" -o jsonpath='{.status.target.id}')" '{.spec.nodeName}'
  k annotate cpool agents "result.poolkeeper.dev/$task=1 Succeeded"
  finished "$task" Succeeded
done
kubectl uncordon "$fake"
k delete cpool agents --timeout="${patience}s"
until_true "the budget goes with its pool" eval '[ -z "$(k get pdb -o name)" ]'

step "drainTimeout bounds the wait, and the attempt says what ended it"
on_fake short ', drainTimeout: 8s'
request short lost
kubectl drain "$fake" --delete-emptydir-data --timeout="${patience}s"
finished lost Failed
is "WorkerLost its Pod was evicted (drain by the eviction API)" pkd/lost '{.status.lastResult.outcome} {.status.lastResult.message}'
kubectl uncordon "$fake"
k delete cpool short --timeout="${patience}s"

step "on a real node: the grace, an eviction and a deletion in words, and no protection with 0s"
kubectl cordon "$fake"
pool plain ', drainTimeout: 0s, terminationGracePeriod: 3s' | kubectl apply -f -
k wait cpool/plain --for=condition=Ready --timeout="${patience}s"
request plain evicted
pod=$(k get pkd evicted -o jsonpath='{.status.target.id}')
is 3 "pod/$pod" '{.spec.terminationGracePeriodSeconds}'
[ -z "$(k get pod "$pod" -o 'jsonpath={.metadata.labels.poolkeeper\.dev/protected}')" ]
echo "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{\"name\":\"$pod\",\"namespace\":\"$ns\"}}" |
  kubectl create --raw "/api/v1/namespaces/$ns/pods/$pod/eviction" -f - >/dev/null
finished evicted Failed
is "WorkerLost its Pod was evicted (drain by the eviction API)" pkd/evicted '{.status.lastResult.outcome} {.status.lastResult.message}'
request plain deleted '{"retry":{"workerLost":1}}'
k delete pod "$(k get pkd deleted -o jsonpath='{.status.target.id}')" --wait=false
until_true "the second attempt" is 2 pkd/deleted '{.status.attempt}'
is "WorkerLost its Pod was deleted" pkd/deleted '{.status.lastResult.outcome} {.status.lastResult.message}'
k annotate cpool plain result.poolkeeper.dev/deleted='2 Succeeded'
finished deleted Succeeded

step "a Worker whose finalizer was removed: the garbage collector removes its Pod"
becomes 1 cpool/plain '{.status.ready}'
worker=$(k get pkw -l poolkeeper.dev/pool=plain -o jsonpath='{.items[0].metadata.name}')
pod=$(k get pods -l "poolkeeper.dev/worker=$worker" -o jsonpath='{.items[0].metadata.name}')
k patch pkw "$worker" --type=merge -p '{"metadata":{"finalizers":null}}'
k delete pkw "$worker" --wait=false --ignore-not-found
k wait --for=delete "pod/$pod" --timeout="${patience}s"
k delete cpool plain --timeout="${patience}s"

step "an update of a pool of one with an image that is nowhere costs no worker"
pool one | kubectl apply -f -
k wait cpool/one --for=condition=Ready --timeout="${patience}s"
uid=$(k get pkw one-0 -o jsonpath='{.metadata.uid}')
k patch cpool one --type=merge -p '{"spec":{"image":"127.0.0.1:1/no/such:image"}}'
until_true "the new worker cannot start" says 'no/such:image' k get pkw one-1 -o jsonpath='{.status.message}'
is "$uid Ready" pkw/one-0 '{.metadata.uid} {.status.phase}'
request one served
is one-0 pkd/served '{.status.worker.name}'
k annotate cpool one result.poolkeeper.dev/served='1 Succeeded'
finished served Succeeded
k patch cpool one --type=merge -p '{"spec":{"image":"docker.io/library/busybox:local"}}'
until_true "the new worker is gone" eval '[ "$(k get pkw -o name)" = worker.poolkeeper.dev/one-0 ]'
is "$uid" pkw/one-0 '{.metadata.uid}'

step "and a good one removes the old worker when the new one is up"
k patch cpool one --type=merge -p '{"spec":{"env":[{"name":"GENERATION","value":"2"}]}}'
k wait --for=create pkw/one-1 --timeout="${patience}s"
k wait --for=delete pkw/one-0 --timeout="${patience}s"
is Ready pkw/one-1 '{.status.phase}'
k delete cpool one --timeout="${patience}s"

kubectl delete node "$fake"
uninstall_controller
echo "$passed passed, 0 failed"
