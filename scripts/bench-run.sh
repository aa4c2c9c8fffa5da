#!/usr/bin/env bash
# Measures `poolkeeper run --local` against `xargs -P 8` in the same run, alternating, and prints medians and ratios. Also what it
# costs that presets look at the output.
#
#   scripts/bench-run.sh [ROUNDS]         default 5
#
# POOLKEEPER: the binary; default target/release/poolkeeper, which is built if it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
script=bench-run
. scripts/bench-lib.sh

rounds=${1:-5}
workers=8
tasks=1000
bin=${POOLKEEPER:-target/release/poolkeeper}
[[ -x $bin ]] || cargo build --release --locked --bin poolkeeper
bin=$(realpath "$bin")
command -v xargs >/dev/null || { echo "bench-run: xargs is missing (findutils)" >&2; exit 1; }

tmp=$(mktemp -d "${TMPDIR:-/tmp}/poolkeeper-bench.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
seq "$tasks" >"$tmp/tasks.txt"
seq 1 >"$tmp/one.txt"

run() { "$bin" run --local --runtime Process --workers "$workers" --progress none --tasks "$1" -- "${@:2}"; }
run_with_preset() {
    "$bin" run --local --runtime Process --workers "$workers" --preset claude-code,codex --progress none --tasks "$1" -- "${@:2}"
}
# Once a line; the line itself goes nowhere, as commands that take no task would refuse it.
xargs_run() { xargs -P "$workers" -I LINE "${@:2}" <"$1"; }

# Most memory that a process tree's members had, in MiB: that of poolkeeper itself, and the sum and number of its shims.
memory() {
    XDG_STATE_HOME=$tmp "$bin" run --local --runtime Process --workers "$workers" --progress none --tasks "$tmp/tasks.txt" -- "$@" \
        >/dev/null 2>"$tmp/err" &
    local pid=$! own=0 shims=0 number=0
    while kill -0 "$pid" 2>/dev/null; do
        local now=0 count=0
        own=$(awk '/^VmHWM/ { print $2 }' "/proc/$pid/status" 2>/dev/null || echo "$own")
        for p in $(pgrep -f "shim --dir $tmp" 2>/dev/null || true); do
            kb=$(awk '/^Pss:/ { print $2 }' "/proc/$p/smaps_rollup" 2>/dev/null || true)
            [[ -n $kb ]] && { now=$((now + kb)); count=$((count + 1)); }
        done
        ((now > shims)) && { shims=$now; number=$count; }
        [[ -n $own ]] && last=$own
        sleep 0.1
    done
    wait "$pid"
    echo "${last:-0} $shims $number"
}

machine
echo "load before: $(cut -d' ' -f1-3 /proc/loadavg); $rounds rounds; medians (least to most)"
echo

for ((i = 0; i < rounds; i++)); do
    seconds run "$tmp/tasks.txt" sleep 0.05 >>"$tmp/pk-sleep"
    seconds xargs_run "$tmp/tasks.txt" sleep 0.05 >>"$tmp/xa-sleep"
    seconds run "$tmp/tasks.txt" true >>"$tmp/pk-true"
    seconds xargs_run "$tmp/tasks.txt" true >>"$tmp/xa-true"
    # Two of each in the order ABBA: what changes slowly on the machine then changes both alike.
    for command in run run_with_preset run_with_preset run; do
        clock_and_processor "$command" "$tmp/tasks.txt" true >>"$tmp/$command"
    done
    # Cold start: from the exec of poolkeeper until its first task says the time, and until it has ended.
    start=$EPOCHREALTIME
    "$bin" run --local --runtime Process --workers 1 --progress none --tasks "$tmp/one.txt" -- date +%s.%N >"$tmp/out" 2>/dev/null
    end=$EPOCHREALTIME
    awk -v a="$start" -v b="$(tail -1 "$tmp/out")" 'BEGIN { printf "%.6f\n", b - a }' >>"$tmp/cold"
    awk -v a="$start" -v b="$end" 'BEGIN { printf "%.6f\n", b - a }' >>"$tmp/cold-all"
    paste "$tmp/pk-sleep" "$tmp/xa-sleep" | awk '{ print $1 / $2 }' >"$tmp/sleep-ratios"
    paste "$tmp/pk-true" "$tmp/xa-true" | awk '{ print $1 / $2 }' >"$tmp/true-ratios"
    tail -n 2 "$tmp/run_with_preset" | paste - <(tail -n 2 "$tmp/run") >"$tmp/pairs"
    awk '{ a += $1; b += $3 } END { print a / b }' "$tmp/pairs" >>"$tmp/preset-ratios"
    awk '{ a += $2; b += $4 } END { print a / b }' "$tmp/pairs" >>"$tmp/preset-cpu-ratios"
done
for command in run run_with_preset; do
    awk '{ print $1 }' "$tmp/$command" >"$tmp/$command-clock"
    awk '{ print $2 }' "$tmp/$command" >"$tmp/$command-cpu"
done
read -r own shims number < <(memory sleep 0.05)

s() { median "$tmp/$1"; }
per_task() { awk -v s="$1" -v n="$tasks" 'BEGIN { printf "%.2f ms", s * 1000 / n }'; }
awk_print() { awk "BEGIN { printf \"$1\", $2 }"; }
printf '| %s | %s | %s | %s | %s |\n' what poolkeeper "xargs -P $workers" ratio aim
echo '|---|---|---|---|---|'
printf '| %s | %.2f s (%s) | %.2f s (%s) | %.2f | <= 1.2 |\n' "$tasks x sleep 0.05, $workers workers" \
    "$(s pk-sleep)" "$(spread "$tmp/pk-sleep")" "$(s xa-sleep)" "$(spread "$tmp/xa-sleep")" "$(median "$tmp/sleep-ratios")"
printf '| %s | %.2f s (%s) | %.2f s (%s) | %.2f | |\n' "$tasks x true, $workers workers" \
    "$(s pk-true)" "$(spread "$tmp/pk-true")" "$(s xa-true)" "$(spread "$tmp/xa-true")" "$(median "$tmp/true-ratios")"
printf '| %s | %.2f s (%s) | | %.2f of it without | <= 1.05 |\n' "$tasks x true with two presets" \
    "$(s run_with_preset-clock)" "$(spread "$tmp/run_with_preset-clock")" "$(median "$tmp/preset-ratios")"
printf '| %s | %.2f s (%s) | | %.2f of it without | <= 1.05 |\n' "the same, of processor time" \
    "$(s run_with_preset-cpu)" "$(spread "$tmp/run_with_preset-cpu")" "$(median "$tmp/preset-cpu-ratios")"
printf '| %s | %s | %s | +%s | |\n' "a task of true" "$(per_task "$(s pk-true)")" "$(per_task "$(s xa-true)")" \
    "$(per_task "$(awk "BEGIN { print $(s pk-true) - $(s xa-true) }")")"
printf '| %s | %.0f ms (%s s) | | | < 1 s |\n' "cold start to the first task" "$(awk_print %f "$(s cold) * 1000")" "$(spread "$tmp/cold")"
printf '| %s | %.0f ms (%s s) | | | |\n' "one task, from start to exit" "$(awk_print %f "$(s cold-all) * 1000")" "$(spread "$tmp/cold-all")"
printf '| %s | %.1f MiB | | | |\n' "peak memory of poolkeeper (VmHWM)" "$(awk_print %f "$own / 1024")"
printf '| %s | %.1f MiB | | | |\n' "peak memory of its $number shims (PSS, together)" "$(awk_print %f "$shims / 1024")"
