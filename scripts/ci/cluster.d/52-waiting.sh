#!/usr/bin/env bash
# The words with which a Dispatch says why it waits or why it ended, read by a supervisor who may only read Dispatches; and
# those of a pool on requests that it refuses. All words are compared in full, with times and names of Pods masked.
#
# Needs what 50-kubernetes.sh needs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

ns=e2e-waiting
. scripts/ci/kubernetes-lib.sh

install_controller
make_namespace
k create serviceaccount supervisor
k create role dispatches --verb=get,list,watch,create,patch,delete --resource=dispatches.poolkeeper.dev
k create rolebinding dispatches --role=dispatches --serviceaccount="$ns:supervisor"
as=(--as "system:serviceaccount:$ns:supervisor")

# wants NAME POOL [SPEC]: the supervisor creates a Dispatch.
wants() {
  k "${as[@]}" create -f - >/dev/null <<Y
{"apiVersion": "poolkeeper.dev/v1alpha1", "kind": "Dispatch", "metadata": {"name": "$1"}, "spec": {"pool": "$2"${3:+, $3}}}
Y
}
# masked COMMAND...: its output, with times as TIME, ages as AGE, and single spaces.
masked() {
  "$@" | sed -E 's/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z/TIME/g; s/ [0-9]+(s|m|m[0-9]+s)\b/ AGE/g; s/ +/ /g; s/ $//'
}
# row NAME: what the supervisor sees of a Dispatch in the columns.
row() { masked k "${as[@]}" get pkd "$1" -o wide --no-headers; }
# plain NAME: the same without -o wide.
plain() { masked k "${as[@]}" get pkd "$1" --no-headers; }
# condition KIND/NAME TYPE
condition() {
  masked k get "$1" -o jsonpath="{range .status.conditions[?(@.type==\"$2\")]}{.type}={.status} {.reason}: {.message}{end}"
}
# notes KIND NAME REASON: the Events with this reason, each as TYPE TEXT.
notes() {
  masked k get events.events.k8s.io --field-selector "regarding.kind=$1,regarding.name=$2,reason=$3" \
    -o 'jsonpath={range .items[*]}{.type} {.note}{"\n"}{end}'
}
min0() { pool "$@" | sed 's/min: 1, max: 3/min: 0, max: 1/'; }

step "one dispatch for each reason to wait"
kubectl apply -f - <<Y
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: e2e-waiting}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  validations:
    - expression: "!has(object.metadata.labels) || !('poolkeeper.dev/pool' in object.metadata.labels) || object.metadata.labels['poolkeeper.dev/pool'] != 'denied'"
      message: no Pods of denied today
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: e2e-waiting}
spec:
  policyName: e2e-waiting
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: $ns}}}
Y
until_true "the policy is in force" eval '! k run probe --image=docker.io/library/busybox:local --labels=poolkeeper.dev/pool=denied --dry-run=server'
k create secret generic tokens --from-literal=a=secret
min0 big ', resources: {requests: {cpu: "64"}}' | kubectl apply -f -
min0 denied | kubectl apply -f -
min0 paused ', paused: true' | kubectl apply -f -
min0 resting ', rateLimit: {scope: Credential}, credentials: [{name: a, env: TOKEN, secretKeyRef: {name: tokens, key: a}}]' |
  kubectl apply -f -
min0 busy ', dispatch: {queueLimit: 2}' | kubectl apply -f -
wants rested resting '"retry": {"rateLimited": 1}'
wants working busy
# Each row that the supervisor sees of it: what an attempt ended as is shown for 10 s.
kubectl -n "$ns" "${as[@]}" get pkd rested -o wide --no-headers -w >"$work/rows" 2>/dev/null &
watchers+=($!)
for each in rested working; do k "${as[@]}" wait "pkd/$each" --for=condition=Assigned --timeout="${patience}s"; done
until_true "the watch shows it" test -s "$work/rows"
k "${as[@]}" patch pkd rested --type=merge \
  -p '{"spec":{"result":{"attempt":1,"outcome":"RateLimited","retryAfter":"10m","message":"429 Too Many Requests"}}}'
wants no-pool nosuch
for each in big denied paused resting busy; do wants "waits-$each" "$each"; done
limited="rested resting Pending RateLimited resting-0 1 AGE RateLimited TIME AGE 0 attempt 1 on resting-0 ended as RateLimited: 429 Too Many Requests; the rest that follows ends at TIME"
until_true "how the attempt ended" eval 'masked cat "$work/rows" | grep -xF -- "$limited"'
shows 'no-pool nosuch Pending PoolNotFound 0 AGE 0 there is no ContainerPool "nosuch" in namespace "e2e-waiting"; waiting for it' row no-pool
# The scheduler, the API server and the kubelet word their parts.
shows 'waits-big big Pending StartsWait 0 AGE 0 workers cannot start yet: Unschedulable: 0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.' row waits-big
shows "waits-denied denied Pending StartsFail 0 AGE TIME 0 workers do not start: pods \"denied-0\" is forbidden: ValidatingAdmissionPolicy 'e2e-waiting' with binding 'e2e-waiting' denied request: no Pods of denied today" row waits-denied
shows 'waits-paused paused Pending Paused 0 AGE 0 the pool is paused (spec.paused)' row waits-paused
shows 'waits-resting resting Pending Resting 0 AGE TIME 0 credential a (secret/tokens/a) rests since a limit in pool resting: 429 Too Many Requests; the next is back at TIME' row waits-resting
shows 'waits-busy busy Pending Busy 0 AGE 0 all workers are busy: 1 busy of max 1 (raise spec.max for more)' row waits-busy
shows 'rested resting Pending Resting resting-0 1 AGE RateLimited TIME AGE 0 credential a (secret/tokens/a) rests since a limit in pool resting: 429 Too Many Requests; the next is back at TIME' row rested
# The reason is a plain column, and a condition too.
shows 'waits-paused paused Pending Paused 0 AGE' plain waits-paused
shows 'Assigned=False Paused: the pool is paused (spec.paused)' condition pkd/waits-paused Assigned

