#!/usr/bin/env bash
# `poolkeeper run POOL` on Pods of an image without a shell, by the helper in them, with the rights of the chart's two roles: a
# batch with limits, exit codes and streams, a secret that the audit log must not show, and what is killed or cut while tasks run.
#
# Needs what 50-kubernetes.sh needs, target/debug/poolkeeper, and POOLKEEPER_AUDIT_LOG.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

ns=e2e-run
. scripts/ci/kubernetes-lib.sh

poolkeeper=${CARGO_TARGET_DIR:-$PWD/target}/debug/poolkeeper
export POOLKEEPER_HOME=$work/home

# An image in which nothing has a name that a program could look for.
mkdir "$work/bare"
cp /bin/busybox "$work/bare/busybox"
scripts/cluster/images/archive.py "$work/bare.tar" docker.io/library/bare:local "$work/bare" --user 65532:65532
scripts/cluster/cluster load "$work/bare.tar"

install_controller --set rbac.runner=true
make_namespace
k create serviceaccount runner >/dev/null
for role in dispatcher runner; do
  k create rolebinding "$role" --clusterrole="poolkeeper-$role" --serviceaccount="$ns:runner" >/dev/null
done
kubectl config view --raw >"$work/kubeconfig"
kubectl --kubeconfig "$work/kubeconfig" config set-credentials runner --token="$(k create token runner --duration=2h)" >/dev/null
kubectl --kubeconfig "$work/kubeconfig" config set-context --current --user=runner --namespace="$ns" >/dev/null
pool agents ", cooldown: 1s, terminationGracePeriod: 1s" |
  sed "s/busybox:local/bare:local/; s/\[sleep, infinity\]/[\/busybox, sleep, infinity]/; s/min: 1, max: 3, cooldown: 10s/min: 3, max: 3/" |
  kubectl apply -f -
k wait --for=jsonpath='{.status.ready}'=3 cpool/agents --timeout=180s >/dev/null

# run FLAGS -- SCRIPT: as the service account; the script is one of the shell of /busybox.
run() { "$poolkeeper" run agents --kubeconfig "$work/kubeconfig" "$@"; }
# code N COMMAND...: it ends with this exit code.
code() {
  local wanted=$1 code=0
  shift
  "$@" >"$work/out" 2>"$work/err" || code=$?
  [ "$code" = "$wanted" ] || fail "exit code $code and not $wanted: $*: $(cat "$work/out" "$work/err")"
}

step "a batch of 40 with limits"
secret=sesame-$RANDOM$RANDOM
seq -f "$secret-%g" 1 40 >"$work/tasks"
# A Pod is called five times, then it meets a limit.
cat >"$work/task" <<'T'
calls=$(/busybox cat /.poolkeeper/tmp/calls 2>/dev/null)
if [ "${calls:-0}" -ge 5 ]; then
  echo 0 >/.poolkeeper/tmp/calls
  echo '{"outcome":"RateLimited","retryAfter":"1s"}' >"$POOLKEEPER_RESULT"
  exit 0
fi
echo $((${calls:-0} + 1)) >/.poolkeeper/tmp/calls
read -r line
[ "$line" = "$TASK" ] || exit 3
echo "out $TASK"
echo "err $POOLKEEPER_TASK_ID $TMPDIR" >&2
T
code 0 run --tasks "$work/tasks" --out "$work/batch" --progress lines -- /busybox sh -c "$(cat "$work/task")"
says "tasks: 40 succeeded" cat "$work/err" || fail "$(tail -5 "$work/err")"
says "rate limited" cat "$work/err" || fail "no limit was met"
[ "$(cat "$work/batch/line-7/stdout")" = "out $secret-7" ] || fail "stdout of line-7"
[ "$(cat "$work/batch/line-7/stderr")" = "err line-7 /.poolkeeper/tmp" ] || fail "stderr of line-7"
tail -5 "$work/err"

step "the audit log has the execs, and nothing of the tasks"
grep -q "pods/.*/exec?.*command=%2F.poolkeeper%2Fpoolkeeper" "$POOLKEEPER_AUDIT_LOG" || fail "no exec is in the audit log"
if grep -q "$secret" "$POOLKEEPER_AUDIT_LOG"; then fail "the audit log shows a task"; fi
if grep -q "%2Fbusybox" "$POOLKEEPER_AUDIT_LOG"; then fail "the audit log shows a command"; fi

