#!/usr/bin/env bash
# What a ContainerPool says, in full: Ready only with workers that are up, why a queue waits in a pool with `min: 0`, an update of
# healthy workers under a controller that is killed, a credential that two pools share, a deletion that waits, policies that refuse
# Workers, pools that start nothing, and the columns.
#
# Needs a node (scripts/ci/cluster.sh makes one), kubectl, helm, and the controller's image as target/image/poolkeeper.tar
# (scripts/image.sh).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

ns=e2e-pool
. scripts/ci/kubernetes-lib.sh

# says_so POOL TYPE: status, reason and message of a condition. Words of a scheduler and of a registry, and times, are masked.
says_so() {
  k get cpool "$1" -o "jsonpath={range .status.conditions[?(@.type==\"$2\")]}{.status} {.reason}: {.message}{end}" |
    sed -E 's|0/1 nodes are available: .*|NODES|; s/(ErrImagePull|ImagePullBackOff): .*/PULL/; s/[0-9-]{10}T[0-9:]{8}Z/TIME/g'
}
# request POOL NAME: asks for a worker by annotation.
request() { k annotate cpool "$1" "dispatch.poolkeeper.dev/$2=" >/dev/null; }
# cancel NAME...
cancel() {
  local name
  for name in "$@"; do k patch pkd "$name" --type=merge -p '{"spec":{"cancel":true}}' >/dev/null; done
}
# warnings POOL: reasons of the Warning Events about a pool.
warnings() {
  k get events.events.k8s.io -o "jsonpath={range .items[?(@.regarding.name==\"$1\")]}{.type} {.reason}{\"\\n\"}{end}" | grep '^Warning' || true
}
# lean NAME [SPEC]: a pool whose workers stop at once.
lean() { pool "$1" ", terminationGracePeriod: 1s${2:-}"; }

# policy OPERATION WORDS: no such change of a Worker is admitted in this namespace, until no_policy.
policy() {
  kubectl apply -f - >/dev/null <<Y
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: workers}
spec:
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: $ns}}
    resourceRules: [{apiGroups: [poolkeeper.dev], apiVersions: [v1alpha1], resources: [workers], operations: [$1]}]
  validations: [{expression: "false", message: "$2"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: workers}
spec: {policyName: workers, validationActions: [Deny]}
Y
}
no_policy() { kubectl delete validatingadmissionpolicybinding,validatingadmissionpolicy workers >/dev/null; }
# create_worker: what is answered to a creation that is only tried.
create_worker() {
  kubectl create --dry-run=server -f - <<Y 2>&1 || true
apiVersion: poolkeeper.dev/v1alpha1
kind: Worker
metadata: {name: tried-0, namespace: $ns}
spec: {pool: tried, poolGeneration: 1, runtime: Pod, templateHash: h}
Y
}

install_controller
make_namespace

step "Ready is True only when a worker is up, and then at once"
lean agents | sed 's|docker.io/library/busybox:local|nosuch.invalid/x:1|' | kubectl apply -f - >/dev/null
shows 'False StartsWait: workers cannot start yet: PULL' says_so agents Ready
k patch cpool agents --type=merge -p '{"spec":{"image":"docker.io/library/busybox:local"}}' >/dev/null
k wait cpool/agents --for=condition=Ready --timeout="${patience}s" >/dev/null
is Ready pkw/agents-0 '{.status.phase}' || fail "Ready without a worker: $(k get cpool,pkw -o wide)"
shows 'True Available: 1 worker is up' says_so agents Ready
shows 'True QueueEmpty: ' says_so agents Dispatching

step "columns"
shows "NAME STATUS READY BUSY RESTING QUEUED DISPATCHING MIN MAX AGE
agents Available 1 0 0 0 QueueEmpty 1 3 AGE" eval 'k get cpool agents | tr -s " " | sed -E "s/ $//; s/ [0-9]+[smh]+[0-9ms]*$/ AGE/"'
says 'UNAVAILABLE' k get cpool -o wide
says 'RESTS-UNTIL' k get cpool -o wide

step "a request that is refused shows at once"
k annotate cpool agents 'dispatch.poolkeeper.dev/Not_A_Name=' >/dev/null
shows 'False Refused' eval 'says_so agents RequestsAccepted | cut -d: -f1'
k annotate cpool agents 'dispatch.poolkeeper.dev/Not_A_Name-' >/dev/null
shows 'True Accepted: ' says_so agents RequestsAccepted

