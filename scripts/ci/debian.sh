#!/usr/bin/env bash
# Makes a Debian in a directory, as root, from the mirror that this machine uses:
#
#   scripts/ci/debian.sh SUITE DIR [PACKAGE,PACKAGE]      (suite: such as bookworm)
#
# It contains what debootstrap calls minbase, and these packages. debootstrap is installed where it is missing.
set -euo pipefail

suite=$1 dir=$2 packages=${3:-}
if ! command -v debootstrap >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -q && apt-get install -y -q --no-install-recommends debootstrap; } >&2
fi
# shellcheck disable=SC2016 # apt's own variables
mirror=$(apt-get indextargets --format '$(CREATED_BY) $(CODENAME) $(COMPONENT) $(REPO_URI)' |
  awk -v suite="$suite" '$1 == "Packages" && $2 == suite && $3 == "main" { print $4; exit }')
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Its mounts go with the namespace, however it ends.
if ! unshare --mount debootstrap --variant=minbase ${packages:+"--include=$packages"} "$suite" "$dir" ${mirror:+"$mirror"} >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  exit 1
fi
