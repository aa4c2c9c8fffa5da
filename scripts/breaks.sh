#!/usr/bin/env bash
# Shows that the simulation bites: applies each deliberate break of tests/breaks to a copy of the tree, runs the
# invariants there, and expects them to fail with the violation that the patch names.
#
#   scripts/breaks.sh [NAME...]      all, or those named
#
# A patch begins with what it breaks, then `expect: REGEX` over the rule that is violated, and `seeds: FIRST COUNT`.
# The copy lies in target/breaks and shares the target directory, so that only this workspace is compiled again. Its crates
# have a version of their own: Cargo takes crates of the same name and version for the same, wherever they are, and who builds
# this tree next would get what was built from a broken one.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
tree=$root/target/breaks
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

if [ $# -gt 0 ]; then patches=("${@/#/tests/breaks/}"); patches=("${patches[@]/%/.patch}"); else patches=(tests/breaks/*.patch); fi

# All files are new there, which costs nothing: a break compiles this crate again anyhow. Nothing of an earlier run stays.
rm -rf "$tree"
mkdir -p "$tree"
git ls-files -co --exclude-standard -z | while IFS= read -r -d '' f; do
    if [ -f "$f" ]; then cp --parents "$f" "$tree"; fi
done

version=0.0.0-break
for manifest in "$tree/Cargo.toml" "$tree/crates/testkit/Cargo.toml"; do
    sed -i "0,/^version = .*/s//version = \"$version\"/" "$manifest"
done
sed -i -E "/^name = \"poolkeeper(-testkit)?\"$/{n;s/^version = .*/version = \"$version\"/}" "$tree/Cargo.lock"

# No program: it would take the place of the one that other tests run, which may be now.
rm -f "$tree/src/main.rs"

missed=0
for patch in "${patches[@]}"; do
    name=$(basename "$patch" .patch)
    expect=$(sed -n 's/^expect: //p' "$patch")
    read -r first count <<<"$(sed -n 's/^seeds: //p' "$patch")"
    # git would take the copy for a part of this repository, and skip it.
    (cd "$tree" && patch -p1 --quiet --forward --no-backup-if-mismatch <"$root/$patch")
    if (cd "$tree" && POOLKEEPER_FIRST_SEED=$first POOLKEEPER_SEEDS=$count POOLKEEPER_STOP_AFTER=1 \
        cargo test --locked --quiet --test invariants invariants_hold -- --nocapture >"$log" 2>&1); then
        echo "MISSED  $name: no violation in $count seeds"
        missed=1
    elif ! grep -q 'VIOLATION' "$log"; then
        echo "BROKEN  $name: it failed without a violation:"
        tail -20 "$log"
        missed=1
    elif grep -qE "VIOLATION \[($expect)" "$log"; then
        echo "caught  $name: $(grep -m 1 -E "VIOLATION \[($expect)" "$log" | cut -c1-150)"
    else
        echo "OTHER   $name: expected [$expect], got: $(grep -m 1 VIOLATION "$log" | cut -c1-200)"
        missed=1
    fi
    (cd "$tree" && patch -p1 --quiet --reverse --no-backup-if-mismatch <"$root/$patch")
done
exit $missed
