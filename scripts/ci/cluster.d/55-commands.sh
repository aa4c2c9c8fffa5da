#!/usr/bin/env bash
# The commands of a supervisor's day on Pods, and on the local server beside them: each says the same on both, and ends with the
# same exit code. Names, times and what only one of both has are masked.
#
# Needs what 50-kubernetes.sh needs, and target/debug/poolkeeper.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

ns=e2e-commands
. scripts/ci/kubernetes-lib.sh

poolkeeper=${CARGO_TARGET_DIR:-$PWD/target}/debug/poolkeeper
export POOLKEEPER_HOME=$work/home
trap '"$poolkeeper" local down --force --purge 2>/dev/null; end_watchers; rm -rf "$work"' EXIT

# on PLACE COMMAND...: a command there.
on() {
  local place=$1
  shift
  case $place in
    cluster) "$poolkeeper" "$@" --namespace "$ns" ;;
    local) "$poolkeeper" "$@" --context poolkeeper-local ;;
  esac
}
# masked: one space for several, and what differs between any two runs.
masked() {
  sed -E "s/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z/TIME/g; s/[0-9a-f]{8}-[0-9a-f-]{27}/UID/g
    s/ ([0-9]+(h|m|s|ms))+\b/ AGE/g; s/[0-9:]{8} UTC/TIME/g; s/namespace ($ns|default)/namespace NS/g; s/ +/ /g; s/ \$//
    s/the local server|context [^ ]* of [^ ]* \([^)]*\)/SERVER/g; s/agents-[0-9]/agents-N/g"
}
# says PLACE COMMAND...: what it prints, and its exit code.
said() {
  local place=$1 code=0
  shift
  echo "\$ poolkeeper $*"
  on "$place" "$@" >"$work/said" 2>&1 </dev/null || code=$?
  masked <"$work/said"
  echo "exit $code"
}
# is_ready PLACE COUNT: so many workers can take work, and the status of the pool says so.
is_ready() {
  [ "$(on "$1" get workers --phase Ready -o name | wc -l)" = "$2" ] && on "$1" get pool agents -o json | grep -E "\"ready\": ?$2\b"
}
# claim PLACE TASK [FLAGS]: as `eval` does it, in this shell.
claim() {
  local place=$1 task=$2 claim
  shift 2
  claim=$(on "$place" acquire agents --task "$task" "$@" 2>/dev/null) || return
  eval "$claim"
}

# The commands whose words are compared.
day() {
  local place=$1
  until_true "two workers on the $place" is_ready "$place" 2
  said "$place" get pools
  said "$place" get workers
  said "$place" acquire nothing --task a
  claim "$place" first
  said "$place" exec first -- sh -c 'echo out; echo err >&2; exit 3'
  said "$place" exec nothing -- true
  said "$place" exec first -- /nonexistent
  said "$place" acquire agents --task first
  said "$place" get dispatches
  said "$place" delete worker "$POOLKEEPER_WORKER"
  said "$place" report --exit-code 3
  said "$place" report --exit-code 3
  said "$place" wait first --for finished
  said "$place" get dispatch first
  claim "$place" second
  said "$place" report RateLimited --retry-after 1h
  unset POOLKEEPER_TASK_ID POOLKEEPER_TASK_UID POOLKEEPER_ATTEMPT
  said "$place" report second Succeeded
  said "$place" scale agents 5
  said "$place" scale agents nonsense
  said "$place" pause agents
  said "$place" pause nothing
  said "$place" acquire agents --task third --wait 1s
  said "$place" resume agents
  said "$place" cooldown nothing --for 5m --pool agents
  said "$place" cleanup agents --dry-run
  said "$place" delete dispatch nothing
  said "$place" delete pool agents --timeout 2m
  said "$place" get pools
}

install_controller
make_namespace
"$poolkeeper" local up 2>/dev/null
"$poolkeeper" create pool agents --min 2 --max 3 --image docker.io/library/busybox:local --runtime Pod -n "$ns" 2>/dev/null
"$poolkeeper" create pool agents --min 2 --max 3 --context poolkeeper-local 2>/dev/null

step "each command says the same on Pods and on the local server"
day local >"$work/local"
day cluster >"$work/cluster"
diff "$work/local" "$work/cluster" >"$work/diff" || fail "they differ: $(cat "$work/diff")"
echo "$(grep -c '^\$' "$work/local") commands were compared"

step "doctor finds nothing wrong on this cluster"
"$poolkeeper" doctor --namespace "$ns" || fail "doctor: exit code $?"

judge_words
uninstall_controller
echo "$passed steps passed"
