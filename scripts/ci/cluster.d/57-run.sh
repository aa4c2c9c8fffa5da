#!/usr/bin/env bash
# `poolkeeper run POOL` on Pods of an image without a shell, by the helper in them, with the rights of the chart's two roles: a
# batch with limits, exit codes and streams, silence, a secret that the audit log must not show, and what is killed or cut while tasks
# run. With --lease-duration nothing of that costs a task.
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
  sed -e 's/busybox:local/bare:local/; s/min: 1, max: 3, cooldown: 10s/min: 4, max: 4/' \
    -e 's|\[sleep, infinity\]|[/busybox, sh, -c, "echo up; exec /busybox sleep infinity"]|' |
  kubectl apply -f -
k wait --for=jsonpath='{.status.ready}'=4 cpool/agents --timeout="${patience}s" >/dev/null

# run FLAGS -- SCRIPT: as the service account; the script is one of the shell of /busybox.
run() { "$poolkeeper" run agents --kubeconfig "$work/kubeconfig" "$@"; }
# code N COMMAND...: it ends with this exit code.
code() {
  local wanted=$1 code=0
  shift
  "$@" >"$work/out" 2>"$work/err" || code=$?
  [ "$code" = "$wanted" ] || fail "exit code $code and not $wanted: $*: $(cat "$work/out" "$work/err")"
}

# Longer than either side waits for a sign of life of the other: each must have given some. Ten minutes, for a look at them.
run -- /busybox sh -c "/busybox sleep ${POOLKEEPER_SILENCE:-200}; echo awake" </dev/null >"$work/silent" 2>"$work/silent.err" &
silent=$!

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
    --progress lines -- /busybox sh -c 'echo begun $TASK; /busybox sleep 3; echo done $TASK' >>"$work/$1.out" 2>>"$work/$1.err"
}
# runs NAME: one of its tasks has begun in its Pod.
runs() { grep -q begun "$work/$1"/line-*/stdout; }
# all NAME COUNT: every task has its result, and ended well.
all() { [ "$(grep -l '"outcome": "Succeeded"' "$work/$1"/*/result.json | wc -l)" = "$2" ]; }

# The Leases of runs, by name.
leases() { k get leases -l poolkeeper.dev/run -o name | sort; }
# none_left: no run left its Lease behind since the file `leases` was written.
none_left() { [ -z "$(leases | comm -13 "$work/leases" -)" ] || fail "Leases are left: $(k get leases)"; }

step "the client is killed, and resumed"
leases >"$work/leases"
slow killed 6
until_true "tasks run" runs killed
kill -KILL "$pid"
wait "$pid" 2>/dev/null || true
(resume killed --resume) || fail "exit code $?: $(tail "$work/killed.err")"
all killed 6 || fail "not all tasks ended"
none_left

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

step "silence"
wait "$silent" || fail "exit code $?: $(cat "$work/silent.err")"
[ "$(cat "$work/silent")" = awake ] || fail "$(cat "$work/silent")"

step "the connection is cut, and the API server with it"
slow cut 6
until_true "tasks run" runs cut
scripts/cluster/cluster restart kube-apiserver >/dev/null
wait "$pid" || fail "exit code $?: $(tail "$work/cut.err")"
all cut 6 || fail "not all tasks ended"
says "contact with" cat "$work/cut.err" || fail "no contact was lost: $(cat "$work/cut.err")"
record_words

# A task that prints 200 lines in 8 s, and says in its Pod each time that it begins.
cat >"$work/talker" <<'T'
echo "$TASK" >>/.poolkeeper/tmp/begun
i=0
while [ $i -lt 200 ]; do
  i=$((i + 1))
  echo "$TASK line $i"
  echo "$TASK error $i" >&2
  /busybox usleep 40000
done
echo "{\"outcome\": \"Succeeded\", \"message\": \"$TASK\"}" >"$POOLKEEPER_RESULT"
exit 3
T
# talk NAME [FLAGS]: a batch of four such tasks that may be attached to again.
talk() {
  seq -f "$1-%g" 1 4 >"$work/$1.tasks"
  exec "$poolkeeper" run agents --kubeconfig "$work/kubeconfig" --lease-duration 10m --tasks "$work/$1.tasks" --out "$work/$1" "${@:2}" \
    --progress lines -- /busybox sh -c "$(cat "$work/talker")" >>"$work/$1.out" 2>>"$work/$1.err"
}
# whole NAME: each of its tasks ran once, and its output is here, each line once.
whole() {
  local task pod
  all "$1" 4 || fail "not all tasks ended: $(cat "$work/$1.err")"
  for task in 1 2 3 4; do
    diff <(seq -f "$1-$task line %g" 1 200) "$work/$1/line-$task/stdout" >"$work/diff" || fail "stdout of $1-$task: $(head "$work/diff")"
    diff <(seq -f "$1-$task error %g" 1 200) "$work/$1/line-$task/stderr" >"$work/diff" || fail "stderr of $1-$task: $(head "$work/diff")"
    grep -qF "\"message\": \"$1-$task\"" "$work/$1/line-$task/result.json" || fail "$(cat "$work/$1/line-$task/result.json")"
  done
  if grep -q "attempt 2" "$work/$1.err"; then fail "a task ran twice: $(cat "$work/$1.err")"; fi
  for pod in $(k get pods -l poolkeeper.dev/pool=agents -o name); do
    k exec "$pod" -c worker -- /busybox cat /.poolkeeper/tmp/begun 2>/dev/null || true
  done | grep "^$1-" | sort >"$work/begun"
  diff "$work/$1.tasks" "$work/begun" || fail "they began otherwise"
}
# talking NAME: all four of its tasks do.
talking() { [ "$(grep -l line "$work/$1"/line-*/stdout | wc -l)" = 4 ]; }

