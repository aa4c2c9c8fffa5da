#!/usr/bin/env bash
# The README's first command as it stands there: it does all tasks although some meet a limit, ends by itself, says what
# happened, and leaves nothing behind.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { echo "first.sh: $*" >&2; }
fail() { say "FAILED: $*"; exit 1; }

command=$(awk '/^```sh$/ { inside = 1; next } /^```$/ && inside { exit } inside' README.md)
case $command in
"cargo run -- run --local "*" --tasks examples/tasks.txt -- examples/limited-agent.sh") ;;
*) fail "the README's first command is: $command" ;;
esac
tasks=$(grep -c '[^[:space:]]' examples/tasks.txt)

# Other tests may run the program in target/debug now, and it would be replaced: cargo compiles with the features of
# dependencies that tests need only for tests. With CARGO_BUILD_TARGET it goes elsewhere anyway.
if [ -z "${CARGO_BUILD_TARGET:-}" ]; then export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/first; fi
cargo build --locked
binary=${CARGO_TARGET_DIR:-$PWD/target}/${CARGO_BUILD_TARGET:+$CARGO_BUILD_TARGET/}debug/poolkeeper

# Nothing but this may be written to, so what is left behind is found.
scratch=$(mktemp -d /tmp/pk-first.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
mkdir -m 700 "$scratch"/{home,tmp,run,said}
export CARGO_HOME=${CARGO_HOME:-$HOME/.cargo} RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup}
before=$(git status --porcelain --ignored)

# ours: processes that run our program.
ours() {
  for proc in /proc/[0-9]*; do
    case "$(readlink "$proc/exe" 2>/dev/null || true)" in "$binary"*) echo "${proc#/proc/}" ;; esac
  done
}
[ -z "$(ours)" ] || fail "$binary runs already"

say "$command"
status=0
HOME=$scratch/home TMPDIR=$scratch/tmp XDG_RUNTIME_DIR=$scratch/run XDG_CACHE_HOME='' XDG_STATE_HOME='' \
  timeout 300 bash -c "$command" >"$scratch/said/out" 2>"$scratch/said/err" </dev/null || status=$?
cat "$scratch/said/err"
[ "$status" -eq 0 ] || fail "exit code $status"

total=$(grep -E '^tasks: ' "$scratch/said/err") || fail "no summary"
number() { sed -n "s/.*[ ;]\([0-9][0-9]*\) $1.*/\1/p" <<<"$total"; }
attempts=$(number attempts) limits=$(number "rate limit")
grep -q "^tasks: $tasks succeeded in " <<<"$total" || fail "not all of the $tasks tasks succeeded: $total"
[ "${limits:-0}" -gt 0 ] || fail "no task met a rate limit: $total"
[ "$attempts" -eq $((tasks + limits)) ] || fail "$attempts attempts for $tasks tasks and $limits rate limits"
[ "$(grep -c ' done by ' "$scratch/said/out")" -eq "$tasks" ] || fail "the output of a task is missing: $(cat "$scratch/said/out")"
grep -Eq ' in attempt ([2-9]|[0-9]{2,})$' "$scratch/said/out" || fail "no limited task finished later"
[ "$(grep -Ec '^pool-[0-2] ' "$scratch/said/err")" -eq 3 ] || fail "the summary does not name the three workers"

# A process, and with it every port, is gone at once: the command has ended.
[ -z "$(ours)" ] || fail "processes are left: $(ours | xargs ps -o pid,args -p)"
left=$(find "$scratch" -mindepth 1 -not -path "$scratch/said*" -not -path "$scratch/home" -not -path "$scratch/home/.local" -not -path "$scratch/home/.local/state" -not -path "$scratch/tmp" -not -path "$scratch/run")
[ -z "$left" ] || fail "files are left: $left"
[ "$(git status --porcelain --ignored)" = "$before" ] || fail "files are left in the work tree: $(git status --short --ignored)"
echo "$tasks tasks, $attempts attempts, $limits rate limits; nothing left behind"
