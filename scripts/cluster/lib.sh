# shellcheck shell=bash
# Sourced by all of scripts/cluster: where things are, how a component is started, found and stopped, and certificates.
# shellcheck disable=SC2034 # What is set here is for those who source it.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# Binaries, images and schemas: made once, used by every cluster.
CLUSTER_HOME=$(realpath -m "${CLUSTER_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/poolkeeper-cluster}")
BIN=$CLUSTER_HOME/bin
# One cluster: its data, certificates and logs. Another directory and API_PORT is another cluster.
STATE=$(realpath -m "${CLUSTER_STATE:-$CLUSTER_HOME/run}")
LOG=$STATE/log
PKI=$STATE/pki
API_PORT=${API_PORT:-6443}
ETCD_PORT=$((API_PORT + 1))
ETCD_PEER_PORT=$((API_PORT + 2))

NODE_NAME=node-0
POD_CIDR=10.244.0.0/24
# The node's address is that of the pods' bridge: pods reach it, and nothing outside this machine does.
BRIDGE=poolkeeper0
NODE_IP=10.244.0.1
SERVICE_CIDR=10.96.0.0/16
SERVICE_IP=10.96.0.1
# containerd's sockets: short paths on a tmpfs. There is one node in a network namespace; `owner` says whose.
NODE_RUN=/run/poolkeeper-node
CGROUP=poolkeeper-$(printf %s "$STATE" | cksum | cut -d' ' -f1)

# Whatever the caller's KUBECONFIG names is none of our business.
export KUBECONFIG=$STATE/kubeconfig
no_proxy=127.0.0.1,localhost,$NODE_IP,$SERVICE_CIDR,$POD_CIDR${no_proxy:+,$no_proxy}
NO_PROXY=$no_proxy
export no_proxy NO_PROXY

