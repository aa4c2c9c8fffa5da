# shellcheck shell=bash
# Sourced by the scripts that build a Dockerfile as it stands on a Docker Engine of its own: $script is their name, and their only
# argument is --pull, for the real base image. It sets `pull` and `dir`, a directory that goes with the script; the engine goes too.
say() { echo "$script: $*" >&2; }
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

missing=()
if ! command -v slirp4netns >/dev/null; then missing+=(slirp4netns); fi
if ! command -v ip >/dev/null; then missing+=(iproute2); fi
if [ ${#missing[@]} -gt 0 ]; then
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}"; } >&2
fi

# Short, since a socket's path may have 107 characters.
dir=$(mktemp -d /tmp/pk-image.XXXXXX)
network=$(basename "$dir")
slirp=
cleanup() {
  WIPE=1 scripts/docker-down.sh "$dir"
  if [ -n "$slirp" ]; then kill "$slirp" 2>/dev/null || true; fi
  ip netns del "$network" 2>/dev/null || true
}
trap cleanup EXIT

# A private engine has no bridge, and one without a bridge must not see the machine's network (docker-up.sh). So it gets a network
# whose packets a program of this machine sends on. Steps of a build share it by `--network host`.
ip netns add "$network"
ip netns exec "$network" ip link set lo up
# It says on a descriptor that the network is there.
mkfifo "$dir.ready"
slirp4netns --netns-type=path --configure --mtu=65520 --ready-fd=9 "/run/netns/$network" tap0 9<>"$dir.ready" >"$dir.slirp" 2>&1 &
slirp=$!
head -c 1 "$dir.ready" >/dev/null & reader=$!
while kill -0 "$reader" 2>/dev/null; do
  if ! kill -0 "$slirp" 2>/dev/null; then kill "$reader"; fail "slirp4netns: $(cat "$dir.slirp")"; fi
  sleep 0.1
done
rm -f "$dir.ready" "$dir.slirp"
engine=$(NETNS=$network scripts/docker-up.sh "$dir")
eval "$engine"

flags=(--network host)
if [ $pull = yes ]; then flags+=(--pull); fi
# Names that every builder knows; without a value it is the environment's, and no layer stores it.
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
  if [ -n "${!name:-}" ]; then flags+=(--build-arg "$name"); fi
done

# built IMAGE DIRECTORY: builds the Dockerfile there.
built() {
  local began=$SECONDS
  docker build "${flags[@]}" --tag "$1" "$2" >"$dir/$1.log" 2>&1 || {
    tail -n 30 "$dir/$1.log" >&2
    fail "$2/Dockerfile"
  }
  say "built $1 in $((SECONDS - began)) s: $(size "$1")"
}
size() { docker image inspect --format '{{.Size}}' "$1" | awk '{ printf "%.1f MB", $1 / 1e6 }'; }

# How this machine reaches Debian and other sources (mirror, certificates) goes into a base image that is made here.
reached_as_here() {
  apt-config dump Acquire >"$1/etc/apt/apt.conf.d/90machine"
  # In a file that no package writes, too.
  install -D -m 644 /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/machine.crt"
}