step "min: 0 hides nothing: no room"
lean big ', resources: {requests: {cpu: "64"}}' | sed 's/min: 1, //' | kubectl apply -f - >/dev/null
shows 'True Available: no worker is up, and none is needed (spec.min is 0)' says_so big Ready
for n in 1 2 3; do request big "big-$n"; done
k wait --for=create pkd/big-1 pkd/big-2 pkd/big-3 --timeout="${patience}s" >/dev/null
shows 'False StartsWait: workers cannot start yet: Unschedulable: NODES' says_so big Dispatching

step "min: 0 hides nothing: paused, and refused by a policy"
k patch cpool big --type=merge -p '{"spec":{"paused":true}}' >/dev/null
shows 'False Paused: the pool is paused (spec.paused)' says_so big Dispatching
cancel big-1 big-2 big-3
shows 'True QueueEmpty: ' says_so big Dispatching
k delete cpool big --timeout="${patience}s" >/dev/null
policy CREATE "no workers before Monday"
until_true "the policy holds" says "no workers before Monday" create_worker
lean held | sed 's/min: 1, //' | kubectl apply -f - >/dev/null
request held held-1
shows 'False WriteRefused: the API server refuses to create a Worker' eval 'says_so held Dispatching | cut -d: -f1,2'
until_true "the policy's words" says 'no workers before Monday' says_so held Dispatching
no_policy
k wait pkd/held-1 --for=condition=Assigned --timeout="${patience}s" >/dev/null
k annotate cpool held result.poolkeeper.dev/held-1='1 Succeeded' >/dev/null
k delete cpool held --timeout="${patience}s" >/dev/null

step "all workers are busy: that is no standstill"
lean full | sed 's/min: 1, max: 3/max: 1/' | kubectl apply -f - >/dev/null
request full full-1
k wait --for=create pkd/full-1 --timeout="${patience}s" >/dev/null
k wait pkd/full-1 --for=condition=Assigned --timeout="${patience}s" >/dev/null
request full full-2
shows 'True AllBusy: all workers are busy: 1 busy of max 1 (raise spec.max for more)' says_so full Dispatching

step "a pool that is being deleted names the workers that it waits for"
k delete cpool full --wait=false >/dev/null
shows 'False Deleting: the pool is being deleted; waits for full-0 (busy with full-1)' says_so full Ready
k patch pkd full-1 --type=merge -p '{"spec":{"result":{"attempt":1,"outcome":"Succeeded"}}}' >/dev/null
k wait cpool/full --for=delete --timeout="${patience}s" >/dev/null

step "a credential that two pools share: each says that it rests, and which pool met the limit"
k create secret generic tokens --from-literal=a=one >/dev/null
shared=', credentials: [{name: a, env: TOKEN, secretKeyRef: {name: tokens, key: a}}], rateLimit: {scope: Credential}'
for name in one two; do lean "$name" "$shared" | kubectl apply -f - >/dev/null; done
k wait cpool/one cpool/two --for=condition=Ready --timeout="${patience}s" >/dev/null
request one limited
k wait --for=create pkd/limited --timeout="${patience}s" >/dev/null
k wait pkd/limited --for=condition=Assigned --timeout="${patience}s" >/dev/null
k annotate cpool one result.poolkeeper.dev/limited='1 RateLimited retryAfter=10m message=429' >/dev/null
becomes RateLimited pkd/limited '{.status.lastResult.outcome}'
request two waits
shows 'False Resting: credential a (secret/tokens/a) rests since a limit in pool one: 429; the next is back at TIME' says_so two Dispatching
shows 'a secret/tokens/a one 1 429' k get cpool two -o 'jsonpath={range .status.restingCredentials[*]}{.name} {.key} {.pool} {.strikes} {.reason}{end}'
[[ $(k get cpool two -o jsonpath='{.status.nextAvailableTime}') =~ ^[0-9-]+T[0-9:]{8}Z$ ]] || fail "no whole seconds"
k annotate cpool two cooldown.poolkeeper.dev/a=clear >/dev/null
k wait pkd/waits --for=condition=Assigned --timeout="${patience}s" >/dev/null
shows '' k get cpool two -o 'jsonpath={.status.restingCredentials}'

