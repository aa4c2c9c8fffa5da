#!/usr/bin/env bash
# Runs one command for each task in the workers of a pool, with the commands of poolkeeper.
#
#   POOL=agents STATE=DIR ./supervisor.sh TASKS.txt COMMAND...
#
# A task is a line of the file: a name that an object may have. COMMAND gets it as its last argument. It may be killed at any
# moment, by any signal, and started again: no task is lost, none that is done runs again, and no two attempts of a task run
# at the same time. docs/supervisors.md has the rules that make this so.
set -u
pool=${POOL:?the name of the pool} state=${STATE:?a directory that outlives this script} tasks=${1:?a file with tasks}
shift
command=("$@") lease=supervisor-${NAME:-example} slots=${SLOTS:-5}
retry=(--retry rateLimited=-1 --retry lost=10 --retry workerLost=3)
mkdir -p "$state"
exec 9>"$state/lock"
# The Lease says that this supervisor lives. Without it Poolkeeper ends its attempts. It comes before the lock: what an earlier start
# left may wait for the Lease itself, after an attempt that was Lost.
poolkeeper renew "$lease" --duration 15s --once || exit
while sleep 5 && ! flock --nonblock "$state/lock" true; do
  poolkeeper renew "$lease" --duration 15s --once
done 9>&- 2>/dev/null &
pids=("$!") failed=0
# If an earlier start was killed alone, its slots still work. This start waits until they are done.
flock 9

# One attempt of a task. More arguments go to `acquire`. It is a subshell, because it exports the claim.
attempt() (
  claim=$(poolkeeper acquire "$pool" --task "$1" --lease "$lease" --wait 0s "${retry[@]}" "${@:2}" 9>&-) || exit
  eval "$claim"
  key="$state/$1.$POOLKEEPER_TASK_UID.$POOLKEEPER_ATTEMPT"
  if [ -e "$key.ended" ]; then
    code=$(cat "$key.ended")
  elif [ -e "$key.started" ]; then
    code=125 # It is not known whether it still runs: that is the outcome Lost.
  else
    : >"$key.started" && sync "$key.started" "$state" || exit
    poolkeeper exec "$1" -- "${command[@]}" "$1" </dev/null 9>&-
    code=$?
    [ "$code" -le 128 ] || code=125 # A signal ended it, here or there.
    echo "$code" >"$key.part" && sync "$key.part" && mv "$key.part" "$key.ended" && sync "$state" || exit
  fi
  poolkeeper report --exit-code "$code"
)

# All attempts of a task, until it is final.
task() {
  while :; do
    poolkeeper wait "$1" --for finished --timeout 1ms >/dev/null 2>&1 # a look
    case $? in
      0) echo "$1: Succeeded" && return ;;
      1) # It was cancelled by a signal to `acquire`, or it failed.
        if grep -qx "dispatch.poolkeeper.dev/$1" <<<"$(poolkeeper get dispatches --phase Cancelled -o name)"; then
          attempt "$1" --replace
        else
          echo "$1: Failed" && return 1
        fi
        ;;
      3) attempt "$1" ;;
      5) attempt "$1" --again ;;
      *) sleep 1 ;; # The server is away.
    esac
  done
}

slot() { # Every slot takes each slots-th task.
  local i=0 name failed=0
  while read -r name; do
    i=$((i + 1))
    [ $((i % slots)) -eq "$1" ] || continue
    task "$name" || failed=1
  done <"$tasks"
  return "$failed"
}

trap 'kill "${pids[@]}" 2>/dev/null' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

for ((n = 0; n < slots; n++)); do
  slot "$n" &
  pids+=("$!")
done
for pid in "${pids[@]:1}"; do wait "$pid" || failed=1; done
exit "$failed"
