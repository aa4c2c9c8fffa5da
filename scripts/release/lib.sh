# shellcheck shell=bash
# What the scripts of a release share: messages, and tools with fixed versions, which are installed where they are missing.

say() { echo "${0##*/}: $*" >&2; }
fail() {
  say "$*"
  exit 1
}

# The tools are not this repository's, and stay for the next release.
TOOLS=${POOLKEEPER_RELEASE_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/poolkeeper-release/tools}

# need COMMAND PACKAGE: installs Debian's package where the command is missing.
need() {
  if command -v "$1" >/dev/null; then return 0; fi
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then fail "$1 is missing; please install $2 (Debian's name)"; fi
  say "installing $2"
  export DEBIAN_FRONTEND=noninteractive
  # Another step of CI may install something at this moment: its lists do, and its lock is waited for.
  apt-get update -q >&2 || say "no new package lists"
  apt-get install -y -q -o DPkg::Lock::Timeout=300 --no-install-recommends "$2" >&2
}

# zig_compiler TARGET: prints the path of a C compiler for zig's TARGET.
zig_compiler() {
  local python=$TOOLS/zig/bin/python compiler=$TOOLS/zig/cc-$1
  if [ "$("$python" -m ziglang version 2>/dev/null)" != 0.17.1 ]; then
    if ! python3 -c 'import ensurepip' 2>/dev/null; then need python3-venv python3-venv; fi
    python3 -m venv "$TOOLS/zig"
    "$TOOLS/zig/bin/pip" install --quiet ziglang==0.17.1
  fi
  # The target has another name in zig, which takes no other.
  cat >"$compiler" <<END
#!/usr/bin/env bash
args=()
for arg; do
  case \$arg in
  --target=*) ;;
  *) args+=("\$arg") ;;
  esac
done
exec "$python" -m ziglang cc -target $1 "\${args[@]}"
END
  chmod +x "$compiler"
  echo "$compiler"
}

# go_tool NAME MODULE@VERSION: prints the path of a program from the Go module proxy, whose checksum Go verifies.
go_tool() {
  local path=$TOOLS/$1-${2##*@}/$1
  if [ ! -x "$path" ]; then
    command -v go >/dev/null || fail "go is missing: $1 is built from source"
    say "building $1 ${2##*@}"
    GOBIN=$(dirname "$path") GOFLAGS=-trimpath CGO_ENABLED=0 go install "$2" >&2 || return 1
  fi
  echo "$path"
}

# qemu_aarch64: prints the path of a static qemu that runs programs for aarch64. From 9.0 on it knows PR_SET_CHILD_SUBREAPER,
# without which a worker that is a process cannot start. Debian 12 has 7.2, and 10.0 in its backports.
qemu_aarch64() {
  local path=$TOOLS/qemu/usr/bin/qemu-aarch64
  if [ ! -x "$path" ]; then
    say "getting qemu-user from bookworm-backports"
    get_qemu || return 1
  fi
  echo "$path"
}

# In a subshell: its trap removes what apt left, also where apt failed.
get_qemu() (
  dir=$(mktemp -d)
  trap 'rm -rf "$dir"' EXIT
  # With lists of its own: the machine's packages stay those of its release.
  mkdir -p "$dir/lists/partial" "$dir/archives/partial"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm-backports main" >"$dir/sources.list"
  apt=(apt-get -q -o "Dir::Etc::SourceList=$dir/sources.list" -o Dir::Etc::SourceParts=- -o "Dir::State::Lists=$dir/lists"
    -o "Dir::Cache=$dir" -o APT::Sandbox::User=root)
  "${apt[@]}" update >&2 && (cd "$dir" && "${apt[@]}" download qemu-user >&2) || return 1
  mkdir -p "$TOOLS/qemu"
  dpkg-deb --extract "$dir"/qemu-user_*.deb "$TOOLS/qemu"
)
