#!/usr/bin/env bash
# Makes the controller's image as an archive, as `docker save` would, with the local cargo and no registry:
#
#   scripts/image.sh [--profile release|dev] [OUT.tar]      (default: release, target/image/poolkeeper.tar)
#
# It is called ghcr.io/poolkeeper/poolkeeper:VERSION, as the chart expects. Give it to a node with one of
#   scripts/cluster/cluster load OUT.tar | ctr -n k8s.io images import OUT.tar | kind load image-archive OUT.tar | docker load -i OUT.tar
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { echo "image.sh: $*" >&2; }

profile=release out=target/image/poolkeeper.tar
while [ $# -gt 0 ]; do
  case $1 in
  --profile)
    profile=${2:?--profile release|dev}
    shift 2
    ;;
  -*)
    say "no such flag: $1"
    exit 2
    ;;
  *)
    out=$1
    shift
    ;;
  esac
done
case $profile in
release) built=release ;;
dev) built=debug ;;
*)
  say "no such profile: $profile"
  exit 2
  ;;
esac

if ! command -v cargo >/dev/null && [ -f "$HOME/.cargo/env" ]; then
  # shellcheck source=/dev/null
  . "$HOME/.cargo/env"
fi
target=$(uname -m)-unknown-linux-musl
if ! grep -qx "$target" <<<"$(rustup target list --installed)"; then rustup target add "$target"; fi
# ring has a little C.
if ! command -v musl-gcc >/dev/null; then
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    say "musl-gcc is missing; please install musl-tools (Debian's name)"
    exit 1
  fi
  say "installing musl-tools"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -q && apt-get install -y -q --no-install-recommends musl-tools; } >&2
fi
command -v python3 >/dev/null || { say "python3 is missing"; exit 1; }

cargo build --locked --profile "$profile" --target "$target" --bin poolkeeper
version=$(sed -n '0,/^version = "\(.*\)"/s//\1/p' Cargo.toml)

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
install -m 755 "${CARGO_TARGET_DIR:-target}/$target/$built/poolkeeper" "$root/poolkeeper"
# ldd fails for a static program, and says so.
if ! grep -Eq "not a dynamic|statically linked" <<<"$(ldd "$root/poolkeeper" 2>&1 || true)"; then
  say "the program is not static"
  exit 1
fi
if [ "$profile" = dev ]; then strip --strip-debug "$root/poolkeeper"; fi
mkdir -p "$(dirname "$out")"
scripts/cluster/images/archive.py "$out" "ghcr.io/poolkeeper/poolkeeper:$version" "$root" \
  --entrypoint '["/poolkeeper"]' --user 65532:65532
