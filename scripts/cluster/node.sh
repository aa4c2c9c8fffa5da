# shellcheck shell=bash
# Sourced by `cluster`: containerd, kubelet and kube-proxy, and the removal of all that a node leaves behind.

export CONTAINERD_ADDRESS=$NODE_RUN/containerd.sock CONTAINERD_NAMESPACE=k8s.io
CNI_PLUGINS=/usr/lib/cni

need_node() {
  if [ "$(id -u)" -ne 0 ]; then die "a node needs root; without it there are 'up api' and 'up kwok'"; fi
  need containerd=containerd runc=runc iptables=iptables ip=iproute2 conntrack=conntrack \
    "$CNI_PLUGINS/bridge=containernetworking-plugins"
}

owns_node() { [ "$(cat "$NODE_RUN/owner" 2>/dev/null)" = "$STATE" ]; }

# claim_node: this network namespace's only node is ours from here on.
claim_node() {
  local owner
  if owns_node; then return 0; fi
  owner=$(cat "$NODE_RUN/owner" 2>/dev/null || true)
  if [ -n "$owner" ]; then
    # Its processes may be in a PID namespace that cannot be seen from here: ask.
    if timeout 5 ctr version >/dev/null 2>&1; then
      die "the node of the cluster in $owner runs; end it first: CLUSTER_STATE=$owner $0 down"
    fi
    say "removing what is left of the cluster in $owner"
    CLUSTER_STATE=$owner "$HERE/cluster" down
  elif [ -n "$(chains)" ]; then
    die "this machine seems to be a node of another cluster: iptables has chains named KUBE-* or CNI-*"
  fi
  mkdir -p "$NODE_RUN"
  echo "$STATE" >"$NODE_RUN/owner"
}

# setup_network: the bridge comes first, since its address is the node's.
setup_network() {
  modprobe -q br_netfilter 2>/dev/null || true
  sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1 fs.inotify.max_user_instances=1024
  if ! ip link show "$BRIDGE" >/dev/null 2>&1; then ip link add "$BRIDGE" type bridge; fi
  ip addr replace "$NODE_IP/${POD_CIDR#*/}" dev "$BRIDGE"
  ip link set "$BRIDGE" up
  ip link set lo up
  # Services are reached from the node itself too, even where there is no other route.
  ip route replace "$SERVICE_CIDR" dev "$BRIDGE"
}

