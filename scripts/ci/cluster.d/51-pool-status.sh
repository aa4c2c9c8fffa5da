#!/usr/bin/env bash
# What a ContainerPool says, in full: Ready only with workers that are up, the columns, a refused request, and why a queue waits in
# a pool with `min: 0`.
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
# lean NAME [SPEC]: a pool whose workers stop at once.
lean() { pool "$1" ", terminationGracePeriod: 1s${2:-}"; }

install_controller
make_namespace

step "Ready is True only when a worker is up, and then at once"
lean agents | sed 's|docker.io/library/busybox:local|nosuch.invalid/x:1|' | kubectl apply -f - >/dev/null
shows 'False StartsWait: workers cannot start yet: PULL' says_so agents Ready
k patch cpool agents --type=merge -p '{"spec":{"image":"docker.io/library/busybox:local"}}' >/dev/null
k wait cpool/agents --for=condition=Ready --timeout=60s >/dev/null
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
shows 'False StartsWait: workers cannot start yet: Unschedulable: NODES' says_so big Dispatching

step "min: 0 hides nothing: paused"
k patch cpool big --type=merge -p '{"spec":{"paused":true}}' >/dev/null
shows 'False Paused: the pool is paused (spec.paused)' says_so big Dispatching
cancel big-1 big-2 big-3
shows 'True QueueEmpty: ' says_so big Dispatching
k delete cpool big --timeout=60s >/dev/null

uninstall_controller
echo "$passed passed, 0 failed"
