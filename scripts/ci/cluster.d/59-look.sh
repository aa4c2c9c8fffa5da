#!/usr/bin/env bash
# `poolkeeper top` in tmux and `poolkeeper dashboard` over HTTP, on Pods of two namespaces: what they show is compared with what
# kubectl says, for an administrator and for a user who may read one namespace and no Events.
#
# Needs what 50-kubernetes.sh needs, target/debug/poolkeeper, tmux (scripts/ci/tmux.sh) and python3.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

ns=e2e-look
. scripts/ci/kubernetes-lib.sh

other=e2e-look-too
poolkeeper=${CARGO_TARGET_DIR:-$PWD/target}/debug/poolkeeper
board=
# Each terminal has a server of its own: one that was ended may still have its socket.
terminals=0
tmux() { command tmux -S "$work/tmux-$terminals" "$@"; }
end_board() {
  if [ -n "$board" ]; then
    kill "$board"
    wait "$board" || true
  fi
  board=
}
trap 'tmux kill-server 2>/dev/null || true; end_board; end_watchers; rm -rf "$work"' EXIT

# top FLAGS...: a terminal with it. At this height all tables are shown.
top() {
  tmux kill-server 2>/dev/null || true
  terminals=$((terminals + 1))
  tmux -f /dev/null new-session -d -s top -x 180 -y 45 "NO_COLOR=1 '$poolkeeper' top $*; echo ended with \$?; sleep 600"
}
screen() { tmux capture-pane -p -t top | sed -E 's/ +/ /g; s/^ //; s/ $//'; }
on_screen() { says "$1" screen; }
# on_top TABLE COLUMN...: these columns of a table, without its headings.
on_top() {
  local table=$1
  shift
  screen | awk -v table="$table" -v columns="$*" 'BEGIN { count = split(columns, column, " ") }
    $0 ~ "^>?" table " [0-9]" { on = 1; getline; next }
    NF == 0 { on = 0 }
    on { for (n = 1; n <= count; n++) printf "%s%s", $column[n], n < count ? " " : "\n" }' | sort
}
# said KIND SCOPE JSONPATH: a line for each object, as kubectl says.
said() { kubectl get "$1" "$2" -o "jsonpath={range .items[*]}{.metadata.namespace} {.metadata.name} $3{\"\\n\"}{end}" | sort; }
# workers SCOPE: namespace, name and standing. dispatches: also the pool. pools: how many work and how many wait.
workers() { said pkw "$1" '{.status.phase} {.status.restsUntil}' | awk '{ print $1, $2, ($4 != "" && $3 == "Ready") ? "Resting" : $3 }'; }
dispatches() { said pkd "$1" '{.spec.pool} {.status.phase}' | sed 's/ Assigned$/ Running/; s/ Pending$/ Queued/'; }
pools() { said cpool "$1" '+{.status.busy} +{.status.queued}' | awk '{ print $1, $2, $3 + 0, $4 + 0 }'; }
# same WHAT COMMAND...: both print the same, which is not nothing; the first is of `top` and the second of kubectl.
same() {
  local what=$1 of=$2 shown=$3
  until_true "$(printf '%s: top shows\n%s\nkubectl says\n%s' "$what" "$($shown)" "$($of)")" eval "[ -n \"\$($of)\" ] && [ \"\$($shown)\" = \"\$($of)\" ]"
}

install_controller
make_namespace
kubectl create namespace "$other"
for each in "$ns" "$other"; do
  until_true "the service account" kubectl -n "$each" get serviceaccount default
  ns=$each pool agents | sed 's/min: 1, max: 3/min: 2, max: 2/' | kubectl apply -f -
done
k create serviceaccount reader
k create role reader --verb=get,list,watch --resource=containerpools.poolkeeper.dev,workers.poolkeeper.dev,dispatches.poolkeeper.dev
k create rolebinding reader --role=reader --serviceaccount="$ns:reader"
cp "$KUBECONFIG" "$work/reader"
of_reader() { kubectl --kubeconfig "$work/reader" config "$@" >/dev/null; }
of_reader set-credentials reader --token="$(k create token reader)"
of_reader set-context --current --user=reader --namespace="$ns"
for each in "$ns" "$other"; do kubectl -n "$each" wait cpool/agents --for=condition=Ready --timeout="${patience}s"; done
dispatch limited '{"retry":{"rateLimited":0}}'
k annotate cpool agents result.poolkeeper.dev/limited='1 RateLimited retryAfter=10m message=429 Too Many Requests' >/dev/null
finished limited Failed
dispatch works
for each in one two three; do kubectl -n "$other" annotate cpool agents "dispatch.poolkeeper.dev/$each=" >/dev/null; done
kubectl -n "$other" wait pkd/two --for=condition=Assigned --timeout="${patience}s"

step "top -A shows the pools, workers and dispatches of all namespaces that kubectl shows"
top -A
until_true "top has read all" on_screen "all namespaces of"
all_workers() { workers -A; }
all_dispatches() { dispatches -A; }
all_pools() { pools -A; }
top_workers() { on_top Workers 1 2 3; }
top_dispatches() { on_top Dispatches 1 2 3 4; }
top_pools() { on_top Pools 1 2 5 9; }
same workers all_workers top_workers
same dispatches all_dispatches top_dispatches
same pools all_pools top_pools
grep -q "^$ns agents-[01] Resting" <<<"$(all_workers)" || fail "no worker rests: $(all_workers)"
[ "$(all_dispatches | grep -c ' Queued$')" = 1 ] || fail "not one waits: $(all_dispatches)"

