#!/usr/bin/env bash
# Makes docs/top.svg: the screen of `poolkeeper top` during a batch whose accounts meet limits. Nothing in it is made up: a local
# server, workers that are processes, and tasks that are ended by limits.
#
#   scripts/record-top.sh [PROGRAM]      needs tmux and python3
set -euo pipefail
cd "$(dirname "$0")/.."
program=$(realpath "${1:-target/release/poolkeeper}")
dir=$(mktemp -d)
export POOLKEEPER_HOME=$dir/home HOME=$dir
unset KUBECONFIG POOLKEEPER_CONTEXT NO_COLOR
tmux() { command tmux -S "$dir/tmux" "$@"; }
tidy() {
  tmux kill-server 2>/dev/null || true
  kill "$(cat "$dir/run.pid" 2>/dev/null)" 2>/dev/null || true
  "$program" local down --force --purge >/dev/null 2>&1 || true
  rm -rf "$dir"
}
trap tidy EXIT

export ANN=a BEN=b CAROL=c
"$program" local up
"$program" create pool agents --runtime Process --min 6 --max 6 --scope Credential \
  --credential ann=env:ANN --credential ben=env:BEN --credential carol=env:CAROL
"$program" create pool reports --runtime Process --min 2 --max 2

# A task works for a while. Each ninth meets the limit of its account.
cat >"$dir/agent" <<'END'
#!/bin/sh
task=$TASK
sleep $((2 + task % 5))
if [ $((task % 9)) = 0 ]; then
  printf '{"outcome": "RateLimited", "retryAfter": "%ss", "message": "429: too many requests"}' $((40 + task % 30)) >"$POOLKEEPER_RESULT"
fi
END
chmod +x "$dir/agent"
seq 1 60 >"$dir/tasks"
cd "$dir"
"$program" run agents --tasks tasks -- "$dir/agent" >run.log 2>&1 &
echo $! >run.pid
command tmux -S "$dir/tmux" -f /dev/null new-session -d -s top -x 110 -y 38 "'$program' top"
# The picture has both: workers that work, and workers that rest with their account.
until grep -q 'agents-[0-9] *Resting' <<<"$(tmux capture-pane -p -t top)" && grep -q 'Busy .*s ' <<<"$(tmux capture-pane -p -t top)"; do
  kill -0 "$(cat run.pid)" || { tail -40 run.log; echo "the batch ended before an account rested" >&2; exit 1; }
  sleep 0.2
done
tmux capture-pane -e -p -t top >screen
cd - >/dev/null
python3 scripts/screen-to-svg.py <"$dir/screen" >docs/top.svg
echo "docs/top.svg is written"
