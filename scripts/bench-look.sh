#!/usr/bin/env bash
# Measures `poolkeeper top` and `poolkeeper dashboard` with 1,000 workers and 10,000 dispatches on a local server. Processor time and
# memory are those of /proc, which other work on the machine changes little. The times to the first screen it does change.
#
#   scripts/bench-look.sh [SECONDS]      default 60, for each of four measurements
#
# POOLKEEPER: the binary; default target/release/poolkeeper. Needs tmux and python3. It starts a local server of its own, whose
# workers are objects without containers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
script=bench-look
. scripts/bench-lib.sh

seconds=${1:-60} workers=1000 dispatches=10000 changes=20
bin=$(realpath "${POOLKEEPER:-target/release/poolkeeper}")
tmp=$(mktemp -d "${TMPDIR:-/tmp}/poolkeeper-bench.XXXXXX")
# No engine is reached: the controller cannot know that there are no containers.
export POOLKEEPER_HOME=$tmp/home HOME=$tmp DOCKER_HOST=unix://$tmp/none KUBECONFIG=
unset POOLKEEPER_CONTEXT NO_COLOR
server='' board=''
clean_up() {
    command tmux -S "$tmp/tmux" kill-server 2>/dev/null || true
    # Its workers cannot be stopped, so `local down` would wait for them.
    for pid in $board $server; do kill -9 "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$tmp"
}
trap clean_up EXIT

# Ticks of a processor that a process has used, and the most memory that it had, in MiB.
ticks() { sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'; }
memory() { awk '/VmHWM/ { printf "%.0f", $2 / 1024 }' "/proc/$1/status"; }
# Milliseconds of a processor that a process uses while a command runs.
used() {
    local pid=$1 before
    before=$(ticks "$pid")
    shift
    "$@" >"$tmp/said"
    echo $((($(ticks "$pid") - before) * 1000 / $(getconf CLK_TCK)))
}
share() { awk -v ms="$1" -v s="$seconds" 'BEGIN { printf "%.1f %%", ms / s / 10 }'; }
change() { python3 scripts/bench-look.py change "$POOLKEEPER_HOME/kubeconfig" "$changes" "$seconds"; }
# A page that asks while objects change.
page() {
    change &
    python3 scripts/bench-look.py ask "$(tail -n 1 "$tmp/addresses")" "$seconds"
    wait $!
}
row() { printf '| %s | %s | %s |\n' "$1" "$2" "${3:-}"; }

machine
"$bin" local up 2>"$tmp/up"
server=$("$bin" local status -o json | python3 -c 'import json, sys; print(json.load(sys.stdin)["pid"])')
python3 scripts/bench-look.py fill "$POOLKEEPER_HOME/kubeconfig" "$workers" "$dispatches"
waiting=$((dispatches - dispatches / 2 - workers / 3))
echo "load before: $(cut -d' ' -f1-3 /proc/loadavg); $seconds s for each measurement; $changes changes a second"
printf '| what | figure | aim |\n|---|---|---|\n'

begun=$EPOCHREALTIME
command tmux -S "$tmp/tmux" -f /dev/null new-session -d -s top -x 200 -y 50 "exec '$bin' top"
until grep -q " $waiting waiting" <<<"$(command tmux -S "$tmp/tmux" capture-pane -p -t top)"; do sleep 0.01; done
row "\`top\`: from its start to a screen with all objects" "$(awk -v a="$begun" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.2f s", b - a }')"
top=$(command tmux -S "$tmp/tmux" display-message -p -t top '#{pane_pid}')
quiet=$(used "$top" sleep "$seconds")
row "\`top\`: a view and its frame, of processor time (one a second)" "$((quiet / seconds)) ms" "< 50 ms"
row "\`top\`: share of a core, nothing changes" "$(share "$quiet")" "< 5 %"
row "\`top\`: share of a core, $changes changes a second" "$(share "$(used "$top" change)")" "< 5 %"
row "\`top\`: memory (VmHWM)" "$(memory "$top") MiB" "< 100 MiB"
command tmux -S "$tmp/tmux" send-keys -t top q

# Enter for another address: the first one may be older than a minute by then.
mkfifo "$tmp/keys"
"$bin" dashboard --no-browser <"$tmp/keys" >"$tmp/addresses" 2>"$tmp/board" &
board=$!
exec 3>"$tmp/keys"
until [ -s "$tmp/addresses" ]; do sleep 0.05; done
# Until it has read all objects.
sleep 5
row "dashboard: share of a core, no page is open" "$(share "$(used "$board" sleep "$seconds")")" "< 5 %"
echo >&3
until [ "$(wc -l <"$tmp/addresses")" -gt 1 ]; do sleep 0.05; done
busy=$(used "$board" page)
read -r first views size <"$tmp/said"
row "dashboard: from the address to a view with all objects" "$first ms"
row "dashboard: share of a core, a page is open, $changes changes a second" "$(share "$busy")" "< 5 %"
row "dashboard: views in that time; processor time of each, with what it reads; size" "$views; $((busy / views)) ms; $((size / 1024)) KiB" "< 50 ms"
row "dashboard: memory (VmHWM)" "$(memory "$board") MiB" "< 100 MiB"
echo "load after: $(cut -d' ' -f1-3 /proc/loadavg)"
