#!/usr/bin/env bash
# Makes all files of a release, the same bytes wherever and whenever it runs:
#
#   scripts/release.sh VERSION [--out DIR] [--target TARGET]... [--snapshot]
#
#   --out DIR        where to; target/release-VERSION by default. It is emptied
#   --target TARGET  x86_64-unknown-linux-musl, aarch64-unknown-linux-musl; both by default
#   --snapshot       for tests: with uncommitted changes and without an entry in CHANGELOG.md
#   --binaries DIR   does not build, but takes DIR/TARGET/poolkeeper and DIR/TARGET/poolkeeper.debug
#
# VERSION is that of Cargo.toml, Chart.yaml and CHANGELOG.md. The time in archives and packages is that of the commit.
# Of the machine it needs rustup, Go, Python 3.11 and git; tools with fixed versions are installed below ~/.cache.
# docs/development.md describes the files and how to publish them; `.ci/run release` tests them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/release/lib.sh
. scripts/release/lib.sh
export LC_ALL=C TZ=UTC
umask 022

version='' out='' snapshot=no binaries='' targets=()
while [ $# -gt 0 ]; do
  case $1 in
  --out | --target | --binaries)
    [ $# -ge 2 ] || fail "$1 needs a value"
    case $1 in
    --out) out=$2 ;;
    --target) targets+=("$2") ;;
    --binaries) binaries=$2 ;;
    esac
    shift
    ;;
  --snapshot) snapshot=yes ;;
  -*) fail "no such flag: $1" ;;
  *)
    [ -z "$version" ] || fail "one version, not '$version' and '$1'"
    version=${1#v}
    ;;
  esac
  shift
done
[ -n "$version" ] || fail "which version? scripts/release.sh VERSION"
[ ${#targets[@]} -gt 0 ] || targets=(x86_64-unknown-linux-musl aarch64-unknown-linux-musl)
out=${out:-target/release-$version}

# Everything that names a version names this one.
names() { [ "$2" = "$version" ] || fail "$1 has version '$2', not '$version'"; }
names Cargo.toml "$(sed -n '0,/^version = "\(.*\)"/s//\1/p' Cargo.toml)"
names charts/poolkeeper/Chart.yaml "$(sed -n 's/^version: \(.*\)/\1/p' charts/poolkeeper/Chart.yaml)"
names "charts/poolkeeper/Chart.yaml (appVersion)" "$(sed -n 's/^appVersion: "\(.*\)"/\1/p' charts/poolkeeper/Chart.yaml)"
if [ $snapshot = no ]; then
  grep -Eq "^## $version( |$)" CHANGELOG.md || fail "CHANGELOG.md has no section '## $version'"
  [ -z "$(git status --porcelain)" ] || fail "the work tree has changes that are not committed"
fi
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
url=https://github.com/poolkeeper/poolkeeper/releases/download/v$version

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf "$out"
mkdir -p "$out"
out=$(realpath "$out")

# pack DIR NAME...: a tar of these, with sorted names, one owner and one time, compressed without a time.
pack() {
  local dir=$1
  shift
  tar -C "$dir" --sort=name --owner=0 --group=0 --numeric-owner --mode=go=rX,u+rw --mtime="@$SOURCE_DATE_EPOCH" \
    --format=posix --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime -cf - "$@" | gzip -9n
}

# system TARGET: as archives name it.
system() { echo "linux-${1%%-*}"; }

for target in "${targets[@]}"; do
  if [ -n "$binaries" ]; then
    mkdir -p "$work/$target"
    cp "$binaries/$target/poolkeeper" "$binaries/$target/poolkeeper.debug" "$work/$target/"
  else
    say "building for $target"
    scripts/release/build.sh "$target" "$work/$target"
  fi
done

# What is the same for all: made by the program that runs here.
share=$work/share
mkdir -p "$share"/{bash-completion/completions,zsh/site-functions,fish/vendor_completions.d,doc/poolkeeper}
runs=$work/$(uname -m)-unknown-linux-musl/poolkeeper
[ -x "$runs" ] || fail "one of the targets must be that of this machine: $(uname -m)-unknown-linux-musl"
[ "$("$runs" --version)" = "poolkeeper $version" ] || fail "the program says that it is '$("$runs" --version)'"
"$runs" man --dir "$share/man/man1"
gzip -9n "$share"/man/man1/*.1
"$runs" completion bash >"$share/bash-completion/completions/poolkeeper"
"$runs" completion zsh >"$share/zsh/site-functions/_poolkeeper"
"$runs" completion fish >"$share/fish/vendor_completions.d/poolkeeper.fish"
cp LICENSE README.md CHANGELOG.md "$share/doc/poolkeeper/"

# The newest version whose dependencies the Go module proxy has.
nfpm=$(go_tool nfpm github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2)
for target in "${targets[@]}"; do
  name=poolkeeper-$version-$(system "$target")
  mkdir -p "$work/archive/$name/bin" "$work/archive/$name-debug"
  install -m 755 "$work/$target/poolkeeper" "$work/archive/$name/bin/poolkeeper"
  cp -r "$share" "$work/archive/$name/share"
  pack "$work/archive" "$name" >"$out/$name.tar.gz"
  cp "$work/$target/poolkeeper.debug" "$work/archive/$name-debug/"
  pack "$work/archive" "$name-debug" >"$out/$name-debug.tar.gz"
  case ${target%%-*} in
  x86_64) arch=amd64 ;;
  aarch64) arch=arm64 ;;
  esac
  find "$work/archive/$name" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
  for packager in deb rpm; do
    ROOT=$work/archive/$name ARCH=$arch VERSION=$version \
      "$nfpm" package --config packaging/nfpm.yaml --packager $packager --target "$out/" >&2
  done
  scripts/release/sbom.py "$target" >"$out/$name.cdx.json"
done

# The chart, as `helm package` checks it, but with the times and the owner of all other archives.
scripts/cluster/cluster build helm >&2
helm=${CLUSTER_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/poolkeeper-cluster}/bin/helm
"$helm" package charts/poolkeeper --destination "$work/chart" >&2
mkdir "$work/chart/unpacked"
tar -C "$work/chart/unpacked" -xmzf "$work/chart/poolkeeper-$version.tgz"
pack "$work/chart/unpacked" poolkeeper >"$out/poolkeeper-$version.tgz"

sums() { (cd "$out" && sha256sum -- "$@"); }
sum() { sums "$1" | cut -d ' ' -f 1; }
# fill FILE: with the values of this release.
fill() {
  local text target name
  text=$(cat "$1")
  text=${text//@VERSION@/$version}
  text=${text//@URL@/$url}
  for target in "${targets[@]}"; do
    name=$(system "$target")
    text=${text//@SUM_${name//-/_}@/$(sum "poolkeeper-$version-$name.tar.gz")}
  done
  echo "$text"
}
archives=()
for target in "${targets[@]}"; do archives+=("poolkeeper-$version-$(system "$target").tar.gz"); done
installer=$(fill packaging/install.sh)
printf '%s\n' "${installer//@SUMS@/$(sums "${archives[@]}")}" >"$out/install.sh"
chmod 755 "$out/install.sh"
fill packaging/homebrew.rb >"$out/poolkeeper.rb"
{
  fill packaging/krew.yaml
  for target in "${targets[@]}"; do
    name=poolkeeper-$version-$(system "$target") arch=${target%%-*}
    case $arch in
    x86_64) arch=amd64 ;;
    aarch64) arch=arm64 ;;
    esac
    cat <<END
  - selector: {matchLabels: {os: linux, arch: $arch}}
    uri: $url/$name.tar.gz
    sha256: $(sum "$name.tar.gz")
    files:
    - {from: $name/bin/poolkeeper, to: .}
    - {from: $name/share/doc/poolkeeper/LICENSE, to: .}
    bin: poolkeeper
END
  done
} >"$out/poolkeeper.krew.yaml"
# Without the targets that were not built there is no formula.
if grep -q '@SUM' "$out/poolkeeper.rb"; then rm "$out/poolkeeper.rb"; fi

(cd "$out" && sha256sum -- * >"$work/SHA256SUMS" && mv "$work/SHA256SUMS" .)
chmod 644 "$out/SHA256SUMS"
say "$(find "$out" -type f | wc -l) files in $out"
