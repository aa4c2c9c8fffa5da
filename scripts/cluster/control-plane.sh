# shellcheck shell=bash
# Sourced by `cluster`: etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok.

etcd_ready() { curl -fsS --max-time 2 "http://127.0.0.1:$ETCD_PORT/readyz"; }
api_ready() {
  curl -fsS --max-time 2 --cacert "$PKI/ca.crt" --cert "$PKI/admin.crt" --key "$PKI/admin.key" \
    "https://$API_IP:$API_PORT/readyz"
}

start_etcd() {
  local client=http://127.0.0.1:$ETCD_PORT peer=http://127.0.0.1:$ETCD_PEER_PORT flags=()
  if [ "${ETCD_FSYNC:-0}" = 0 ]; then flags+=(--unsafe-no-fsync); fi
  mkdir -p "$STATE/etcd"
  chmod 700 "$STATE/etcd"
  start etcd "$BIN/etcd" --name=etcd-0 --data-dir="$STATE/etcd" --log-level=warn --quota-backend-bytes=4294967296 \
    --listen-client-urls="$client" --advertise-client-urls="$client" \
    --listen-peer-urls="$peer" --initial-advertise-peer-urls="$peer" --initial-cluster="etcd-0=$peer" "${flags[@]}"
  wait_for 60 etcd etcd_ready
}

# start_apiserver KIND: with `api` nothing creates ServiceAccounts, so that their admission is off.
start_apiserver() {
  local flags=() extra
  read -ra extra <<<"${APISERVER_FLAGS:-}"
  case $1 in
  api) flags+=(--disable-admission-plugins=ServiceAccount --endpoint-reconciler-type=none) ;;
  kwok) flags+=(--endpoint-reconciler-type=none) ;;
  node)
    certificate apiserver-kubelet-client kube-apiserver-kubelet-client system:masters
    flags+=(--kubelet-client-certificate="$PKI/apiserver-kubelet-client.crt"
      --kubelet-client-key="$PKI/apiserver-kubelet-client.key"
      --kubelet-preferred-address-types=InternalIP)
    ;;
  esac
  certificate apiserver kube-apiserver "" "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,\
DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:$NODE_IP,IP:$SERVICE_IP"
  start kube-apiserver "$BIN/kube-apiserver" --etcd-servers="http://127.0.0.1:$ETCD_PORT" \
    --bind-address="$API_IP" --advertise-address="$API_IP" --secure-port="$API_PORT" \
    --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" --client-ca-file="$PKI/ca.crt" \
    --authorization-mode=Node,RBAC --allow-privileged=true --service-cluster-ip-range="$SERVICE_CIDR" \
    --service-account-issuer=https://kubernetes.default.svc --api-audiences=https://kubernetes.default.svc \
    --service-account-key-file="$PKI/sa.pub" --service-account-signing-key-file="$PKI/sa.key" \
    --profiling=false --v=1 "${flags[@]}" "${extra[@]}"
  wait_for 120 kube-apiserver api_ready
}

# The next two serve nothing (port 0): their ports would collide between clusters.
start_controller_manager() {
  local extra
  read -ra extra <<<"${KCM_FLAGS:-}"
  user "$STATE/controller-manager.kubeconfig" controller-manager system:kube-controller-manager
  # With the usual limits on its requests it takes 5 s until the first ServiceAccount.
  start kube-controller-manager "$BIN/kube-controller-manager" --kubeconfig="$STATE/controller-manager.kubeconfig" \
    --secure-port=0 --leader-elect=false --use-service-account-credentials=true \
    --service-account-private-key-file="$PKI/sa.key" --root-ca-file="$PKI/ca.crt" \
    --cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key" \
    --allocate-node-cidrs=false --kube-api-qps=500 --kube-api-burst=1000 --profiling=false --v=1 "${extra[@]}"
}
wait_controller_manager() {
  wait_for 60 kube-controller-manager "$BIN/kubectl" -n default get serviceaccount default
}

start_scheduler() {
  user "$STATE/scheduler.kubeconfig" scheduler system:kube-scheduler
  start kube-scheduler "$BIN/kube-scheduler" --kubeconfig="$STATE/scheduler.kubeconfig" \
    --secure-port=0 --leader-elect=false --profiling=false --v=1
}

# start_kwok NODES: nodes that only pretend to run pods, 110 each.
start_kwok() {
  local i
  user "$STATE/kwok.kubeconfig" kwok kwok system:masters
  # With its 4 at a time, pods take 10 s to start and to end as soon as some tens of them come and go.
  cat >"$STATE/kwok.yaml" <<EOF
apiVersion: config.kwok.x-k8s.io/v1alpha1
kind: KwokConfiguration
options: {podPlayStageParallelism: 64}
EOF
  start kwok "$BIN/kwok" --kubeconfig="$STATE/kwok.kubeconfig" --manage-all-nodes=false \
    --manage-nodes-with-label-selector=type=kwok --node-lease-duration-seconds=40 \
    --cidr=10.0.0.1/16 --node-ip=127.0.0.1 --config="$STATE/kwok.yaml"
  for i in $(seq 0 $(($1 - 1))); do
    cat <<EOF
---
apiVersion: v1
kind: Node
metadata:
  name: kwok-$i
  labels: {type: kwok, kubernetes.io/hostname: kwok-$i, kubernetes.io/os: linux, kubernetes.io/arch: amd64}
  annotations: {kwok.x-k8s.io/node: fake, node.alpha.kubernetes.io/ttl: "0"}
status:
  allocatable: {cpu: "32", memory: 256Gi, pods: "110"}
  capacity: {cpu: "32", memory: 256Gi, pods: "110"}
EOF
  done | "$BIN/kubectl" apply -f - >/dev/null
  wait_for 60 "kwok ($1 nodes)" "$BIN/kubectl" wait --for=condition=Ready node -l type=kwok --timeout=2s
}
