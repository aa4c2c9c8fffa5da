#!/usr/bin/env bash
# Builds the program for one target as a release has it, the same bytes on every machine and in every directory:
#
#   scripts/release/build.sh TARGET DIR      (for example aarch64-unknown-linux-musl)
#
# leaves DIR/poolkeeper, without symbols, and DIR/poolkeeper.debug, which gdb and addr2line find by the build ID.
#
# Linker and compiler have fixed versions: rust-lld comes with the toolchain of rust-toolchain.toml, and zig, which compiles
# the little C of ring, from PyPI. No path of this machine is in the result. SOURCE_DATE_EPOCH has no effect on it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=scripts/release/lib.sh
. scripts/release/lib.sh

[ $# -eq 2 ] || fail "which target, and where to? scripts/release/build.sh TARGET DIR"
target=$1 dir=$2
case $target in
*-linux-musl) ;;
*) fail "no way to link for $target here" ;;
esac
channel=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
if ! grep -qx "$target" <<<"$(rustup target list --installed --toolchain "$channel")"; then
  rustup target add --toolchain "$channel" "$target"
fi
zig=$(zig_compiler "${target%%-*}-linux-musl")

cargo fetch --locked --quiet
registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
target_dir=$(realpath -m "${CARGO_TARGET_DIR:-target/release-build}")
# Of several that match, the compiler takes the last one.
maps=("$PWD=/usr/src/poolkeeper" "$target_dir=/usr/src/target")
maps+=("$TOOLS/zig=/usr/src/zig")
for source in "$registry"/*/; do maps+=("${source%/}=/usr/src/crates"); done
# zig adds checks that need a library of its own where it does not optimise.
rust=(-Clink-arg=--build-id=sha1) c=(-fno-sanitize=undefined)
for map in "${maps[@]}"; do
  rust+=("--remap-path-prefix=$map")
  c+=("-ffile-prefix-map=$map")
done
variable=${target//-/_}
# Flags in the environment of the caller would make other bytes.
unset RUSTFLAGS CFLAGS
env "CARGO_TARGET_${variable^^}_LINKER=rust-lld" "CC_$variable=$zig" "CFLAGS_$variable=${c[*]}" \
  CARGO_ENCODED_RUSTFLAGS="$(IFS=$'\x1f' && echo "${rust[*]}")" \
  CARGO_PROFILE_RELEASE_STRIP=none CARGO_PROFILE_RELEASE_DEBUG=line-tables-only CARGO_INCREMENTAL=0 \
  CARGO_TARGET_DIR="$target_dir" cargo build --locked --release --target "$target" --bin poolkeeper

mkdir -p "$dir"
built=$target_dir/$target/release/poolkeeper
sysroot=$(rustc "+$channel" --print sysroot)
# rustc calls it with this path too.
objcopy() { LD_LIBRARY_PATH=$sysroot/lib "$sysroot/lib/rustlib/$(rustc "+$channel" -vV | sed -n 's/^host: //p')/bin/rust-objcopy" "$@"; }
objcopy --only-keep-debug "$built" "$dir/poolkeeper.debug"
(cd "$dir" && objcopy --strip-all --add-gnu-debuglink=poolkeeper.debug "$built" poolkeeper)
chmod 755 "$dir/poolkeeper"
chmod 644 "$dir/poolkeeper.debug"
