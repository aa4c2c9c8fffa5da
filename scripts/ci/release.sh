#!/usr/bin/env bash
# A release, and what a person does with it on a bare Debian: install, work, uninstall. As root, on Debian.
#
#   scripts/ci/release.sh           with a quick build for this processor; packs it twice and compares the bytes
#   scripts/ci/release.sh --whole   with the programs as they are published, for both processors, the one of this machine built
#                                   twice in different directories; the other one works under qemu. Takes 36 min on 2 busy cores
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=scripts/release/lib.sh
. scripts/release/lib.sh

whole=no
case "$*" in
"") ;;
--whole) whole=yes ;;
*) fail "no such arguments: $*" ;;
esac
export DEBIAN_FRONTEND=noninteractive
need shellcheck shellcheck
need man man-db
need rpm rpm
scratch=$(mktemp -d /tmp/pk-release.XXXXXX)
trap 'rm -rf --one-file-system "$scratch"' EXIT
version=$(sed -n '0,/^version = "\(.*\)"/s//\1/p' Cargo.toml)
machine=$(uname -m)
target=$machine-unknown-linux-musl

shellcheck -x packaging/install.sh scripts/release.sh scripts/release/*.sh scripts/ci/release.sh scripts/ci/debian.sh
actionlint=$(go_tool actionlint github.com/rhysd/actionlint/cmd/actionlint@v1.7.12)
"$actionlint" -color=false
POOLKEEPER_REQUIRE_MAN=1 cargo test --locked --test cli -- man:: install::

flags=(--snapshot)
if [ $whole = no ]; then
  # The build of the image, which is there. Its symbols are half of it.
  scripts/image.sh --profile dev "$scratch/image.tar" >/dev/null
  built=${CARGO_TARGET_DIR:-target}/$target/debug/poolkeeper
  mkdir -p "$scratch/binaries/$target"
  strip -o "$scratch/binaries/$target/poolkeeper" "$built"
  echo "of a quick build" >"$scratch/binaries/$target/poolkeeper.debug"
  flags+=(--target "$target" --binaries "$scratch/binaries")
fi

say "the package for cargo, compiled from its own archive"
cargo package --locked --target "$target"

say "a release"
scripts/release.sh "$version" "${flags[@]}" --out "$scratch/release"
release=$scratch/release
(cd "$release" && sha256sum --check --quiet SHA256SUMS)

say "the same bytes once more, in another directory, at another time"
again=()
if [ $whole = no ]; then
  again=(--target "$target" --binaries "$scratch/binaries")
else
  again=(--target "$target")
fi
git worktree add --quiet --detach "$scratch/elsewhere" HEAD
trap 'git worktree remove --force "$scratch/elsewhere"; rm -rf --one-file-system "$scratch"' EXIT
(cd "$scratch/elsewhere" && umask 077 && TZ=Asia/Tokyo CARGO_TARGET_DIR=$scratch/target scripts/release.sh "$version" --snapshot "${again[@]}" --out "$scratch/again")
for file in "$scratch"/again/*; do
  case ${file##*/} in
  # They name all archives, and --whole makes fewer the second time.
  SHA256SUMS | install.sh | poolkeeper.krew.yaml | poolkeeper.rb) if [ $whole = yes ]; then continue; fi ;;
  esac
  cmp "$file" "$release/${file##*/}"
done

say "refusals"
if scripts/release.sh 9.9.9 --out "$scratch/refused" 2>"$scratch/said"; then fail "a version that Cargo.toml does not have was made"; fi
grep -q "Cargo.toml has version '$version', not '9.9.9'" "$scratch/said"
[ ! -e "$scratch/refused" ]

say "the files"
name=poolkeeper-$version-linux-$machine
mkdir "$scratch/archive" "$scratch/rpm"
tar -C "$scratch/archive" -xzf "$release/$name.tar.gz"
grep -Eq "not a dynamic|statically linked" <<<"$(ldd "$scratch/archive/$name/bin/poolkeeper" 2>&1 || true)" || fail "the program is not static"
if [ $whole = yes ]; then
  for found in "$PWD" "$HOME" "$scratch"; do
    for file in "$release"/*.tar.gz; do
      [ "$(tar -xzOf "$file" | grep -acF "$found/")" = 0 ] || fail "${file##*/} contains the path $found"
    done
  done
fi
python3 - "$release/$name.cdx.json" <<'END'
import json, sys
bom = json.load(open(sys.argv[1]))
names = {part["bom-ref"] for part in bom["components"]}
assert len(names) == len(bom["components"]) > 100 and any(name.startswith("pkg:cargo/kube@") for name in names), len(names)
assert not any("testkit" in name or "proptest" in name for name in names), "what tests need is no part of the program"
for entry in bom["dependencies"]:
    assert set(entry["dependsOn"]) <= names | {bom["metadata"]["component"]["bom-ref"]}, entry
END
# Debian's rpm works in any directory.
rpm() { command rpm --root "$scratch/rpm" "$@" 2>"$scratch/said" || fail "rpm $*: $(cat "$scratch/said")"; }
rpm --initdb
rpm --install "$release/poolkeeper-$version-1.$machine.rpm"
cmp "$scratch/rpm/usr/bin/poolkeeper" "$scratch/archive/$name/bin/poolkeeper"
rpm --erase poolkeeper
[ -z "$(find "$scratch/rpm/usr" -type f -o -path '*poolkeeper*')" ] || fail "the RPM package left something behind"
for page in "$scratch/archive/$name"/share/man/man1/*; do
  said=$(man --warnings -l "$page" 2>&1 >/dev/null)
  [ -z "$said" ] || fail "${page##*/}: $said"