say() { echo "cluster: $*" >&2; }
die() {
  say "$*"
  exit 1
}
case $STATE$CLUSTER_HOME in
*[!A-Za-z0-9._/+@-]*) die "a path with unusual characters cannot be used: CLUSTER_STATE=$STATE CLUSTER_HOME=$CLUSTER_HOME" ;;
esac
elapsed() { awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", to - from }'; }

# need COMMAND=PACKAGE...: installs what is missing from Debian, or says what to install.
need() {
  local pair missing=()
  for pair in "$@"; do
    if ! command -v "${pair%%=*}" >/dev/null && [ ! -e "${pair%%=*}" ]; then missing+=("${pair#*=}"); fi
  done
  if [ ${#missing[@]} -eq 0 ]; then return 0; fi
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    die "missing; please install (Debian's names): ${missing[*]}"
  fi
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}"; } >&2
}

# Each component carries its cluster's directory in its environment. That finds it without files that name pids, which
# are stale after a crash, and which are reused.
MARK=POOLKEEPER_PART_OF_CLUSTER

# marked: the pids of everything that runs for this cluster (containers' processes aside). A zombie has no environment.
marked() {
  { grep -lzxF "$MARK=$STATE" /proc/[0-9]*/environ 2>/dev/null || true; } | cut -d/ -f3
}

# pids_of NAME: the pids of this cluster's processes with that program.
pids_of() {
  local pid exe
  for pid in $(marked); do
    exe=$(readlink "/proc/$pid/exe" 2>/dev/null) || continue
    # A binary that was built again since.
    exe=${exe% (deleted)}
    if [ "${exe##*/}" = "$1" ]; then echo "$pid"; fi
  done
}
alive() { [ -n "$(pids_of "$1")" ]; }

# running PID: it exists and is no zombie (kill -0 sees zombies as alive, and PID 1 of a container may reap slowly).
running() {
  local state
  state=$(sed 's/.*) \(.\).*/\1/' "/proc/$1/stat" 2>/dev/null) || return 1
  [ -n "$state" ] && [ "$state" != Z ]
}

# holds_nothing PID: no thread of it runs any more. A process loses its environment, by which it is found, before its sockets are
# closed, and its first thread may be a zombie while another one still exits.
holds_nothing() {
  local states
  states=$(sed 's/.*) \(.\).*/\1/' "/proc/$1"/task/*/stat 2>/dev/null) || true
  [[ ! $states =~ [^ZX[:space:]] ]]
}

# kill_all COMMAND...: kills the processes whose pids the command prints, until it prints none and their ports are free. Nothing
# is asked to end by itself: what a component would save is removed anyway, and so the same way out is taken that follows a crash.
kill_all() {
  local pids pid busy
  declare -A killed=()
  for _ in $(seq 200); do
    pids=$("$@") || true
    for pid in $pids; do killed[$pid]=1; done
    busy=$pids
    for pid in "${!killed[@]}"; do
      if ! holds_nothing "$pid"; then busy+=" $pid"; fi
    done
    if [ -z "$busy" ]; then return 0; fi
    # shellcheck disable=SC2086
    kill -9 $pids 2>/dev/null || true
    sleep 0.05
  done
  die "cannot be killed: $(ps -o pid=,comm= -p "$(xargs <<<"$busy" | tr ' ' ,)" | xargs)"
}

declare -A STARTED=()
# start NAME COMMAND...: in the background and in a session of its own, unless it runs already.
start() {
  local name=$1
  shift
  if alive "$name"; then return 0; fi
  mkdir -p "$LOG"
  # Its parents' locks are not for it.
  env --unset=CLUSTER_LOCKED "$MARK=$STATE" setsid "$@" >>"$LOG/$name.log" 2>&1 </dev/null 7<&- 8<&- 9<&- &
  STARTED[$name]=$!
}

# wait_for SECONDS NAME COMMAND...: until the command succeeds. Ends at once if a component that was started has ended.
wait_for() {
  local limit=$1 name=$2 began=$EPOCHREALTIME component
  shift 2
  local deadline=$((SECONDS + limit))
  until "$@" >/dev/null 2>&1; do
    for component in "${!STARTED[@]}"; do
      if ! running "${STARTED[$component]}"; then
        tail -n 15 "$LOG/$component.log" >&2
        die "$component ended; above is the end of $LOG/$component.log"
      fi
    done
    if [ "$SECONDS" -ge "$deadline" ]; then
      "$@" >&2 || true
      die "$name: not ready after $limit s; see $LOG"
    fi
    sleep 0.1
  done
  say "$name is ready ($(elapsed "$began"))"
}

# authority: makes the one that signs all certificates, and the key of the ServiceAccounts' tokens.
authority() {
  if [ -f "$PKI/sa.pub" ]; then return 0; fi
  mkdir -p "$PKI"
  chmod 700 "$PKI"
  openssl ecparam -name prime256v1 -genkey -noout -out "$PKI/ca.key"
  openssl req -x509 -new -key "$PKI/ca.key" -sha256 -days 3650 -subj "/CN=kubernetes-ca" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature \
    -out "$PKI/ca.crt" 2>/dev/null
  openssl genrsa -out "$PKI/sa.key" 2048 2>/dev/null
  openssl rsa -in "$PKI/sa.key" -pubout -out "$PKI/sa.pub" 2>/dev/null
}

# certificate NAME USER [GROUP [NAMES]]
certificate() {
  local name=$1 user=$2 group=${3:-} names=${4:-}
  if [ -f "$PKI/$name.crt" ]; then return 0; fi
  openssl ecparam -name prime256v1 -genkey -noout -out "$PKI/$name.key"
  openssl req -new -key "$PKI/$name.key" -subj "${group:+/O=$group}/CN=$user" -out "$PKI/$name.csr" 2>/dev/null
  cat >"$PKI/$name.ext" <<EOF
basicConstraints=CA:FALSE
keyUsage=digitalSignature
extendedKeyUsage=clientAuth,serverAuth
${names:+subjectAltName=$names}
EOF
  openssl x509 -req -in "$PKI/$name.csr" -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -CAcreateserial -days 3650 -sha256 \
    -extfile "$PKI/$name.ext" -out "$PKI/$name.crt" 2>/dev/null
  rm "$PKI/$name.csr" "$PKI/$name.ext"
}

# user FILE NAME USER [GROUP]: a kubeconfig with a certificate.
user() {
  local file=$1 name=$2
  certificate "$2" "$3" "${4:-}"
  (
    umask 077
    cat >"$file" <<EOF
apiVersion: v1
kind: Config
clusters:
- name: poolkeeper-test
  cluster: {server: "https://$API_IP:$API_PORT", certificate-authority-data: $(base64 -w0 "$PKI/ca.crt")}
users:
- name: $name
  user: {client-certificate-data: $(base64 -w0 "$PKI/$name.crt"), client-key-data: $(base64 -w0 "$PKI/$name.key")}
contexts:
- name: poolkeeper-test
  context: {cluster: poolkeeper-test, user: $name}
current-context: poolkeeper-test
EOF
  )
}
