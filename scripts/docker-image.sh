#!/usr/bin/env bash
# Makes the images of the tests, without any registry:   scripts/docker-image.sh [DIR]
#   poolkeeper-test:1     busybox with its usual commands, /tmp, and `sleep infinity` as CMD
#   poolkeeper-health:1   the same, with a HEALTHCHECK: it starts until there is a file /tmp/well, and is healthy while there is one
#   poolkeeper-bare:1     /sleep, /cat and /tee: no shell and no /tmp
# Goes to DOCKER_HOST if that is set, else to the engine of docker-up.sh [DIR]. Images that are there already are kept.
wanted=${DOCKER_HOST:-}
. "$(dirname "$0")/docker-lib.sh"
if [ $# -eq 0 ] && [ -n "$wanted" ]; then DOCKER_HOST=$wanted; fi

has() { docker image inspect "$1" >/dev/null 2>&1; }
if has poolkeeper-test:1 && has poolkeeper-health:1 && has poolkeeper-bare:1; then exit 0; fi

busybox=/bin/busybox
# ldd fails for a static program, and says so.
if ! grep -Eq "not a dynamic|statically linked" <<<"$(ldd "$busybox" 2>&1 || true)"; then
  say "installing busybox-static"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update && apt-get install -y --no-install-recommends busybox-static; } >&2
fi

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/full/{bin,etc,root} "$root/bare"
mkdir -m 1777 "$root/full/tmp"
cp "$busybox" "$root/full/bin/busybox"
"$busybox" --list | while read -r applet; do
  if [ "$applet" != busybox ]; then ln -s busybox "$root/full/bin/$applet"; fi
done
echo 'root:x:0:0:root:/root:/bin/sh' >"$root/full/etc/passwd"
# Busybox is whatever it is called.
cp "$busybox" "$root/bare/sleep"
ln "$root/bare/sleep" "$root/bare/cat"
ln "$root/bare/sleep" "$root/bare/tee"

tar -C "$root/full" --owner=0 --group=0 -c . |
  docker import --change 'CMD ["sleep","infinity"]' --change 'ENV PATH=/bin' - poolkeeper-test:1 >&2
container=$(docker create poolkeeper-test:1)
docker commit --change 'HEALTHCHECK --interval=1s --timeout=30s --start-period=1h --retries=1 CMD test -e /tmp/well' \
  "$container" poolkeeper-health:1 >&2
docker rm "$container" >/dev/null
tar -C "$root/bare" --owner=0 --group=0 -c . |
  docker import --change 'CMD ["/sleep","infinity"]' - poolkeeper-bare:1 >&2