done
helm=${CLUSTER_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/poolkeeper-cluster}/bin/helm
"$helm" template pk "$release/poolkeeper-$version.tgz" --kube-version 1.33.0 >"$scratch/rendered"
"$helm" template pk charts/poolkeeper --kube-version 1.33.0 | cmp - "$scratch/rendered"

say "a bare Debian"
root=$scratch/debian
scripts/ci/debian.sh bookworm "$root"
mkdir "$root/release"
cp "$release/install.sh" "$release/$name.tar.gz" "$release"/*.deb "$root/release/"

# inside COMMAND...: runs it in that Debian, with processes and a network of its own, whose only device is the loopback.
inside() {
  # shellcheck disable=SC2016 # of the inner shell
  unshare --mount --pid --fork --net --kill-child bash -ec '
    root=$1
    shift
    ip link set lo up
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    exec chroot "$root" "$@"' bash "$root" "$@"
}
# person SCRIPT: runs it as somebody with a home and nothing else.
person() { inside su --login person --command "set -eu; $1"; }
# everything: all files of that Debian, but what dpkg notes about itself.
everything() {
  (cd "$root" && find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./release \) -prune -o -printf '%p %y %s %l\n') |
    grep -Ev '^\./(var/(log|cache|lib/dpkg)|tmp|run|etc/ld\.so\.cache)[/ ]' | sort
}
inside useradd --create-home --shell /bin/bash person
mkdir "$root/home/person/examples"
cp examples/limited-agent.sh examples/tasks.txt "$root/home/person/examples/"
everything >"$scratch/before"

say "the installer"
person 'sh /release/install.sh --from /release'
person '. ~/.profile; poolkeeper --version'
command=$(sed -n '0,/^cargo run -- \(run --local .*\)$/s//poolkeeper \1/p' README.md)
say "$command"
person ". ~/.profile; $command" >"$scratch/batch" 2>&1 || { cat "$scratch/batch"; fail "the README's first command"; }
grep -q "^tasks: 20 succeeded in " "$scratch/batch" || fail "not all tasks succeeded: $(cat "$scratch/batch")"
# A pool of the local server.
# shellcheck disable=SC2016 # of the person's shell
person '. ~/.profile
  poolkeeper local up
  poolkeeper create pool agents --runtime Process --max 2
  poolkeeper run agents --tasks examples/tasks.txt -- sh -c "echo \$TASK" >said
  grep -q "Say goodbye" said
  if sh /release/install.sh --uninstall; then exit 9; fi
  poolkeeper local down --purge
  rm said'
person 'sh /release/install.sh --uninstall'
person 'rm -rf ~/.local/state/poolkeeper; rmdir ~/.local/state ~/.local 2>/dev/null || true'
everything | diff "$scratch/before" - || fail "the installer, or the program, left something behind"

say "the package"
inside dpkg --install "/release/$(cd "$release" && echo poolkeeper_*_"$(dpkg --print-architecture)".deb)"
person 'poolkeeper --version'
person ". ~/.profile; $command" >"$scratch/batch" 2>&1 || { cat "$scratch/batch"; fail "the README's first command, from the package"; }
[ -f "$root/usr/share/zsh/vendor-completions/_poolkeeper" ] && [ -f "$root/usr/share/bash-completion/completions/poolkeeper" ]
inside dpkg --purge poolkeeper
person 'rm -rf ~/.local'
everything | diff "$scratch/before" - || fail "the package left something behind"

if [ $whole = yes ] && [ "$machine" = x86_64 ]; then
  say "the program for aarch64"
  qemu=$(qemu_aarch64)
  tar -C "$scratch/archive" -xzf "$release/poolkeeper-$version-linux-aarch64.tar.gz"
  other=$scratch/archive/poolkeeper-$version-linux-aarch64/bin
  # It starts itself: the kernel must know how. A user namespace has a list of its own.
  cat >"$scratch/foreign" <<'END'
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
echo ":poolkeeper-aarch64:M::$magic:$mask:$1:F" >/proc/sys/fs/binfmt_misc/register
shift
exec "$@"
END
  [ "$("$qemu" "$other/poolkeeper" --version)" = "poolkeeper $version" ]
  # No task runs in a pool of the local server: that keeps a link to /proc/self/exe for its workers, which is qemu here.
  # shellcheck disable=SC2016 # of the inner shell
  POOLKEEPER_HOME=$scratch/home PATH=$other:$PATH unshare --user --map-root-user --mount --pid --fork --mount-proc \
    bash -e "$scratch/foreign" "$qemu" bash -ec '
    eval "$1" 2>&1 | tee "$2"
    grep -q "^tasks: 20 succeeded in " "$2"
    poolkeeper local up
    poolkeeper create pool agents --runtime Process --min 0 --max 1
    grep -q agents <<<"$(poolkeeper get pools -o name)"
    poolkeeper pause agents
    poolkeeper local down --purge' bash "$command" "$scratch/batch"
  [ ! -e "$scratch/home" ] || [ -z "$(ls -A "$scratch/home")" ] || fail "the program for aarch64 left something behind"
fi
echo "release $version: $(find "$release" -type f | wc -l) files, the same twice; installed, used and removed on a bare Debian"
