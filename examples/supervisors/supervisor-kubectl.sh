#!/usr/bin/env bash
# Runs one command for each task in the workers of a pool, with kubectl alone.
#
#   POOL=agents STATE=DIR ./supervisor-kubectl.sh TASKS.txt COMMAND...
#
# A task is a line of the file: a name that an object may have. COMMAND gets it as its last argument. It may be killed at any
# moment, by any signal, and started again: no task is lost, none that is done runs again, and no two attempts of a task run
# at the same time. supervisor.py has the same rules and says why they are enough.
set -u
pool=${POOL:?the name of the pool} state=${STATE:?a directory that outlives this script} tasks=${1:?a file with tasks}
shift
name=${NAME:-example} lease=supervisor-${NAME:-example} seconds=15 slots=${SLOTS:-5}
mkdir -p "$state"
exec 9>"$state/lock"
k() { kubectl --request-timeout=20s "$@"; }

# The Lease says that this supervisor lives. Without it Poolkeeper ends its attempts.
renew() {
  local now
  now=$(date -u +%Y-%m-%dT%H:%M:%S.000000Z)
  k patch lease "$lease" --type=merge -p "{\"spec\":{\"renewTime\":\"$now\"}}" >/dev/null 2>&1 && return
  k create -f - >/dev/null 2>&1 <<EOF
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: $lease}
spec: {holderIdentity: $name, leaseDurationSeconds: $seconds, renewTime: "$now"}
EOF
}

# Asks for a worker. A Dispatch that is there already, of an earlier start, is taken over as it is.
submit() {
  k get dispatch "$1" >/dev/null 2>&1 || k create -f - >/dev/null 2>&1 <<EOF
apiVersion: poolkeeper.dev/v1alpha1
kind: Dispatch
metadata: {name: $1, labels: {supervisor: $name}}
spec: {pool: $pool, leaseName: $lease, retry: {rateLimited: -1, lost: 10, workerLost: 3}}
EOF
}

# report TASK UID ATTEMPT CODE: repeated until the server takes it, or says that the attempt is not open any more.
report() {
  local outcome=Failed said
  case $4 in 0) outcome=Succeeded ;; 75) outcome=RateLimited ;; 125) outcome=Lost ;; esac
  local result="{\"attempt\":$3,\"outcome\":\"$outcome\",\"retryAfter\":null,\"message\":\"exit code $4\"}"
  until said=$(k patch dispatch "$1" --type=merge -p "{\"metadata\":{\"uid\":\"$2\"},\"spec\":{\"result\":$result}}" 2>&1); do
    case $said in *NotFound* | *Conflict* | *"is invalid"* | *Invalid*) return ;; esac
    echo "$1: the report is repeated: $said" >&2
    sleep 1
  done
}

# The next attempt of a task, at most once. Fails once the task is final.
step() {
  local lines uid attempt phase last
  mapfile -t lines < <(k get dispatch "$1" -o jsonpath='{.metadata.uid}{"\n"}{.status.phase}{"\n"}{.status.attempt}{"\n"}{.status.lastResult.attempt}{"\n"}{range .status.target.argv[*]}{@}{"\n"}{end}' 2>/dev/null)
  uid=${lines[0]:-} phase=${lines[1]:-} attempt=${lines[2]:-0} last=${lines[3]:-0}
  case $phase in Succeeded | Failed | Expired | Cancelled)
    echo "$1: $phase"
    return 1
    ;;
  esac
  if [ "${attempt:-0}" -gt "${last:-0}" ] && [ "${#lines[@]}" -gt 4 ]; then
    local key="$state/$1.$uid.$attempt" code
    if [ -e "$key.ended" ]; then
      code=$(cat "$key.ended")
    elif [ -e "$key.started" ]; then
      code=125 # It is not known whether it still runs.
    else
      : >"$key.started" && sync "$key.started" "$state"
      "${lines[@]:4}" "${command[@]}" "$1" </dev/null 9>&-
      code=$?
      [ "$code" -le 128 ] || [ "$code" -ge 160 ] || code=125 # The client was killed.
      echo "$code" >"$key.part" && sync "$key.part" && mv "$key.part" "$key.ended" && sync "$state"
    fi
    report "$1" "$uid" "$attempt" "$code"
  else
    # Until something changes, but not for ever: what changed in between would be missed.
    k wait "dispatch/$1" --for=jsonpath='{.status.phase}'=Assigned --timeout=5s >/dev/null 2>&1
  fi
  return 0
}

command=("$@")
# Before the lock: what an earlier start left may end only while its Lease is renewed.
renew
while sleep $((seconds / 3)) && kill -0 $$; do renew; done 9>&- 2>/dev/null &
renewer=$!
# If an earlier start was killed, its slots end with the attempt that they are in. This start waits for them.
flock 9
trap 'kill "$renewer" 2>/dev/null' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

slot() { # Every slot takes each slots-th task.
  local i=0 task
  while read -r task; do
    i=$((i + 1))
    [ $((i % slots)) -eq "$1" ] || continue
    submit "$task"
    while step "$task"; do kill -0 $$ 2>/dev/null || exit; done
  done <"$tasks"
}
pids=()
for ((n = 0; n < slots; n++)); do
  slot "$n" &
  pids+=("$!")
done
wait "${pids[@]}"
k delete lease "$lease" >/dev/null 2>&1
[ "$(k get dispatches -l "supervisor=$name" -o jsonpath='{range .items[*]}{.status.phase}{"\n"}{end}' | grep -cv '^Succeeded$')" -eq 0 ]
