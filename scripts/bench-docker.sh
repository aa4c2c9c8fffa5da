#!/usr/bin/env bash
# Measures `poolkeeper run` in Docker workers against `xargs -P 4 docker exec` on 4 containers, in the same run, alternating,
# and prints medians and ratios. Warm: 1,000 tasks on 4 workers of a local server that are there, against 4 containers that
# are there. Cold: 200 tasks by `run --local`, start and end of its workers included, against containers that are there.
#
#   scripts/bench-docker.sh [ROUNDS]      default 3
#
# POOLKEEPER: the binary; default target/release/poolkeeper, which is built if it is missing. It needs a Docker Engine with the
# image of scripts/docker-image.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
script=bench-docker
. scripts/bench-lib.sh

rounds=${1:-3}
workers=4
image=poolkeeper-test:1
bin=${POOLKEEPER:-target/release/poolkeeper}
[[ -x $bin ]] || cargo build --release --locked --bin poolkeeper
bin=$(realpath "$bin")
docker image inspect "$image" >/dev/null || { echo "bench-docker: make the image by scripts/docker-image.sh" >&2; exit 1; }

tmp=$(mktemp -d "${TMPDIR:-/tmp}/poolkeeper-bench.XXXXXX")
export POOLKEEPER_HOME=$tmp/home XDG_STATE_HOME=$tmp/state
mkdir -p "$XDG_STATE_HOME"
containers=()
clean_up() {
    "$bin" local down --force --purge >"$tmp/down" 2>&1 || cat "$tmp/down" >&2
    [[ ${#containers[@]} -eq 0 ]] || docker rm -f "${containers[@]}" >/dev/null
    rm -rf "$tmp"
}
trap clean_up EXIT
seq 1000 >"$tmp/warm.txt"
seq 200 >"$tmp/cold.txt"

for ((i = 0; i < workers; i++)); do
    containers+=("$(docker run -d --init "$image" sleep 1000000)")
done
# Each of the four has a container of its own, as a worker is one task's at a time.
exec_all() {
    awk -v n="$workers" -v list="${containers[*]}" 'BEGIN { split(list, c, " ") } { print c[NR % n + 1] }' "$1" |
        xargs -P "$workers" -I CONTAINER docker exec -i CONTAINER true </dev/stdin
}
warm() { "$bin" run bench --progress none --tasks "$tmp/warm.txt" -- true; }
cold() { "$bin" run --local --runtime Docker --image "$image" --workers "$workers" --progress none --tasks "$tmp/cold.txt" -- true; }

"$bin" local up 2>"$tmp/err" || { cat "$tmp/err" >&2; exit 1; }
"$bin" create pool bench --image "$image" --min "$workers" --max "$workers" 2>"$tmp/err" || { cat "$tmp/err" >&2; exit 1; }
until [[ $("$bin" get workers -o json 2>/dev/null | grep -c '"phase": *"Ready"') -ge $workers ]]; do sleep 0.2; done

machine
echo "Docker $(docker version --format '{{.Server.Version}}')"
echo "load before: $(cut -d' ' -f1-3 /proc/loadavg); $rounds rounds; medians (least to most)"
echo
for ((i = 0; i < rounds; i++)); do
    seconds warm >>"$tmp/pk-warm"
    seconds exec_all "$tmp/warm.txt" >>"$tmp/xa-warm"
    seconds cold >>"$tmp/pk-cold"
    seconds exec_all "$tmp/cold.txt" >>"$tmp/xa-cold"
done
for kind in warm cold; do
    paste "$tmp/pk-$kind" "$tmp/xa-$kind" | awk '{ print $1 / $2 }' >"$tmp/$kind-ratios"
done
row() {
    printf '| %s | %.2f s (%s) | %.2f s (%s) | %.2f | %s |\n' "$1" "$(median "$tmp/pk-$2")" "$(spread "$tmp/pk-$2")" \
        "$(median "$tmp/xa-$2")" "$(spread "$tmp/xa-$2")" "$(median "$tmp/$2-ratios")" "$3"
}
printf '| what | poolkeeper | `xargs -P %s docker exec` | ratio | aim |\n|---|---|---|---|---|\n' "$workers"
row "1,000 × \`true\` on $workers warm workers" warm "≤ 1.2"
row "200 × \`true\`, start and end of the workers included" cold "≤ 1.35"
