#!/usr/bin/env bash
# Measures `poolkeeper run POOL` on Pods of a real node against `kubectl exec`, alternating, and takes both apart: the time of the
# whole command, the time of the exec in the API server and on the node (by the audit log), and the time of the same start by the
# container runtime alone.
#
#   scripts/ci/cluster.sh ../../bench-run-pool
#
# ROUNDS (3), TASKS (40): how often, and of how many tasks of `true` a batch is. POOLKEEPER: the binary; default
# target/release/poolkeeper. The helper in the Pods is that of target/image/poolkeeper.tar.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
script=bench-run-pool
ns=bench-run
. scripts/ci/kubernetes-lib.sh
. scripts/bench-lib.sh
tmp=$work

rounds=${ROUNDS:-3} tasks=${TASKS:-40}
poolkeeper=$(realpath "${POOLKEEPER:-target/release/poolkeeper}")
export POOLKEEPER_HOME=$work/home
install_controller
make_namespace
pool agents | sed 's/min: 1, max: 3, cooldown: 10s/min: 1, max: 1/' | kubectl apply -f - >/dev/null
k wait --for=jsonpath='{.status.ready}'=1 cpool/agents --timeout=180s >/dev/null
pod=$(k get pods -l poolkeeper.dev/pool=agents -o jsonpath='{.items[0].metadata.name}')
container=$(k get pod "$pod" -o jsonpath='{.status.containerStatuses[0].containerID}')
seq "$tasks" >"$work/many"
seq 1 >"$work/one"

by_kubectl() { k exec "$pod" -c worker -- true; }
by_runtime() { ctr -a /run/poolkeeper-node/containerd.sock -n k8s.io task exec --exec-id "bench-$RANDOM$RANDOM" "${container#*//}" true; }
batch() { "$poolkeeper" run agents --namespace "$ns" --progress none --tasks "$1" -- true; }
# Seconds from the arrival of an exec at the API server until it has ended: of kubectl, or of poolkeeper.
in_server() {
  python3 - "$POOLKEEPER_AUDIT_LOG" "$1" "$ns" <<'P'
import datetime, json, sys
log, agent, namespace = sys.argv[1:]
time = lambda text: datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
for line in open(log):
    event = json.loads(line)
    ref = event.get("objectRef", {})
    if (event["stage"], ref.get("subresource"), ref.get("namespace")) != ("ResponseComplete", "exec", namespace): continue
    if event.get("userAgent", "").startswith("kubectl") == (agent == "kubectl"):
        print((time(event["stageTimestamp"]) - time(event["requestReceivedTimestamp"])).total_seconds())
P
}

machine
echo "load before: $(cut -d' ' -f1-3 /proc/loadavg); $rounds rounds"
seconds batch "$work/one" >/dev/null
for ((round = 0; round < rounds; round++)); do
  one=$(seconds batch "$work/one")
  many=$(seconds batch "$work/many")
  awk -v one="$one" -v many="$many" -v n="$tasks" 'BEGIN { print (many - one) / (n - 1) }' >>"$work/task"
  echo "$one" >>"$work/single"
  for ((i = 0; i < tasks; i++)); do seconds by_kubectl; done >>"$work/kubectl"
  for ((i = 0; i < tasks; i++)); do seconds by_runtime; done >>"$work/runtime"
done
# The API server writes its log a moment later.
sleep 2
in_server kubectl >"$work/exec-kubectl"
in_server poolkeeper >"$work/exec-poolkeeper"
echo "load after: $(cut -d' ' -f1-3 /proc/loadavg)"
row() { printf '| %s | %.1f ms (%s) |\n' "$1" "$(median "$2" | awk '{ print $1 * 1000 }')" "$(sort -g "$2" | awk '{ v[NR] = $1 * 1000 } END { printf "%.1f to %.1f", v[1], v[NR] }')"; }
echo
echo '| what | median (least to most) |'
echo '|---|---|'
row "\`kubectl exec … true\`, all of it" "$work/kubectl"
row "of it in the API server and on the node" "$work/exec-kubectl"
row "the runtime alone, by \`ctr task exec\`, its client included" "$work/runtime"
row "a task of \`true\` in \`run POOL\` on one worker, all that a Dispatch needs included" "$work/task"
row "\`run POOL\` of a single task, from start to exit" "$work/single"
echo "$(wc -l <"$work/exec-poolkeeper") execs for $((rounds * (tasks + 1) + 1)) tasks of run POOL"
awk -v a="$(median "$work/task")" -v b="$(median "$work/exec-kubectl")" 'BEGIN { printf "ratio of a task to an exec in the API server and on the node: %.2f (aim: 1.2 at most)\n", a / b }'
# Where the time of one task goes: the requests in a row of each task, by the time of the API server, and what is between them.
python3 - "$POOLKEEPER_AUDIT_LOG" "$ns" <<'P'
import collections, datetime, json, statistics, sys
time = lambda text: datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000
found = []
for line in open(sys.argv[1]):
    e = json.loads(line); ref = e.get("objectRef", {})
    if e["stage"] != "ResponseComplete" or ref.get("namespace") != sys.argv[2] or e.get("userAgent", "").startswith("kubectl"): continue
    name = (e["verb"], ref.get("resource"), ref.get("subresource", ""))
    who = "controller" if e["user"]["username"].startswith("system:serviceaccount:poolkeeper:") else "client"
    found.append((time(e["requestReceivedTimestamp"]), time(e["stageTimestamp"]), (who, *name)))
steps = {("client", "patch", "dispatches", ""): "report", ("controller", "patch", "workers", "status"): "free and reserve",
         ("controller", "patch", "dispatches", "status"): "close, publish", ("client", "get", "dispatches", ""): "the last look"}
row = [(begun, ended, steps[key]) for begun, ended, key in sorted(found) if key in steps]
times = collections.defaultdict(list)
for (begun, ended, name), (next_begun, _, next_name) in zip(row, row[1:]):
    times[name].append(ended - begun)
    times[f"from {name} to {next_name}"].append(next_begun - ended)
print("\nsteps of a task:")
for name, all_of in times.items():
    if len(all_of) > len(row) / 10: print(f"  {len(all_of):6} x {statistics.median(all_of):7.1f} ms  {name}")
P
uninstall_controller >/dev/null