step "what changes is seen"
kubectl -n "$other" patch pkd three --type=merge -p '{"spec":{"cancel":true}}'
until_true "three is cancelled on the screen" on_screen "$other three agents Cancelled"
same dispatches all_dispatches top_dispatches

step "the details of a dispatch have its Events, and those of a worker the command for its log"
tmux send-keys -t top 3 / limited Enter Enter
until_true "the Event is on the screen" on_screen "Warning AttemptLimited: attempt 1 on agents-"
says "429 Too Many Requests" screen || fail "$(screen)"
tmux send-keys -t top Escape
until_true "the details are closed" on_screen "/limited"
tmux send-keys -t top Escape
# A key that follows Escape at once would be another one with Alt.
until_true "nothing is left out" eval '! on_screen /limited'
tmux send-keys -t top 2 / "$other agents-0" Enter Enter
until_true "the command for the log" on_screen "Printed poolkeeper logs agents-0 -n $other"
on_screen "Worker $other/agents-0" || fail "$(screen)"

step "a user who may read one namespace sees that one, and is notified of the others"
reader_workers() { workers "--namespace=$ns"; }
reader_dispatches() { dispatches "--namespace=$ns"; }
top -A --kubeconfig "$work/reader"
until_true "the line about it" on_screen "namespace $ns only: "
# The line is as long as the terminal is wide.
says 'cannot list resource "containerpools"' screen || fail "$(screen)"
# Without the column of namespaces.
top_workers() { on_top Workers 1 2 | sed "s/^/$ns /"; }
top_dispatches() { on_top Dispatches 1 2 3 | sed "s/^/$ns /"; }
same workers reader_workers top_workers
same dispatches reader_dispatches top_dispatches
tmux send-keys -t top 3 / limited Enter Enter
until_true "why there are no Events" on_screen 'Events not shown: events is forbidden: User "system:serviceaccount'
top -n "$other" --kubeconfig "$work/reader"
until_true "another namespace is refused" on_screen "ended with 7"
says forbidden screen || fail "$(screen)"

step "the dashboard shows the same workers and dispatches, with and without the right to Events"
# open_board FLAGS...: a dashboard, and the token of its page.
open_board() {
  end_board
  : >"$work/address"
  "$poolkeeper" dashboard --no-browser "$@" </dev/null >"$work/address" 2>"$work/board" &
  board=$!
  until_true "an address" test -s "$work/address"
  address=$(cat "$work/address")
  token=$(python3 -c 'import sys, urllib.request as r
page, code = sys.argv[1].split("#code=")
print(r.urlopen(page + "session", code.encode()).read().decode())' "$address")
}
# asked PATH PYTHON: what is made of the answer `a`.
asked() {
  python3 -c 'import json, sys, urllib.request as r
a = json.load(r.urlopen(r.Request(sys.argv[1].split("#")[0] + sys.argv[2], headers={"Authorization": "Bearer " + sys.argv[3]})))
exec(sys.argv[4])' "$address" "$1" "$token" "$2"
}
board_workers() {
  asked view?pool=agents 'words = {"free": "Ready", "works": "Busy", "rests": "Resting"}
for row, now in zip(a["view"]["rows"], a["present"]["workers"]): print(a["namespace"], row["name"], words.get(now["doing"], now["doing"]))' | sort
}
board_attempts() {
  asked view?pool=agents 'v = a["view"]
for at in v["attempts"]: print(v["ids"][at["task"]], v["rows"][at["row"]]["name"], at.get("outcome", "Running"))' | sort
}
attempts() {
  kubectl -n "$1" get pkd -o 'jsonpath={range .items[*]}{.metadata.name} {.status.worker.name} {.status.lastResult.outcome}{"\n"}{end}' |
    awk '$2 ~ /^agents-/ { print $1, $2, ($3 == "") ? "Running" : $3 }' | sort
}
for each in "$ns" "$other"; do
  open_board -n "$each"
  here_workers() { workers "--namespace=$each"; }
  here_attempts() { attempts "$each"; }
  same "workers of $each" here_workers board_workers
  same "attempts of $each" here_attempts board_attempts
done
open_board --kubeconfig "$work/reader"
same "workers for the reader" reader_workers board_workers
says 'events is forbidden: User "system:serviceaccount' asked 'events?dispatch=limited&worker=agents-0' 'print(a["dispatch"]["unknown"])' ||
  fail "$(asked 'events?dispatch=limited&worker=agents-0' 'print(a)')"
open_board -n "$ns"
grep -qx "AttemptLimited poolkeeper logs agents-0 -n $ns" <<<"$(asked 'events?dispatch=limited&worker=agents-0' 'print(a["dispatch"]["events"][0]["reason"], a["logs"])')" ||
  fail "$(asked 'events?dispatch=limited&worker=agents-0' 'print(a)')"
end_board
if "$poolkeeper" dashboard --no-browser --kubeconfig "$work/reader" -n "$other" </dev/null >"$work/out" 2>&1; then fail "not refused"; fi
grep -qF "forbidden" "$work/out" || fail "$(cat "$work/out")"

step "leave"
tmux kill-server
k annotate cpool agents result.poolkeeper.dev/works='1 Succeeded' >/dev/null
for each in one two; do kubectl -n "$other" annotate cpool agents "result.poolkeeper.dev/$each=1 Succeeded" >/dev/null; done
for each in "$ns" "$other"; do kubectl -n "$each" delete cpool agents --timeout=120s; done
kubectl delete namespace "$other" --timeout=120s
uninstall_controller

echo "$passed passed, 0 failed"
