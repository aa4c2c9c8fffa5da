#!/usr/bin/env bash
# Builds the Dockerfile as it stands, on a Docker Engine of its own, and checks the image: what is in it, as whom it runs,
# that it does what a build of this machine does, and that scripts/image.sh makes the same.
#
#   scripts/ci/dockerfile.sh           needs no image registry: the base image is made here under its name, from the same
#                                      sources as the real one (Debian and rustup). As root, on Debian
#   scripts/ci/dockerfile.sh --pull    with the real base image
#
# DOCKER_BUILDKIT chooses the builder, as always; without it the client does. What is missing of Docker and debootstrap is
# installed; all else is removed at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

script=dockerfile.sh
. scripts/ci/image-build-lib.sh

base=$(sed -n 's/^FROM \(.*\) AS build$/\1/p' Dockerfile)
[[ $base =~ ^rust:([0-9.]+)-slim-([a-z]+)$ ]] || fail "there is no stand-in for the base image '$base'"
rust=${BASH_REMATCH[1]} suite=${BASH_REMATCH[2]}

# stand_in: what Docker's library does for $base, on a Debian made here.
stand_in() {
  local root=$dir/base file changes=() name
  scripts/ci/debian.sh "$suite" "$root" ca-certificates,gcc,libc6-dev || fail "debootstrap"
  # rustup installs itself and a toolchain when it is called so.
  cp "$(command -v rustup)" "$dir/rustup-init"
  RUSTUP_HOME=$root/usr/local/rustup CARGO_HOME=$root/usr/local/cargo RUSTUP_INIT_SKIP_PATH_CHECK=yes \
    "$dir/rustup-init" -y -q --no-modify-path --profile minimal --default-toolchain "$rust" >&2

  reached_as_here "$root"
  cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  file=${CARGO_HOME:-$HOME/.cargo}/config.toml
  if [ -f "$file" ]; then cp "$file" "$root/usr/local/cargo/config.toml"; fi
  for name in RUSTUP_DIST_SERVER RUSTUP_UPDATE_ROOT; do
    if [ -n "${!name:-}" ]; then changes+=(--change "ENV $name=${!name}"); fi
  done
  tar -C "$root" -c . | docker import --change 'ENV RUSTUP_HOME=/usr/local/rustup CARGO_HOME=/usr/local/cargo' \
    --change 'ENV PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    --change "ENV RUST_VERSION=$rust" --change 'CMD ["bash"]' ${changes[@]+"${changes[@]}"} - "$base" >/dev/null
  rm -rf --one-file-system "$root"
  say "made $base: $(size "$base")"
}
if [ $pull = no ]; then stand_in; fi
built poolkeeper .

# This machine's build: quick, and of the same source.
target=$(uname -m)-unknown-linux-musl
reference=$(scripts/image.sh --profile dev "$dir/image.tar" | awk '{ print $1 }')
docker load --quiet --input "$dir/image.tar" >&2
program=${CARGO_TARGET_DIR:-target}/$target/debug/poolkeeper

# describe IMAGE NAME: its configuration, and the files of all its layers, which are left in $dir/NAME.
describe() {
  docker image inspect --format 'entrypoint {{json .Config.Entrypoint}}, command {{json .Config.Cmd}}, user {{.Config.User}}, {{.Os}}/{{.Architecture}}' "$1"
  docker save --output "$dir/$2.tar" "$1"
  mkdir "$dir/$2"
  tar -xOf "$dir/$2.tar" manifest.json | python3 -c 'import json, sys; print(*json.load(sys.stdin)[0]["Layers"], sep="\n")' |
    while read -r layer; do
      tar -xOf "$dir/$2.tar" "$layer" >"$dir/layer.tar"
      tar --numeric-owner -tvf "$dir/layer.tar" | awk '{ print "file", $1, $2, $6 }'
      tar -xf "$dir/layer.tar" -C "$dir/$2"
    done
}
describe poolkeeper built >"$dir/built.txt"
describe "$reference" archived >"$dir/archived.txt"
cat "$dir/built.txt"
diff "$dir/archived.txt" "$dir/built.txt" || fail "the Dockerfile and scripts/image.sh make different images"
{
  echo "entrypoint [\"/poolkeeper\"], command null, user 65532:65532, linux/$(dpkg --print-architecture)"
  echo "file -rwxr-xr-x 0/0 poolkeeper"
} | diff - "$dir/built.txt" || fail "not one program that runs as 65532"
# ldd fails for a static program, and says so.
grep -Eq "not a dynamic|statically linked" <<<"$(ldd "$dir/built/poolkeeper" 2>&1 || true)" || fail "the program is not static"

# in_image ARGUMENTS...: poolkeeper in a container, as narrow as the chart's.
in_image() {
  timeout 60 docker run --rm --network none --read-only --cap-drop ALL --security-opt no-new-privileges \
    -v "$dir/out:/out" poolkeeper "$@"
}
mkdir -m 777 "$dir/out"
for arguments in --version --help crd; do
  in_image $arguments >"$dir/image.out" || fail "'docker run poolkeeper $arguments' ended with $?"
  env -i "$program" $arguments >"$dir/host.out"
  [ -s "$dir/image.out" ] || fail "'$arguments' says nothing"
  diff "$dir/host.out" "$dir/image.out" || fail "'$arguments' says something else than this machine's build"
  say "$arguments: $(wc -l <"$dir/image.out") lines, $(head -n 1 "$dir/image.out")"
done
# Files show as whom it ran.
in_image crd --dir /out >/dev/null
diff -r crds "$dir/out" || fail "the image has other CRDs"
[ "$(stat -c %u:%g "$dir"/out/* | sort -u)" = 65532:65532 ] || fail "it did not run as 65532:65532: $(ls -ln "$dir/out")"

echo "$(size poolkeeper), one static file, 65532:65532; built by Docker $(docker version --format '{{.Client.Version}}, Engine {{.Server.Version}}')"
