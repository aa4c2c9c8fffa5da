#!/usr/bin/env bash
# `poolkeeper run POOL` on Pods: programs that hang or wait by themselves are ended, with and without the helper in the Pod; one exec
# serves many tasks; `--state` on a directory that the workers share; `poolkeeper logs` of a container that is starting.
#
# Needs what 57-run.sh needs, and POOLKEEPER_CLUSTER_HOSTPATH.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

ns=e2e-endings
. scripts/ci/kubernetes-lib.sh

poolkeeper=${CARGO_TARGET_DIR:-$PWD/target}/debug/poolkeeper
export POOLKEEPER_HOME=$work/home
echo one >"$work/one"
mkdir "$work/bare"
cp /bin/busybox "$work/bare/busybox"
scripts/cluster/images/archive.py "$work/bare.tar" docker.io/library/bare:local "$work/bare" --user 65532:65532
scripts/cluster/cluster load "$work/bare.tar"
state=$POOLKEEPER_CLUSTER_HOSTPATH/state
mkdir -p "$state"
chmod 1777 "$state"

# code N COMMAND...: it ends with this exit code.
code() {
  local wanted=$1 code=0
  shift
  "$@" >"$work/out" 2>"$work/err" || code=$?
  [ "$code" = "$wanted" ] || fail "exit code $code and not $wanted: $*: $(cat "$work/out" "$work/err")"
}
run() { "$poolkeeper" run "$1" -n "$ns" --progress lines "${@:2}"; }
# busybox_pool NAME IMAGE: of one worker, which goes at once.
busybox_pool() {
  pool "$1" ", terminationGracePeriod: 1s" |
    sed -e "s/busybox:local/$2/; s/min: 1, max: 3, cooldown: 10s/min: 1, max: 1/" -e 's|\[sleep, infinity\]|[/busybox, sleep, infinity]|'
}
ready() { k wait --for=jsonpath='{.status.ready}'=1 "cpool/$1" --timeout="${patience}s" >/dev/null; }
worker() { k get pkw -l "poolkeeper.dev/pool=$1" -o jsonpath='{.items[0].metadata.uid}'; }
# processes POOL: those with this word in its worker.
processes() {
  k exec "$(k get pods -l "poolkeeper.dev/pool=$1" -o name)" -c worker -- "${3:-/busybox}" ps -o args | grep -v " ps -o" | grep -c "$2" || true
}

install_controller
make_namespace
busybox_pool bare bare:local | kubectl apply -f - >/dev/null
ready bare
uid=$(worker bare)

step "one exec serves many tasks"
seq 20 >"$work/tasks"
execs() { grep -c '"ResponseComplete".*pods/bare-.*/exec?.*command=%2F.poolkeeper' "$POOLKEEPER_AUDIT_LOG" || true; }
code 0 run bare --tasks "$work/tasks" -- /busybox true
until_true "the audit log has the exec" eval '[ "$(execs)" -ge 1 ]'
[ "$(execs)" -le 4 ] || fail "$(execs) execs for 20 tasks"

step "--silence ends a program of an image without a shell"
code 1 run bare --tasks "$work/one" --silence 4s -- /busybox sleep 4242
says "silent for 4s" cat "$work/err" || fail "$(cat "$work/err")"
[ "$(processes bare 4242)" = 0 ] || fail "it still runs"
[ "$(worker bare)" = "$uid" ] || fail "its worker was replaced"

step "a program that waits by itself for a limit is ended, and its task is RateLimited"
exec_run() { exec "$poolkeeper" run "$1" -n "$ns" --progress lines "${@:2}"; }
exec_run bare --preset opencode --tasks "$work/one" --out "$work/asleep" -- \
  /busybox sh -c 'echo "Too Many Requests [retrying in 2h5m attempt #4]" >&2; exec /busybox sleep 4343' 2>"$work/asleep.err" &
pid=$!
until_true "the limit is seen" says "rate limited" cat "$work/asleep.err"
[ "$(processes bare 4343)" = 0 ] || fail "it still runs"
[ "$(worker bare)" = "$uid" ] || fail "its worker was replaced"
kill -TERM "$pid"
wait "$pid" || true
"$poolkeeper" cooldown bare-0 --clear -n "$ns" 2>/dev/null

step "--state on a directory that the workers share"
pool shared ", terminationGracePeriod: 1s, mounts: [{hostPath: $state, mountPath: /state, readOnly: false}]" |
  sed 's/min: 1, max: 3, cooldown: 10s/min: 2, max: 2/' | kubectl apply -f - >/dev/null
k wait --for=jsonpath='{.status.ready}'=2 cpool/shared --timeout="${patience}s" >/dev/null
seq 4 >"$work/tasks"
# The first attempt of each task fails, and the second one finds what the first one left.
code 0 run shared --tasks "$work/tasks" --state /state/batch --retry-failed 1 --backoff 0s -- \
  sh -c 'echo "$POOLKEEPER_ATTEMPT" >>"$POOLKEEPER_STATE/session"; [ "$POOLKEEPER_ATTEMPT" = 2 ] && [ "$(wc -l <"$POOLKEEPER_STATE/session")" = 2 ]'
[ "$(cat "$state"/batch/line-*/session | sort | uniq -c | tr -s ' \n' ' ')" = " 4 1 4 2 " ] || fail "$(grep -r . "$state/batch")"
code 2 run shared --tasks "$work/tasks" --state /elsewhere -- true
says "nothing that the workers of pool shared share is mounted there" cat "$work/err" || fail "$(cat "$work/err")"

step "logs of a container that is starting"
busybox_pool never none:local | kubectl apply -f - >/dev/null
until_true "its Pod is there" eval '[ -n "$(k get pods -l poolkeeper.dev/pool=never -o name)" ]'
code 3 "$poolkeeper" logs never-0 -n "$ns"
busybox_pool large bare:local | sed 's/spec: {/spec: {resources: {requests: {cpu: "64"}}, /' | kubectl apply -f - >/dev/null
until_true "it has no node" says Unschedulable k get pkw large-0 -o jsonpath='{.status.message}'
code 3 "$poolkeeper" logs large-0 -n "$ns"
says "worker large-0 has printed nothing yet, it is starting: Unschedulable: " cat "$work/err" || fail "$(cat "$work/err")"

step "without the helper: --silence finds the processes by the shell of the image"
upgrade_controller --set inPod=false
pool plain | sed 's/max: 3, cooldown: 10s/max: 1/' | kubectl apply -f - >/dev/null
ready plain
uid=$(worker plain)
code 1 run plain --tasks "$work/one" --silence 4s -- sleep 4444
says "silent for 4s" cat "$work/err" || fail "$(cat "$work/err")"
[ "$(processes plain 4444 busybox)" = 0 ] || fail "it still runs"
[ "$(worker plain)" = "$uid" ] || fail "its worker was replaced"

uninstall_controller
echo "$passed steps passed"
