#!/usr/bin/env bash
# What a user of Kubernetes does with Poolkeeper, typed by a script: helm install, kubectl apply, annotate, wait, exec, scale,
# describe, delete, helm upgrade, helm uninstall. Then what goes wrong: bad specs, images, quotas, rollouts.
#
# Needs a node (scripts/ci/cluster.sh makes one), kubectl, helm, and the controller's image as target/image/poolkeeper.tar
# (scripts/image.sh).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

ns=e2e
. scripts/ci/kubernetes-lib.sh

scripts/cluster/cluster load target/image/poolkeeper.tar

step "helm install, and the pool of the examples"
helm install poolkeeper charts/poolkeeper --namespace poolkeeper --create-namespace --set replicas=2 --wait --timeout 10m
record_words
kubectl get crd containerpools.poolkeeper.dev workers.poolkeeper.dev dispatches.poolkeeper.dev
kubectl create namespace "$ns"
until_true "the service account" k get serviceaccount default
sed 's|image: busybox:.*|image: docker.io/library/busybox:local|' examples/pool.yaml | k apply -f -
k wait cpool/agents --for=condition=Ready --timeout="${patience}s"

step "columns that say something"
k get cpool,pkw | tee "$work/columns"
grep -q "READY.*BUSY.*RESTING.*QUEUED.*MIN.*MAX" "$work/columns"
grep -q "agents-0 .*Ready" "$work/columns"

step "a task: annotate, wait, execute in the Pod, report"
dispatch task-42
read -r -a argv <<<"$(k get pkd task-42 -o jsonpath='{.status.target.argv[*]}')"
[ "$(echo "through the door" | "${argv[@]}" cat)" = "through the door" ]
becomes 1 cpool/agents '{.status.busy}'
k annotate cpool agents result.poolkeeper.dev/task-42='1 Succeeded'
finished task-42 Succeeded
becomes "task-42 Succeeded" cpool/agents '{.status.recent[0].dispatch} {.status.recent[0].outcome}'
becomes 0 cpool/agents '{.status.busy}'
is 1 pkw/agents-0 '{.status.dispatches}'
# The annotations go once what they ask for is durable.
until_true "no request is left" eval '! says poolkeeper.dev/task-42 k get cpool agents -o "jsonpath={.metadata.annotations}"'

step "a rate limit: the worker rests, the next task goes elsewhere, and it comes back"
dispatch limited '{"retry":{"rateLimited":1}}'
# Long enough for all that is looked at meanwhile. A person ends it.
k annotate cpool agents result.poolkeeper.dev/limited='1 RateLimited retryAfter=10m'
until_true "the second attempt" is 2 pkd/limited '{.status.attempt}'
becomes agents-1 pkd/limited '{.status.worker.name}'
becomes 1 cpool/agents '{.status.resting}'
says T k get pkw agents-0 -o jsonpath='{.status.cooldown.until}'
says AttemptLimited k describe pkd limited
k annotate cpool agents result.poolkeeper.dev/limited='2 Succeeded'
finished limited Succeeded
k annotate cpool agents cooldown.poolkeeper.dev/agents-0=clear
becomes 0 cpool/agents '{.status.resting}'
# It has rested longest now.
dispatch after-the-rest
is agents-0 pkd/after-the-rest '{.status.worker.name}'
k annotate cpool agents result.poolkeeper.dev/after-the-rest='1 Failed'
finished after-the-rest Failed

step "a supervisor with Dispatch objects, and only the right to these"
k create serviceaccount supervisor
k create rolebinding supervisor --clusterrole=poolkeeper-dispatcher --serviceaccount="$ns:supervisor"
as=(--as "system:serviceaccount:$ns:supervisor")
k "${as[@]}" create -f examples/dispatch.yaml
k "${as[@]}" wait pkd/greet --for=condition=Assigned --timeout="${patience}s"
refused "forbidden" k "${as[@]}" annotate cpool agents dispatch.poolkeeper.dev/x=
refused "forbidden" k "${as[@]}" get secrets
refused "has not been assigned yet" k "${as[@]}" patch pkd greet --type=merge -p '{"spec":{"result":{"attempt":2,"outcome":"Succeeded"}}}'
k "${as[@]}" patch pkd greet --type=merge -p '{"spec":{"result":{"attempt":1,"outcome":"Succeeded"}}}'
finished greet Succeeded

step "scale, explain, describe, server-side apply, diff"
k scale cpool agents --replicas=2
becomes 2 cpool/agents '{.status.ready}'
refused "min must be <= max (raise spec.max first)" k scale cpool agents --replicas=9
says maxCooldown kubectl explain containerpool.spec.rateLimit
k describe cpool agents >"$work/describe"
grep -q "Normal *Ready" "$work/describe"
pool agents ', idleTimeout: 10m' | kubectl apply --server-side --force-conflicts -f -
if pool agents ', idleTimeout: 11m' | kubectl diff --server-side --force-conflicts -f - >"$work/diff"; then fail "no diff"; fi
grep -q 'idleTimeout: 11m' "$work/diff"