step "a credential that is refused rests until a person clears it"
k annotate cpool two result.poolkeeper.dev/waits='1 Unauthorized message=401' >/dev/null
finished waits Failed
request two refused
shows 'False CredentialsRefused: credential a is parked since it was refused, probed next at TIME; change it, or clear it with a cooldown annotation' says_so two Dispatching
k annotate cpool two cooldown.poolkeeper.dev/a=clear >/dev/null
k wait pkd/refused --for=condition=Assigned --timeout="${patience}s" >/dev/null
k annotate cpool two result.poolkeeper.dev/refused='1 Succeeded' >/dev/null
finished refused Succeeded
k delete cpool one two --timeout="${patience}s" >/dev/null

step "pools that start nothing: one is paused, the other may not be carried out"
lean asleep ', paused: true' | kubectl apply -f - >/dev/null
shows 'False Paused: 0 of at least 1 worker is up; the pool is paused (spec.paused)' says_so asleep Ready
lean docker ', runtime: Docker' | kubectl apply -f - >/dev/null
request docker never
for type in Ready Dispatching RuntimeAllowed; do
  shows 'False Refused: runtime Docker is not allowed here; this controller allows Pod' says_so docker "$type"
done
k delete cpool asleep docker --timeout="${patience}s" >/dev/null

step "an update of healthy workers, and a controller that is killed, are no alarm"
lean rolling ', update: {maxSurge: 0}' | sed 's/min: 1, max: 3/min: 2, max: 2/' | kubectl apply -f - >/dev/null
shows 'True Available: 2 workers are up' says_so rolling Ready
kubectl -n "$ns" get cpool rolling -w -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}{"\n"}' >"$work/ready" 2>/dev/null &
watcher=$!
kubectl -n poolkeeper delete pod -l app.kubernetes.io/name=poolkeeper --force --grace-period=0 >/dev/null 2>&1
k patch cpool rolling --type=merge -p '{"spec":{"env":[{"name":"GENERATION","value":"2"}]}}' >/dev/null
shows 'True RollingUpdate: 1 of 2 updated' says_so rolling Progressing
settled rolling "2 2"
shows 'False Steady: ' says_so rolling Progressing
kill "$watcher" && wait "$watcher" || true
shows True sort -u "$work/ready"
[ "$(wc -l <"$work/ready")" -gt 1 ] || fail "the watch of the pool ended early"
shows '' warnings rolling
until_true "the Event" says 'all 2 workers are up to date' k get events.events.k8s.io -o jsonpath='{.items[*].note}'

step "a busy worker that is outdated is named"
dispatch stays
k patch cpool agents --type=merge -p '{"spec":{"max":1,"env":[{"name":"GENERATION","value":"2"}]}}' >/dev/null
shows 'True RollingUpdate: 0 of 1 updated; agents-0 is busy and follows when it is done' says_so agents Progressing
k patch cpool agents --type=merge -p '{"spec":{"paused":true}}' >/dev/null
shows 'False UpdatePaused: 0 of 1 updated; the pool is paused (spec.paused)' says_so agents Progressing
k patch cpool agents --type=merge -p '{"spec":{"paused":false}}' >/dev/null
k annotate cpool agents result.poolkeeper.dev/stays='1 Succeeded' >/dev/null
shows 'False Steady: ' says_so agents Progressing
until_true "the Event" says 'the only worker is up to date' k get events.events.k8s.io -o jsonpath='{.items[*].note}'

step "a deletion of a Worker that a policy refuses is shown in the policy's words"
policy DELETE "workers stay until Monday"
until_true "the policy holds" eval '! k delete pkw agents-0 --wait=false --dry-run=server'
k patch cpool agents --type=merge -p '{"spec":{"max":1,"env":[{"name":"GENERATION","value":"3"}]}}' >/dev/null
until_true "the policy's words" says "workers stay until Monday" says_so agents Progressing
says 'False UpdateStalled: 0 of 1 updated; agents-0 cannot be deleted: ' says_so agents Progressing
no_policy
shows 'False Steady: ' says_so agents Progressing

uninstall_controller
echo "$passed passed, 0 failed"
