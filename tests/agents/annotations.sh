#!/usr/bin/env bash
# Runs an agent for each task of a file, and asks for workers by annotations of the pool alone. What the agent printed says how an
# attempt ended.
#
#   POOL=agents STATE=DIR ./annotations.sh TASKS.txt AGENT
set -u
pool=$POOL state=$STATE tasks=$1 agent=$2 slots=4 limit=${LIMIT:-1h}
retry='{"rateLimited": -1, "overloaded": -1, "failed": 3, "lost": 3, "workerLost": 3}'

# look NAME: uid, phase, attempt, and the newest attempt that has ended. Nothing as long as the annotation is not read.
look() {
  local lines
  mapfile -t lines < <(kubectl get dispatch "$1" --ignore-not-found \
    -o jsonpath='{.metadata.uid}{"\n"}{.status.phase}{"\n"}{.status.attempt}{"\n"}{.status.lastResult.attempt}{"\n"}')
  uid=${lines[0]:-} phase=${lines[1]:-} attempt=${lines[2]:-0} ended=${lines[3]:-0}
}

task() { # NAME TEXT
  local dir=$state/$1 uid phase attempt ended this
  mkdir -p "$dir"
  kubectl annotate containerpool "$pool" "dispatch.poolkeeper.dev/$1={\"retry\": $retry}" >/dev/null || return
  while look "$1"; do
    case $phase in
    Succeeded) return ;;
    Failed | Expired | Cancelled)
      echo "$1: $phase" >&2
      return 1
      ;;
    esac
    if [ "$phase" = Assigned ] && [ "$attempt" -gt "${ended:-0}" ]; then
      this=(--uid "$uid" --attempt "$attempt")
      timeout --preserve-status "$limit" \
        poolkeeper exec "$1" "${this[@]}" -i -e POOLKEEPER_STATE="$dir" -- "$agent" <<<"$2" >"$dir/stdout" 2>"$dir/stderr"
      poolkeeper report "$1" "${this[@]}" --exit-code $? --output "$dir/stdout" --output "$dir/stderr" || kill 0
    fi
    kubectl wait "dispatch/$1" --for=jsonpath='{.status.phase}'=Assigned --timeout=1s >/dev/null 2>&1
  done
}

failed=0 started=0
while read -r line; do
  started=$((started + 1))
  [ "$started" -le "$slots" ] || wait -n || failed=1
  task "line-$started" "$line" &
done <"$tasks"
for ((left = started < slots ? started : slots; left > 0; left--)); do wait -n || failed=1; done
exit "$failed"