step "bad input is refused in words"
for case in "min: 4, max: 3|min must be <= max" "max: 0|spec.max" "cooldown: 5 parsecs|spec.cooldown" "colour: red|colour" \
  "image: ''|spec.image" "min: -1|spec.min" "runtime: Pod, credentials: [{name: a, env: A, fromEnv: B}]|secretKeyRef"; do
  refused "${case#*|}" kubectl -n "$ns" apply -f - <<Y
apiVersion: poolkeeper.dev/v1alpha1
kind: ContainerPool
metadata: {name: bad}
spec: {image: a, ${case%|*}}
Y
done
k annotate cpool agents 'dispatch.poolkeeper.dev/Not_A_Name='
becomes False cpool/agents '{.status.conditions[?(@.type=="RequestsAccepted")].status}'
k annotate cpool agents 'dispatch.poolkeeper.dev/Not_A_Name-'
becomes True cpool/agents '{.status.conditions[?(@.type=="RequestsAccepted")].status}'

step "an image that cannot be pulled, and a template that the API server rejects, are told on the pool"
pool nopull ', startTimeoutless: 1' | refused "startTimeoutless" kubectl apply -f -
pool nopull | sed 's|docker.io/library/busybox:local|127.0.0.1:1/no/such:image|' | kubectl apply -f -
until_true "the kubelet's words on the worker" says 'no/such:image' k get pkw nopull-0 -o jsonpath='{.status.message}'
until_true "the kubelet's words on the pool" says 'no/such:image' k get cpool nopull -o jsonpath='{.status.conditions}'
k delete cpool nopull --timeout="${patience}s"
pool rejected ', podTemplate: {spec: {dnsPolicy: Sometimes}}' | kubectl apply -f -
until_true "the API server's words on the pool" says 'dnsPolicy' k get cpool rejected -o jsonpath='{.status.startBackoff.message}'
k delete cpool rejected --timeout="${patience}s"

step "a quota holds Pods back, and nothing is churned"
# None more, whatever is there: to count Pods would let a new one in, should one of them be about to leave.
k create quota pods --hard=pods=0
until_true "the quota counts" says '"used":{"pods"' k get quota pods -o jsonpath='{.status}'
pool held | kubectl apply -f -
until_true "the quota's words on the worker" says 'exceeded quota' k get pkw held-0 -o jsonpath='{.status.message}'
uid=$(k get pkw held-0 -o jsonpath='{.metadata.uid}')
k delete quota pods
k wait cpool/held --for=condition=Ready --timeout="${patience}s"
is "$uid" pkw/held-0 '{.metadata.uid}'
k delete cpool held --timeout="${patience}s"

# Only the node of a cluster of our own may be made deaf.
if [ -n "${CLUSTER_STATE:-}" ]; then
  step "a lost node: nothing is taken for ended until somebody says so"
  dispatch lost '{"retry":{"workerLost":0}}'
  pod=$(k get pkd lost -o jsonpath='{.status.target.id}')
  worker=$(k get pkd lost -o jsonpath='{.status.worker.name} {.status.worker.uid}')
  pkill -STOP -x kubelet
  k delete pod "$pod" --wait=false
  until_true "the Pod is Terminating" says T k get pod "$pod" -o jsonpath='{.metadata.deletionTimestamp}'
  # On a node that answers it would be gone by then.
  until_true "its grace is over" eval '[ "$(date -u +%FT%TZ)" \> "$(k get pod "$pod" -o jsonpath={.metadata.deletionTimestamp})" ]'
  is Assigned pkd/lost '{.status.phase}'
  k delete pod "$pod" --force
  finished lost Failed
  is WorkerLost pkd/lost '{.status.lastResult.outcome}'
  until_true "the worker is replaced" eval '! is "${worker#* }" "pkw/${worker% *}" "{.metadata.uid}"'
  pkill -CONT -x kubelet
  k wait cpool/agents --for=condition=Ready --timeout="${patience}s"
fi

step "a foreground deletion waits for a busy worker"
dispatch last
pod=$(k get pkd last -o jsonpath='{.status.target.id}')
k delete cpool agents --cascade=foreground --wait=false
until_true "the idle worker is gone" eval '[ "$(k get pkw -o name | wc -l)" = 1 ]'
k exec "$pod" -- true
k patch pkd last --type=merge -p '{"spec":{"result":{"attempt":1,"outcome":"Succeeded"}}}'
k wait cpool/agents --for=delete --timeout="${patience}s"
finished last Succeeded
until_true "no Pod is left" eval '[ -z "$(k get pods -o name)" ]'