step "--lease-duration: the connection is cut while tasks talk, and attached to again"
talk again &
pid=$!
until_true "tasks talk" talking again
scripts/cluster/cluster restart kube-apiserver >/dev/null
wait "$pid" || fail "exit code $?: $(tail "$work/again.err")"
whole again
says "attached to" cat "$work/again.err" || fail "no contact was lost: $(cat "$work/again.err")"
record_words

step "--lease-duration: the client is killed while tasks talk, and --resume attaches to them"
leases >"$work/leases"
# So that all four begin at once.
becomes 4 cpool/agents '{.status.ready}'
talk back &
pid=$!
until_true "tasks talk" talking back
kill -KILL "$pid"
wait "$pid" 2>/dev/null || true
sleep 2
(talk back --resume) || fail "exit code $?: $(tail "$work/back.err")"
whole back
says "going on with 4 tasks that the earlier run has under way" cat "$work/back.err" || fail "$(cat "$work/back.err")"
none_left

step "--lease-duration: nobody comes back, and the task ends with its worker"
pods() { k get pods -l poolkeeper.dev/pool=agents -o name | sort; }
"$poolkeeper" run agents --kubeconfig "$work/kubeconfig" --lease-duration 60s -- /busybox sleep 600 </dev/null 2>"$work/left.err" &
pid=$!
until_true "the task runs" eval '[ "$(k get pkd -o jsonpath="{.items[?(@.status.phase==\"Assigned\")].status.attempt}")" = 1 ]'
left=$(k get pkd -o jsonpath='{.items[?(@.status.phase=="Assigned")].metadata.name}')
pods >"$work/before"
kill -KILL "$pid"
wait "$pid" 2>/dev/null || true
k wait --for=jsonpath='{.status.lastResult.outcome}'=Lost "pkd/$left" --timeout="${patience}s" >/dev/null
gone() { [ "$(pods | comm -13 - "$work/before" | wc -l)" = 1 ]; }
until_true "its Pod is replaced" gone

step "what a worker prints: poolkeeper logs, with the rights of the caller"
# The worker of the step before is replaced just now.
is_up() {
  name=$(k get pkw -o jsonpath='{.items[?(@.status.phase=="Ready")].metadata.name}' | cut -d ' ' -f 1)
  [ -n "$name" ]
}
until_true "a worker is ready" is_up
code 0 "$poolkeeper" logs "$name" --kubeconfig "$work/kubeconfig"
[ "$(cat "$work/out")" = up ] || fail "the log of $name: $(cat "$work/out" "$work/err")"

step "without the helper: env of the image, no result file, and a task that is too long by name"
upgrade_controller --set inPod=false
pool plain | sed 's/max: 3, cooldown: 10s/max: 1/' | kubectl apply -f -
k wait --for=jsonpath='{.status.ready}'=1 cpool/plain --timeout="${patience}s" >/dev/null
plain() { "$poolkeeper" run plain --kubeconfig "$work/kubeconfig" "$@"; }
echo in >"$work/in"
code 9 plain -- sh -c 'cat; echo "err ${POOLKEEPER_RESULT-none}" >&2; exit 9' <"$work/in"
[ "$(cat "$work/out")" = in ] && says "err none" cat "$work/err" || fail "the streams: $(cat "$work/out" "$work/err")"
code 127 plain -- /nonexistent </dev/null
seq -f "job-%g" 1 3 >"$work/plain.tasks"
code 0 plain --tasks "$work/plain.tasks" -- sh -c 'read -r line; [ "$line" = "$TASK" ] && echo "done $TASK"'
[ "$(sort "$work/out")" = "$(seq -f "done job-%g" 1 3)" ] || fail "$(cat "$work/out" "$work/err")"
head -c 70000 /dev/zero | tr '\0' x >"$work/plain.tasks"
code 126 plain --tasks "$work/plain.tasks" -- true
says "the task is too long for a Pod without the helper" cat "$work/err" || fail "$(cat "$work/err")"

judge_words
uninstall_controller
echo "$passed steps passed"