configure_containerd() {
  mkdir -p "$STATE"/{containerd,cni}
  # oom_score and restrict_oom_score_adj: without CAP_SYS_RESOURCE a score cannot be lowered.
  cat >"$STATE/containerd.toml" <<EOF
version = 2
root = "$STATE/containerd"
state = "$NODE_RUN/containerd"
oom_score = 0
[grpc]
  address = "$CONTAINERD_ADDRESS"
[plugins."io.containerd.internal.v1.opt"]
  path = "$STATE/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:local"
  disable_tcp_service = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$CNI_PLUGINS"
    conf_dir = "$STATE/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        Root = "$NODE_RUN/runc"
EOF
  # The firewall plugin lets pods through where a Docker Engine has set FORWARD to DROP.
  cat >"$STATE/cni/10-poolkeeper.conflist" <<EOF
{"cniVersion": "0.4.0", "name": "poolkeeper-test", "plugins": [
  {"type": "bridge", "bridge": "$BRIDGE", "isGateway": true, "ipMasq": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$NODE_RUN/addresses", "ranges": [[{"subnet": "$POD_CIDR"}]],
            "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}},
  {"type": "firewall"}]}
EOF
}

configure_kubelet() {
  certificate kubelet "system:node:$NODE_NAME" system:nodes "DNS:$NODE_NAME,IP:$NODE_IP,IP:127.0.0.1"
  user "$STATE/kubelet.kubeconfig" kubelet "system:node:$NODE_NAME" system:nodes
  mkdir -p "$STATE/kubelet"
  # failCgroupV1: the machine may be an old one. cgroupRoot: two kubelets, even in two PID namespaces, would otherwise
  # take each other's pods for leftovers.
  cat >"$STATE/kubelet.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
oomScoreAdj: 0
address: $NODE_IP
healthzPort: 0
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true, cacheTTL: 10s}
  x509: {clientCAFile: $PKI/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: $PKI/kubelet.crt
tlsPrivateKeyFile: $PKI/kubelet.key
containerRuntimeEndpoint: unix://$CONTAINERD_ADDRESS
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP
failCgroupV1: false
failSwapOn: false
clusterDomain: cluster.local
clusterDNS: [10.96.0.10]
resolvConf: /etc/resolv.conf
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
serializeImagePulls: false
podLogsDir: $STATE/pod-logs
registerNode: true
shutdownGracePeriod: 0s
EOF
}

# The cgroup in each hierarchy, or the one of version 2.
cgroups() {
  local hierarchy
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    echo "/sys/fs/cgroup/$CGROUP"
    return 0
  fi
  for hierarchy in /sys/fs/cgroup/*/; do
    # Names such as cpuacct may be links to another.
    if [ -w "$hierarchy" ] && [ ! -L "${hierarchy%/}" ]; then echo "$hierarchy$CGROUP"; fi
  done
}

make_cgroups() {
  local group file
  for group in $(cgroups); do
    mkdir -p "$group" 2>/dev/null || continue
    # Empty in a new group, and then it takes no process.
    for file in cpuset.cpus cpuset.mems; do
      if [ -f "${group%/*}/$file" ] && [ -f "$group/$file" ] && [ -z "$(tr -d '\n' <"$group/$file")" ]; then
        cat "${group%/*}/$file" >"$group/$file" 2>/dev/null || true
      fi
    done
  done
}

start_containerd() {
  configure_containerd
  start containerd "$(command -v containerd)" --config "$STATE/containerd.toml"
}

load_images() {
  local archive
  wait_for 30 containerd ctr version
  for archive in "$@"; do ctr images import "$archive" >&2; done
}

start_kubelet() {
  configure_kubelet
  make_cgroups
  mkdir -p "$STATE/hostpath"
  start kubelet "$BIN/kubelet" --config="$STATE/kubelet.yaml" --kubeconfig="$STATE/kubelet.kubeconfig" \
    --root-dir="$STATE/kubelet" --hostname-override="$NODE_NAME" --node-ip="$NODE_IP" --v=2
}

start_proxy() {
  user "$STATE/kube-proxy.kubeconfig" kube-proxy system:kube-proxy system:node-proxier
  start kube-proxy "$BIN/kube-proxy" --kubeconfig="$STATE/kube-proxy.kubeconfig" --hostname-override="$NODE_NAME" \
    --proxy-mode=iptables --cluster-cidr="$POD_CIDR" --conntrack-max-per-core=0 \
    --conntrack-tcp-timeout-established=0 --conntrack-tcp-timeout-close-wait=0 --oom-score-adj=0 \
    --healthz-bind-address=127.0.0.1:10256 --metrics-bind-address=127.0.0.1:10249
}

wait_node() {
  wait_for 90 "node $NODE_NAME" "$BIN/kubectl" wait --for=condition=Ready "node/$NODE_NAME" --timeout=2s
}

# The rest says what a node leaves, and removes it; leftovers() must be empty after clean_node().

# The node's directory and network belong to the cluster that is their owner, which may be another one.
our_mounts() {
  local run=$STATE/
  if owns_node; then run=$NODE_RUN/; fi
  # The innermost first.
  awk -v s="$STATE/" -v r="$run" 'index($2, s) == 1 || index($2, r) == 1 { print $2 }' /proc/mounts | sort -r
}
chains() { iptables-save 2>/dev/null | sed -n -E 's/^:((CNI|KUBE)-[^ ]+) .*/\1/p' | sort -u; }
processes_in_cgroups() {
  local group
  for group in $(cgroups); do
    # 0 stands for a process of another PID namespace.
    if [ -d "$group" ]; then find "$group" -name cgroup.procs -exec cat {} + 2>/dev/null || true; fi
  done | grep -vx 0 | sort -u
}
# What the plugins note, beside the notes of others.
cni_results() { grep -lF "$NODE_RUN/" -r /var/lib/cni/results 2>/dev/null || true; }
# Links that the kubelet puts beside those of other clusters.
log_links() { find /var/log/containers -type l -lname "$STATE/*" 2>/dev/null || true; }

remove_chains() {
  local table rule chain
  for table in nat filter mangle; do
    iptables-save -t $table 2>/dev/null | grep -E -- '^-A .*(CNI-|KUBE-)' | sed 's/^-A/-D/' | while read -r rule; do
      # Rules are printed with shell quoting.
      eval "iptables -w -t $table $rule" 2>/dev/null || true
    done || true
    for chain in $(iptables-save -t $table 2>/dev/null | sed -n -E 's/^:((CNI|KUBE)-[^ ]+) .*/\1/p'); do
      iptables -w -t $table -F "$chain" 2>/dev/null || true
    done
    for chain in $(iptables-save -t $table 2>/dev/null | sed -n -E 's/^:((CNI|KUBE)-[^ ]+) .*/\1/p'); do
      iptables -w -t $table -X "$chain" 2>/dev/null || true
    done
  done
}

clean_node() {
  local group mount file socket
  # Containers outlive their shims.
  kill_all processes_in_cgroups
  our_mounts | while read -r mount; do umount -l "$mount" 2>/dev/null || true; done
  # What is removed below must not be a directory of the host that some pod had mounted.
  [ -z "$(our_mounts)" ] || die "cannot unmount: $(our_mounts | xargs)"
  for group in $(cgroups); do
    if [ -d "$group" ]; then find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null || true; fi
  done
  log_links | while read -r mount; do rm -f "$mount"; done
  if owns_node; then
    # The shims' sockets, which are in a directory of all containerds.
    for file in "$NODE_RUN"/containerd/io.containerd.runtime.v2.task/k8s.io/*/address; do
      if [ -f "$file" ]; then
        socket=$(cat "$file")
        rm -f "${socket#unix://}"
      fi
    done
    ip link del "$BRIDGE" 2>/dev/null || true
    remove_chains
    cni_results | while read -r file; do rm -f "$file"; done
    # The directory itself stays: it may be a mount point in another namespace, where the mount would go with it.
    find "$NODE_RUN" -mindepth 1 -delete
  fi
}

# leftovers: prints what is still there of a cluster that was ended.
leftovers() {
  local pid mount group
  for pid in $(marked) $(processes_in_cgroups); do
    if [ -d "/proc/$pid" ]; then echo "process $pid: $(tr '\0' ' ' <"/proc/$pid/cmdline" | cut -c1-120)"; fi
  done
  our_mounts | sed 's/^/mount /'
  for group in $(cgroups); do
    if [ -d "$group" ]; then echo "cgroup $group"; fi
  done
  log_links | sed 's/^/link /'
  if [ ! -s "$NODE_RUN/owner" ]; then
    chains | sed 's/^/iptables chain /'
    cni_results
    if ip link show "$BRIDGE" >/dev/null 2>&1; then echo "network device $BRIDGE"; fi
  elif owns_node; then
    echo "directory $NODE_RUN"
  fi
}
