#!/usr/bin/env bash
# Builds the version from which upgrades are tested, static, as scripts/image.sh builds this one. Prints the path of its program, which stands
# in the directory of its sources. Exit code 3: this clone has no history, so it cannot be built.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# 0.1.0 as it was on 30 November 2026, 09:11: before Docker hosts, logins in directories and probes of credentials. A release names
# the release before it here.
commit=164c0298ea1f
cache=${XDG_CACHE_HOME:-$HOME/.cache}/poolkeeper-ci
source=$cache/older/$commit
program=$source/poolkeeper

mkdir -p "$cache/older"
exec 8>"$cache/older/lock"
flock 8
if [ ! -x "$program" ]; then
  if ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
    echo "older.sh: commit $commit is not in this clone" >&2
    exit 3
  fi
  rm -rf "$source"
  mkdir -p "$source"
  git archive "$commit" | tar x -C "$source"
  target=$(uname -m)-unknown-linux-musl
  if ! grep -qx "$target" <<<"$(rustup target list --installed)"; then rustup target add "$target" >&2; fi
  # Its dependencies seldom differ from those of this checkout, which were built. The copies are second names of the same files;
  # Cargo replaces a file instead of changing it.
  built=$cache/older/target
  for here in "${CARGO_TARGET_DIR:-$PWD/target}" "$cache/target"; do
    if [ -e "$built" ] || [ ! -e "$here/$target/debug/deps" ]; then continue; fi
    for part in "$target/debug" debug; do
      mkdir -p "$built/$part"
      for kind in deps build .fingerprint; do
        cp -al "$here/$part/$kind" "$built/$part/" 2>/dev/null || cp -a "$here/$part/$kind" "$built/$part/"
      done
    done
  done
  (cd "$source" && CARGO_TARGET_DIR=$built nice cargo build --locked --target "$target" --bin poolkeeper >&2)
  strip --strip-debug -o "$program.part" "$built/$target/debug/poolkeeper"
  mv "$program.part" "$program"
  rm -rf "$built"
fi
echo "$program"
