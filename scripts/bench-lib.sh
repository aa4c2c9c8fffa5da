# Sourced by the scripts that measure poolkeeper against another command: times, and what is said of several.
# They set `tmp`, a directory of their own, and `script`, their name.

# Seconds that a command takes, with microseconds.
seconds() {
    local start=$EPOCHREALTIME
    "$@" >"$tmp/out" 2>"$tmp/err" || { cat "$tmp/err" >&2; echo "$script: failed: $*" >&2; exit 1; }
    awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.6f\n", b - a }'
}

# Seconds by the clock, and seconds of a processor that a command and its processes take: other work on the machine changes the second
# little.
clock_and_processor() {
    local TIMEFORMAT='%R %U %S'
    { time "$@" >"$tmp/out" 2>"$tmp/err"; } 2>&1 | awk '{ print $1, $2 + $3 }' ||
        { cat "$tmp/err" >&2; echo "$script: failed: $*" >&2; exit 1; }
}

median() { sort -g "$1" | awk '{ v[NR] = $1 } END { print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
spread() { sort -g "$1" | awk 'NR == 1 { a = $1 } { b = $1 } END { printf "%.2f to %.2f", a, b }'; }

# The machine, in a line.
machine() {
    echo "machine: $(nproc) x $(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo), $(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo), Linux $(uname -r)"
}
