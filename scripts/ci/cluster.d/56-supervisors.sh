#!/usr/bin/env bash
# The example supervisors on Pods: each does 20 tasks over 5 workers with rate limits, is killed three times and started again.
# The tasks record on the node what ran: no task is lost, no two attempts of one run at the same time.
#
# Needs what 50-kubernetes.sh needs, target/debug/poolkeeper, and for Python what scripts/ci/supervisors.sh installs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

ns=e2e-supervisors
. scripts/ci/kubernetes-lib.sh

poolkeeper=${CARGO_TARGET_DIR:-$PWD/target}/debug/poolkeeper
python=${XDG_CACHE_HOME:-$HOME/.cache}/poolkeeper-ci/python/bin/python
truth=$POOLKEEPER_CLUSTER_HOSTPATH/supervisors
mkdir -p "$truth"
chmod 777 "$truth"

# Each line has the task and the attempt: its Pod and process. A Pod is called three times, then it meets a limit.
cat >"$truth/task.sh" <<'T'
#!/bin/sh
me="$1 $(hostname)-$$"
echo "start $me" >>/truth/log
calls=$(cat /tmp/calls 2>/dev/null)
if [ "${calls:-0}" -ge 3 ]; then
  echo 0 >/tmp/calls
  echo "limit $me" >>/truth/log
  exit 75
fi
echo $((${calls:-0} + 1)) >/tmp/calls
for i in 1 2 3; do
  sleep 0.2
  echo "alive $me" >>/truth/log
done
echo "end $me" >>/truth/log
T
chmod 755 "$truth/task.sh"

# judge: each of the 20 tasks ended, and an attempt that another one followed did nothing more.
judge() {
  awk '
    !($2 in now) { now[$2] = $3 }
    now[$2] != $3 { was[$2 " " now[$2]] = 1; now[$2] = $3 }
    ($2 " " $3) in was { print "two attempts at the same time: " $0; bad = 1 }
    $1 == "end" { ends[$2]++ }
    END { for (task in ends) n++; if (n != 20) { print n " of 20 tasks ended"; bad = 1 }; exit bad }
  ' "$truth/log"
}
# day NAME COMMAND...: the supervisor's three deaths, and its last start, which ends by itself.
day() {
  local name=$1 signal lines pid
  shift
  : >"$truth/log" && chmod 666 "$truth/log"
  seq -f "$name-%g" 1 20 >"$work/tasks"
  for signal in KILL INT TERM; do
    lines=$(wc -l <"$truth/log")
    setsid env --default-signal=INT,QUIT "$@" >/dev/null 2>>"$work/errors" &
    pid=$!
    until_true "tasks of $name begin" began "$((lines + 12))" "$pid"
    # All of its processes, as by Ctrl-C or the end of a session.
    kill "-$signal" -- "-$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  timeout 900 "$@" >/dev/null 2>>"$work/errors" || fail "$name: exit code $?: $(tail -5 "$work/errors")"
  judge || fail "$name: see above"
  [ "$(k get dispatches -l "example!=x" -o jsonpath='{range .items[*]}{.metadata.name} {.status.phase}{"\n"}{end}' |
    grep -c "^$name-[0-9]* Succeeded$")" = 20 ] || fail "$name: not every dispatch succeeded"
  says limit cat "$truth/log" || fail "$name met no limit"
  echo "$name: $(grep -c '^start' "$truth/log") attempts, $(grep -c '^limit' "$truth/log") limits"
}
began() { [ "$(wc -l <"$truth/log")" -ge "$1" ] || ! kill -0 "$2" 2>/dev/null; }

install_controller
make_namespace
pool agents ", terminationGracePeriod: 1s" |
  sed "s/min: 1, max: 3, cooldown: 10s/min: 5, max: 5, cooldown: 1s, mounts: [{hostPath: ${truth//\//\\/}, mountPath: \/truth, readOnly: false}]/" |
  kubectl apply -f -
k wait --for=jsonpath='{.status.ready}'=5 cpool/agents --timeout="${patience}s" >/dev/null
kubectl config view --raw >"$work/kubeconfig"
export KUBECONFIG=$work/kubeconfig POOL=agents
kubectl config set-context --current --namespace "$ns" >/dev/null
PATH=$(dirname "$poolkeeper"):$PATH

step "bash with poolkeeper"
STATE=$work/sh NAME=sh day sh examples/supervisors/supervisor.sh "$work/tasks" /truth/task.sh

step "bash with kubectl alone"
STATE=$work/kubectl NAME=kubectl day kubectl examples/supervisors/supervisor-kubectl.sh "$work/tasks" /truth/task.sh

if [ -x "$python" ]; then
  step "Python with the official client"
  day python "$python" examples/supervisors/supervisor.py --pool agents --namespace "$ns" --state "$work/python" \
    --name python "$work/tasks" -- /truth/task.sh
else
  echo "SKIPPED: $python is not there: scripts/ci/supervisors.sh installs it"
fi

judge_words
uninstall_controller
echo "$passed steps passed"