step "kubectl describe shows it"
# described NAME: the status and the Events of a Dispatch, as kubectl describes them.
described() { masked k "${as[@]}" describe pkd "$1" | sed -n -E 's/[^ ]+\.[0-9]{6}Z/TIME/; /^Status:/,$p'; }
shows 'Status:
 Attempt: 0
 Conditions:
 Last Transition Time: TIME
 Message: credential a (secret/tokens/a) rests since a limit in pool resting: 429 Too Many Requests; the next is back at TIME
 Reason: Resting
 Status: False
 Type: Assigned
 Message: credential a (secret/tokens/a) rests since a limit in pool resting: 429 Too Many Requests; the next is back at TIME
 Phase: Pending
 Reason: Resting
 Waits Until: TIME
Events: <none>' described waits-resting

step "a wait ends, and its reason with it"
k patch cpool paused --type=merge -p '{"spec":{"paused":false}}'
k "${as[@]}" wait pkd/waits-paused --for=condition=Assigned --timeout="${patience}s"
shows 'waits-paused paused Assigned paused-0 1 AGE AGE 0' row waits-paused
k annotate cpool resting cooldown.poolkeeper.dev/a=clear
until_true "the second attempt" is 2 pkd/rested '{.status.attempt}'
shows 'rested resting Assigned resting-0 2 AGE RateLimited AGE 0' row rested
k "${as[@]}" patch pkd waits-big --type=merge -p '{"spec":{"cancel":true}}'
shows 'waits-big big Cancelled Cancelled 0 AGE AGE 0 spec.cancel was set while the dispatch waited' row waits-big

step "a full queue: both ways to request a worker end alike"
wants second busy
until_true "two wait" is 2 cpool/busy '{.status.queued}'
wants full busy
shows 'full busy Failed QueueFull 0 AGE AGE 0 2 dispatches wait already (spec.dispatch.queueLimit)' row full
k annotate cpool busy dispatch.poolkeeper.dev/full-too=
until_true "it is made" k get pkd full-too
shows 'full-too busy Failed QueueFull 0 AGE AGE 0 2 dispatches wait already (spec.dispatch.queueLimit)' row full-too
shows 'Finished=True QueueFull: 2 dispatches wait already (spec.dispatch.queueLimit)' condition pkd/full-too Finished
shows 'RequestsAccepted=True Accepted:' condition cpool/busy RequestsAccepted
shows 'Warning dispatches are refused: 2 wait already (spec.dispatch.queueLimit)' notes ContainerPool busy QueueFull

step "requests that cannot be carried out"
k annotate cpool busy cooldown.poolkeeper.dev/busy-7=clear
shows 'RequestsAccepted=False Refused: annotation cooldown.poolkeeper.dev/busy-7: busy has no Worker and no credential "busy-7"; it has busy-0' condition cpool/busy RequestsAccepted
k annotate cpool busy cooldown.poolkeeper.dev/busy-7-
k annotate cpool busy cooldowns.poolkeeper.dev/busy-0=clear
shows "RequestsAccepted=False Refused: annotation cooldowns.poolkeeper.dev/busy-0: there is no such annotation: use dispatch.poolkeeper.dev/TASK, result.poolkeeper.dev/TASK or cooldown.poolkeeper.dev/WORKER-or-CREDENTIAL; for example dispatch.poolkeeper.dev/task-42='{\"priority\":5}'" condition cpool/busy RequestsAccepted
k annotate cpool busy cooldowns.poolkeeper.dev/busy-0-

step "a pool that is being deleted refuses new work, cancels what waits, and takes results"
k delete cpool busy --wait=false
shows 'second busy Cancelled PoolDeleted 0 AGE AGE 0 ContainerPool "busy" was deleted while the dispatch waited' row second
k annotate cpool busy dispatch.poolkeeper.dev/x4=
shows 'RequestsAccepted=False Refused: annotation dispatch.poolkeeper.dev/x4: the pool is being deleted' condition cpool/busy RequestsAccepted
text='Warning annotation dispatch.poolkeeper.dev/x4: the pool is being deleted'
until_true "the Event says it" eval 'grep -qxF -- "$text" <<<"$(notes ContainerPool busy RequestRefused)"'
wants too-late busy
shows 'too-late busy Cancelled PoolDeleted 0 AGE AGE 0 ContainerPool "busy" was deleted while the dispatch waited' row too-late
k annotate cpool busy result.poolkeeper.dev/working='1 failed message=no such file'
finished working Failed
shows 'working busy Failed Failed busy-0 1 AGE Failed AGE AGE 0 attempt 1 on busy-0 ended as Failed: no such file' row working
k wait cpool/busy --for=delete --timeout="${patience}s"

step "leave"
kubectl delete validatingadmissionpolicybinding,validatingadmissionpolicy e2e-waiting
for each in rested waits-paused; do k "${as[@]}" delete pkd "$each"; done
k delete cpool --all --timeout="${patience}s"
uninstall_controller

echo "$passed passed, 0 failed"
