#!/usr/bin/env bash
# Runs an agent for each task in the workers of a pool. Its limits are recognised in what it prints, and a task that met one
# continues its session in its next attempt.
#
#   POOL=claude STATE=DIR ./agents.sh TASKS.txt examples/claude-code/agent.sh
#
# A task is a line of the file. The agent gets it on standard input, and a directory of the task in $POOLKEEPER_STATE. The pool
# names the preset in spec.rateLimit.patterns. Workers must see DIR: processes do, containers need it as a mount.
# Unlike supervisor.sh, this one cannot be killed and started again: it shows one thing.
set -u
pool=${POOL:?the name of the pool} state=$(realpath "${STATE:?a directory}") tasks=${1:?a file with tasks}
shift
agent=("$@") lease=agents-$$ slots=${SLOTS:-4} limit=${LIMIT:-1h}
retry=(--retry rateLimited=-1 --retry overloaded=-1 --retry failed=3 --retry lost=3 --retry workerLost=3)

task() { # NAME TEXT: all attempts, until one is final.
  local dir=$state/$1 again=()
  mkdir -p "$dir"
  while eval "$(poolkeeper acquire "$pool" --task "$1" --lease "$lease" --wait 0s "${retry[@]}" "${again[@]}")"; do
    # An attempt that takes longer than the limit is ended, and counts as failed unless its last lines name a limit.
    timeout --preserve-status "$limit" \
      poolkeeper exec "$1" -i -e POOLKEEPER_STATE="$dir" -- "${agent[@]}" <<<"$2" >"$dir/stdout" 2>"$dir/stderr"
    poolkeeper report --exit-code $? --output "$dir/stdout" --output "$dir/stderr" || return
    [ "$(poolkeeper wait "$1" --for assigned)" = "$1 Assigned" ] || break
    again=(--again)
  done
  poolkeeper wait "$1" --for finished
}

poolkeeper renew "$lease" & # ends with this script, however that ends
failed=0 started=0
while read -r line; do
  started=$((started + 1))
  [ "$started" -le "$slots" ] || wait -n || failed=1
  task "line-$started" "$line" &
done <"$tasks"
for ((left = started < slots ? started : slots; left > 0; left--)); do wait -n || failed=1; done
exit "$failed"
