#!/bin/sh
# Installs Poolkeeper @VERSION@ for one user: the program, its manual pages, and completion for bash, zsh and fish.
#
#   sh install.sh                  into ~/.local; --prefix DIR (or PREFIX) for another directory, such as /usr/local
#   sh install.sh --uninstall      removes what was installed there, and nothing else
#   sh install.sh --from URL       takes the archive from another place: a URL, or a directory
#
# The archive is checked against the sum in this script before anything of it is unpacked. A version that is installed
# already is replaced. A release has this script once its values in @ are filled in: scripts/release.sh does that.
set -eu
export LC_ALL=C

version='@VERSION@'
# Lines as of sha256sum.
sums='@SUMS@'
from='@URL@'
prefix=${PREFIX:-${HOME:?HOME is not set}/.local}
uninstall=no
# What was installed there, a path each line, relative to the prefix. A directory that was created ends with a slash; `./` is
# the prefix.
list=share/poolkeeper/installed

say() { echo "install.sh: $*" >&2; }
fail() {
  say "$*"
  exit 1
}

usage() {
  cat <<END
Installs Poolkeeper $version.

  --prefix DIR   install into DIR instead of $prefix
  --from URL     take the archive from this URL or directory instead of $from
  --uninstall    remove what was installed into the prefix
END
}

arguments() {
  while [ $# -gt 0 ]; do
    case $1 in
    --prefix=*) prefix=${1#*=} ;;
    --from=*) from=${1#*=} ;;
    --prefix | --from)
      [ $# -ge 2 ] || fail "$1 needs a value"
      if [ "$1" = --prefix ]; then prefix=$2; else from=$2; fi
      shift
      ;;
    --uninstall) uninstall=yes ;;
    -h | --help)
      usage
      exit 0
      ;;
    *)
      say "no such argument: $1"
      usage >&2
      exit 2
      ;;
    esac
    shift
  done
  case $prefix in
  /*) ;;
  *) prefix=$PWD/$prefix ;;
  esac
}

# archive: the name of the archive for this machine.
archive() {
  case $(uname -s) in
  Linux) system=linux ;;
  Darwin) system=darwin ;;
  *) fail "there is no program for $(uname -s)" ;;
  esac
  case $(uname -m) in
  x86_64 | amd64) machine=x86_64 ;;
  aarch64 | arm64) machine=aarch64 ;;
  *) fail "there is no program for the processor $(uname -m)" ;;
  esac
  echo "poolkeeper-$version-$system-$machine.tar.gz"
}

# download NAME FILE: gets a file of the release.
download() {
  case $from in
  file://* | /* | .*)
    cp "${from#file://}/$1" "$2"
    ;;
  *)
    if command -v curl >/dev/null; then
      curl --fail --silent --show-error --location --retry 3 --output "$2" "$from/$1"
    elif command -v wget >/dev/null; then
      wget -q -O "$2" "$from/$1"
    else
      fail "neither curl nor wget is installed. Download $from/$1, then run this script with --from DIRECTORY"
    fi
    ;;
  esac || fail "cannot get $from/$1"
}

# check FILE NAME: compares its sum with the one of this script.
check() {
  expected=$(echo "$sums" | while read -r sum name; do if [ "$name" = "$2" ]; then echo "$sum"; fi; done)
  [ -n "$expected" ] || fail "release $version has no $2"
  if command -v sha256sum >/dev/null; then
    actual=$(sha256sum "$1")
  elif command -v shasum >/dev/null; then
    actual=$(shasum -a 256 "$1")
  else
    fail "neither sha256sum nor shasum is installed, so the archive cannot be checked"
  fi
  if [ "${actual%% *}" != "$expected" ]; then
    fail "$2 from $from is not the one of the release: its SHA-256 sum is ${actual%% *}, not $expected. Nothing was installed"
  fi
}

# directory PATH: creates a directory below the prefix, and the prefix; prints what it had to create, the outermost first.
directory() {
  if [ -d "$prefix/$1" ]; then return 0; fi
  case $1 in
  */*) directory "${1%/*}" ;;
  .) mkdir -p "$prefix" ;;
  *) directory . ;;
  esac
  if [ "$1" != . ]; then mkdir "$prefix/$1"; fi
  echo "$1/"
}

# put ROOT: copies all files below ROOT to the prefix. A program that runs keeps its old file.
put() {
  : >"$scratch/new"
  (cd "$1" && find . -type f) | sed 's|^\./||' | sort >"$scratch/files"
  echo "$list" >>"$scratch/files"
  touch "$1/$list"
  while read -r file; do
    directory "${file%/*}" >>"$scratch/new"
    cp -p "$1/$file" "$prefix/$file.new"
    mv -f "$prefix/$file.new" "$prefix/$file"
    echo "$file" >>"$scratch/new"
  done <"$scratch/files"
  # Of the version before: its directories are ours still, and its files go where this version has none of that name.
  while read -r path; do
    if grep -qxF "$path" "$scratch/new"; then continue; fi
    case $path in
    */) echo "$path" >>"$scratch/new" ;;
    *) rm -f "$prefix/$path" ;;
    esac
  done <"$scratch/before"
  cp "$scratch/new" "$prefix/$list"
}

remove() {
  [ -f "$prefix/$list" ] || fail "nothing in $prefix was installed by this script: there is no $prefix/$list"
  if "$prefix/bin/poolkeeper" local status >/dev/null 2>&1; then
    fail "the local server runs. End it first: poolkeeper local down (with --purge its objects are removed too)"
  fi
  cp "$prefix/$list" "$scratch/before"
  while read -r path; do
    case $path in
    */) ;;
    *) rm -f "$prefix/$path" ;;
    esac
  done <"$scratch/before"
  # The innermost first, and the prefix last. A directory that contains files of others stays.
  grep '/$' "$scratch/before" | sort -r | while read -r path; do
    if [ "$path" = ./ ]; then path=; fi
    rmdir "$prefix${path:+/$path}" 2>/dev/null || true
  done
  say "removed Poolkeeper from $prefix"
}

main() {
  arguments "$@"
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  trap 'exit 130' INT TERM
  if [ $uninstall = yes ]; then
    remove
    return 0
  fi
  name=$(archive)
  download "$name" "$scratch/$name"
  check "$scratch/$name" "$name"
  gzip -dc "$scratch/$name" | tar -C "$scratch" -xf -
  root=$scratch/${name%.tar.gz}
  "$root/bin/poolkeeper" --version >/dev/null || fail "the program does not run on this machine; nothing was installed"
  cp "$prefix/$list" "$scratch/before" 2>/dev/null || : >"$scratch/before"
  mkdir -p "$root/${list%/*}"
  put "$root"
  say "installed Poolkeeper $version: $prefix/bin/poolkeeper"
  case :${PATH:-}: in
  *:"$prefix/bin":*) ;;
  *) say "$prefix/bin is not in PATH; add it: export PATH=\"$prefix/bin:\$PATH\"" ;;
  esac
}

# At the end, so that half a script does nothing.
main "$@"
