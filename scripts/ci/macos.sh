#!/usr/bin/env bash
# Type-checks and lints the program for macOS on Apple silicon. Nothing is linked, and nothing is run.
#
# The C parts of dependencies are compiled by zig, which has the headers of macOS; it comes from PyPI.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
target=aarch64-apple-darwin
channel=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
if ! grep -qx "$target" <<<"$(rustup target list --installed --toolchain "$channel")"; then
  rustup target add --toolchain "$channel" "$target"
fi
cache=${XDG_CACHE_HOME:-$HOME/.cache}/poolkeeper-zig
if ! "$cache/bin/python" -m ziglang version >/dev/null 2>&1; then
  if ! python3 -c 'import ensurepip' 2>/dev/null; then
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-venv
  fi
  python3 -m venv "$cache"
  "$cache/bin/pip" install --quiet ziglang==0.17.1
fi
# zig takes another name for the target, and not all flags that crates give to a C compiler of Apple.
cat >"$cache/cc" <<'END'
#!/usr/bin/env bash
args=()
while [ $# -gt 0 ]; do
  case $1 in
  -arch) shift ;;
  -mmacosx-version-min=* | -gfull | --target=*) ;;
  *) args+=("$1") ;;
  esac
  shift
done
exec "$(dirname "$0")/bin/python" -m ziglang cc -target aarch64-macos "${args[@]}"
END
chmod +x "$cache/cc"
export CC_aarch64_apple_darwin=$cache/cc
# Of its own: nothing that is checked here can be used elsewhere.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/macos
cargo clippy --locked --target "$target" --lib --bins -- -D warnings