step "a new template rolls out, a bad one costs its share, the old one rolls back"
pool rolling ', warm: 0' | sed 's/min: 1, max: 3/min: 4, max: 4/' | kubectl apply -f -
becomes 4 cpool/rolling '{.status.ready}'
k patch cpool rolling --type=merge -p '{"spec":{"env":[{"name":"GENERATION","value":"2"}]}}'
settled rolling "4 4"
[ "$(kubectl -n "$ns" exec "$(k get pods -l poolkeeper.dev/pool=rolling -o jsonpath='{.items[0].metadata.name}')" -- sh -c 'echo $GENERATION')" = 2 ]
k patch cpool rolling --type=merge -p '{"spec":{"image":"127.0.0.1:1/no/such:image"}}'
until_true "the bad image is tried" says 'no/such:image' k get pods -l poolkeeper.dev/pool=rolling -o yaml
becomes 3 cpool/rolling '{.status.ready}'
k patch cpool rolling --type=merge -p '{"spec":{"image":"docker.io/library/busybox:local"}}'
settled rolling "4 4"
k delete cpool rolling --timeout="${patience}s"

step "CRDs that vanish and come back under a running controller"
pool again | kubectl apply -f -
k wait cpool/again --for=condition=Ready --timeout="${patience}s"
k delete cpool again --timeout="${patience}s"
kubectl delete crd containerpools.poolkeeper.dev --timeout="${patience}s"
until_true "readiness names it" says 'False' kubectl -n poolkeeper get pods -o jsonpath='{.items[*].status.conditions[?(@.type=="Ready")].status}'
kubectl apply -f crds/
kubectl wait --for=condition=Established crd/containerpools.poolkeeper.dev --timeout="${patience}s"
kubectl -n poolkeeper rollout status deploy/poolkeeper --timeout=2m
until_true "the API" k get cpool
pool again | kubectl apply -f -
k wait cpool/again --for=condition=Ready --timeout="${patience}s"
record_words # the watch of pools ended with their CRD

step "helm upgrade with a changed CRD"
cp -r charts/poolkeeper "$work/chart"
sed -i '/openAPIV3Schema:/{n;s/description: /description: CHANGED. /}' "$work"/chart/files/crds/containerpools.poolkeeper.dev.yaml
grep -q 'description: CHANGED' "$work"/chart/files/crds/containerpools.poolkeeper.dev.yaml
helm upgrade poolkeeper "$work/chart" --namespace poolkeeper --reset-then-reuse-values --take-ownership --wait --timeout 10m
until_true "the changed description" says 'CHANGED' kubectl explain containerpool
is True cpool/again '{.status.conditions[?(@.type=="Ready")].status}'

step "a namespace that is deleted with a pool in it goes"
kubectl create namespace e2e-gone
until_true "the service account" kubectl -n e2e-gone get serviceaccount default
pool gone | sed "s/namespace: $ns/namespace: e2e-gone/" | kubectl apply -f -
kubectl -n e2e-gone wait cpool/gone --for=condition=Ready --timeout="${patience}s"
kubectl delete namespace e2e-gone --timeout="${patience}s"

step "helm uninstall leaves nothing but the CRDs, which the switch keeps"
helm uninstall poolkeeper --namespace poolkeeper --wait --timeout 10m
[ -z "$(kubectl get cpool,pkw -A -o name)" ]
[ -z "$(k get pods -o name)" ]
[ -z "$(kubectl get clusterrole,clusterrolebinding -o name | grep poolkeeper)" ]
kubectl delete namespace poolkeeper --timeout="${patience}s"

step "one namespace: a controller without rights over the cluster, and a busy worker that is forced"
other=$ns ns=e2e-one
kubectl create namespace "$ns"
until_true "the service account" k get serviceaccount default
pool | sed "s/namespace: $ns/namespace: $other/" | kubectl apply -f -
pool | kubectl apply -f -
helm install one charts/poolkeeper --namespace poolkeeper-one --create-namespace \
  --set "crds.install=false,watchNamespace=$ns" --wait --timeout 10m
k wait cpool/agents --for=condition=Ready --timeout="${patience}s"
dispatch stays
k delete cpool agents --wait=false
k annotate cpool agents poolkeeper.dev/force-delete=true
k wait cpool/agents --for=delete --timeout="${patience}s"
finished stays Failed
is Forced pkd/stays '{.status.reason}'
pool | kubectl apply -f -
k wait cpool/agents --for=condition=Ready --timeout="${patience}s"
[ -z "$(kubectl -n "$other" get cpool agents -o jsonpath='{.status}{.metadata.finalizers}')" ]
helm uninstall one --namespace poolkeeper-one --wait --timeout 10m
[ -z "$(k get cpool,pkw,pods -o name)" ]
[ -z "$(k get role,rolebinding -o name | grep one-poolkeeper)" ]
kubectl -n "$other" get cpool agents
judge_words
kubectl delete crd containerpools.poolkeeper.dev workers.poolkeeper.dev dispatches.poolkeeper.dev --timeout="${patience}s"
kubectl delete namespace "$other" "$ns" poolkeeper-one --timeout="${patience}s"

echo "$passed passed, 0 failed"