step "exit codes, both streams, and 1 MB on standard input"
code 9 run -- /busybox sh -c 'echo out; echo err >&2; exit 9' </dev/null
[ "$(cat "$work/out")" = out ] && says err cat "$work/err" || fail "the streams: $(cat "$work/out" "$work/err")"
code 127 run -- /nonexistent </dev/null
code 126 run -- /.poolkeeper/tmp </dev/null
code 137 run -- /busybox sh -c 'kill -9 $$' </dev/null
code 124 run --timeout 2s -- /busybox sleep 300 </dev/null
head -c 1048576 /dev/zero >"$work/large"
code 0 run -- /busybox wc -c <"$work/large"
[ "$(cat "$work/out")" = 1048576 ] || fail "of 1 MB arrived: $(cat "$work/out")"

step "exec uses the helper too"
claim=$("$poolkeeper" acquire agents --task job -n "$ns" 2>/dev/null)
eval "$claim"
code 7 "$poolkeeper" exec job -n "$ns" -e GREETING=hello -w /.poolkeeper/tmp -- /busybox sh -c 'echo $GREETING $(/busybox pwd) $POOLKEEPER_WORKER; exit 7'
[ "$(cat "$work/out")" = "hello /.poolkeeper/tmp $POOLKEEPER_WORKER" ] || fail "exec: $(cat "$work/out")"
"$poolkeeper" report Succeeded -n "$ns" 2>/dev/null
unset POOLKEEPER_TASK_ID POOLKEEPER_TASK_UID POOLKEEPER_ATTEMPT POOLKEEPER_WORKER

# slow NAME COUNT: a batch that takes a while, in the background. Its pid is in `pid`.
slow() {
  seq -f "$1-%g" 1 "$2" >"$work/$1.tasks"
  resume "$1" "${@:3}" &
  pid=$!
}
resume() {
  exec "$poolkeeper" run agents --kubeconfig "$work/kubeconfig" --tasks "$work/$1.tasks" --out "$work/$1" "${@:2}" \
    --progress lines -- /busybox sh -c '/busybox sleep 3; echo done $TASK' >>"$work/$1.out" 2>>"$work/$1.err"
}
runs() { grep -q " attempt 1 → " "$work/$1.err"; }
# all NAME COUNT: every task has its result, and ended well.
all() { [ "$(grep -l '"outcome": "Succeeded"' "$work/$1"/*/result.json | wc -l)" = "$2" ]; }

step "the connection is cut, and the API server with it"
slow cut 6
until_true "tasks run" runs cut
scripts/cluster/cluster restart kube-apiserver >/dev/null
wait "$pid" || fail "exit code $?: $(tail "$work/cut.err")"
all cut 6 || fail "not all tasks ended"
says "contact with" cat "$work/cut.err" || fail "no contact was lost: $(cat "$work/cut.err")"
record_words

step "the client is killed, and resumed"
slow killed 6
until_true "tasks run" runs killed
kill -KILL "$pid"
wait "$pid" 2>/dev/null || true
(resume killed --resume) || fail "exit code $?: $(tail "$work/killed.err")"
all killed 6 || fail "not all tasks ended"
[ "$(k get leases -l poolkeeper.dev/run -o name | wc -l)" = 0 ] || fail "Leases are left: $(k get leases)"

step "the controller is killed"
slow headless 6
until_true "tasks run" runs headless
kubectl -n poolkeeper delete pods -l app.kubernetes.io/name=poolkeeper --force --grace-period=0 >/dev/null 2>&1
wait "$pid" || fail "exit code $?: $(tail "$work/headless.err")"
all headless 6 || fail "not all tasks ended"
if grep -q "attempt 2" "$work/headless.err"; then fail "a task ran twice: $(cat "$work/headless.err")"; fi

step "two runs at once"
slow one 6
one=$pid
slow other 6
wait "$one" && wait "$pid" || fail "exit code $?: $(tail "$work/one.err" "$work/other.err")"
all one 6 && all other 6 || fail "not all tasks ended"

judge_words
uninstall_controller
echo "$passed steps passed"
